#!/usr/bin/python3
"""The contractions of contractions.txt: fuse-dist bench beside NumPy (einsum with the optimal path) and PyTorch, in one run.

usage: contractions.py --binary FUSE_DIST [--threads N] [--rounds R] [--only NAME,..] [--json FILE] [--cpu]

Each round measures every implementation once, one after the other, so that whatever else the machine does meets all of them;
medians over the rounds are compared. fuse-dist's time is `run` as `fuse-dist bench` measures it, from operands in memory to the
result in memory; the others' is that of the call, with their operands in memory, after one call that is not measured. Without
PyTorch its column is empty. --cpu: seconds of processors instead, the best of all repeats, which other work on the machine
disturbs less. The path may use intermediates of any size: NumPy would else loop over all indices of four operands at once, for
minutes. Columns: seconds, GFLOP/s of fuse-dist (2 * product of all extents), ratio of the best
other time to fuse-dist's (above 1: fuse-dist is faster).

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


def timed(call):
    start = CLOCK()
    call()
    return CLOCK() - start


def summary(options, times):
    return min(times) if options.cpu else statistics.median(times)


class Fuse:
    name = "fuse-dist"

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


class NumPy:
    name = "NumPy"

    def __init__(self, options, numpy, equation, operands, shape):
        self.options = options
        path = numpy.einsum_path(equation, *operands, optimize=("optimal", ANY_SIZE))[0]
        out = numpy.zeros(shape, numpy.float32)
        self.call = lambda: numpy.einsum(equation, *operands, optimize=path, out=out)
        self.call()

    def measure(self):
        return summary(self.options, [timed(self.call) for _ in range(3)])


class Torch:
    """torch.einsum goes from left to right unless opt_einsum is there: NumPy's path is given to it step by step."""
    name = "PyTorch"

    def __init__(self, options, torch, numpy, equation, operands):
        self.options = options
        tensors = [torch.from_numpy(x) for x in operands]
        listing = numpy.einsum_path(equation, *operands, optimize=("optimal", ANY_SIZE), einsum_call=True)[1]
        steps = [(step[0], step[2]) for step in listing]

        def call():
            rest = list(tensors)
            for places, text in steps:
                taken = [rest.pop(place) for place in places]
                rest.append(torch.einsum(text, *taken))
            return rest[0]
        self.call = call
        self.call()

    def measure(self):
        return summary(self.options, [timed(self.call) for _ in range(3)])


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
    print(f"{'name':<24}{'kind':<7}{'fuse-dist':>11}{'NumPy':>11}{'PyTorch':>11}{'GFLOP/s':>9}{'ratio':>7}  check", flush=True)
    for name, kind, equation, numbers in read_list(options.list):
        if wanted and name not in wanted:
            continue
        extent = extents_of(equation, numbers)
        inputs, result = equation.split("->")
        random = numpy.random.default_rng(1)
        operands = [random.uniform(-1, 1, [extent[x] for x in axes]).astype(numpy.float32) for axes in inputs.split(",")]
        fuse = Fuse(options, equation, numbers)
        peers = [fuse, NumPy(options, numpy, equation, operands, [extent[x] for x in result])]
        if torch:
            peers.append(Torch(options, torch, numpy, equation, operands))
        seconds = {peer.name: [] for peer in peers}
        for _ in range(options.rounds):
            for peer in peers:
                seconds[peer.name].append(peer.measure())
        median = {peer: summary(options, times) for peer, times in seconds.items()}
        best = min(median[peer] for peer in median if peer != "fuse-dist")
        flops = 2 * math.prod(extent.values())
        row = {"name": name, "kind": kind, "equation": equation, "extents": numbers, "threads": options.threads,
               "seconds": seconds, "median": median, "ratio": best / median["fuse-dist"], "passed": fuse.passed,
               "line": fuse.line}
        rows.append(row)
        print(f"{name:<24}{kind:<7}{median['fuse-dist']:>11.6f}{median['NumPy']:>11.6f}"
              f"{median['PyTorch'] if torch else float('nan'):>11.6f}{flops / median['fuse-dist'] * 1e-9:>9.1f}"
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
