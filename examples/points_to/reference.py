#!/usr/bin/python3
"""usage: reference.py DATA OUTPUT. Compares with a solver of another kind: a graph of variables along which sets are propagated,
which gets an edge for each target that a pointer is found to have."""

import os
import sys


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return [tuple(line.rstrip("\n").split("\t")) for line in stream]


def solve(facts):
    points, flows, waiting = {}, {}, []
    loads, stores = {}, {}
    for y, x in facts["load"]:
        loads.setdefault(x, []).append(y)
    for y, x in facts["store"]:
        stores.setdefault(y, []).append(x)

    def add(y, targets):
        new = targets - points.get(y, set())
        if new:
            points.setdefault(y, set()).update(new)
            waiting.append((y, new))

    def connect(x, y):
        """What x points to, y may."""
        if y not in flows.setdefault(x, set()):
            flows[x].add(y)
            add(y, points.get(x, set()))

    for y, x in facts["assign"]:
        connect(x, y)
    for y, x in facts["address"]:
        add(y, {x})
    while waiting:
        x, new = waiting.pop()
        for z in new:
            for y in loads.get(x, ()):
                connect(z, y)
            for y in stores.get(x, ()):
                connect(y, z)
        for y in list(flows.get(x, ())):
            add(y, new)
    return points


def main():
    data, output = sys.argv[1:]
    facts = {kind: read(data, kind + ".tsv") for kind in ("address", "assign", "load", "store")}
    points = solve(facts)
    written = {}
    for y in {y for y, _ in facts["store"]}:
        for z in points.get(y, ()):
            written.setdefault(z, set()).add(y)
    expected = {
        "points.tsv": {(y, x) for y, targets in points.items() for x in targets},
        "lost.tsv": {(x, ) for _, x in facts["load"] if not points.get(x)},
        "shared.tsv": {(z, ) for z, through in written.items() if len(through) > 1},
    }
    wrong = 0
    for name, rows in expected.items():
        got = read(output, name)
        good = len(got) == len(set(got)) and set(got) == rows
        print(f"{name}: {len(got)} rows{'' if good else f', which are not the {len(rows)} expected'}")
        wrong += not good
    print("FAILED" if wrong else "PASSED")
    sys.exit(wrong > 0)


main()
