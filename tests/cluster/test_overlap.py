#!/usr/bin/python3
"""Panels come while others are computed with: two hosts, a rank each, joined by a link whose bandwidth is shaped.

usage: test_overlap.py --binary FUSE_DIST [--n N] [--repeats K]

The product of two n x n matrices from files, one rank on each host. First as fast as the machine can, which gives the time of the
computing; then over a link on which the bytes that a rank receives take as long, and a quarter as long; then, over the slow link,
by a rank that does not look after its messages between slices of its kernel. Medians of interleaved repeats of `run` times:

    transfer = compute       at most 1.25 x the computing
    transfer = compute / 4   at most 1.05 x the computing
    the same as the first, messages left alone: at least 1.7 x the computing, so that the test can fail

Wants an idle machine, and a build with fault points for its last line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import hosts  # noqa: E402
from slurm import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

PROGRAM = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
C[i,j] = A[i,k] B[k,j]
Total[i] = C[i,j]
"total.npy" = Total[i]
"""
FRAMES = 1538 / 1448  # what a segment of a full packet takes of the link


def shape(network, megabits):
    """Bandwidth of what leaves each host; None: as fast as can be."""
    for pid in network.pids.values():
        words = ["add", "dev", "eth0", "root", "tbf", "rate", f"{megabits or 0:.1f}mbit", "burst", "256kb", "latency", "50ms"]
        tc = ["nsenter", "-t", str(pid), "-n", "--", "tc", "qdisc"]
        subprocess.run([*tc, "del", "dev", "eth0", "root"], check=False, stderr=subprocess.DEVNULL)
        if megabits:
            subprocess.run([*tc, *words], check=True)


def measure(network, binary, folder, expected, fault=None):
    command = ["env", f"FUSE_FAULT={fault}"] if fault else []
    command += [binary, "--threads", "1", "--times=json", "p.fuse"]
    result = network.run(2, command, folder, 200, ["--map-by", "node", "--mca", "mpi_yield_when_idle", "0"])
    if result.status != 0:
        sys.exit(f"test_overlap: exit status {result.status}\n{result.tail()}")
    if not numpy.array_equal(numpy.load(os.path.join(folder, "total.npy")), expected):
        sys.exit("FAIL: the sums are wrong")
    return json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--n", type=int, default=6144)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    reason = hosts.reason_to_skip()
    if reason:
        print(f"skipped: {reason}")
        return launch.SKIP
    ratios = {"equal": [], "quarter": [], "alone": []}
    with tempfile.TemporaryDirectory(prefix="fuse-overlap-") as folder, hosts.Hosts(2, slots=1) as network:
        n = options.n
        rng = numpy.random.default_rng(3)
        a, b = (rng.integers(-1, 2, (n, n)).astype(numpy.float32) for _ in range(2))
        expected = a.astype(numpy.float64) @ b.sum(axis=1, dtype=numpy.float64)
        numpy.save(os.path.join(folder, "a.npy"), a)
        numpy.save(os.path.join(folder, "b.npy"), b)
        with open(os.path.join(folder, "p.fuse"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        for repeat in range(options.repeats + 1):
            shape(network, None)
            times = measure(network, binary, folder, expected)
            compute, received = times["run"], times["received_bytes_max"]
            if not repeat:  # fills the page cache
                continue
            megabits = received * FRAMES * 8e-6 / compute
            shape(network, megabits)
            equal = measure(network, binary, folder, expected)["run"]
            alone = measure(network, binary, folder, expected, "progress:1@0")["run"]
            shape(network, 4 * megabits)
            quarter = measure(network, binary, folder, expected)["run"]
            shape(network, None)
            compute = (compute + measure(network, binary, folder, expected)["run"]) / 2
            print(f"compute {compute:.2f} s, {received / 2**20:.0f} MiB at {megabits:.0f} Mbit/s: {equal:.2f} s, left alone "
                  f"{alone:.2f} s, at four times that {quarter:.2f} s", flush=True)
            for name, seconds in (("equal", equal), ("quarter", quarter), ("alone", alone)):
                ratios[name].append(seconds / compute)
    median = {name: statistics.median(values) for name, values in ratios.items()}
    bars = (("equal", median["equal"] <= 1.25, "at most 1.25"), ("quarter", median["quarter"] <= 1.05, "at most 1.05"),
            ("alone", median["alone"] >= 1.7, "at least 1.7"))
    for name, good, bar in bars:
        print(f"{'ok' if good else 'FAIL'}: {name}: {median[name]:.2f} x the computing ({bar})")
    return 0 if all(good for _, good, _ in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
