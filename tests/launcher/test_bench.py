#!/usr/bin/python3
"""`fuse-dist bench`: every case at one and at several ranks, its document, and `compare`.

usage: test_bench.py FUSE_DIST
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

BINARY = None

NARROW = ("f16", "bf16", "i8", "u8", "bool")
CASES = [
    (["gemm", "48"], "gemm", 2 * 48 ** 3),
    (["gemm", "16", "24", "40"], "gemm", 2 * 16 * 24 * 40),
    (["einsum", "bhqd,bhkd->bhqk", "2", "3", "16", "8", "12"], "einsum", 2 * 2 * 3 * 16 * 8 * 12),
    (["einsum", "ijk,ja,ka->ia", "12", "10", "9", "a=4"], "einsum", 2 * 12 * 10 * 9 * 4),
    (["einsum", "iij,jk->ik", "8"], "einsum", 2 * 8 ** 3),
    (["einsum", "abc->", "7"], "einsum", 0),
    (["transpose", "abcd->dbca", "5", "6", "7", "8"], "transpose", 0),
    (["map", "gelu", "5000"], "map", 0),
    (["map", "add", "4K"], "map", 0),
    (["map", "exp", "5000"], "map", 0),
    (["map", "tanh", "5000"], "map", 0),
    (["map", "softmax", "33", "65"], "map", 0),
    (["map", "layernorm", "33", "65"], "map", 0),
    (["map", "masked_softmax", "33", "65"], "map", 0),
    (["attention", "2", "48", "16"], "attention", 4 * 2 * 48 * 48 * 16),
    (["attention", "2", "48", "16", "--causal"], "attention", 2 * 2 * 48 * 48 * 16),
    *((["gemm", dtype, "48", "40", "70"], "gemm", 2 * 48 * 40 * 70) for dtype in NARROW),
    (["gemm", "32", "--precision", "fp64"], "gemm", 2 * 32 ** 3),
    *((["map", name, "20", "20000", "--precision", "fp64"], "map", 0) for name in ("softmax", "layernorm", "masked_softmax")),
    (["einsum", "bij,bkj->bik", "3", "40", "50", "20", "--isa", "baseline"], "einsum", 2 * 3 * 40 * 50 * 20),
]

FILES = ["npy", "tsv", "npz", "safetensors", "json", "jsonl"]


class Bench(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-bench-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *words, ranks=1, status=0):
        command = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
        environment = {**os.environ, "TMPDIR": self.folder}
        result = subprocess.run([*command, BINARY, "bench", *words], cwd=self.folder, env=environment,
                                capture_output=True, text=True)
        self.assertEqual(result.returncode, status, (words, result.stdout, result.stderr))
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("fuse-bench")], [], words)
        return result

    def lines(self, *words, ranks=1):
        document = json.loads(self.start(*words, "--json", "--repeat", "3", ranks=ranks).stdout)
        self.assertTrue(document["version"] and document["blas_core"])
        for line in document["lines"]:
            self.assertIs(line["passed"], True, line)
            self.assertGreater(line["checked"], 0)
            self.assertEqual(line["repeats"], 3)
            self.assertLessEqual(line["min"], line["median"])
            self.assertLessEqual(line["median"], line["max"])
        return document["lines"]

    def test_cases(self):
        for words, kind, flops in CASES:
            (line,) = self.lines(*words)
            self.assertEqual((line["case"], line["flops"], line["ranks"]), (kind, flops, 1), words)
            narrow = next((word for word in words if word in NARROW), "f32")
            self.assertEqual(line["dtype"], "f64" if "fp64" in words else narrow)

    def test_ranks(self):
        for words, _, flops in CASES[2], CASES[6], CASES[11], CASES[14]:
            (line,) = self.lines(*words, ranks=3)
            self.assertEqual((line["ranks"], line["flops"]), (3, flops))

    def test_text(self):
        head, line = self.start("gemm", "32").stdout.splitlines()
        self.assertEqual(head.split()[:4], ["case", "what", "shape", "type"])
        self.assertTrue(line.endswith("PASSED"), line)

    def test_collectives(self):
        lines = self.lines("coll", "all", "64K", ranks=4)
        self.assertEqual([line["what"] for line in lines], ["all_gather", "all_to_all", "broadcast", "reduce_scatter", "all_reduce"])
        factors = [0.75, 0.75, 1, 0.75, 1.5]
        least = [3 * 64 * 1024, 3 * 16 * 1024, 3 * 64 * 1024, 3 * 64 * 1024, 2 * 3 * 64 * 1024]  # what must be received, by all
        for line, factor, received in zip(lines, factors, least):
            self.assertEqual(line["bytes"], 64 * 1024)
            self.assertAlmostEqual(line["busbw"] / line["algbw"], factor, places=6)
            self.assertGreaterEqual(line["received_bytes"], received, line["what"])
        self.start("coll", status=2)

    def test_files(self):
        for suffix in FILES:
            lines = self.lines("io", suffix, "64K", ranks=2 if suffix == "npy" else 1)
            self.assertEqual([line["what"] for line in lines], ["write " + suffix, "read " + suffix])
            self.assertEqual(lines[0]["bytes"], 64 * 1024)

    def test_scaling(self):
        for way, extents in ("--strong", (64, 64, 64)), ("--weak", (64, 128, 192)):
            lines = self.lines("scale", "gemm", "64", way, "--ranks", "1,2,3", ranks=3)
            self.assertEqual([line["ranks"] for line in lines], [1, 2, 3])
            self.assertEqual([line["shape"] for line in lines], [f"a={a} b=64 c=64" for a in extents])
            self.assertEqual(lines[0]["efficiency"], 1)
            work = [line["median"] * (line["ranks"] if way == "--strong" else 1) for line in lines]
            for line, one in zip(lines, work):
                self.assertAlmostEqual(line["efficiency"], work[0] / one, delta=1e-6 * work[0] / one)
        self.lines("scale", "attention", "2", "16", "8", "--causal")
        refused = self.start("scale", "gemm", "64", "--ranks", "1,4", ranks=2, status=2)
        self.assertEqual(refused.stdout, "")  # before anything is measured

    def test_threads_of_scaling(self):
        """Every line has those that the most ranks leave a rank, in any order of lines; --threads overrules."""
        cores = len(os.sched_getaffinity(0))
        for options, ranks, most in ((["--ranks", "1,3,2"], 4, 3), ([], 4, 4)):
            with mock.patch.dict(os.environ, OMP_NUM_THREADS=""):
                lines = self.lines("scale", "gemm", "48", *options, ranks=ranks)
            threads = {line["threads"] for line in lines}
            self.assertEqual(len(threads), 1, lines)
            self.assertLessEqual(threads.pop(), max(cores // most, 1), lines)
        lines = self.lines("scale", "gemm", "48", "--ranks", "1,2", "--threads", "3", ranks=2)
        self.assertEqual([line["threads"] for line in lines], [3, 3])

    def test_program(self):
        with open(os.path.join(self.folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write('axis a = 30\naxis b = 20\nX[a,b] = uniform(seed=1)\nY[b] = sum(exp(X[a,b]), axis=a)\n'
                       '"x.npy" = X[a,b]\n"y.json" = Y[b]\n"z.npz:w" = Y[b]\nexport Y\n')
        for ranks in 1, 3:
            (line,) = self.lines("program", "prog.fuse", ranks=ranks)
            self.assertEqual((line["case"], line["dtype"], line["checked"]), ("program", "f32", 30 * 20 + 20 + 20))
        self.assertEqual(os.listdir(self.folder), ["prog.fuse"])  # its own sinks are elsewhere
        with open(os.path.join(self.folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write('axis a = 300\naxis b = 200\nX[a,b] = normal(seed=1)\nY[a,b] = cast(gelu(X[a,b]), "f16")\n"y.npy" = Y[a,b]\n')
        (line,) = self.lines("program", "prog.fuse")  # an element rounded the other way is right
        self.assertEqual(line["checked"], 300 * 200)
        self.assertGreater(line["error"], 0)

    def test_compare(self):
        self.lines("gemm", "16")
        old = json.loads(self.start("gemm", "16", "--json").stdout)

        def compare(change, status, word, *options):
            new = json.loads(json.dumps(old))
            change(new)
            for name, document in ("old.json", old), ("new.json", new):
                with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                    json.dump(document, file)
            result = self.start("compare", "old.json", "new.json", *options, status=status)
            self.assertIn(word, result.stdout + result.stderr)

        def slower(factor, *keys):
            def change(document):
                for key in keys:
                    document["lines"][0][key] *= factor
            return change

        compare(lambda document: None, 0, "same")
        compare(slower(1.2, "median", "min"), 77, "SLOWER")
        compare(slower(1.2, "median", "min"), 0, "same", "--threshold", "30")
        compare(slower(1.2, "median"), 0, "same")
        compare(slower(0.5, "median", "min"), 0, "faster")
        compare(lambda document: document["lines"][0].update(passed=False), 77, "FAILED")
        compare(lambda document: document["lines"].clear(), 77, "MISSING")
        compare(lambda document: document["lines"][0].pop("median"), 66, '"median"')
        compare(lambda document: document.pop("lines"), 66, '"lines"')
        self.start("compare", "old.json", "none.json", status=66)
        self.start("compare", "old.json", status=2)

    def test_refusals(self):
        for words, text in [
            ([], "of what?"),
            (["gem", "64"], "no benchmark 'gem'"),
            (["gemm"], "gemm takes"),
            (["gemm", "0"], "'0' is no extent"),
            (["einsum", "ab,bc", "4"], "no equation"),
            (["einsum", "a1,b->a", "4"], "no index"),
            (["einsum", "ab,bc->ad", "4"], "no index of an operand"),
            (["einsum", "ab,bc->aa", "4"], "twice"),
            (["einsum", "ab,bc->ac", "4", "5"], "index 'c' has no extent"),
            (["einsum", "ab,bc->ac", "4", "5", "6", "7"], "too many"),
            (["einsum", "ab,bc->ac", "4", "z=5"], "no index 'z'"),
            (["transpose", "ab,bc->ac", "4"], "no transpose"),
            (["map", "expp", "4"], "no map 'expp'"),
            (["attention", "4"], "attention takes"),
            (["io", "png"], "not measured"),
            (["io", "npy", "many"], "no size"),
            (["program"], "takes one program"),
            (["gemm", "8", "--precision", "bf16"], "not bf16"),
            (["scale", "gemm", "8", "--strong", "--weak"], "not both"),
            (["gemm", "8", "--weak"], "--weak does not go with 'bench gemm'"),
            (["gemm", "8", "--ranks", "1"], "--ranks does not go with 'bench gemm'"),
            (["gemm", "8", "--threshold", "5"], "'fuse-dist bench compare'"),
            (["scale", "gemm", "8", "--causal"], "'fuse-dist bench attention'"),
            (["scale", "gemm", "8", "--threshold", "5"], "'fuse-dist bench compare'"),
            (["compare", "a.json", "b.json", "--repeat", "3"], "takes --threshold only"),
            (["compare", "a.json", "b.json", "--json"], "takes --threshold only"),
            (["gemm", "8", "--repeat", "5000"], "at most"),
        ]:
            self.assertIn(text, self.start(*words, status=2).stderr)
        self.start("program", "none.fuse", status=66)
        self.start("gemm", "4K", "--mem-per-rank", "60M", status=71)
        self.assertIn("no folder", subprocess.run([BINARY, "bench", "gemm", "8"], capture_output=True, text=True,
                                                  env={**os.environ, "TMPDIR": "/nowhere"}).stderr)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
