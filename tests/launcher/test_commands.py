#!/usr/bin/python3
"""Commands and options around a program: check, --input, --out, --progress, help, info.

usage: test_commands.py FUSE_DIST
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = None
PROGRAM = """\
W[i,j] = "w.npy"
Y[i] = W[i,j] X[j]
Z[j] = 2 X[j]
export Y
export Z
"""


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-commands-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.w = numpy.arange(12, dtype="f4").reshape(4, 3)
        self.x = numpy.array([1, 10, 100], dtype="f4")
        numpy.save(self.path("w.npy"), self.w)
        numpy.save(self.path("x.npy"), self.x)
        self.write("prog.fuse", PROGRAM)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def run_it(self, status, *words, ranks=0, env=None, mentions=()):
        result = launch.run(launch.on_ranks(ranks, [BINARY, *words]), self.folder, 60, launch.environment(env))
        self.assertEqual((result.status, result.timed_out), (status, False), f"{words}: {result.tail()}")
        for text in mentions:
            self.assertIn(text, result.err)
        return result


class Check(Folder):
    def test_right(self):
        self.write("full.fuse", PROGRAM + 'X[j] = "x.npy"\n"y.npy" = Y[i]\n')
        for ranks in (0, 3):
            result = self.run_it(0, "check", "full.fuse", ranks=ranks)
            self.assertEqual(result.err, "")
            self.assertEqual(sorted(result.out.splitlines()), sorted(
                ["full.fuse: right; 4 tensors, 2 equations", '  source W = "w.npy" f32[4, 3]',
                 '  source X = "x.npy" f32[3]', "  export Y f32[4]", "  export Z f32[3]", '  sink "y.npy" f32[4]']))
        self.assertFalse(os.path.exists(self.path("y.npy")))

    def test_missing_source(self):
        result = self.run_it(66, "check", "prog.fuse", "--input", "X=nothing.npy", mentions=["nothing.npy"])
        self.assertEqual((result.err.count("error:"), result.out), (1, ""))

    def test_wrong_besides_a_missing_source(self):
        self.write("wrong.fuse", 'A[i] = "nothing.npy"\nB[i] = A[i] + Cc[i]\nC[i] = A[i]\nexport B, C\n')
        result = self.run_it(65, "check", "wrong.fuse", mentions=["nothing.npy", "Cc"])
        self.assertEqual(result.err.count("error:"), 2, result.err)

    def test_several(self):
        self.write("good.fuse", "A = 1.0\nexport A\n")
        self.write("bad.fuse", "A = \nexport A\n")
        result = self.run_it(65, "check", "good.fuse", "bad.fuse", "good.fuse")
        self.assertEqual(result.out.count("good.fuse: right"), 2)
        self.run_it(66, "check", "nothing.fuse")
        self.run_it(2, "check")


class Inputs(Folder):
    def results(self, *words, ranks=0):
        self.run_it(0, "prog.fuse", *words, "--out", "out.npz", ranks=ranks)
        with numpy.load(self.path("out.npz")) as file:
            found = {name: file[name] for name in file}
        self.assertEqual(sorted(found), ["Y", "Z"])
        return found

    def test_given(self):
        numpy.save(self.path("w2.npy"), 3 * self.w + 1)
        for ranks in (0, 1, 2, 3, 4, 8):
            found = self.results("--input", "X=x.npy", ranks=ranks)
            numpy.testing.assert_array_equal(found["Y"], self.w @ self.x)
            numpy.testing.assert_array_equal(found["Z"], 2 * self.x)
        found = self.results("--input", "X=x.npy", "--input=W=w2.npy", ranks=2)
        numpy.testing.assert_array_equal(found["Y"], (3 * self.w + 1) @ self.x)

    def test_member_root_and_plan(self):
        os.mkdir(self.path("data"))
        numpy.savez(self.path("data/all.npz"), w=self.w, x=self.x)
        found = self.results("--input", "X=all.npz:x", "--input", "W=all.npz:w", "--root", "data")
        numpy.testing.assert_array_equal(found["Y"], self.w @ self.x)
        plan = self.run_it(0, "plan", "--ranks=4", "prog.fuse", "--input", "X=x.npy").out
        self.assertIn("x.npy", plan)

    def test_scalar_and_truths(self):
        numpy.save(self.path("s.npy"), numpy.array(2.5, "f4"))
        numpy.save(self.path("t.npy"), numpy.array([True, False, True]))
        self.write("more.fuse", 'Y[i] = T(i) ? S * A[i,i] : 0.0\nexport Y\n')
        numpy.save(self.path("a.npy"), numpy.diag([1, 2, 3]).astype("f4"))
        result = self.run_it(0, "more.fuse", "--input", "S=s.npy", "--input", "T=t.npy", "--input", "A=a.npy")
        self.assertEqual(result.out, "Y = [2.5, 0, 7.5]\n")

    def test_refused(self):
        for words, status, mention in (
                (["--input", "V=x.npy"], 2, "no tensor of that name"), (["--input", "Y=x.npy"], 2, "computes"),
                (["--input", "X=x.npy", "--input", "X=x.npy"], 2, "twice"), (["--input", "X"], 2, "NAME=FILE"),
                (["--input", "X="], 2, "names no file"), (["--input", "X=w.npy"], 65, "rank 2"),
                (["--input", "X=w"], 65, "'w'"), (["--input", "w=w.npy"], 2, "did you mean 'W'?")):
            result = self.run_it(status, "prog.fuse", *words, mentions=[mention])
            self.assertGreaterEqual(result.err.count("error:"), 1)
        self.write("two.fuse", 'A[i] = "x.npy"\nA[i] += "x.npy"\nexport A\n')
        self.run_it(2, "two.fuse", "--input", "A=x.npy", mentions=["several sources"])


class Out(Folder):
    def test_one(self):
        self.write("one.fuse", 'X[j] = "x.npy"\nZ[j] = 2 X[j]\nexport Z\n')
        for ranks in (0, 3):
            self.assertEqual(self.run_it(0, "one.fuse", "-o", "z.npy", ranks=ranks).out, "")
            numpy.testing.assert_array_equal(numpy.load(self.path("z.npy")), 2 * self.x)
        self.run_it(0, "one.fuse", "--out", "z.npz")
        numpy.testing.assert_array_equal(numpy.load(self.path("z.npz"))["Z"], 2 * self.x)
        self.run_it(0, "one.fuse", "--out", "z.json")
        with open(self.path("z.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), [2, 20, 200])
        os.mkdir(self.path("there"))
        self.run_it(0, "one.fuse", "--out", "a.npy", "--output-root", "there")
        self.assertTrue(os.path.exists(self.path("there/a.npy")))
        self.run_it(73, "one.fuse", "--out", "../a.npy", "--output-root", "there")
        self.run_it(73, "one.fuse", "--out", "nowhere/a.npy")

    def test_refused(self):
        inputs = ["--input", "X=x.npy"]
        self.run_it(2, "prog.fuse", *inputs, "--out", "o.npy", mentions=["exports 2 tensors", ".npz"])
        self.run_it(2, "prog.fuse", *inputs, "--out", "o.npz:a", mentions=["exports 2 tensors"])
        self.write("one.fuse", 'X[j] = "x.npy"\nexport X\n"x2.npy" = X[j]\n')
        for out in ("o.txt", "o", "o.npy:a", "o.png"):
            self.run_it(2, "one.fuse", "--out", out, mentions=["--out " + out])
        self.run_it(2, "one.fuse", "--out", "./x2.npy", mentions=["writes 'x2.npy' itself"])
        self.write("none.fuse", 'X[j] = "x.npy"\n"x2.npy" = X[j]\n')
        self.run_it(2, "none.fuse", "--out", "o.npy", mentions=["exports nothing"])
        self.assertFalse([name for name in os.listdir(self.folder) if name.startswith((".o", "o."))])


class Progress(Folder):
    def slow(self, *words, **named):
        """Some seconds of work for the slow back end, then an export."""
        self.write("slow.fuse", "axis i = 480\naxis j = 480\naxis k = 480\nA[i,k] = 0.5 * iota(i) + iota(k)\n"
                   "B[k,j] = 0.25 * iota(k)\nC[i,j] = A[i,k] B[k,j]\nD[i,j] = C[i,k] B[k,j]\nE[i,j] = D[i,k] B[k,j]\n"
                   "F[i,j] = E[i,k] B[k,j]\nS = F[i,j]\nexport S\n")
        return self.run_it(0, "slow.fuse", "--backend=ref", "--panel", "8", *words, **named)

    def test_bar(self):
        result = self.slow("--progress=bar")
        self.assertTrue(result.out.startswith("S = "))
        reports = [text for text in result.err.split("\r\033[K") if text]
        self.assertEqual(result.err.count("\n"), 0)
        for text in reports:
            self.assertRegex(text, r"^\[#*\.*\] +\d+% (load|run|store), \d+ s")
        self.assertTrue(reports, "no report in seconds of work")
        self.assertTrue(result.err.endswith("\r\033[K"), "the bar stays on the screen")

    def test_silence(self):
        for words in ([], ["--progress=bar"], ["--progress=lines"], ["--progress=off"]):
            self.assertEqual(self.run_it(0, "prog.fuse", "--input", "X=x.npy", *words).err, "")
        self.assertEqual(self.slow("--progress=off").err, "")


class Help(Folder):
    def test_topics(self):
        self.assertIn("softmax(", self.run_it(0, "help", "builtins").out)
        self.assertIn("--ranks N[,N..]", self.run_it(0, "help", "plan").out)
        self.assertNotIn("--stall-timeout", self.run_it(0, "help", "plan").out)
        for word in ("--input", "input", "-o", "mem-per-rank", "SoftMax"):
            self.assertRegex(self.run_it(0, "help", word).out, r"\S\n\Z")
        self.run_it(2, "help", "chek", mentions=["did you mean 'check'?"])
        self.run_it(2, "help", "qqqqqqqq")
        self.run_it(2, "chek", "prog.fuse", mentions=["did you mean 'check'?"])


class Info(Folder):
    def facts(self, ranks=0, env=None, **limits):
        def limit():
            for name, value in limits.items():
                resource.setrlimit(getattr(resource, name), (value, value))
        command = launch.on_ranks(ranks, [BINARY, "info", "--json"])
        done = subprocess.run(command, cwd=self.folder, env=launch.environment(env), capture_output=True, timeout=60,
                              check=True, preexec_fn=limit)
        return json.loads(done.stdout)

    def test_ranks(self):
        for ranks in (0, 1, 3, 8):
            facts = self.facts(ranks)
            self.assertEqual((facts["ranks"], facts["nodes"]), (ranks or 1, 1))
            self.assertEqual(facts["ranks_per_node"], [ranks or 1] * 2)
            self.assertEqual(facts["processors"], [os.cpu_count()] * 2)
            self.assertEqual(facts["threads_per_rank"], [1, 1])
            self.assertEqual(facts["transport"], "mpi" if ranks > 1 else "self")
        text = self.run_it(0, "info", ranks=2).out
        for word in ("ranks", "nodes", "cores per rank", "binding", "memory per rank", "MPI", "BLAS kernels", "GPUs"):
            self.assertRegex(text, rf"(?m)^{word} +\S")

    def test_limits_of_memory(self):
        free = self.facts()["memory_per_rank_bytes"][0]
        self.assertGreater(free, 1 << 28)
        mine = self.facts(env={"SLURM_MEM_PER_NODE": "200"})
        self.assertEqual((mine["memory_per_rank_bytes"], "Slurm" in mine["memory_from"]), ([200 << 20] * 2, True))
        mine = self.facts(ranks=2, env={"SLURM_MEM_PER_CPU": "100", "SLURM_CPUS_ON_NODE": "3"})
        self.assertEqual(mine["memory_per_rank_bytes"], [150 << 20] * 2)
        for name, word in (("RLIMIT_AS", "ulimit -v"), ("RLIMIT_DATA", "ulimit -d")):
            mine = self.facts(**{name: 1 << 30})
            self.assertIn(word, mine["memory_from"])
            self.assertLess(mine["memory_per_rank_bytes"][0], 1 << 30)
        self.write("large.fuse", "axis i = 9000\naxis j = 9000\nA[i,j] = 0.5 * iota(i) + iota(j)\n\"a.npy\" = A[i,j]\n"
                   "\"s.npy\" = reduce(sum, i) A[i,j] * A[j,i]\n")
        self.run_it(71, "large.fuse", env={"SLURM_MEM_PER_NODE": "64"}, mentions=["Slurm", "--mem-per-rank"])

    def test_slow_kernels(self):
        self.assertFalse(self.facts()["blas_slow"])
        if "avx" in self.facts()["instructions"].split():
            self.assertTrue(self.facts(env={"OPENBLAS_CORETYPE": "Prescott"})["blas_slow"])
            self.assertIn("WARNING", self.run_it(0, "info", env={"OPENBLAS_CORETYPE": "Prescott"}).out)


class Singletons(Folder):
    def test_slurm(self):
        for rank in ("0", "2"):
            env = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": rank, "SLURM_JOB_ID": "7"}
            result = self.run_it(2, "prog.fuse", "--input", "X=x.npy", "--out", "o.npz", env=env)
            self.assertEqual("srun started 4 ranks" in result.err, rank == "0")
        self.assertFalse(os.path.exists(self.path("o.npz")))


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
