#!/usr/bin/python3
"""Standing jobs (standing.py) do what mpirun would: status, output and messages of all ranks, time limits, ranks that die; and a run
leaves nothing behind for the next.

usage: test_standing.py --binary FUSE_DIST --standing STANDING_JOB
"""

import argparse
import os
import signal
import tempfile
import threading
import time
import unittest

import launch

launch.require_numpy()

import numpy  # noqa: E402

RANKS = 3
PROGRAM = """\
W[i,j] = "w.npy"
Y[i] = W[i,j]
"y.npy" = Y[i]
export Y
"""
# Some 20 s on one core.
LONG = """\
A[i,k] = "big.npy"
C[i,j] = A[i,k] A[k,j]
"y.npy" = C[i,j]
"""


def ranks_below(pid):
    """Processes of the program that are children of process pid."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


class Standing(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-standing-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        numpy.save(self.path("w.npy"), numpy.arange(20.0).reshape(5, 4))
        self.write("prog.fuse", PROGRAM)
        self.assertEqual([job for jobs in STANDING.jobs.idle.values() for job in jobs if not job.is_alive()], [])

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, *words, ranks=RANKS, env=None, seconds=30, really=False):
        return launch.run(launch.on_ranks(ranks, [BINARY, *words]), self.folder, seconds, launch.environment(env), really)

    def the_job(self):
        (job,) = STANDING.jobs.idle[RANKS,]
        return job

    def test_as_mpirun(self):
        self.write("bad.fuse", "Y[i] = Q[i]\n")
        for words in (["prog.fuse"], ["bad.fuse"], ["--nonsense"], ["check", "prog.fuse", "bad.fuse"], ["--version"],
                      ["plan", "--ranks", "4", "prog.fuse"]):
            expected = self.start(*words, really=True)
            for _ in range(2):
                got = self.start(*words)
                self.assertEqual(got.statuses, {rank: expected.status for rank in range(RANKS)}, words)
                self.assertEqual((got.status, got.timed_out, got.out), (expected.status, False, expected.out), words)
                self.assertEqual(got.err, launch.MPIRUN_FRAME.sub("", expected.err), words)
        numpy.testing.assert_array_equal(numpy.load(self.path("y.npy")), [6, 22, 38, 54, 70])

    def test_joins_the_ranks(self):
        for ranks in (2, 5):
            self.assertRegex(self.start("prog.fuse", "--times=json", ranks=ranks).out, rf'"ranks": ?{ranks}\b')

    def test_one_job_for_all(self):
        self.start("prog.fuse")
        job = self.the_job()
        for _ in range(5):
            self.start("prog.fuse")
            self.assertIs(self.the_job(), job)

    def test_environment_of_one_run(self):
        self.assertNotEqual(self.start("prog.fuse", env={"FUSE_FAULT": "nonsense"}).status, 0)
        self.assertEqual(self.start("prog.fuse").status, 0)

    def test_what_is_meant_for_the_process(self):
        for name in ("OMP_NUM_THREADS", "OMPI_MCA_btl", "SLURM_PROCID"):
            self.assertIsNone(self.start("--version", env={name: "tcp,self"}).statuses, name)

    def test_rank_that_dies(self):
        numpy.save(self.path("big.npy"), numpy.ones((1500, 1500)))
        self.write("long.fuse", LONG)
        self.start("prog.fuse")
        job = self.the_job()
        killer = threading.Timer(1, lambda: os.kill(ranks_below(job.process.pid)[1], signal.SIGSEGV))
        killer.start()
        result = self.start("long.fuse", "--backend", "ref")
        killer.join()
        self.assertFalse(result.timed_out)
        self.assertNotEqual(result.status, 0)
        self.assertIn("Segmentation fault", result.err)
        self.assertLess(len(result.statuses), RANKS)
        self.assertEqual(STANDING.jobs.idle[RANKS,], [])
        self.assertEqual(self.start("prog.fuse").status, 0)

    def test_time_limit(self):
        numpy.save(self.path("big.npy"), numpy.ones((1500, 1500)))
        self.write("long.fuse", LONG)
        begun = time.monotonic()
        result = self.start("long.fuse", "--backend", "ref", seconds=1)
        self.assertTrue(result.timed_out)
        self.assertLess(time.monotonic() - begun, 15)
        self.assertEqual(result.statuses, {})
        self.assertEqual(self.start("prog.fuse").status, 0)

    def test_ranks_end_with_their_user(self):
        job = launch.standing.Job(OPTIONS.standing, 2, launch.environment())
        self.assertEqual(job.ask([BINARY, "--version"], self.folder, {}, 30)[0], {0: 0, 1: 0})
        self.assertIsNone(job.close())
        self.assertFalse(os.path.exists(job.folder))
        self.assertEqual(job.process.returncode, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--standing", required=True)
    OPTIONS, rest = parser.parse_known_args()
    BINARY = os.path.abspath(OPTIONS.binary)
    os.environ["FUSE_STANDING_JOB"] = os.path.abspath(OPTIONS.standing)
    launch.standing_jobs = STANDING = launch.StandingJobs()
    unittest.main(argv=[__file__, *rest])
