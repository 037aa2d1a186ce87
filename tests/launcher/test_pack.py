#!/usr/bin/python3
"""`pack`: one file of program, policy, plan and small sources, run elsewhere; and packs that somebody has changed.

usage: test_pack.py FUSE_DIST

Results are compared with NumPy's.
"""

import glob
import json
import os
import random
import shutil
import sys
import tempfile
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = None
PROGRAM = """\
import "sub/more.fuse"
param scale = 2
W[i,j] = "all.npz:w"
V[i] = "all.npz:v"
Y[i] = scale * W[i,j] X[j] + V[i]
"y.npy" = Y[i]
E(x,y) = "e.tsv"
D[x] = E[x,y]
export D
"""


class Packed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-pack-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.here, self.there = self.make("here"), self.make("there")
        self.scratch = self.make("scratch")
        self.make("here/sub")
        self.w = numpy.arange(12, dtype="f4").reshape(4, 3)
        self.v = numpy.array([1, 2, 3, 4], dtype="f4")
        self.x = numpy.array([1, 10, 100], dtype="f4")
        self.save()
        self.write("prog.fuse", PROGRAM)
        self.write("sub/more.fuse", 'X[j] = "x.npy"\n')
        self.write("e.tsv", "0\t1\n2\t1\n2\t3\n")

    def make(self, name):
        path = os.path.join(self.folder, name)
        os.mkdir(path)
        return path

    def save(self):
        numpy.savez(os.path.join(self.here, "all.npz"), w=self.w, v=self.v)
        numpy.save(os.path.join(self.here, "x.npy"), self.x)

    def write(self, name, text):
        with open(os.path.join(self.here, name), "w", encoding="utf-8") as file:
            file.write(text)

    def run_in(self, folder, status, *words, ranks=0, mentions=()):
        result = launch.run(launch.on_ranks(ranks, [BINARY, *words]), folder, 60,
                            launch.environment({"TMPDIR": self.scratch}))
        self.assertEqual((result.status, result.timed_out), (status, False), f"{words}: {result.tail()}")
        for text in mentions:
            self.assertIn(text, result.err)
        self.assertEqual(glob.glob(os.path.join(self.scratch, "fuse-pack-*")), [])  # nothing is left
        return result

    def pack(self, *words, ranks=0):
        self.run_in(self.here, 0, "pack", "prog.fuse", "-o", "p.pack", *words, ranks=ranks)
        shutil.move(os.path.join(self.here, "p.pack"), os.path.join(self.there, "p.pack"))

    def start(self, *words, ranks=0, scale=2):
        """Runs the pack where nothing else is; returns where the plan came from."""
        result = self.run_in(self.there, 0, *words, "p.pack", "--times=json", ranks=ranks)
        found = numpy.load(os.path.join(self.there, "y.npy"))
        numpy.testing.assert_allclose(found, scale * (self.w @ self.x) + self.v, rtol=1e-6)
        self.assertEqual(result.out.splitlines()[0], "D = [1, 0, 2]")
        os.remove(os.path.join(self.there, "y.npy"))
        return "".join(e["text"] for e in json.loads(result.out.splitlines()[-1])["events"]) + result.err


