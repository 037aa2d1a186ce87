#!/usr/bin/python3
"""What ranks of a host need alike passes between hosts once: values against NumPy, bytes counted at the hosts' interfaces.

usage: test_stages.py --binary FUSE_DIST [TEST...]

The hosts are network namespaces (hosts.py). Values are whole numbers that NumPy computes exactly. Every program runs a second time as
for a machine on which bytes take longer within hosts than between them, where nothing is worth two stages: then as many times the
least passes as a host has ranks, which is how it is known that the counting would see it.
"""

import argparse
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hosts  # noqa: E402
from slurm import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = NETWORK = None
SHAPES = ((2, 2), (3, 2), (2, 3))  # hosts, ranks of a host
INVERTED = {"schema": "fuse.machine", "version": 1, "node_ps_per_kib": 1638400, "network_ps_per_kib": 819200}

# B is small beside A, whose rows the ranks share: each needs all of B.
PRODUCT = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
C[i,j] = A[i,k] B[k,j]
"c.npy" = C[i,j]
"""
# The gradient has terms of all ranks; the weight that it makes is needed by all of them.
STEP = """\
X[b,d] = "x.npy"
W[d,e] = "w.npy"
Y[b,e] = X[b,d] W[d,e]
G[d,e] = X[b,d] Y[b,e]
V[d,e] = W[d,e] - 2 * G[d,e]
Z[b,e] = X[b,d] V[d,e]
"z.npy" = Z[b,e]
"""


def share(elements, parts):
    """The most of so many elements that one of several nearly equal parts is without."""
    return elements - elements // parts


class Stages(unittest.TestCase):
    def setUp(self):
        top = tempfile.TemporaryDirectory(prefix="fuse-stages-run-")
        self.addCleanup(top.cleanup)
        self.top = top.name
        self.rng = numpy.random.default_rng(11)

    def save(self, **tensors):
        for name, tensor in tensors.items():
            numpy.save(os.path.join(self.top, f"{name}.npy"), tensor)

    def numbers(self, dtype, *shape):
        return self.rng.integers(-2, 3, shape).astype(dtype)

    def run_program(self, shape, words):
        """Runs p.fuse; returns what all hosts together received."""
        begun = NETWORK.received_bytes()
        result = NETWORK.run(shape[0] * shape[1], [BINARY, "--times=json", *words, "p.fuse"], self.top, slots=shape[1])
        passed = sum(NETWORK.received_bytes()) - sum(begun)
        self.assertEqual(result.status, 0, result.tail())
        times = json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{")))
        self.assertEqual(times["ranks_per_node"], shape[1])
        return passed

    def start_bytes(self, shape):
        """What starting a job passes between hosts."""
        self.write('axis i = 4\nX[i] = iota(i)\n"start.npy" = X[i]\n')
        return self.run_program(shape, [])

    def write(self, program):
        with open(os.path.join(self.top, "p.fuse"), "w", encoding="utf-8") as file:
            file.write(program)

    def check(self, program, least, results, words=(), shapes=SHAPES):
        """least(hosts): bytes that all hosts together must receive; results: file -> values."""
        machine = os.path.join(self.top, "machine.json")
        with open(machine, "w", encoding="utf-8") as file:
            json.dump(INVERTED, file)
        for shape in shapes:
            with self.subTest(hosts=shape[0], ranks_per_host=shape[1]):
                start = self.start_bytes(shape)
                self.write(program)
                passed = []
                for machine_words in ([], ["--machine", machine]):
                    passed.append(self.run_program(shape, [*words, *machine_words]) - start)
                    for name, expected in results.items():
                        path = os.path.join(self.top, f"{name}.npy")
                        numpy.testing.assert_array_equal(numpy.load(path), expected)
                        os.remove(path)
                must = least(shape[0])
                print(f"{shape[0]} x {shape[1]}: start {start}, least {must}, staged {passed[0]} "
                      f"({passed[0] / must:.3f}), at once {passed[1]} ({passed[1] / must:.3f})", flush=True)
                self.assertGreaterEqual(passed[0], 0.98 * must)
                self.assertLessEqual(passed[0], 1.1 * must, "more passes between hosts than must")
                self.assertGreater(passed[1], 0.9 * shape[1] * must, "the counting cannot tell the difference")

    def test_operand(self):
        a, b = self.numbers(numpy.float32, 12288, 1024), self.numbers(numpy.float32, 1024, 1024)
        self.save(a=a, b=b)
        least = lambda n: n * share(b.nbytes, n)  # noqa: E731
        self.check(PRODUCT, least, {"c": a @ b}, ["--replicate-below", "0"])
        for words in (["--panel", "8"], ["--share-above", "0"], ["--backend", "fakedev"]):
            with self.subTest(words=words):
                self.check(PRODUCT, least, {"c": a @ b}, ["--replicate-below", "0", *words], ((2, 2),))

    def test_source(self):
        # What is small enough lies whole on every rank, and is read in ranges: each host's ranks read a part of it.
        a, b = self.numbers(numpy.float32, 4096, 1024), self.numbers(numpy.float32, 1024, 1000)
        self.save(a=a, b=b)
        self.check(PRODUCT, lambda n: n * share(b.nbytes, n), {"c": a @ b}, ["--replicate-below", "5M"])

    def test_training_step(self):
        # W to all, and an all-reduce: a host's share of the gradient to each, and back the weight that is made of it.
        x, w = self.numbers(numpy.float32, 4096, 768), self.numbers(numpy.float32, 768, 768)
        self.save(x=x, w=w)
        x, wide = x.astype(numpy.float64), w.astype(numpy.float64)
        z = x @ (wide - 2 * (x.T @ (x @ wide)))
        self.assertLess(numpy.abs(z).max(), 2**23)  # sums of f32 are exact so far, in any order that is likely
        self.check(STEP, lambda n: 3 * n * share(w.nbytes, n), {"z": z}, ["--replicate-below", "0"])


def main():
    global BINARY, NETWORK
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("test", nargs="*")
    options = parser.parse_args()
    BINARY = os.path.abspath(options.binary)
    reason = hosts.reason_to_skip()
    if reason:
        print(f"skipped: {reason}")
        return launch.SKIP
    with hosts.Hosts(3) as NETWORK:
        tests = unittest.main(argv=[sys.argv[0], *options.test], exit=False)
    return not tests.result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())
