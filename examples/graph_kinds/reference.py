#!/usr/bin/python3
"""usage: reference.py DATA OUTPUT. Compares the counts with closed forms where there are some, and with searches from every vertex;
circles and levels with those searches."""

import os
import sys

import graphs


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as stream:
        return [tuple(line.rstrip("\n").split("\t")) for line in stream]


def levels(after, start):
    """How many steps each vertex is away that is reached; the start too when it is on a circle."""
    far, wave, steps = {}, [start], 0
    while wave:
        steps += 1
        wave = [b for b in dict.fromkeys(b for a in wave for b in after.get(a, ())) if b not in far]
        far.update((b, steps) for b in wave)
    return far


def check(kind, data, output):
    _, closed = graphs.KINDS[kind]()
    edges = [(int(a), int(b)) for a, b in read(data, kind + ".tsv")]
    after, pairs, circle = {}, 0, []
    for a, b in edges:
        after.setdefault(a, []).append(b)
    for a in after:
        far = levels(after, a)
        pairs += len(far)
        if a in far:
            circle.append(a)
    assert closed in (None, pairs), f"the searches of {kind} are wrong"
    expected = {
        "count.txt": [(f"Reach: {pairs} tuples", )],
        "circle.tsv": [(str(a), ) for a in sorted(circle)],
        "level.tsv": [(str(a), f"{n}.0") for a, n in sorted({**levels(after, 0), 0: 0}.items())],
    }
    wrong = [name for name, rows in expected.items() if read(output, kind, name) != rows]
    print(f"{kind}: {len(edges)} edges, {pairs} pairs, {len(circle)} vertices on circles"
          f"{', and wrong: ' + ', '.join(wrong) if wrong else ''}")
    return not wrong


def main():
    data, output = sys.argv[1:]
    good = all([check(kind, data, output) for kind in graphs.KINDS])
    print("PASSED" if good else "FAILED")
    sys.exit(not good)


main()