class Use(Packed):
    def test_moved(self):
        self.pack()
        shutil.rmtree(self.here)
        self.assertIn("the plan came from p.pack", self.start())
        self.assertIn("the plan came from p.pack", self.start("run"))
        self.assertIn("planned anew", self.start(ranks=3))
        self.assertIn("planned anew", self.start("--mem-per-rank", "1G"))
        self.assertIn("planned anew", self.start("-D", "scale=7", scale=7))
        self.assertEqual(os.listdir(self.there), ["p.pack"])

    def test_packed_on_ranks(self):
        self.pack("-D", "scale=5", ranks=3)
        self.assertIn("the plan came from p.pack", self.start(ranks=3, scale=5))
        self.assertIn("planned anew", self.start(scale=5))

    def test_with_a_cache(self):
        self.pack()
        self.start("--cache", "cache", "--panel", "2")
        self.assertIn("came from cache/plans", self.start("--cache", "cache", "--panel", "2"))

    def test_contents(self):
        self.pack()
        with zipfile.ZipFile(os.path.join(self.there, "p.pack")) as archive:
            self.assertIsNone(archive.testzip())
            names = archive.namelist()
            manifest = json.loads(archive.read("manifest.json"))
            self.assertEqual(archive.read("program/0-prog.fuse").decode(), PROGRAM)
        self.assertEqual(sorted(names), ["manifest.json", "plan", "program/0-prog.fuse", "program/1-more.fuse",
                                         "sources/0-x.npy", "sources/1-all.npz", "sources/2-e.tsv"])
        self.assertEqual([f["path"] for f in manifest["files"]], ["prog.fuse", "sub/more.fuse"])
        shown = self.run_in(self.there, 0, "info", "p.pack").out
        self.assertIn("p.pack: pack\n", shown)
        for name in names:
            self.assertIn(f"  {name} = ", shown)

    def test_policy(self):
        self.write("policy.json", json.dumps({"sharding": {"W": "row"}}))
        self.pack("--policy", "policy.json", ranks=3)
        self.assertIn("the plan came from p.pack", self.start(ranks=3))
        result = self.run_in(self.there, 0, "p.pack", "--explain", ranks=3)
        self.assertIn("layouts of the policy on 3 ranks", result.out)

    def test_symbols(self):
        self.write("p.tsv", "ann\tbob\nbob\tcat\n")
        self.write("names.txt", "cat\nbob\nann\n")
        self.write("t.txt", "one two one")
        self.write("t.vocab.json", '{"two": 0, "one": 5}')
        self.write("prog.fuse", PROGRAM.replace("D[x] = E[x,y]", 'axis a = "names.txt"\nP(a,b) = "p.tsv"\nN[a] = P(a,b)\n'
                                                + 'T(q,w) = "t.txt"\nM[w] = T(q,w)\nTotal = N[a] N["ann"] * M[5:6] / 2\nD[x] = Total * E[x,y] / 2'))
        for ranks in (0, 3):
            self.pack(ranks=ranks)
            self.assertIn("the plan came from p.pack", self.start(ranks=ranks))
        shutil.rmtree(self.here)
        self.assertIn("planned anew", self.start(ranks=2))

    def weights(self, *words, ranks=0):
        """V from a manifest: two shards and an adapter, b a a, in a slot."""
        self.make("here/models")
        numpy.save(os.path.join(self.here, "models/v0.npy"), self.w[:1])
        numpy.save(os.path.join(self.here, "models/v1.npy"), self.w[1:])
        numpy.save(os.path.join(self.here, "models/a.npy"), numpy.ones((1, 3), "f4"))
        numpy.save(os.path.join(self.here, "models/b.npy"), numpy.ones((4, 1), "f4"))
        self.write("models/m.json", json.dumps({"version": 1, "weights": [{
            "name": "M", "dtype": "f32", "shards": [{"path": "v0.npy"}, {"path": "v1.npy"}], "shard_axis": 0,
            "lora": {"slot": "style", "alpha": 2, "adapters": {"loud": {"a": "a.npy", "b": "b.npy"}}}}]}))
        self.write("prog.fuse", 'X[j] = "x.npy"\nY[i] = M[i,j] X[j]\n"y.npy" = Y[i]\nD[k] = [1, 0, 2][k]\nexport D\n'
                   .replace("D[k] = [1, 0, 2][k]\nexport D\n", 'E(p,q) = "e.tsv"\nD[p] = E[p,q]\nexport D\n'))
        self.pack("--weights", "models/m.json", *words, ranks=ranks)

    def expect(self, matrix):
        self.w, self.v = matrix / 2, 0  # as `start` compares with 2 w x + v

    def test_weights(self):
        plain = self.w
        self.weights()
        self.expect(plain + 2)  # an adapter that was not chosen is not packed, and read where it is
        self.assertIn("planned anew", self.start("--adapter", "style=loud"))
        shutil.rmtree(self.here)
        self.expect(plain)
        self.assertIn("the plan came from p.pack", self.start())
        self.assertIn("planned anew", self.start(ranks=3))

    def test_adapter(self):
        self.expect(self.w + 2)
        self.w, matrix = 2 * self.w - 2, self.w
        self.weights("--adapter", "style=loud", ranks=3)
        shutil.rmtree(self.here)
        self.w = matrix
        self.assertIn("the plan came from p.pack", self.start(ranks=3))

    def test_large_weights_stay_where_they_are(self):
        plain = self.w
        self.weights("--pack-below", "0")
        self.expect(plain)
        self.assertIn("the plan came from p.pack", self.start())
        numpy.save(os.path.join(self.here, "models/v1.npy"), numpy.ones((4, 3), "f4"))
        self.run_in(self.there, 66, "p.pack")
        os.remove(os.path.join(self.here, "models/v1.npy"))
        self.run_in(self.there, 66, "p.pack", mentions=["v1.npy"])

    def test_other_input(self):
        self.pack()
        self.x = self.x + 1
        numpy.save(os.path.join(self.there, "other.npy"), self.x)
        self.assertIn("planned anew", self.start("--input", "X=other.npy"))

    def test_named_sources(self):
        self.pack("--pack-below", "200")
        with zipfile.ZipFile(os.path.join(self.there, "p.pack")) as archive:
            self.assertEqual([n for n in archive.namelist() if n.startswith("sources/")],
                             ["sources/0-x.npy", "sources/2-e.tsv"])
        self.start()
        self.w = numpy.ones((4, 4), "f4")
        self.save()
        for ranks in (0, 3):
            result = self.run_in(self.there, 66, "p.pack", ranks=ranks, mentions=["not the file that was packed"])
            self.assertIn("prog.fuse:3:", result.err)
        os.remove(os.path.join(self.here, "all.npz"))
        self.run_in(self.there, 66, "p.pack", mentions=["all.npz"])
        self.assertEqual(os.listdir(self.there), ["p.pack"])

    def test_new_data_of_the_same_shape(self):
        self.pack("--pack-below", "0")
        self.x = self.x * 2
        numpy.save(os.path.join(self.here, "x.npy"), self.x)
        self.start(ranks=3)

    def test_no_scratch(self):
        self.pack()
        self.scratch = os.path.join(self.folder, "nowhere")
        self.run_in(self.there, 73, "p.pack", ranks=3, mentions=["cannot make the folder", "TMPDIR"])

    def test_refusals(self):
        self.run_in(self.here, 2, "pack", "prog.fuse", mentions=["-o FILE.pack"])
        self.run_in(self.here, 2, "pack", "prog.fuse", "-o", "p.zip", mentions=[".pack"])
        self.run_in(self.here, 73, "pack", "prog.fuse", "-o", "none/p.pack", ranks=3, mentions=["none/p.pack"])
        self.run_in(self.there, 66, "nothing.pack", mentions=["nothing.pack"])
        self.write("bad.fuse", "Y = \n")
        self.run_in(self.here, 65, "pack", "bad.fuse", "-o", "p.pack")
        self.assertFalse([name for name in os.listdir(self.here) if "pack" in name])


