#!/usr/bin/python3
"""Policies: every form of rule gives NumPy's values on any number of ranks, what a layout costs is what is measured, and no sink
leaves the output folder. The examples of docs/policies.md print what the document says.

usage: test_policies.py --binary FUSE_DIST --source DIR
"""

import argparse
import json
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import h5py  # noqa: E402
import numpy  # noqa: E402

BINARY = SOURCE = None
RANKS = (0, 2, 3, 4, 8)

# A layer of a network; N is a number, so that one program has several of them, each with other rules.
LAYER = """\
WN[i,j] = "w.npy"
XN[j,k] = "x.npy"
BN[k] = "b.npy"
HN[i,k] = N WN[i,j] XN[j,k] + BN[k]
OutN[k,i] = relu(HN[i,k])
SN[k] = OutN[k,i]
"out.npz:aN" = OutN[k,i]
"sum.npz:aN" = SN[k]
"""
RULES = {
    1: {"W": "row"},
    2: {"W": "column", "X": "column"},
    3: {"H": "replicated"},
    4: {"Out": {"k": "*"}},
    5: {"?": "row", "Out": "column"},
    6: {"X": {"1": "*"}, "S": "row", "B": "row"},
    7: {"W": {"i": "all"}, "X": {"j": "all"}, "H": {"k": ["all"], "i": []}},
}


