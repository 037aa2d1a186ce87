#!/usr/bin/python3
"""The n = 4096 f32 product against a bare cblas_sgemm in the same run: one rank >= 0.92 x its speed, two ranks >= 1.6 x
the speed of one, with at most 150 MiB resident a rank. `run` times of fuse-dist, one thread a rank, medians of interleaved repeats.

usage: speed_gemm.py --binary FUSE_DIST --bare BARE_SGEMM [--n N] [--repeats K]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

ONE_RANK = 0.92
TWO_RANKS = 1.6
RESIDENT = 150 * 2**20  # of each of two ranks, whose blocks of A, B and C are 96 MiB; for n = 4096
PROGRAM = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
C[i,j] = A[i,k] B[k,j]
"c.npy" = C[i,j]
"""


def output_of(command, folder):
    result = launch.run(command, folder, 300)
    if result.status != 0:
        sys.exit(f"speed_gemm: {' '.join(command)}: exit status {result.status}\n{result.tail()}")
    return result.out


def times_of(text):
    """The JSON line that --times=json prints."""
    for line in text.splitlines():
        if line.startswith("{"):
            return json.loads(line)
    sys.exit(f"speed_gemm: no JSON line in the output:\n{text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--bare", required=True)
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    binary, bare = os.path.abspath(options.binary), os.path.abspath(options.bare)
    times = {"bare": [], "one": [], "two": []}
    with tempfile.TemporaryDirectory(prefix="fuse-speed-") as folder:
        rng = numpy.random.default_rng(1)
        a, b = (rng.standard_normal((options.n, options.n), dtype=numpy.float32) for _ in range(2))
        numpy.save(os.path.join(folder, "a.npy"), a)
        numpy.save(os.path.join(folder, "b.npy"), b)
        with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        program = [binary, "--threads", "1", "--times=json", "prog.fuse"]
        for repeat in range(options.repeats + 1):
            two = times_of(output_of(launch.on_ranks(2, program), folder))
            taken = {
                "bare": float(output_of([bare, str(options.n)], folder)),
                "one": times_of(output_of(launch.on_ranks(1, program), folder))["run"],
                "two": two["run"],
            }
            resident = two["resident_bytes"]
            if repeat:  # the first fills the page cache
                for name, seconds in taken.items():
                    times[name].append(seconds)
        row = numpy.load(os.path.join(folder, "c.npy"), mmap_mode="r")[17].astype(numpy.float64)
        expected = a[17].astype(numpy.float64) @ b.astype(numpy.float64)
        if not numpy.abs(row - expected).max() <= 2.0**-23 * options.n * numpy.abs(expected).max():
            sys.exit("FAIL: the product is wrong")
    median = {name: statistics.median(values) for name, values in times.items()}
    gflops = {name: 2e-9 * options.n**3 / seconds for name, seconds in median.items()}
    one, two = median["bare"] / median["one"], median["one"] / median["two"]
    print(f"n = {options.n}, {options.repeats} interleaved repeats, medians: bare {median['bare']:.3f} s "
          f"({gflops['bare']:.0f} GFLOP/s), 1 rank {median['one']:.3f} s ({gflops['one']:.0f}), 2 ranks "
          f"{median['two']:.3f} s ({gflops['two']:.0f})")
    print(f"{'ok' if one >= ONE_RANK else 'FAIL'}: one rank runs at {one:.3f} x a bare cblas_sgemm (at least {ONE_RANK})")
    print(f"{'ok' if two >= TWO_RANKS else 'FAIL'}: two ranks run at {two:.3f} x one rank (at least {TWO_RANKS})")
    fits = options.n != 4096 or resident <= RESIDENT
    print(f"{'ok' if fits else 'FAIL'}: {resident / 2**20:.0f} MiB resident a rank (at most {RESIDENT >> 20} for n = 4096)")
    return 0 if one >= ONE_RANK and two >= TWO_RANKS and fits else 1


if __name__ == "__main__":
    sys.exit(main())
