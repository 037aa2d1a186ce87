#!/usr/bin/python3
"""fuse-dist on several hosts: values, the main example byte for byte, and what happens when a host or its link goes.

usage: test_hosts.py --binary FUSE_DIST --source FOLDER [TEST...]

The hosts are network namespaces (hosts.py). Values are whole numbers that NumPy computes exactly.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hosts  # noqa: E402
import slurm  # noqa: E402
from slurm import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = SOURCE = NETWORK = None
PROGRAM = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
C[i,j] = A[i,k] B[k,j]
Total[i] = C[i,j]
"c.npy" = C[i,j]
"total.npy" = Total[i]
"""
# The slow back end needs minutes for this: it is certainly at work when something happens.
LONG_PROGRAM = """\
axis i = 3000
axis j = 3000
axis k = 3000
A[i,k] = uniform(seed=1)
B[k,j] = uniform(seed=2)
C[i,j] = A[i,k] B[k,j]
"long.npy" = C[i,j]
"""


class Several(unittest.TestCase):
    def setUp(self):
        top = tempfile.TemporaryDirectory(prefix="fuse-hosts-run-")
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

    def assert_values(self, folder):
        c = self.a.astype(numpy.float64) @ self.b
        numpy.testing.assert_array_equal(numpy.load(os.path.join(folder, "c.npy")), c)
        numpy.testing.assert_array_equal(numpy.load(os.path.join(folder, "total.npy")), c.sum(axis=1))

    def left_behind(self, folder):
        return sorted(set(os.listdir(folder)) - {"a.npy", "b.npy", "p.fuse"})

    def start(self, ranks, words, folder):
        """Starts a run that lasts; returns a function that waits for its result."""
        result = []
        thread = threading.Thread(target=lambda: result.append(NETWORK.run(ranks, words, folder, 60)))
        thread.start()
        self.addCleanup(thread.join)
        self.assertTrue(slurm.wait_for(lambda: len(NETWORK.processes()) == ranks and self.left_behind(folder), 20))

        def finish():
            thread.join()
            return result[0]

        return finish

    # ---- what should work

    def test_values(self):
        for ranks, nodes in ((4, 2), (6, 3), (5, 3)):
            with self.subTest(ranks=ranks):
                folder = self.folder(f"{ranks}")
                words = [BINARY, "--times=json", "--replicate-below", "0", "p.fuse"]
                result = NETWORK.run(ranks, words, folder)
                self.assertEqual(result.status, 0, result.tail())
                times = json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{")))
                self.assertEqual((times["ranks"], times["ranks_per_node"]), (ranks, 2 if ranks % 2 == 0 else 0))
                self.assert_values(folder)
                told = NETWORK.run(ranks, [BINARY, "info", "--json"], folder)
                self.assertEqual(told.status, 0, told.tail())
                self.assertEqual(json.loads(told.out)["nodes"], nodes)

    def test_bytes_between_hosts(self):
        # Terms of C lie on all four ranks. Added up within a host first, half of what is left of C goes over the network for each of
        # two ranks; between hosts first it would be twice that. A and B are read where they are needed.
        n, k = 1024, 4096
        program = 'A[k,i] = "a.npy"\nB[k,j] = "b.npy"\nC[i,j] = A[k,i] B[k,j]\n"c.npy" = C[i,j]\n'
        rng = numpy.random.default_rng(8)
        self.a, self.b = (rng.integers(-2, 3, (k, n)).astype(numpy.float32) for _ in range(2))
        folder = self.folder("between", program)
        begun = NETWORK.received_bytes()
        result = NETWORK.run(4, [BINARY, "--times=json", "p.fuse"], folder)
        passed = sum(NETWORK.received_bytes()) - sum(begun)
        self.assertEqual(result.status, 0, result.tail())
        expected = self.a.astype(numpy.float64).T @ self.b
        numpy.testing.assert_array_equal(numpy.load(os.path.join(folder, "c.npy")), expected)
        times = json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{")))
        self.assertEqual((times["load_received_bytes_total"], times["store_received_bytes_total"]), (0, 0))
        least = 4 * (n * n // 2 // 2) * 4
        self.assertGreaterEqual(passed, least)
        self.assertLessEqual(passed, 1.1 * least + 500_000, "more between hosts than the least (and what starts a job)")

    def test_digits(self):
        example = os.path.join(SOURCE, "examples", "digits")
        data = os.path.join(self.top, "data")
        made = launch.run([sys.executable, "-B", os.path.join(example, "make_data.py"), data], self.top, 30)
        self.assertEqual(made.status, 0, made.tail())
        written = {}
        for ranks in (0, 4, 6):
            output = os.path.join(self.top, f"out.{ranks}")
            os.mkdir(output)
            words = [BINARY, "--root", data, "--output-root", output, os.path.join(example, "digits.fuse")]
            result = NETWORK.run(ranks, words, output) if ranks else launch.run(words, output, 30)
            self.assertEqual(result.status, 0, f"{ranks}: {result.tail()}")
            for name in ("predictions.npy", "accuracy.npy"):
                with open(os.path.join(output, name), "rb") as file:
                    written.setdefault(name, {}).setdefault(file.read(), []).append(ranks)
        for name, groups in written.items():
            self.assertEqual(len(groups), 1, f"{name} differs: {list(groups.values())}")
        checked = launch.run([sys.executable, "-B", os.path.join(example, "reference.py"), data, output], self.top, 30)
        self.assertEqual(checked.status, 0, checked.tail())

    # ---- what must fail, and how

    def test_killed_rank(self):
        folder = self.folder("killed", LONG_PROGRAM)
        finish = self.start(4, [BINARY, "--backend", "ref", "p.fuse"], folder)
        second = os.readlink(f"/proc/{NETWORK.pids['host2']}/ns/uts")
        there = [pid for pid in NETWORK.processes() if os.readlink(f"/proc/{pid}/ns/uts") == second]
        self.assertEqual(len(there), 2)
        begun = time.monotonic()
        os.kill(there[0], signal.SIGKILL)
        result = finish()
        self.assertLess(time.monotonic() - begun, 20)
        self.assertNotEqual(result.status, 0)
        self.assertFalse(result.timed_out)
        self.assertEqual(result.err.count("signal 9"), 1, result.err)
        self.assertNotIn("error:", result.err)
        self.assertTrue(slurm.wait_for(lambda: not NETWORK.processes(), 10), "ranks live on")
        self.assertEqual(self.left_behind(folder), [])

    def test_cut_link(self):
        # Ranks exchange something in every step, and soon wait for messages that never come.
        steps = [f"X{n}[i] = A[i,j] X{n - 1}[j]\n" for n in range(1, 600)]
        program = "axis i = 1500\naxis j = 1500\nA[i,j] = uniform(seed=1, hi=0.001)\nX0[j] = uniform(seed=2)\n"
        folder = self.folder("cut", program + "".join(steps) + '"x.npy" = X599[i]\n')
        words = [BINARY, "--backend", "ref", "--replicate-below", "0", "--stall-timeout", "3", "p.fuse"]
        finish = self.start(4, words, folder)
        NETWORK.link("host2", "down")
        try:
            ended = slurm.wait_for(lambda: not NETWORK.processes(), 25)
        finally:
            NETWORK.link("host2", "up")
        # mpirun cannot end what it cannot reach: every rank looks after itself.
        self.assertTrue(ended, "ranks live on")
        result = finish()
        self.assertNotEqual(result.status, 0)
        self.assertIn("--stall-timeout", result.err)
        self.assertTrue(slurm.wait_for(lambda: not self.left_behind(folder), 5), self.left_behind(folder))

    def run_with_own_folder(self, folder, own, words):
        """Runs where the second host has another, empty file system in the place of `own`; also returns what lies there."""
        enter = ["nsenter", "-t", str(NETWORK.pids["host2"]), "-m", "--"]
        subprocess.run([*enter, "mount", "-t", "tmpfs", "none", own], check=True)
        try:
            result = NETWORK.run(4, [BINARY, *words, "p.fuse"], folder)
            there = subprocess.run([*enter, "ls", "-A", own], check=True, stdout=subprocess.PIPE).stdout.decode()
        finally:
            subprocess.run([*enter, "umount", own], check=True)
        return result, there

    def test_sources_that_one_host_lacks(self):
        folder = self.folder("shared")
        data = os.path.join(folder, "data")
        os.mkdir(data)
        for name in ("a.npy", "b.npy"):
            os.rename(os.path.join(folder, name), os.path.join(data, name))
        result, there = self.run_with_own_folder(folder, data, ["--root", data])
        self.assertEqual(result.status, 66, result.tail())
        self.assertEqual(result.err.count("error:"), 1, result.err)
        self.assertIn("a.npy", result.err)
        self.assertIn("host2", result.err)
        self.assertEqual((sorted(os.listdir(folder)), there), (["data", "p.fuse"], ""))

    def test_output_that_one_host_lacks(self):
        # Neither host may keep its part of a file that no one can put together.
        folder = self.folder("output")
        output = os.path.join(folder, "out")
        os.mkdir(output)
        result, there = self.run_with_own_folder(folder, output, ["--replicate-below", "0", "--output-root", output])
        self.assertEqual(result.status, 73, result.tail())
        self.assertEqual(result.err.count("error:"), 1, result.err)
        self.assertIn(os.path.join(output, "c.npy"), result.err)
        self.assertIn("host2", result.err)
        self.assertEqual((os.listdir(output), there), ([], ""))


def main():
    global BINARY, SOURCE, NETWORK
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("test", nargs="*")
    options = parser.parse_args()
    BINARY = os.path.abspath(options.binary)
    SOURCE = os.path.abspath(options.source)
    reason = hosts.reason_to_skip()
    if reason:
        print(f"skipped: {reason}")
        return launch.SKIP
    with hosts.Hosts(3) as NETWORK:
        tests = unittest.main(argv=[sys.argv[0], *options.test], exit=False)
    return not tests.result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
