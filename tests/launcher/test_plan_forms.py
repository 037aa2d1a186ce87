#!/usr/bin/python3
"""Forms of a plan: the JSON object, the page, the picture, the table of several numbers of ranks; docs/sharding.md and its pictures
are what `plan` prints.

usage: test_plan_forms.py --binary FUSE_DIST --source FOLDER
"""

import argparse
import glob
import html.parser
import json
import os
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

BINARY = SOURCE = None
PROGRAM = """\
axis i = 1024
axis j = 1024
axis k = 1024
A[i,k] = uniform(seed=1)
B[k,j] = uniform(seed=2)
C[i,j] = A[i,k] B[k,j]
"c <&>.npy" = C[i,j]
"""


class Elements(html.parser.HTMLParser):
    """Complains about elements that are not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag != "meta":
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Forms(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-plan-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        with open(os.path.join(self.folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)

    def plan(self, *words, program="prog.fuse", status=0):
        result = launch.run([BINARY, "plan", *words, program], self.folder, 60)
        self.assertEqual((result.status, result.timed_out), (status, False), result.tail())
        return result.out if status == 0 else result.err

    def objects(self, text):
        found, at, decoder = [], 0, json.JSONDecoder()
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            one, at = decoder.raw_decode(text, at)
            found.append(one)
        return found

    def test_json(self):
        for ranks in (1, 2, 3, 8, 12, 509):
            text = self.plan("--ranks", str(ranks))
            one, = self.objects(self.plan("--ranks", str(ranks), "--format", "json"))
            used = 1
            for size in one["mesh"]:
                used *= size
            self.assertEqual((one["schema"], one["ranks"], one["used"]), ("fuse.plan", ranks, used))
            self.assertIn(f"hash {one['hash']}", text)
            self.assertIn(f"peak {one['peak_bytes']} bytes", text)
            # every part is somewhere: parts x copies are all ranks that are used
            for tensor in one["tensors"]:
                parts = tensor["copies"]
                for sizes in tensor["split"]:
                    for size in sizes:
                        parts *= size
                self.assertEqual(parts, used, tensor)
            # steps add up to what the text says
            self.assertEqual(one["time_ps"], sum(step["time_ps"] - step["hidden_ps"] for step in one["steps"]))
            run = sum(step["received_bytes_total"] for step in one["steps"] if step["phase"] == "run")
            self.assertIn(f"all ranks {run}\n", text)
            for step in one["steps"]:
                self.assertIn(step["text"], text)
            # buffers in use at the same time do not overlap, and end at the peak
            buffers = [b for b in one["buffers"] if b["bytes"] > 0]
            self.assertLessEqual(max(b["offset"] + b["bytes"] for b in buffers), one["peak_bytes"])
            for a in buffers:
                for b in buffers:
                    if a is not b and a["memory"] == b["memory"] and a["first"] <= b["last"] and b["first"] <= a["last"]:
                        self.assertTrue(a["offset"] + a["bytes"] <= b["offset"] or b["offset"] + b["bytes"] <= a["offset"],
                                        (a, b))
        several = self.objects(self.plan("--ranks", "1,2,4", "--format", "json"))
        self.assertEqual([one["ranks"] for one in several], [1, 2, 4])

    def test_again(self):
        """A broadcast that two products want in two ways is computed where they are, and lies nowhere."""
        path = os.path.join(self.folder, "again.fuse")
        with open(path, "w", encoding="utf-8") as file:
            file.write("axis i = 8192\naxis j = 8192\naxis k = 4096\nx[i] = uniform(seed=1)\ny[j] = uniform(seed=2)\n"
                       "A[j,k] = uniform(seed=3)\nB[i,k] = uniform(seed=4)\nN[i,j] = x[i] * y[j]\n"
                       'C[i,k] = N[i,j] A[j,k]\nD[j,k] = N[i,j] B[i,k]\n"c.npy" = C[i,k]\n"d.npy" = D[j,k]\n')
        text = self.plan("--ranks", "64", program=path)
        self.assertRegex(text, r"(?m)^  N f32\[8192,8192\] computed where it is needed$")
        self.assertEqual(len(re.findall(r"map +N again, for ", text)), 2)
        self.assertNotRegex(text, r"move +N ")
        one, = self.objects(self.plan("--ranks", "64", "--format", "json", program=path))
        self.assertEqual([tensor["name"] for tensor in one["tensors"] if tensor.get("again")], ["N"])
        self.assertIn("where it is needed", self.plan("--ranks", "64", "--format", "svg", program=path))
        self.assertIn("again, for", self.plan("--ranks", "64", "--format", "html", program=path))

    def test_page(self):
        page = self.plan("--ranks", "8", "--format", "html")
        elements = Elements()
        elements.feed(page)
        self.assertEqual((elements.open, elements.wrong, elements.links), ([], [], []))  # whole, and alone
        self.assertIn("c &lt;&amp;&gt;.npy", page)
        self.assertNotIn("<&>", page)
        step, = [s for s in self.objects(self.plan("--ranks", "8", "--format", "json"))[0]["steps"] if s["kind"] == "contract"]
        self.assertIn(step["text"], page)
        for heading in ("Operations", "Memory of a rank over the steps", "Steps"):
            self.assertIn(f"<h2>{heading}</h2>", page)

    def test_picture(self):
        for ranks in ("1", "8", "4096"):
            root = xml.etree.ElementTree.fromstring(self.plan("--ranks", ranks, "--format", "svg"))
            space = {"s": "http://www.w3.org/2000/svg"}
            nodes = root.findall("s:g", space)
            names = [node.find("s:text[@class='name']", space).text.split()[0] for node in nodes]
            self.assertEqual(sorted(names), ["A", "B", "C", "C"])
            hot = [node for node in nodes if "hot" in node.find("s:rect", space).get("class")]
            self.assertEqual(len(hot), 3)  # A or B, the product, the sink
            width, height = float(root.get("width")), float(root.get("height"))
            for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
                self.assertTrue(0 <= float(rect.get("x")) and float(rect.get("x")) + float(rect.get("width")) <= width)
                self.assertTrue(0 <= float(rect.get("y")) and float(rect.get("y")) + float(rect.get("height")) <= height)

    def test_scaling(self):
        ranks = [1, 2, 8, 64, 512, 4096]
        out = self.plan("--ranks", ",".join(map(str, ranks)))
        table = out[out.index("\nscaling"):].strip().splitlines()[2:]
        why = table.pop()
        self.assertEqual([int(row.split()[0]) for row in table], ranks)
        seconds = [float(s) for s in re.findall(r"modelled time (\S+) s", out)]
        for row, time, number in zip(table, seconds, ranks):
            cells = row.split()
            self.assertAlmostEqual(float(cells[2]), time, delta=2e-6)
            efficiency = 100 * seconds[0] / (number * time) if time > 1e-4 else float(cells[3].rstrip("%"))
            self.assertAlmostEqual(float(cells[3].rstrip("%")), efficiency, delta=2)
            shares = [float(cell.rstrip("%")) for cell in cells[6:9]]
            self.assertAlmostEqual(sum(shares), 100, delta=2)
        self.assertGreater(float(table[-1].split()[7].rstrip("%")), float(table[0].split()[7].rstrip("%")))  # messages
        half = [r for r, row in zip(ranks, table) if float(row.split()[3].rstrip("%")) < 50]
        self.assertRegex(why, f"^from {half[0]} ranks on less than half" if half else f"^on {ranks[-1]} ranks more than half")
        lost = [float(share) for share in re.findall(r"([0-9]+)%", why)]
        self.assertAlmostEqual(sum(lost), 100, delta=2)
        end = ranks.index(half[0]) if half else -1
        messages = [number * seconds[i] * float(table[i].split()[7].rstrip("%")) / 100 for i, number in enumerate(ranks)]
        added = messages[end] - messages[0]
        self.assertAlmostEqual(lost[0], 100 * added / (ranks[end] * seconds[end] - seconds[0]), delta=10)
        self.assertNotIn("scaling", self.plan("--ranks", "8"))
        result = launch.run([BINARY, "plan", "--ranks", "1,64", "--mem-per-rank", "34M", "prog.fuse"], self.folder, 60)
        self.assertEqual(result.status, 71)
        self.assertRegex(result.out, r"(?m)^ +1  there is no plan")
        self.assertRegex(result.out, r"(?m)^ +64 +64 .* 100%")

    def test_refusals(self):
        self.assertIn("one number of ranks", self.plan("--ranks", "1,2", "--format", "html", status=2))
        self.assertIn("--format", self.plan("--ranks", "1", "--format", "pdf", status=2))

    def test_documents(self):
        folder = os.path.join(SOURCE, "docs", "sharding")
        with open(os.path.join(SOURCE, "docs", "sharding.md"), encoding="utf-8") as file:
            page = file.read()
        programs = sorted(glob.glob(os.path.join(folder, "*.fuse")))
        self.assertEqual(len(programs), 6)
        for path in programs:
            name = os.path.basename(path)[:-5]
            with open(path[:-5] + ".svg", encoding="utf-8") as file:
                picture = file.read()
            self.assertEqual(picture, self.plan("--ranks", "8", "--format", "svg", program=path),
                             f"{name}.svg is not what plan --ranks 8 --format svg {name}.fuse prints")
            self.assertIn(f"(sharding/{name}.svg)", page)
            shown = self.plan("--ranks", "8", program=path).splitlines()
            block, = re.findall(rf"```plan {name}\n(.*?)```", page, re.S)
            at = 0
            for line in block.splitlines():
                self.assertIn(line, shown[at:], f"docs/sharding.md, {name}")
                at = shown.index(line, at) + 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=os.path.abspath, required=True)
    parser.add_argument("--source", type=os.path.abspath, required=True)
    options, rest = parser.parse_known_args()
    BINARY, SOURCE = options.binary, options.source
    unittest.main(argv=[sys.argv[0], *rest])