class Damage(Packed):
    def setUp(self):
        super().setUp()
        self.pack()
        self.path = os.path.join(self.there, "p.pack")
        with open(self.path, "rb") as file:
            self.whole = file.read()

    def outcome(self, data, ranks=0):
        """Right, or one error with the status of a bad input."""
        with open(self.path, "wb") as file:
            file.write(data)
        result = launch.run(launch.on_ranks(ranks, [BINARY, "p.pack"]), self.there, 30,
                            launch.environment({"TMPDIR": self.scratch}))
        self.assertFalse(result.timed_out)
        self.assertEqual(glob.glob(os.path.join(self.scratch, "fuse-pack-*")), [])
        path = os.path.join(self.there, "y.npy")
        if result.status == 0:
            numpy.testing.assert_allclose(numpy.load(path), 2 * (self.w @ self.x) + self.v, rtol=1e-6)
            os.remove(path)
        else:
            self.assertEqual((result.status, result.err.count("error:")), (66, 1), result.tail())
            self.assertFalse(os.path.exists(path))
        return result.status

    def test_bytes(self):
        draw = random.Random(3)
        seen = set()
        for _ in range(150):
            data = bytearray(self.whole)
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            seen.add(self.outcome(bytes(data)))
        self.assertEqual(seen, {0, 66})  # a bad plan is made anew

    def test_cut(self):
        for bytes_ in (0, 1, 30, len(self.whole) // 2, len(self.whole) - 1):
            self.assertEqual(self.outcome(self.whole[:bytes_]), 66)
        self.assertEqual(self.outcome(self.whole[:500], ranks=3), 66)

    def again(self, change, compress=zipfile.ZIP_STORED):
        """The same members after change(name, bytes) -> bytes, or None to leave it out."""
        with open(self.path, "wb") as file:
            file.write(self.whole)
        with zipfile.ZipFile(self.path) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
        other = os.path.join(self.folder, "other.zip")
        with zipfile.ZipFile(other, "w", compress) as archive:
            for name, data in members:
                data = change(name, data)
                if data is not None:
                    archive.writestr(name, data)
        with open(other, "rb") as file:
            return file.read()

    def test_members(self):
        self.assertEqual(self.outcome(self.again(lambda name, data: data)), 0)
        self.assertEqual(self.outcome(self.again(lambda name, data: None if name == "plan" else data)), 0)
        self.assertEqual(self.outcome(self.again(lambda name, data: data, zipfile.ZIP_DEFLATED)), 66)
        for gone in ("manifest.json", "program/0-prog.fuse", "program/1-more.fuse", "sources/0-x.npy"):
            self.assertEqual(self.outcome(self.again(lambda name, data, g=gone: None if name == g else data)), 66, gone)
            self.assertEqual(self.outcome(self.again(
                lambda name, data, g=gone: data[:-1] + b"!" if name == g else data)), 66, gone)

    def test_manifest(self):
        def changed(change):
            def one(name, data):
                if name != "manifest.json":
                    return data
                manifest = json.loads(data)
                change(manifest)
                return json.dumps(manifest).encode()
            return self.again(one)

        for change in (lambda m: m.update(schema="other"), lambda m: m.update(version=2), lambda m: m.update(files=[]),
                       lambda m: m.update(more=1), lambda m: m.pop("options"), lambda m: m.pop("data"),
                       lambda m: m["files"][0].update(member="../../etc/passwd"),
                       lambda m: m["files"][1].update(digest="0" * 16), lambda m: m["files"][1].update(digest="xyz"),
                       lambda m: m["imports"][0].update(file=7), lambda m: m["imports"][0].update(text="no.fuse"),
                       lambda m: m["sources"][0].update(digest="0" * 16), lambda m: m["data"][0].pop("member"),
                       lambda m: m["data"][0].update(at="/nowhere", member=None)):
            self.assertEqual(self.outcome(changed(change)), 66)
        self.assertEqual(self.outcome(changed(lambda m: m["data"][0].update(path="../../x.npy"))), 66)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
