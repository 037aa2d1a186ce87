#!/usr/bin/env python3
"""Rules over a million symbols and 1.3 million facts take less than a gigabyte, of all ranks together: usage sparse_million.py --binary
FUSE_DIST [--ranks 1,3].

Joins of two, recursion over ids and values, negation and counts, against the same in Python. The plan states the bound, and a run that
is given less memory than it needs is refused, with status 71, before it holds more.

What would make it fail: anything that is as large as the symbols squared, or as large as all of them on every rank; names that are asked
for a few at a time; a row that is wrong.
"""

import argparse
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402

SYMBOLS, LIMIT = 1000000, 10**9
PROGRAM = """
Needs(x,y) = "needs.tsv"
Base(x) = "base.tsv"
Above(x) = Base(x)
Above(x) = Needs(x,y) Above(y)
Two(x,z) = Needs(x,y) Needs(y,z)
Free(x) = Needs(x,y) !Needs(z,x)
Far["pkg-1"] min= 0
Far[x] when Needs(x,y) min= Far[y] + 1
"above.tsv" = Above(x)
"free.tsv" = Free(x)
"far.tsv" = Far[x]
"of.tsv" = Two("pkg-999999",z)
"""


def needed():
    """(what, what it needs), in the order of the file: a tree, and beside it some neighbours."""
    for i in range(2, SYMBOLS + 1):
        yield i, i // 2
        if i % 3 == 0:
            yield i, i - 1


def solve(pairs):
    """Rows of the sinks, as sets of lines."""
    above, far, free, below, of = {5, 77}, {1: 0}, set(), {}, set()
    for a, b in pairs:  # what is needed has a smaller number
        below.setdefault(a, []).append(b)
    for a in range(2, SYMBOLS + 1):
        if any(b in above for b in below[a]):
            above.add(a)
        far[a] = 1 + min(far[b] for b in below[a])
    free = set(below) - {b for _, b in pairs}
    of = {c for b in below[999999] for c in below[b]}
    name = lambda ids: {f"pkg-{i}" for i in ids}  # noqa: E731
    return {"above.tsv": name(above), "free.tsv": name(free), "of.tsv": name(of),
            "far.tsv": {f"pkg-{i}\t{d}.0" for i, d in far.items()}}


def check(binary, folder, ranks, wanted):
    result = launch.run(launch.on_ranks(ranks, [binary, "--times=json", "--count", "Two", "p.fuse"]), folder, 250, really=True)
    assert result.status == 0 and not result.timed_out, result.tail()
    times = json.loads(next(line for line in result.out.splitlines() if line.startswith("{")))
    resident = times["resident_bytes"] * ranks  # of the busiest
    assert resident < LIMIT, f"{ranks} ranks: {resident} bytes"
    for name, rows in wanted.items():
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            lines = file.read().splitlines()
        assert len(lines) == len(rows) and set(lines) == rows, (ranks, name, len(lines), len(rows))
    print(f"{ranks} ranks: at most {resident / 1e6:.0f} MB in all, store {times['store']:.1f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,3")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    pairs = list(needed())
    wanted = solve(pairs)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "needs.tsv"), "w", encoding="utf-8") as file:
            file.writelines(f"pkg-{a}\tpkg-{b}\n" for a, b in pairs)
        for name, text in [("base.tsv", "pkg-5\npkg-77\n"), ("p.fuse", PROGRAM)]:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        for ranks in map(int, arguments.ranks.split(",")):
            check(binary, folder, ranks, wanted)
        plan = launch.run([binary, "plan", "--ranks", "1", "--mem-per-rank", "400M", "p.fuse"], folder, 60)
        assert "Far has at most 1000000 tuples, 15.3 MiB" in plan.out and "MiB a rank" in plan.out, plan.tail()
        refused = launch.run([binary, "--mem-per-rank", "100M", "p.fuse"], folder, 100)
        assert refused.status == 71, (refused.status, refused.tail())


if __name__ == "__main__":
    main()
