#!/usr/bin/python3
"""scripts/slurm/cpu.sbatch and srun on a Slurm of four nodes: values, exit statuses, signals, requeueing, limits.

usage: test_slurm.py --binary FUSE_DIST --source FOLDER [TEST...]

Every job runs in a folder of its own. Values are whole numbers that NumPy computes exactly.
"""

import argparse
import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import slurm  # noqa: E402
from slurm import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = SOURCE = SCRIPT = CLUSTER = None
LAUNCHERS = ("srun", "mpirun")
PROGRAM = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
C[i,j] = A[i,k] B[k,j]
Total[i] = C[i,j]
"c.npy" = C[i,j]
"total.npy" = Total[i]
"""
# The slow back end needs minutes for this: it is certainly at work when the signal comes.
LONG_PROGRAM = """\
axis i = 3000
axis j = 3000
axis k = 3000
A[i,k] = uniform(seed=1)
B[k,j] = uniform(seed=2)
C[i,j] = A[i,k] B[k,j]
"long.npy" = C[i,j]
"""
# Stands in for a fuse-dist that stops with a checkpoint the first time: none does today.
STOPPING = """\
#!/bin/sh
[ "$1" != --version ] && [ "$1" != plan ] || exit 0
[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || exit 75
"""


class Jobs(unittest.TestCase):
    def setUp(self):
        top = tempfile.TemporaryDirectory(prefix="fuse-jobs-")
        self.addCleanup(top.cleanup)
        self.top = top.name
        rng = numpy.random.default_rng(7)
        self.a = rng.integers(-8, 9, (230, 170)).astype(numpy.float32)
        self.b = rng.integers(-8, 9, (170, 190)).astype(numpy.float32)

    def folder(self, name, program=PROGRAM):
        path = os.path.join(self.top, name)
        os.mkdir(path)
        numpy.save(os.path.join(path, "a.npy"), self.a)
        numpy.save(os.path.join(path, "b.npy"), self.b)
        with open(os.path.join(path, "p.fuse"), "w", encoding="utf-8") as file:
            file.write(program)
        return path

    def submit(self, folder, launcher, sbatch, words=("p.fuse",), env=None):
        return CLUSTER.submit([*sbatch, SCRIPT, *words], folder,
                              {"FUSE_DIST": BINARY, "FUSE_DIST_LAUNCHER": launcher, **(env or {})})

    def output(self, folder):
        with open(os.path.join(folder, "out"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def expect(self, folder, job, state, status):
        self.assertEqual(CLUSTER.wait(job), (state, status), self.output(folder))
        return self.output(folder)

    def assert_values(self, folder):
        c = self.a.astype(numpy.float64) @ self.b
        numpy.testing.assert_array_equal(numpy.load(os.path.join(folder, "c.npy")), c)
        numpy.testing.assert_array_equal(numpy.load(os.path.join(folder, "total.npy")), c.sum(axis=1))

    def times(self, output):
        return json.loads(next(line for line in output.splitlines() if line.startswith("{")))

    def left_behind(self, folder):
        return sorted(set(os.listdir(folder)) - {"a.npy", "b.npy", "p.fuse", "out"})

    # ---- what should work

    def test_values(self):
        jobs = {}
        for launcher in LAUNCHERS:
            for nodes in (2, 4):
                folder = self.folder(f"{launcher}.{nodes}")
                jobs[folder, nodes] = self.submit(folder, launcher, [f"--nodes={nodes}", "--ntasks-per-node=2"],
                                                  ["p.fuse", "--stall-timeout", "60", "--times=json", "--explain"])
        for (folder, nodes), job in jobs.items():
            with self.subTest(job=os.path.basename(folder)):
                output = self.expect(folder, job, "COMPLETED", 0)
                times = self.times(output)
                self.assertEqual((times["ranks"], times["ranks_per_node"]), (2 * nodes, 2))
                self.assertIn(f"plan for {2 * nodes} ranks", output)
                if os.path.basename(folder).startswith("srun"):
                    self.assertIn("environment SLURM_PMIX_FENCE=ring", output)
                self.assertIn(f"2 on each of {nodes} nodes", output)
                self.assert_values(folder)

    def test_threads_and_memory(self):
        # --nodes alone: a rank a node. A later option of fuse-dist wins.
        cases = {
            "threads": (["--nodes=2", "--cpus-per-task=2", "--mem=300M"], [], 2, 300, 2),
            "each": (["--nodes=2", "--ntasks-per-node=2", "--mem=300M"], [], None, 150, 4),
            "cpu": (["--ntasks=2", "--cpus-per-task=2", "--mem-per-cpu=90M"], [], 2, 180, 2),
            "mine": (["--nodes=1", "--ntasks=2", "--mem=300M"], ["--mem-per-rank", "100M", "--threads=1"], 1, 100, 2),
        }
        jobs = {}
        for name, (sbatch, words, *_) in cases.items():
            for launcher in LAUNCHERS:
                folder = self.folder(f"{name}.{launcher}")
                jobs[folder, name] = self.submit(folder, launcher, sbatch, ["p.fuse", *words, "--times", "json"])
        for (folder, name), job in jobs.items():
            with self.subTest(job=os.path.basename(folder)):
                threads, mebibytes, ranks = cases[name][2:]
                times = self.times(self.expect(folder, job, "COMPLETED", 0))
                self.assertEqual((times["memory_limit_bytes"], times["ranks"]), (mebibytes << 20, ranks))
                if threads:
                    self.assertEqual(times["threads"], threads)
                self.assert_values(folder)

    def test_digits(self):
        # The main example: the same bytes for every number of ranks and either launcher, and NumPy's answer.
        example = os.path.join(SOURCE, "examples", "digits")
        data = os.path.join(self.top, "data")
        made = launch.run([sys.executable, "-B", os.path.join(example, "make_data.py"), data], self.top, 30)
        self.assertEqual(made.status, 0, made.tail())
        written = {}
        for launcher, counts in (("mpirun", (1, 2, 3, 5, 8)), ("srun", (1, 3, 8))):
            for ranks in counts:
                output = os.path.join(self.top, f"{launcher}.{ranks}")
                os.mkdir(output)
                words = [BINARY, "--root", data, "--output-root", output, os.path.join(example, "digits.fuse")]
                if launcher == "srun":
                    nodes = min(ranks, 4)
                    started = ["srun", "--mpi=pmix", f"--nodes={nodes}", f"--ntasks={ranks}", *words]
                    result = CLUSTER.run(started, output, 30, {"SLURM_PMIX_FENCE": "ring"})
                else:
                    result = launch.run(launch.on_ranks(ranks, words), output, 30)
                self.assertEqual(result.status, 0, f"{launcher} {ranks}: {result.tail()}")
                for name in ("predictions.npy", "accuracy.npy"):
                    with open(os.path.join(output, name), "rb") as file:
                        written.setdefault(name, {}).setdefault(file.read(), []).append(f"{launcher} {ranks}")
        for name, groups in written.items():
            self.assertEqual(len(groups), 1, f"{name} differs: {list(groups.values())}")
        checked = launch.run([sys.executable, "-B", os.path.join(example, "reference.py"), data, output], self.top, 30)
        self.assertEqual(checked.status, 0, checked.tail())

    def test_scaling(self):
        script = os.path.join(SOURCE, "scripts", "bench", "scale.sbatch")
        folder = self.folder("scale")
        words = ["gemm", "64", "--repeat", "2"]
        jobs = {launcher: CLUSTER.submit(["--nodes=2", "--ntasks-per-node=2", script, *words], folder,
                                         {"FUSE_DIST": BINARY, "FUSE_DIST_LAUNCHER": launcher}) for launcher in LAUNCHERS}
        for launcher, job in jobs.items():
            with self.subTest(launcher=launcher):
                self.expect(folder, job, "COMPLETED", 0)
                for way, rows in ("strong", (64, 64, 64)), ("weak", (64, 128, 256)):
                    with open(os.path.join(folder, f"scale-{job}-{way}.json"), encoding="utf-8") as file:
                        lines = json.load(file)["lines"]
                    self.assertEqual([line["ranks"] for line in lines], [1, 2, 4])
                    self.assertEqual([line["shape"] for line in lines], [f"a={n} b=64 c=64" for n in rows])
                    self.assertTrue(all(line["passed"] and 0 <= line["waiting"] <= line["max"] for line in lines), lines)
                    self.assertEqual(lines[0]["waiting"], 0)
                    self.assertGreater(lines[-1]["waiting"], 0)
                picture = xml.etree.ElementTree.parse(os.path.join(folder, f"scale-{job}.svg")).getroot()
                shown = set("".join(picture.itertext()).split("\n"))
                self.assertLessEqual({"efficiency", "ideal", "strong", "weak", "waiting for others"},
                                     {text.strip() for text in shown})
        job = CLUSTER.submit(["--nodes=1", script, "gem", "64"], folder, {"FUSE_DIST": BINARY})
        output = self.expect(folder, job, "FAILED", 2)
        self.assertIn("gemm", output)
        self.assertFalse([name for name in os.listdir(folder) if name.startswith(f"scale-{job}")])

    # ---- what must fail, and how

    def test_failures_before_the_ranks_start(self):
        cases = {
            "program": (65, ["p.fuse"], PROGRAM + "C[i] = Nothing[i]\n", [], {}, "Nothing"),
            "source": (66, ["p.fuse"], PROGRAM.replace("a.npy", "absent.npy"), [], {}, "absent.npy"),
            "memory": (71, ["p.fuse"], LONG_PROGRAM, ["--mem=64M"], {}, "memory"),
            "option": (2, ["p.fuse", "--treads=2"], PROGRAM, [], {}, "--threads"),
            "no program": (2, [], PROGRAM, [], {}, "which program?"),
            "no fuse-dist": (127, ["p.fuse"], PROGRAM, [], {"FUSE_DIST": ""}, "no fuse-dist on"),
            "launcher": (2, ["p.fuse"], PROGRAM, [], {"FUSE_DIST_LAUNCHER": "mpiexec"}, "may be srun or mpirun"),
        }
        jobs = {}
        for name, (_, words, program, sbatch, env, _) in cases.items():
            folder = self.folder(name, program)
            jobs[folder, name] = self.submit(folder, "srun", ["--nodes=1", "--ntasks=2", *sbatch], words, env)
        for (folder, name), job in jobs.items():
            with self.subTest(job=name):
                output = self.expect(folder, job, "FAILED", cases[name][0])
                self.assertIn(cases[name][-1], output)
                self.assertNotIn("\ncommand ", output)
                self.assertEqual(self.left_behind(folder), [])

    def test_failures_of_the_ranks(self):
        # No plan looks for a sink's folder.
        program = PROGRAM.replace("total.npy", "absent/total.npy")
        jobs = {}
        for launcher in LAUNCHERS:
            folder = self.folder(launcher, program)
            jobs[folder] = self.submit(folder, launcher, ["--nodes=2", "--ntasks-per-node=2"])
        for folder, job in jobs.items():
            with self.subTest(job=os.path.basename(folder)):
                output = self.expect(folder, job, "FAILED", 73)
                self.assertIn("\ncommand ", output)
                self.assertEqual(output.count("error: cannot write absent/total.npy"), 1, output)
                self.assertEqual(self.left_behind(folder), [])

    def test_stopped(self):
        # scancel as users call it, and the signal that sbatch --signal=B:USR1@... sends. srun ends with the highest status of
        # its tasks: after one has ended by USR1 it terminates those that have not yet got theirs.
        for what, words, ends in (("cancelled", [], [("CANCELLED", None)]),
                                  ("USR1", ["--batch", "--signal=USR1"], [("FAILED", 128 + 10), ("FAILED", 128 + 15)])):
            jobs = {}
            for launcher in LAUNCHERS:
                folder = self.folder(f"{what}.{launcher}", LONG_PROGRAM)
                jobs[folder] = self.submit(folder, launcher, ["--nodes=2", "--ntasks-per-node=1"],
                                           ["p.fuse", "--backend", "ref"])
            for folder, job in jobs.items():
                with self.subTest(job=os.path.basename(folder)):
                    self.assertTrue(slurm.wait_for(lambda: self.left_behind(folder), 30), self.output(folder))
                    self.assertEqual(CLUSTER.run(["scancel", *words, str(job)], folder).status, 0)
                    state, status = CLUSTER.wait(job, 30)
                    self.assertIn((state, status if what == "USR1" else None), ends, self.output(folder))
                    self.assertTrue(slurm.wait_for(lambda: not self.left_behind(folder), 5), self.left_behind(folder))
                    if what == "USR1":
                        self.assertIn("no checkpoints", self.output(folder))
            self.assertTrue(slurm.wait_for(lambda: not CLUSTER.processes(), 5), "ranks live on")

    def test_requeue(self):
        folder = self.folder("requeue")
        stand_in = os.path.join(folder, "stopping")
        with open(stand_in, "w", encoding="utf-8") as file:
            file.write(STOPPING)
        os.chmod(stand_in, 0o755)
        job = self.submit(folder, "srun", ["--nodes=1", "--ntasks=2"], env={"FUSE_DIST": stand_in})
        self.assertTrue(slurm.wait_for(lambda: CLUSTER.facts(job).get("Restarts") == "1", 20), self.output(folder))
        # Slurm holds a requeued job back for two minutes; what was issued in the second of its end stays revoked.
        CLUSTER.run(["scontrol", "update", f"JobId={job}", "StartTime=now+2"], folder)
        output = self.expect(folder, job, "COMPLETED", 0)
        self.assertIn("start 1,", output)
        self.assertIn("start 2,", output)

    # ---- srun by hand

    def test_ranks_that_mpi_does_not_join(self):
        # pmi2 is refused by Debian's Open MPI, which speaks PMIx only.
        for kind, said in (("none", "error: srun started 4 ranks, but MPI does not join them"),
                           ("pmi2", "OMPI was not built with SLURM's PMI support")):
            folder = self.folder(kind)
            result = CLUSTER.run(["srun", f"--mpi={kind}", "--nodes=2", "--ntasks=4", BINARY, "p.fuse"], folder)
            self.assertNotEqual(result.status, 0, kind)
            self.assertIn(said, result.err)
            if kind == "none":
                self.assertEqual(result.status, 2)
                self.assertEqual(result.err.count(said), 1, result.err)
                self.assertIn("--mpi=pmix", result.err)
            self.assertEqual(self.left_behind(folder), [])

    def test_script_outside_slurm(self):
        folder = self.folder("outside")
        result = CLUSTER.run(["bash", SCRIPT, "p.fuse"], folder)
        self.assertEqual(result.status, 2)
        self.assertIn("this is a batch script", result.err)


def main():
    global BINARY, SOURCE, SCRIPT, CLUSTER
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("test", nargs="*")
    options = parser.parse_args()
    BINARY = os.path.abspath(options.binary)
    SOURCE = os.path.abspath(options.source)
    SCRIPT = os.path.join(SOURCE, "scripts", "slurm", "cpu.sbatch")
    reason = slurm.reason_to_skip()
    if reason:
        print(f"skipped: {reason}")
        return launch.SKIP
    with slurm.Cluster(nodes=4) as CLUSTER:
        tests = unittest.main(argv=[sys.argv[0], *options.test], exit=False)
    return not tests.result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
