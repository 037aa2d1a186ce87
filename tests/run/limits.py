#!/usr/bin/python3
"""Memory and accuracy of the 60 contractions of scripts/bench/contractions.txt, of products whose speed is asked for, and of maps.

usage: limits.py --binary FUSE_DIST [--full] [--only NAME]

Planned memory, always at full size: operands are files without contents, and the plan on one rank must need no more than operands,
result and 64 MiB. Accuracy: the error of f32 results in the mean square must be at most twice that of NumPy with f32 (einsum along
its optimal path, and the formulas below), both against NumPy with f64, and the largest of an element at most four times: where
NumPy multiplies in loops of its own it sums in several parts at a time. Sizes are scaled down to some 4 million multiplications.
With --full they are not, and each case runs by itself: what the process has taken at most beyond a process that computes one number
is at most operands, result and 64 MiB.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
LIST = os.path.join(HERE, os.pardir, os.pardir, "scripts", "bench", "contractions.txt")
MOST = 64 << 20  # bytes beyond operands and result
SMALL = 1 << 22  # multiplications of a scaled case
ANY_SIZE = 1 << 60
# Of a mean or a largest error, so small that the rounding of the result alone makes it, relative to the largest result.
ROUNDING = 2.0 ** -25

BARS = [
    ("bar_product", "ab,bc->ac", [4096] * 3), ("bar_scores", "bhqd,bhkd->bhqk", [8, 16, 512, 64, 512]),
    ("bar_ladder", "abcd,cdef->abef", [64, 64, 64, 64, 32, 64]), ("bar_mttkrp", "ijk,ja,ka->ia", [512, 512, 512, 32]),
    ("bar_triples", "abcd,dbea->ace", [48, 48, 64, 64, 64]), ("bar_transpose", "abc->cba", [256, 384, 512]),
]


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def softmax(x):
    e = numpy.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def layernorm(x):
    return (x - x.mean(1, keepdims=True)) / numpy.sqrt(x.var(1, keepdims=True) + x.dtype.type(1e-5))


def gelu(x):
    c = x.dtype.type(math.sqrt(2 / math.pi))
    return x.dtype.type(0.5) * x * (1 + numpy.tanh(c * (x + x.dtype.type(0.044715) * x * x * x)))


# name, the right side of Out[i,j] = .., the same in NumPy, range of X
MAPS = [
    ("exp", "exp(X[i,j])", numpy.exp, (-20, 20)), ("log", "log(X[i,j])", numpy.log, (0.001, 100)),
    ("tanh", "tanh(X[i,j])", numpy.tanh, (-4, 4)), ("sigmoid", "sigmoid(X[i,j])", sigmoid, (-10, 10)),
    ("sin", "sin(X[i,j])", numpy.sin, (-10, 10)), ("cos", "cos(X[i,j])", numpy.cos, (-10, 10)),
    ("sqrt", "sqrt(X[i,j])", numpy.sqrt, (0, 100)), ("gelu", "gelu(X[i,j])", gelu, (-5, 5)),
    ("softmax", "softmax(X[i,j])", softmax, (-8, 8)), ("layernorm", "layernorm(X[i,j])", layernorm, (-3, 5)),
]
NORMALISERS = ("softmax", "layernorm")  # along the last axis


class Case:
    def __init__(self, name, axes, shapes, result, shape, right, compute, bounds=(-1, 1)):
        self.name, self.axes, self.shapes, self.result, self.shape = name, axes, shapes, result, shape
        self.right, self.compute, self.bounds = right, compute, bounds

    def bytes(self):
        return 4 * (sum(math.prod(shape) for shape in self.shapes) + math.prod(self.shape))

    def text(self, number):
        """Tensors are named by the number of the case, so that many stand in one program; and files by the tensors."""
        lines = []
        for k, axes in enumerate(self.axes):
            spare = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")  # a source's axes are distinct
            own = [letter if letter not in axes[:a] else next(spare) for a, letter in enumerate(axes)]
            lines.append(f'X{number}_{k}[{",".join(own)}] = "x{number}_{k}.npy"')
        right = self.right or " ".join(f'X{number}_{k}[{",".join(axes)}]' for k, axes in enumerate(self.axes))
        dot = "." if self.name in NORMALISERS else ""
        lines.append(f'Out{number}[{",".join(self.result)}{dot}] = {right.replace("X[", f"X{number}_0[")}')
        lines.append(f'"out{number}.npy" = Out{number}[{",".join(self.result)}]')
        return "\n".join(lines) + "\n"

    def operands(self):
        rng = numpy.random.default_rng(len(self.name))
        return [rng.uniform(*self.bounds, shape).astype("f4") for shape in self.shapes]


def contraction(name, equation, numbers, full):
    left, result = equation.split("->")
    axes = left.split(",")
    letters = list(dict.fromkeys(left.replace(",", "")))
    extents = dict(zip(letters, numbers))
    # All by the same factor, so that the best path stays what it is.
    shrink = 1 if full else min(1, (SMALL / math.prod(numbers)) ** (1 / len(numbers)))
    extents = {letter: max(min(extent, 2), round(extent * shrink)) for letter, extent in extents.items()}

    def compute(*operands):
        path = numpy.einsum_path(equation, *operands, optimize=("optimal", ANY_SIZE))[0]
        return numpy.einsum(equation, *operands, optimize=path)
    return Case(name, axes, [[extents[x] for x in own] for own in axes], result, [extents[x] for x in result], None, compute)


def cases(full):
    with open(LIST, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                yield contraction(words[0], words[2], [int(n) for n in words[3:]], full)
    for name, equation, numbers in BARS:
        yield contraction(name, equation, numbers, full)
    shape = [4096, 4096] if full else [200, 333]
    for name, right, compute, bounds in MAPS:
        yield Case(name, ["ij"], [shape], "ij", shape, right, compute, bounds)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def empty_file(path, shape):
    with open(path, "wb") as file:
        numpy.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)})
        file.truncate(file.tell() + 4 * math.prod(shape))


# A process counts as its own what the one that started it had: a small one starts it, and prints what it had at most.
MEASURE = """import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print()
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))"""


def call(command, folder):
    """Standard output, and the most memory in bytes that the process had."""
    result = subprocess.run([sys.executable, "-S", "-c", MEASURE, *command], cwd=folder, capture_output=True, text=True,
                            env=dict(os.environ, OMP_NUM_THREADS="1"), check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {result.returncode}\n{result.stderr}")
    text, kib = result.stdout.rstrip("\n").rsplit("\n", 1)
    return text, int(kib) << 10


def too_much(what, case, used):
    extra = used - case.bytes()
    if extra <= MOST:
        return 0
    print(f"FAIL {case.name}: {what} is {used / 2**20:.1f} MiB, {extra / 2**20:.1f} MiB beyond operands and result")
    return 1


def planned_memory(binary, folder, case):
    for k, shape in enumerate(case.shapes):
        empty_file(os.path.join(folder, f"x0_{k}.npy"), shape)
    write(os.path.join(folder, "case.fuse"), case.text(0))
    text, _ = call([binary, "plan", "--ranks", "1", "--format", "json", "case.fuse"], folder)
    return too_much("planned memory", case, json.loads(text)["peak_bytes"])


def inaccurate(case, operands, got):
    exact = case.compute(*[x.astype("f8") for x in operands])
    largest = numpy.abs(exact).max()
    own, other = (numpy.abs(x.astype("f8") - exact) for x in (got, case.compute(*operands)))
    failures = 0
    for what, of, times in (("mean square", lambda x: math.sqrt(numpy.mean(x * x)), 2), ("largest", numpy.max, 4)):
        if not of(own) <= max(times * of(other), ROUNDING * largest):
            print(f"FAIL {case.name}: the {what} error is {of(own):.3g}, NumPy's {of(other):.3g}, of {largest:.3g}")
            failures = 1
    return failures


def run_together(binary, folder, some):
    """All in one program: starting takes longer than computing."""
    operands = []
    for number, case in enumerate(some):
        operands.append(case.operands())
        for k, x in enumerate(operands[-1]):
            numpy.save(os.path.join(folder, f"x{number}_{k}.npy"), x)
    write(os.path.join(folder, "all.fuse"), "".join(case.text(number) for number, case in enumerate(some)))
    call([binary, "all.fuse"], folder)
    return sum(inaccurate(case, operands[n], numpy.load(os.path.join(folder, f"out{n}.npy"))) for n, case in enumerate(some))


def run_alone(binary, folder, case, base):
    operands = case.operands()
    for k, x in enumerate(operands):
        numpy.save(os.path.join(folder, f"x0_{k}.npy"), x)
    write(os.path.join(folder, "case.fuse"), case.text(0))
    _, used = call([binary, "case.fuse"], folder)
    return (too_much("memory of the process", case, used - base)
            + inaccurate(case, operands, numpy.load(os.path.join(folder, "out0.npy"))))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)

    def chosen(full):
        return [case for case in cases(full) if options.only in (None, case.name)]
    failures, count = 0, 0
    for case in chosen(True):
        with tempfile.TemporaryDirectory() as folder:
            failures += planned_memory(binary, folder, case)
            count += 1
    if options.full:
        with tempfile.TemporaryDirectory() as folder:
            write(os.path.join(folder, "base.fuse"), 'Y[] = 1.0\n"y.npy" = Y[]\n')
            _, base = call([binary, "base.fuse"], folder)
        for case in chosen(True):
            with tempfile.TemporaryDirectory() as folder:
                failures += run_alone(binary, folder, case, base)
    else:
        with tempfile.TemporaryDirectory() as folder:
            failures += run_together(binary, folder, chosen(False))
    print(f"{count} cases, {failures} failures")
    return 1 if failures or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
