#!/usr/bin/python3
"""Stencils exchange their halos and nothing else.

usage: halo.py --binary FUSE_DIST

A plan of a five-point stencil on 8192 x 8192 receives at most a row from each of two neighbours, on 2 to 4,096 ranks, and
so does every one of ten steps. Runs on 2, 3, 4, 5, 7 and 8 ranks agree with NumPy, and what each rank received, as it was
counted, is that much. A halo that grows, or an operand that travels whole, makes it fail.
"""

import argparse
import json
import os
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

PLANNED_RANKS = [2, 3, 4, 5, 7, 8, 63, 64, 509, 1000, 1024, 4093, 4096]
RUN_RANKS = [2, 3, 4, 5, 7, 8]
STEPS = 10


def step(into, of, source=""):
    return f"{into}[x,y] = 0.25 ({of}[x-1,y] + {of}[x+1,y] + {of}[x,y-1] + {of}[x,y+1]){source}"


def steps(count, source=""):
    return [step(f"U{k + 1}", f"U{k}", source) for k in range(count)] + [f'"v.npy" = U{count}[x,y]']


def numpy_step(u, source):
    wide = numpy.pad(u.astype(numpy.float64), 1)
    return 0.25 * (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) + source


def check_plans(binary, folder):
    failed = 0
    for count in (1, STEPS):
        path = os.path.join(folder, "plan.fuse")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(["axis x = 8192", "axis y = 8192", "U0[x,y] = uniform(seed=1)"] + steps(count)) + "\n")
        for ranks in PLANNED_RANKS:
            result = launch.run([binary, "plan", "--ranks", str(ranks), path], folder, 60)
            found = re.search(r"run   receives at most (\d+) bytes", result.out)
            received = int(found.group(1)) if found else -1
            limit = count * 8192 * 4 * min(2, ranks - 1)
            if result.status != 0 or not 0 < received <= limit:
                print(f"FAIL plan of {count} steps on {ranks} ranks: {received} bytes, at most {limit}\n{result.tail()}")
                failed += 1
    return failed


def check_run(binary, folder, ranks, lines, results, limit):
    with open(os.path.join(folder, "run.fuse"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    command = [binary, "run.fuse", "--times=json", "--replicate-below", "0", "--file-unit", "64"]
    result = launch.run(launch.on_ranks(ranks, command), folder, 60)
    if result.status != 0:
        print(f"FAIL {lines[-1]} on {ranks} ranks: exit status {result.status}\n{result.tail()}")
        return 1
    times = json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{")))
    failed = 0
    if not 0 < times["received_bytes_max"] <= limit or times["received_bytes_max"] != times["planned_received_bytes_max"]:
        print(f"FAIL {lines[-1]} on {ranks} ranks: received {times['received_bytes_max']} bytes, planned "
              f"{times['planned_received_bytes_max']}, at most {limit}")
        failed += 1
    for name, wanted in results.items():
        got = numpy.load(os.path.join(folder, name))
        # sums of at most 5 * STEPS float32 terms below 4
        if got.shape != wanted.shape or not numpy.allclose(got, wanted, rtol=0, atol=5 * STEPS * 4 * 2.0**-24):
            print(f"FAIL {name} of {lines[-1]} on {ranks} ranks differs from NumPy")
            failed += 1
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    binary = os.path.abspath(parser.parse_args().binary)
    draw = numpy.random.default_rng(7)
    with tempfile.TemporaryDirectory(prefix="fuse-halo-") as folder:
        u = draw.random((211, 96), dtype=numpy.float32)
        source = draw.random((211, 96), dtype=numpy.float32)
        line = draw.random(100003, dtype=numpy.float32)
        numpy.save(os.path.join(folder, "u.npy"), u)
        numpy.save(os.path.join(folder, "s.npy"), source)
        numpy.save(os.path.join(folder, "x.npy"), line)
        stepped = u
        for _ in range(STEPS):
            stepped = numpy_step(stepped, 0.125 * source)
        wide = numpy.pad(line.astype(numpy.float64), 1)
        window = {"w.npy": wide[:-2] + wide[1:-1] + wide[2:]}
        failed = check_plans(binary, folder)
        for ranks in RUN_RANKS:
            neighbours = min(2, ranks - 1)
            failed += check_run(binary, folder, ranks, ['U0[x,y] = "u.npy"'] + steps(1),
                                {"v.npy": numpy_step(u, 0)}, neighbours * 96 * 4)
            failed += check_run(binary, folder, ranks,
                                ['U0[x,y] = "u.npy"', 'S[x,y] = "s.npy"'] + steps(STEPS, " + 0.125 S[x,y]"),
                                {"v.npy": stepped}, STEPS * neighbours * 96 * 4)
            failed += check_run(binary, folder, ranks, ['X[i] = "x.npy"', '"w.npy" = X[i-1] + X[i] + X[i+1]'],
                                window, neighbours * 4)
    print(f"{failed} failures" if failed else "ok")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
