#!/usr/bin/python3
"""The contractions of contractions.txt: fuse-dist bench beside NumPy (einsum with the optimal path) and PyTorch, in one run.

usage: contractions.py --binary FUSE_DIST [--threads N] [--rounds R] [--only NAME,..] [--json FILE] [--cpu]

Each round measures every implementation once, one after the other, so that whatever else the machine does meets all of them;
medians over the rounds are compared. fuse-dist's time is `run` as `fuse-dist bench` measures it, from operands in memory to the
result in memory; the others' is that of the call, after one that is not measured. All meet the same caches: what `fuse-dist bench`
does around each run - the result's memory is cleared, operands are written, the result is read - is done around each call.
A result counts when it lies in memory that was there before, in the order of axes that was asked for: NumPy has out=, and what
torch.einsum returns as a view in another order is copied; `as it lies` is its time without that copy, and is not compared. Both
may take the operands of each step in either order; the better one is found before the measurement. Without PyTorch its columns
are empty. --cpu: seconds of processors instead, the best of all repeats, which other work on the machine disturbs less. The
path may use intermediates of any size: NumPy would else loop over all indices of four operands at once, for minutes. Columns:
seconds, GFLOP/s of fuse-dist (2 * product of all extents), ratio of the best other time to fuse-dist's (above 1: fuse-dist is
faster).
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time


ANY_SIZE = 1 << 60  # of an intermediate


def read_list(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split("#")[0].split()
            if words:
                yield words[0], words[1], words[2], [int(n) for n in words[3:]]


def extents_of(equation, numbers):
    letters = []
    for letter in equation.split("->")[0].replace(",", ""):
        if letter not in letters:
            letters.append(letter)
    if len(letters) != len(numbers):
        raise SystemExit(f"{equation}: {len(numbers)} extents for {len(letters)} indices")
    return dict(zip(letters, numbers))


CLOCK = time.perf_counter


def timed(call, prepare):
    prepare()
    start = CLOCK()
    call()
    return CLOCK() - start


def turn_step(step):
    """The same product with its two operands exchanged."""
    places, text = step
    inputs, result = text.split("->")
    names = inputs.split(",")
    return places[::-1], ",".join(names[::-1]) + "->" + result


def run_steps(einsum, steps, operands):
    rest = list(operands)
    for places, text in steps:
        taken = {place: rest[place] for place in places}
        rest = [x for place, x in enumerate(rest) if place not in taken]
        rest.append(einsum(text, *(taken[place] for place in places)))
    return rest[0]


def summary(options, times):
    return min(times) if options.cpu else statistics.median(times)


class Fuse:
    def __init__(self, options, equation, numbers):
        self.command = [options.binary, "bench", "einsum", equation, *map(str, numbers), "--json", "--repeat", "3",
                        "--warmup", "1", "--threads", str(options.threads)]
        self.passed = True
        self.line = None
        self.figure = "cpu_min" if options.cpu else "median"

    def measure(self):
        result = subprocess.run(self.command, capture_output=True, text=True)
        if result.returncode not in (0, 77):
            raise SystemExit(result.stderr)
        self.line = json.loads(result.stdout)["lines"][0]
        self.passed &= self.line["passed"]
        return self.line[self.figure]


class Memory:
    """Operands and result, and what fuse-dist bench does with them around a run."""

    def __init__(self, numpy, operands, shape):
        self.numpy = numpy
        self.operands = operands
        self.out = numpy.zeros(shape, numpy.float32)
        self.kept = [x.copy() for x in operands]
        self.read = self.out.copy()

    def prepare(self):
        self.numpy.copyto(self.read, self.out)
        self.out.fill(0)
        for operand, kept in zip(self.operands, self.kept):
            self.numpy.copyto(operand, kept)


class Peer:
    """The better of the given calls."""

    def __init__(self, options, memory, calls):
        self.options = options
        self.memory = memory
        tried = [min(timed(call, memory.prepare) for _ in range(3)) for call in calls]
        self.call = calls[tried.index(min(tried))]

    def measure(self):
        return summary(self.options, [timed(self.call, self.memory.prepare) for _ in range(3)])


def numpy_peer(options, numpy, memory, equation):
    path = numpy.einsum_path(equation, *memory.operands, optimize=("optimal", ANY_SIZE))[0]
    return Peer(options, memory,
                [lambda: numpy.einsum(equation, *memory.operands, optimize=path, out=memory.out)])


def torch_peers(options, torch, numpy, memory, equation):
    """torch.einsum goes from left to right unless opt_einsum is there: NumPy's path is given to it step by step."""
    tensors = [torch.from_numpy(x) for x in memory.operands]
    out = torch.from_numpy(memory.out)
    listing = numpy.einsum_path(equation, *memory.operands, optimize=("optimal", ANY_SIZE), einsum_call=True)[1]
    steps = [(step[0], step[2]) for step in listing]
    turned = [turn_step(step) if len(step[0]) == 2 else step for step in steps]

    def whole(steps):
        def call():
            result = run_steps(torch.einsum, steps, tensors)
            if not result.is_contiguous():
                out.copy_(result)
        return call

    def view(steps):
        return lambda: run_steps(torch.einsum, steps, tensors)
    return (Peer(options, memory, [whole(steps), whole(turned)]), Peer(options, memory, [view(steps), view(turned)]))


