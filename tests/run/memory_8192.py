#!/usr/bin/python3
"""A rank stays within --mem-per-rank: the n = 8192 f32 product on 8 ranks, where one operand alone has 256 MiB.

usage: memory_8192.py --binary FUSE_DIST [--n N] [--keep]

--mem-per-rank   received by a rank in the run phase   high-water resident memory of a rank
220M             at most 96 MiB                        at most 220 MiB
140M             at most 128 MiB (2-D panels)          at most 140 MiB
60M              refused: exit status 71, the message names A, B or C

Every rank runs under RLIMIT_DATA = limit + 128 MiB, so that one that replicates an operand dies. Values are compared on
sampled rows and columns. About 1 GiB of disk and 12 seconds of arithmetic.
"""

import argparse
import json
import os
import re
import resource
import sys
import tempfile

import launch

MIB = 1 << 20
RANKS = 8
PROGRAM = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
C[i,j] = A[i,k] B[k,j]
"c.npy" = C[i,j]
"""


def run_as_rank(limit_bytes, command):
    """This script under mpirun: starts the program under the limit and notes its status and high-water memory."""
    rank = os.environ["OMPI_COMM_WORLD_RANK"]
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
        os.execv(command[0], command)
    _, status, usage = os.wait4(child, 0)
    with open(f"rank.{rank}", "w", encoding="utf-8") as file:
        file.write(f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss * 1024}\n")
    return os.waitstatus_to_exitcode(status) & 0xFF


def make_inputs(folder, n):
    import numpy
    rng = numpy.random.default_rng(8192)
    for name in ("a", "b"):
        out = numpy.lib.format.open_memmap(os.path.join(folder, name + ".npy"), "w+", numpy.float32, (n, n))
        for start in range(0, n, 512):
            out[start:start + 512] = rng.standard_normal((min(512, n - start), n), dtype=numpy.float32)
        out.flush()
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(PROGRAM)


def values_problem(folder, n):
    import numpy
    a, b, c = (numpy.load(os.path.join(folder, name + ".npy"), mmap_mode="r") for name in "abc")
    if c.shape != (n, n) or c.dtype != numpy.float32:
        return f"c.npy has shape {c.shape} and dtype {c.dtype}"
    # First and last, beside and at the borders of blocks of 2, 4 and 8 ranks, and some in between.
    sample = sorted({0, 1, n // 8 - 1, n // 8, n // 4, n // 2 - 1, n // 2, n // 2 + 1, 3 * n // 8, n // 3, n - n // 8, n - 1})
    # Errors of a sum of n products of size 1 grow like the square root of n; 6 of the values' deviations is their range.
    bound = 2.0**-23 * n * 6
    for what, got, expected in (
            ("rows", c[sample], a[sample].astype(numpy.float64) @ b.astype(numpy.float64)),
            ("columns", c[:, sample], a.astype(numpy.float64) @ b[:, sample].astype(numpy.float64))):
        difference = numpy.abs(got - expected)
        if not difference.max() <= bound:
            return f"{what}: differ by up to {difference.max()}, bound {bound:.2g}"
    return None


def run_limited(folder, binary, limit_mib):
    wrapper = [sys.executable, "-B", os.path.abspath(__file__), "--as-rank", str((limit_mib + 128) * MIB)]
    command = [binary, "--mem-per-rank", f"{limit_mib}M", "--threads", "1", "--times=json", "prog.fuse"]
    result = launch.run(launch.on_ranks(RANKS, wrapper + command), folder, 400)
    ranks = []
    for rank in range(RANKS):
        path = os.path.join(folder, f"rank.{rank}")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                ranks.append(tuple(int(word) for word in file.read().split()))
            os.remove(path)
    return result, ranks


def check_accepted(folder, binary, n, limit_mib, received_mib):
    result, ranks = run_limited(folder, binary, limit_mib)
    if result.timed_out or result.status != 0 or len(ranks) != RANKS:
        print(f"FAIL {limit_mib}M: exit status {result.status}, ranks' statuses {[s for s, _ in ranks]}\n{result.tail()}")
        return False
    line = next((line for line in result.out.splitlines() if line.startswith("{")), None)
    if line is None:
        print(f"FAIL {limit_mib}M: --times=json printed no line\n{result.tail()}")
        return False
    times = json.loads(line)
    resident = max(bytes_ for _, bytes_ in ranks)
    received = times["received_bytes_max"]
    problem = values_problem(folder, n)
    good = resident <= limit_mib * MIB and received <= received_mib * MIB and problem is None
    print(f"{'ok' if good else 'FAIL'} {limit_mib}M: resident at most {resident / MIB:.1f} MiB, received at most "
          f"{received / MIB:.1f} MiB a rank (limit {received_mib}), load {times['load']:.2f} s, run {times['run']:.2f} s, "
          f"store {times['store']:.2f} s; values {problem or 'right'}")
    os.remove(os.path.join(folder, "c.npy"))
    return good


def check_refused(folder, binary, limit_mib):
    result, ranks = run_limited(folder, binary, limit_mib)
    errors = re.findall(r"^.*\berror:.*$", result.err, re.MULTILINE)
    names = sorted(set(re.findall(r"\b[ABC]\b", result.err)))
    left = launch.files_below(folder) - {"a.npy", "b.npy", "prog.fuse"}
    good = result.status == 71 and {status for status, _ in ranks} <= {71} and len(errors) == 1 and names and not left
    print(f"{'ok' if good else 'FAIL'} {limit_mib}M: exit status {result.status} (71), statuses of ranks "
          f"{sorted({s for s, _ in ranks})}, {len(errors)} messages, names {' '.join(names) or 'nothing'}, left {sorted(left)}")
    if not good:
        print(result.tail())
    return bool(good)


def main():
    if len(sys.argv) > 3 and sys.argv[1] == "--as-rank":
        return run_as_rank(int(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--n", type=int, default=8192)
    parser.add_argument("--keep", metavar="FOLDER", help="use this folder, keep its inputs for the next time")
    options = parser.parse_args()
    launch.require_numpy()
    binary = os.path.abspath(options.binary)
    with tempfile.TemporaryDirectory(prefix="fuse-memory-") as temporary:
        folder = options.keep or temporary
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(os.path.join(folder, "prog.fuse")):
            make_inputs(folder, options.n)
        results = [
            check_accepted(folder, binary, options.n, 220, 96),
            check_accepted(folder, binary, options.n, 140, 128),
            check_refused(folder, binary, 60),
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
