#!/usr/bin/python3
"""Cases whose speed is known from elsewhere: fuse-dist bench beside the bare library call that bounds them, in one run.

usage: bars.py --binary FUSE_DIST [--rounds R] [--only NAME,..] [--json FILE] [--cpu]

One thread. Each round runs the reference and fuse-dist once each, one after the other; what is compared are medians over the rounds,
and the best of each, which other work on the machine disturbs less. A reference is a call of sgemm (NumPy's dot, into a
result that exists) or a copy of memory. --cpu: seconds of processors instead, which other work on the machine disturbs less.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy  # noqa: E402


def matrix(*shape):
    return numpy.random.default_rng(1).uniform(-1, 1, shape).astype(numpy.float32)


def product(m, n, k):
    a, b, c = matrix(m, k), matrix(k, n), matrix(m, n)
    return lambda: numpy.dot(a, b, out=c)


def loop_of_products(times, m, n, k):
    a, b, c = matrix(times, m, k), matrix(times, n, k), matrix(m, n)

    def run():
        for x, y in zip(a, b):
            numpy.dot(x, y.T, out=c)
    return run


def copy(elements):
    a, b = matrix(elements), matrix(elements)
    return lambda: numpy.copyto(b, a)


# name, what the reference is, its call, words of fuse-dist bench, the share of the reference's speed that is asked for
CASES = [
    ("matrix product", "bare sgemm", lambda: product(4096, 4096, 4096), ["einsum", "ab,bc->ac", "4096"], 0.97),
    ("attention scores", "loop of sgemm, result in L2", lambda: loop_of_products(128, 512, 512, 64),
     ["einsum", "bhqd,bhkd->bhqk", "8", "16", "512", "64", "512"], 0.80),
    ("ladder", "bare sgemm of the same flops", lambda: product(4096, 2048, 4096),
     ["einsum", "abcd,cdef->abef", "64", "64", "64", "64", "32", "64"], 0.97),
    ("MTTKRP", "its product alone, by sgemm", lambda: product(512 * 512, 32, 512),
     ["einsum", "ijk,ja,ka->ia", "512", "512", "512", "32"], 1.5),
    ("transpose abc->cba", "copy of memory", lambda: copy(256 * 384 * 512),
     ["transpose", "abc->cba", "256", "384", "512"], 0.6),
    ("product of bf16", "bare sgemm", lambda: product(4096, 4096, 4096), ["gemm", "bf16", "4096"], 0.9),
    ("product of f16", "bare sgemm", lambda: product(4096, 4096, 4096), ["gemm", "f16", "4096"], 0.9),
    ("product of i8", "bare sgemm", lambda: product(4096, 4096, 4096), ["gemm", "i8", "4096"], 1.5),
    ("or of ands, 2048", "bare sgemm", lambda: product(2048, 2048, 2048), ["gemm", "bool", "2048"], 1.0),
    ("or of ands, 4096", "bare sgemm", lambda: product(4096, 4096, 4096), ["gemm", "bool", "4096"], 1.0),
]
# No reference: GFLOP/s that are asked for.
RATES = [("triples", ["einsum", "abcd,dbea->ace", "48", "48", "64", "64", "64"], 60)]
# No reference: the share of what the processor adds and compares in registers, measured by the bench itself.
SHARES = [("min-plus", ["semiring", "min-plus", "2048"], 0.35)]


def measure(binary, words):
    result = subprocess.run([binary, "bench", *words, "--json", "--repeat", "3", "--warmup", "1", "--threads", "1"],
                            capture_output=True, text=True)
    if result.returncode not in (0, 77):
        raise SystemExit(result.stderr)
    return json.loads(result.stdout)["lines"][0]


CLOCK = time.perf_counter


def timed(call):
    start = CLOCK()
    call()
    return CLOCK() - start


def run_case(options, name, what, reference, words, bar):
    call = reference() if reference else None
    if call:
        call()
    theirs, ours, lines = [], [], []
    for _ in range(options.rounds):
        if call:
            theirs += [timed(call) for _ in range(3)]
        lines.append(measure(options.binary, words))
        ours.append(lines[-1]["cpu" if options.cpu else "median"])
    line = lines[-1]
    row = {"name": name, "reference": what, "words": words, "bar": bar, "fuse_dist": statistics.median(ours),
           "fuse_dist_best": min(x["cpu_min" if options.cpu else "min"] for x in lines), "passed": all(x["passed"] for x in lines),
           "flops": line["flops"], "extra_bytes": line["arena_bytes"] - line["tensor_bytes"], "line": line}
    if call:
        row.update(theirs=statistics.median(theirs), theirs_best=min(theirs))
        row.update(ratio=row["theirs"] / row["fuse_dist"], ratio_best=row["theirs_best"] / row["fuse_dist_best"])
    else:
        scale = line["of_peak"] * line["median"] if "of_peak" in line else line["flops"] * 1e-9
        row.update(ratio=scale / row["fuse_dist"], ratio_best=scale / row["fuse_dist_best"])
    return row


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only")
    parser.add_argument("--json")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    if options.cpu:
        global CLOCK
        CLOCK = time.process_time
    wanted = options.only.split(",") if options.only else None
    cases = CASES + [(name, "GFLOP/s", None, words, bar) for name, words, bar in RATES] \
        + [(name, "share of the peak", None, words, bar) for name, words, bar in SHARES]
    rows = []
    print(f"{'case':<22}{'reference':<30}{'fuse-dist s':>12}{'ratio':>8}{'at best':>9}{'asked':>7}{'extra MiB':>11}  check")
    for name, what, reference, words, bar in cases:
        if wanted and name not in wanted:
            continue
        row = run_case(options, name, what, reference, words, bar)
        rows.append(row)
        print(f"{name:<22}{what:<30}{row['fuse_dist']:>12.6f}{row['ratio']:>8.2f}{row['ratio_best']:>9.2f}{bar:>7.2f}"
              f"{row['extra_bytes'] / 2**20:>11.1f}  {'PASSED' if row['passed'] else 'FAILED'}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "rounds": options.rounds, "numpy": numpy.__version__, "load": os.getloadavg()}, file,
                      indent=1)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