def geometric_mean(values):
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else float("nan")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--list", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "contractions.txt"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only")
    parser.add_argument("--json")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    if options.cpu:
        global CLOCK
        CLOCK = time.process_time
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    import numpy
    try:
        import torch
        torch.set_num_threads(options.threads)
    except ImportError:
        torch = None
    wanted = options.only.split(",") if options.only else None
    rows = []
    print(f"{'name':<24}{'kind':<7}{'fuse-dist':>11}{'NumPy':>11}{'PyTorch':>11}{'as it lies':>12}{'GFLOP/s':>9}{'ratio':>7}  check",
          flush=True)
    for name, kind, equation, numbers in read_list(options.list):
        if wanted and name not in wanted:
            continue
        extent = extents_of(equation, numbers)
        inputs, result = equation.split("->")
        random = numpy.random.default_rng(1)
        operands = [random.uniform(-1, 1, [extent[x] for x in axes]).astype(numpy.float32) for axes in inputs.split(",")]
        fuse = Fuse(options, equation, numbers)
        memory = Memory(numpy, operands, [extent[x] for x in result])
        peers = {"fuse-dist": fuse, "NumPy": numpy_peer(options, numpy, memory, equation)}
        if torch:
            peers["PyTorch"], peers["as it lies"] = torch_peers(options, torch, numpy, memory, equation)
        seconds = {peer: [] for peer in peers}
        for _ in range(options.rounds):
            for peer, times in seconds.items():
                times.append(peers[peer].measure())
        median = {peer: summary(options, times) for peer, times in seconds.items()}
        best = min(median[peer] for peer in median if peer in ("NumPy", "PyTorch"))
        flops = 2 * math.prod(extent.values())
        row = {"name": name, "kind": kind, "equation": equation, "extents": numbers, "threads": options.threads,
               "seconds": seconds, "median": median, "ratio": best / median["fuse-dist"], "passed": fuse.passed,
               "line": fuse.line}
        rows.append(row)
        print(f"{name:<24}{kind:<7}{median['fuse-dist']:>11.6f}{median['NumPy']:>11.6f}"
              f"{median.get('PyTorch', math.nan):>11.6f}{median.get('as it lies', math.nan):>12.6f}{flops / median['fuse-dist'] * 1e-9:>9.1f}"
              f"{row['ratio']:>7.2f}  {'PASSED' if fuse.passed else 'FAILED'}", flush=True)
    for kind in "single", "other":
        ratios = [row["ratio"] for row in rows if row["kind"] == kind]
        if ratios:
            print(f"{kind}: {len(ratios)} contractions, worst ratio {min(ratios):.2f}, geometric mean {geometric_mean(ratios):.2f}")
    print(f"all: geometric mean {geometric_mean([row['ratio'] for row in rows]):.2f}, "
          f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, NumPy {numpy.__version__}"
          + (f", PyTorch {torch.__version__}" if torch else ", no PyTorch"))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "numpy": numpy.__version__, "torch": torch.__version__ if torch else None,
                       "load": os.getloadavg()}, file, indent=1)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
