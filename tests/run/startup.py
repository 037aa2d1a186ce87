#!/usr/bin/python3
"""A trivial program costs at most 50 ms more than an MPI hello: medians of interleaved runs.

usage: startup.py --binary FUSE_DIST --hello MPI_HELLO [--repeats K] [--ranks N...]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time

import launch

launch.require_numpy()

import numpy  # noqa: E402

LIMIT_SECONDS = 0.050
PROGRAM = """\
X[i] = "x.npy"
Y[i] = 2 X[i]
"y.npy" = Y[i]
"""


def seconds_of(command, folder):
    start = time.monotonic()
    result = launch.run(command, folder, 60)
    if result.status != 0:
        sys.exit(f"startup: {' '.join(command)}: exit status {result.status}\n{result.tail()}")
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--hello", required=True)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    binary, hello = os.path.abspath(options.binary), os.path.abspath(options.hello)
    failed = False
    with tempfile.TemporaryDirectory(prefix="fuse-startup-") as folder:
        numpy.save(os.path.join(folder, "x.npy"), numpy.arange(8, dtype=numpy.float32))
        with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        for ranks in options.ranks:
            commands = {"hello": launch.on_ranks(ranks, [hello]),
                        "fuse-dist": launch.on_ranks(ranks, [binary, "prog.fuse"])}
            times = {name: [] for name in commands}
            for repeat in range(options.repeats + 1):
                for name, command in commands.items():
                    taken = seconds_of(command, folder)
                    if repeat:  # the first fills the page cache
                        times[name].append(taken)
            median = {name: statistics.median(values) for name, values in times.items()}
            more = median["fuse-dist"] - median["hello"]
            verdict = "ok" if more <= LIMIT_SECONDS else "FAIL"
            failed |= more > LIMIT_SECONDS
            print(f"{verdict}: {ranks} ranks: hello {1000 * median['hello']:.0f} ms, fuse-dist "
                  f"{1000 * median['fuse-dist']:.0f} ms, {1000 * more:+.0f} ms "
                  f"(limit {1000 * LIMIT_SECONDS:.0f}, {options.repeats} interleaved runs)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