class Policies(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-policies-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text if isinstance(text, str) else json.dumps(text))

    def run_on(self, ranks, *arguments, status=0):
        result = launch.run(launch.on_ranks(ranks, [BINARY, *arguments]), self.folder, 50)
        self.assertEqual((result.status, result.timed_out), (status, False), result.tail())
        return result

    def layer(self, numbers):
        """The program's files, and what NumPy makes of them."""
        random = numpy.random.default_rng(5)
        w, x, b = random.standard_normal((33, 21)), random.standard_normal((21, 17)), random.standard_normal(17)
        for name, array in ("w", w), ("x", x), ("b", b):
            numpy.save(self.path(name + ".npy"), array)
        self.write("prog.fuse", "".join(LAYER.replace("N", str(n)) for n in numbers))
        return {n: numpy.maximum(n * w @ x + b, 0).T for n in numbers}

    def check_files(self, expected, what):
        with numpy.load(self.path("out.npz")) as out, numpy.load(self.path("sum.npz")) as sums:
            for n, array in expected.items():
                # sums of 33 products of 21 terms in f64
                close = {"rtol": 1e-12, "atol": 1e-12, "err_msg": f"layer {n}, {what}"}
                numpy.testing.assert_allclose(out[f"a{n}"], array, **close)
                numpy.testing.assert_allclose(sums[f"a{n}"], array.sum(axis=1), **close)
        os.remove(self.path("out.npz"))
        os.remove(self.path("sum.npz"))

    @staticmethod
    def received(times):
        return sum(times[phase + "received_bytes_total"] for phase in ("", "load_", "store_"))

    def test_every_form_of_rule_on_any_number_of_ranks(self):
        """Fails for a wrong value, for bytes that were not planned, and when the planner's choice is not what a run without
        the policy receives."""
        expected = self.layer(RULES)
        rules = {f"{name}{n}": value for n, some in RULES.items() for name, value in some.items()}
        self.write("p.json", {"mesh": {"all": "*"}, "sharding": rules})
        for ranks in RANKS:
            options = ("--times=json", "--replicate-below", "0", "prog.fuse")
            free = json.loads(self.run_on(ranks, *options).out)
            self.check_files(expected, f"free on {ranks} ranks")
            times = json.loads(self.run_on(ranks, "--policy", "p.json", *options).out)
            self.check_files(expected, f"with rules on {ranks} ranks")
            for phase in "", "load_", "store_":
                planned = f"planned_{phase}received_bytes_total"
                self.assertEqual(times[phase + "received_bytes_total"], times[planned], f"on {ranks} ranks")
            self.assertEqual(times["without_policy"]["received_bytes_total"], self.received(free), f"on {ranks} ranks")
            if ranks > 1:
                self.assertGreater(self.received(times), self.received(free))

    def test_a_copy_that_lies_otherwise_is_one_move(self):
        x = numpy.random.default_rng(6).standard_normal((23, 4, 37)).astype(numpy.float32)
        numpy.save(self.path("x.npy"), x)
        self.write("copy.fuse", 'X[i,j,k] = "x.npy"\nY[i,j,k] = X[i,j,k]\nZ[k,j,i] = X[i,j,k]\n"y.npy" = Y[i,j,k]\n"z.npy" = Z[k,j,i]\n')
        for layout in ({"k": "*"}, {"j": "*"}, "replicated"):
            self.write("copy.json", {"sharding": {"X": {"i": "*"}, "Y": layout, "Z": {"k": "*"}}})
            for ranks in RANKS:
                with self.subTest(layout=layout, ranks=ranks):
                    ran = self.run_on(ranks, "copy.fuse", "--policy", "copy.json", "--times=json")
                    times = json.loads([line for line in ran.out.splitlines() if line.startswith("{")][0])
                    self.assertEqual(times["received_bytes_total"], times["planned_received_bytes_total"])
                    numpy.testing.assert_array_equal(numpy.load(self.path("y.npy")), x)
                    numpy.testing.assert_array_equal(numpy.load(self.path("z.npy")), x.transpose())
            plan = self.run_on(0, "plan", "copy.fuse", "--ranks", "4", "--policy", "copy.json").out
            self.assertRegex(plan, r"(?m)^  move     X .*")
            self.assertNotRegex(plan, r"(?m)^  map      Y")

    def test_a_mesh_of_two_dimensions(self):
        expected = self.layer([1])
        self.write("p.json", {"mesh": {"data": "*", "model": 2},
                              "sharding": {"W1": {"i": "data", "j": "model"}, "H1": {"i": ["model", "data"]},
                                           "Out1": {"k": "model"}}})
        for n in (2, 3, 4, 8):
            self.run_on(n, "--policy", "p.json", "--replicate-below", "0", "prog.fuse")
            self.check_files(expected, f"on {n} ranks")
            plan = self.run_on(0, "plan", "--ranks", str(n), "--policy", "p.json", "prog.fuse").out
            data = n // 2
            axis = f"0/{data}" if data > 1 else "0"
            self.assertIn(f"  W1 [{axis},1/2], ", plan)
            self.assertIn(f"  H1 [0/{2 * data},1], ", plan)
            self.assertIn("  Out1 [0/2,1]" + (f" x{data}" if data > 1 else "") + ", ", plan)
            self.assertIn(f"plan for {n} ranks, {2 * data} used", plan)

    def test_replicated_is_refused_when_it_does_not_fit(self):
        self.write("prog.fuse", 'axis i = 8192\nX[i,j] = uniform(seed=1)\nY[j,i] = X[i,j] + 1\n'
                                'Z[j] = Y[j,i]\naxis j = 2048\n"z.npy" = Z[j]\n')
        self.write("p.json", {"sharding": {"Y": "replicated"}})
        self.run_on(4, "--mem-per-rank", "80M", "prog.fuse")
        result = self.run_on(4, "--mem-per-rank", "80M", "--policy", "p.json", "prog.fuse", status=71)
        self.assertIn("does not fit in 80.0 MiB per rank on 4 ranks: it needs at least", result.err)
        self.assertIn("Y 64.0 MiB", result.err)
        self.assertIn("without the layouts of policy 'p.json' it would fit, in ", result.err)
        self.assertEqual(result.err.count("error:"), 1)

    def test_temperatures(self):
        x = numpy.linspace(-2, 2, 9).astype(numpy.float32)
        numpy.save(self.path("x.npy"), x)
        self.write("prog.fuse", 'X[i] = "x.npy"\nA[i] = sig(X[i])\nB[i] = sig(X[i]) + SIG(X[i], T=1)\n'
                                'C[i] = sig(X[i])\n"a.npy" = A[i]\n"b.npy" = B[i]\n"c.npy" = C[i]\n')
        self.write("p.json", {"temperatures": {"*": 0.5, "C": 2}})

        def sig(t):
            return 1 / (1 + numpy.exp(-x.astype(float) / t))

        for n in (0, 3):
            self.run_on(n, "--policy", "p.json", "prog.fuse")
            for name, wanted in ("a", sig(0.5)), ("b", sig(0.5) + sig(1)), ("c", sig(2)):
                numpy.testing.assert_allclose(numpy.load(self.path(name + ".npy")), wanted, rtol=1e-6)

    def test_schedules_are_described(self):
        self.write("prog.fuse", "Y = sig(1.0)\nexport Y\n")
        self.write("p.json", {"temperatures": {"Z": {"schedule": "linear", "from": 1, "to": 0.1, "steps": 10}},
                              "lora": {}, "io": {"*.h5": {"gzip": 3}}})
        result = self.run_on(0, "policies", "p.json", "prog.fuse", status=65)  # lora without weights
        self.assertIn("'lora' is about weights", result.err)
        self.write("p.json", {"temperatures": {"Z": {"schedule": "linear", "from": 1, "to": 0.1, "steps": 10}},
                              "io": {"*.h5": {"gzip": 3}}})
        result = self.run_on(0, "policies", "p.json", "prog.fuse")
        self.assertEqual(result.out.count("matches nothing") + result.out.count("decides about nothing"), 2, result.out)

    def test_patterns_pass_over_relations_and_what_is_not_computed(self):
        self.write("e.tsv", "0\t1\n1\t2\n0\t2\n")
        self.write("prog.fuse", 'E(x,y) = "e.tsv"\nD[x] = E(x,y)\nUnused[x] = D[x] + 1\nexport D\n')
        self.write("p.json", {"sharding": {"*": "row"}})
        for n in (0, 3):
            self.assertEqual(self.run_on(n, "--policy", "p.json", "prog.fuse").out, "D = [2, 1]\n")
        text = self.run_on(0, "policies", "p.json", "prog.fuse").out
        self.assertIn("    E[x,y]: tuples, which have no layout\n", text)
        self.assertIn("    D[x]: x over all ranks that compute\n", text)
        self.assertIn("    Unused[x]: is not computed in this run\n", text)

    def test_patterns_pass_over_numbers(self):
        """A rule with a number's own name is an error, and so is a pattern that only numbers fit."""
        self.write("prog.fuse", "X[i] = const([0, 1, 2, 3, 4, 5])\nTotal = X[i]\nY[i] = X[i] / Total\nexport Total\nexport Y\n")
        for layout in "row", {"i": "*"}, {"0": "*"}, "replicated":
            self.write("p.json", {"sharding": {"*": layout}})
            for n in (0, 3):
                self.assertIn("Total = 15", self.run_on(n, "--policy", "p.json", "prog.fuse").out)
        self.assertNotIn("Total", self.run_on(0, "policies", "p.json", "prog.fuse").out)
        self.write("p.json", {"sharding": {"T*": "row"}})
        self.assertIn("'T*' matches no tensor", self.run_on(0, "--policy", "p.json", "prog.fuse", status=65).err)
        self.assertIn("    matches nothing\n", self.run_on(0, "policies", "p.json", "prog.fuse").out)
        self.write("p.json", {"sharding": {"Total": "row", "X": "row"}})
        self.assertIn("'Total' of rank 0 has no rows", self.run_on(0, "--policy", "p.json", "prog.fuse", status=65).err)
        self.write("p.json", {"sharding": {"Total": "replicated"}})
        self.assertIn("Total = 15", self.run_on(3, "--policy", "p.json", "prog.fuse").out)

    def test_a_wrong_rule_is_told_of_once(self):
        self.write("prog.fuse", "W1[i,j] = const([[1, 2]])\nW2[i,j] = const([[1, 2]])\nexport W1\nexport W2\n")
        for rule in {"i": "d", "j": "d"}, {"i": "d", "1": ["*"]}, {"i": "*", "0": "d"}, {"k": "d"}:
            self.write("p.json", {"mesh": {"d": 1}, "sharding": {"W*": rule}})
            self.assertEqual(self.run_on(0, "--policy", "p.json", "prog.fuse", status=65).err.count("error:"), 1)

    def test_storage(self):
        """h5py sees the chunks and the compression that the rules ask for; the place of a sink is as good as its tensor."""
        self.write("prog.fuse", 'axis i = 300\naxis j = 70\nA[i,j] = uniform(seed=1)\nB[j,i] = A[i,j]\nC[i] = A[i,j]\n'
                                '"y.h5:/a" = A[i,j]\n"y.h5:/b" = B[j,i]\n"y.h5:/c" = C[i]\n"y.h5:/d" = 2 A[i,j]\n')
        self.write("p.json", {"io": {"A": {"chunks": [64, 1000], "gzip": 4}, "*:/b": {"chunks": "auto"},
                                     "*": {"gzip": 0}, "y.h5:/d": {"chunks": "auto", "gzip": 1}}})
        for n in (0, 3):
            self.run_on(n, "--policy", "p.json", "prog.fuse")
            with h5py.File(self.path("y.h5")) as file:
                found = {name: (file[name].chunks, file[name].compression_opts) for name in file}
                numpy.testing.assert_array_equal(file["a"][()], file["b"][()].T)
                numpy.testing.assert_array_equal(2 * file["a"][()], file["d"][()])
            self.assertEqual(found, {"a": ((64, 70), 4), "b": ((70, 300), None), "c": (None, None), "d": ((300, 70), 1)})
            os.remove(self.path("y.h5"))

    def test_output_root(self):
        self.layer([1])
        os.makedirs(self.path("policy/out"))
        os.mkdir(self.path("other"))
        self.write("policy/p.json", {"output_root": "out"})
        self.run_on(3, "--policy", "policy/p.json", "prog.fuse")
        self.assertEqual(sorted(os.listdir(self.path("policy/out"))), ["out.npz", "sum.npz"])
        result = self.run_on(0, "--policy", "policy/p.json", "--output-root", "other", "prog.fuse")
        self.assertEqual(sorted(os.listdir(self.path("other"))), ["out.npz", "sum.npz"])
        self.assertIn("policy/p.json:1:17: note: --output-root other is taken instead of 'policy/out'", result.err)

    def test_no_sink_leaves_the_output_folder(self):
        """Every way out is refused with its part named, on one rank and on several, and nothing is written anywhere."""
        os.makedirs(self.path("root/deep/er"))
        os.mkdir(self.path("away"))
        os.symlink("../away", self.path("root/link"))
        os.symlink(self.path("away"), self.path("root/deep/absolute"))
        os.symlink("nowhere", self.path("root/dangling"))
        os.symlink("round", self.path("root/round"))
        os.symlink("deep/er", self.path("root/inside"))
        os.symlink("root", self.path("alias"))
        refused = [("../away/y.npy", "'..' leads out of it"),
                   ("deep/../../away/y.npy", "'..' leads out of it"),
                   (self.path("away/y.npy"), "it is an absolute path"),
                   (self.path("root/y.npy"), "it is an absolute path"),
                   ("link/y.npy", "'link' is a link to '../away'"),
                   ("deep/../link/y.npy", "'deep/../link' is a link to '../away'"),
                   ("deep/absolute/y.npy", "'deep/absolute' is a link to "),
                   ("dangling/y.npy", "'dangling' is a link to 'nowhere', which cannot be followed"),
                   ("round/y.npy", "'round' is a link to 'round', which cannot be followed"),
                   ("link/../root/y.npy", "'link' is a link to '../away'")]
        for place, part in refused:
            self.write("prog.fuse", f'Y[i] = const([1, 2])\n"{place}" = Y[i]\n')
            for n, root in (0, "root"), (0, "alias"), *([(3, "root")] if place.startswith(("link", "..", "da")) else []):
                result = self.run_on(n, "--output-root", root, "prog.fuse", status=73)
                self.assertIn(f"lies outside the output folder '{root}': {part}", result.err)
                self.assertEqual(result.err.count("error:"), 1, result.err)
        self.assertEqual(os.listdir(self.path("away")), [])
        self.assertFalse(os.path.exists(self.path("root/y.npy")))
        self.write("prog.fuse", 'Y[i] = const([1, 2])\nexport Y\n')
        result = self.run_on(0, "--output-root", "root", "--out", "link/y.npy", "prog.fuse", status=73)
        self.assertIn("'link' is a link to '../away'", result.err)

    def test_links_that_stay_inside(self):
        """A link to a folder inside is followed; a file that is a link is replaced, and what it led to is left alone."""
        os.makedirs(self.path("root/deep/er"))
        os.symlink("deep/er", self.path("root/inside"))
        numpy.save(self.path("kept.npy"), numpy.zeros(3))
        os.symlink("../kept.npy", self.path("root/y.npy"))
        os.symlink("../fresh.npy", self.path("root/z.npy"))
        self.write("prog.fuse", 'Y[i] = const([1, 2])\n"inside/y.npy" = Y[i]\n"y.npy" = Y[i]\n"z.npy" = Y[i]\n')
        for n in (0, 3):
            self.run_on(n, "--output-root", "root", "prog.fuse")
            for name in "root/deep/er/y.npy", "root/y.npy", "root/z.npy":
                numpy.testing.assert_array_equal(numpy.load(self.path(name)), [1, 2])
                self.assertFalse(os.path.islink(self.path(name)))
            numpy.testing.assert_array_equal(numpy.load(self.path("kept.npy")), numpy.zeros(3))
            self.assertFalse(os.path.exists(self.path("fresh.npy")))

    def test_the_document(self):
        with open(os.path.join(SOURCE, "docs", "policies.md"), encoding="utf-8") as file:
            text = file.read()
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        self.write("prog.fuse", next(body for kind, body in blocks if kind == "fuse"))
        self.write("policy.json", next(body for kind, body in blocks if kind == "json"))
        consoles = [body for kind, body in blocks if kind == "console"]
        self.assertEqual(len(consoles), 2)
        for body in consoles:
            command, _, wanted = body.partition("\n")
            result = launch.run([BINARY, *command.split()[2:]], self.folder, 30)
            self.assertEqual(result.out + result.err, wanted)
        policy = json.loads(next(body for kind, body in blocks if kind == "json"))
        del policy["sharding"]["Old"]
        self.write("policy.json", policy)
        plan = self.run_on(0, "plan", "--ranks", "4", "--policy", "policy.json", "prog.fuse").out
        table = next(body for kind, body in blocks if body.startswith("layouts of the policy"))
        self.assertTrue(plan.endswith("\n" + table), plan)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--source", required=True)
    given, rest = parser.parse_known_args()
    BINARY, SOURCE = os.path.abspath(given.binary), os.path.abspath(given.source)
    unittest.main(argv=[sys.argv[0], *rest])
