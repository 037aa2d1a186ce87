#!/usr/bin/python3
"""What `export` prints: every value of a small tensor, a summary of a large one, the same on any number of ranks.

usage: test_exports.py FUSE_DIST

Values are compared with NumPy's; means with math.fsum, whose sums are exact.
"""

import math
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = None
RANKS = (0, 2, 3, 4, 8)
SUMMARY = re.compile(r"^(\w+) = (\w+)\[([\d, ]*)\], (\d+) values: (.*)\n  \[(.*)\]\n", re.MULTILINE)


class Exports(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-exports-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def printed(self, program, options=(), ranks=RANKS):
        """What every number of ranks prints, which is one text."""
        with open(self.path("prog.fuse"), "w", encoding="utf-8") as file:
            file.write(program)
        texts = []
        for n in ranks:
            result = launch.run(launch.on_ranks(n, [BINARY, "prog.fuse", *options]), self.folder, 30)
            self.assertEqual((result.status, result.timed_out), (0, False), result.tail())
            self.assertEqual(result.err, "")
            texts.append(result.out)
            self.assertEqual(texts[0], result.out, f"on {n} ranks")
        return texts[0]

    def summary(self, name, array, **named):
        numpy.save(self.path("x.npy"), array)
        axes = "ijklm"[:array.ndim]
        text = self.printed(f'{name}[{",".join(axes)}] = "x.npy"\nexport {name}\n', **named)
        match = SUMMARY.fullmatch(text)
        self.assertTrue(match, text)
        self.assertEqual(match[1], name)
        self.assertEqual([int(n) for n in match[3].split(",")], list(array.shape))
        self.assertEqual(int(match[4]), array.size)
        ends = match[6].replace("..., ", "").split(", ")
        flat = array.reshape(-1)
        return match[2], match[5], ends, [*flat[:3], *flat[-3:]]

    def expect_real(self, array, digits, **named):
        dtype, said, ends, expected = self.summary("X", array, **named)
        numbers = array[~numpy.isnan(array)].astype(float)
        match = re.fullmatch(r"min (\S+), max (\S+), mean (\S+), (\d+) NaN", said)
        self.assertTrue(match, said)
        with numpy.errstate(invalid="ignore"):
            mean = math.fsum(numbers) / numbers.size if numpy.isfinite(numbers).all() else numpy.mean(numbers)
        for text, value in ((match[1], numbers.min()), (match[2], numbers.max()), *zip(ends, expected)):
            self.assertEqual(text, f"{float(value):.{digits}g}")
        self.assertEqual(match[3].replace("-nan", "nan"), f"{mean:.7g}")
        self.assertEqual(int(match[4]), numpy.isnan(array).sum())
        return dtype

    def test_small(self):
        program = """\
A[i,j] = const([[1, 2, 3], [-4, 5, 6]])
B[i] = const([0.5, 0.1])
S = A[i,j] A[i,j]
C[i,j,k] = A[i,j] B[k]
T(i,j) = A[i,j] > 2
export A, B, S, C
export T
"""
        expected = ("A = [[1, 2, 3],\n [-4, 5, 6]]\nB = [0.5, 0.1]\nS = 91\n"
                    "C = [[[0.5, 0.1],\n  [1, 0.2],\n  [1.5, 0.3]],\n [[-2, -0.4],\n  [2.5, 0.5],\n  [3, 0.6]]]\n"
                    "T = [[false, false, true],\n [false, true, true]]\n")
        self.assertEqual(self.printed(program), expected)
        self.assertEqual(self.printed(program, ["--replicate-below", "0", "--file-unit", "64"]), expected)
        self.assertEqual(self.printed(program, ["--replicate-below", "0", "--backend", "fakedev"]), expected)

    def test_where_the_summary_starts(self):
        for n in (100, 101):
            text = self.printed(f"axis i = {n}\nX[i] = iota(i)\nexport X\n", ranks=(0, 3))
            self.assertEqual("mean 50" in text, n == 101)
            self.assertEqual(text.count(","), 99 if n == 100 else 9)

    def test_reals(self):
        draw = numpy.random.default_rng(1)
        small = ["--replicate-below", "0", "--file-unit", "256", "--workspace", "512"]
        self.assertEqual(self.expect_real(draw.normal(size=(37, 53)), 15, options=small), "f64")
        self.assertEqual(self.expect_real(draw.normal(size=(7, 5, 11)).astype("f4"), 7), "f32")
        self.expect_real(draw.normal(size=(40, 40)).astype("f4"), 7, options=[*small, "--backend", "fakedev"])

    def test_reals_that_cancel(self):
        """A sum in doubles would lose the small ones, and overflow."""
        x = numpy.tile(numpy.array([1e308, 1.0, -1e308, 3e-320, 1.7e308, -1.7e308]), 200)
        self.expect_real(x, 15, options=["--replicate-below", "0", "--file-unit", "64"])

    def test_what_is_no_number(self):
        x = numpy.arange(200, dtype="f8")
        x[[3, 77, 199]] = numpy.nan
        self.expect_real(x, 15)
        x[5] = numpy.inf
        self.expect_real(x, 15)
        x[6] = -numpy.inf
        self.expect_real(x, 15)
        _, said, _, _ = self.summary("X", numpy.full(300, numpy.nan))
        self.assertEqual(said, "all NaN")

    def test_integers_and_truths(self):
        x = numpy.random.default_rng(2).integers(-2**63, 2**63 - 1, size=(30, 30))
        _, said, ends, expected = self.summary("X", x)
        mean = float(sum(int(v) for v in x.reshape(-1)) / x.size)
        self.assertEqual(said, f"min {x.min()}, max {x.max()}, mean {mean:.7g}")
        self.assertEqual(ends, [str(v) for v in expected])
        text = self.printed("axis i = 500\nT(i) = iota(i) > 123\nexport T\n")
        self.assertEqual(text, "T = bool[500], 500 values: 376 true\n  [false, false, false, ..., true, true, true]\n")

    def test_never_on_one_rank(self):
        """64 MiB on 8 ranks with room for 24 MiB each."""
        program = "axis i = 4096\naxis j = 4096\nX[i,j] = iota(i) + 0.0 * iota(j)\nexport X\n"
        text = self.printed(program, ["--mem-per-rank", "56M"], ranks=(8,))
        self.assertIn("min 0, max 4095, mean 2047.5, 0 NaN", text)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
