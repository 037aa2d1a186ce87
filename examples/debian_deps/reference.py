#!/usr/bin/env python3
"""Checks what debian_deps.fuse wrote against a search from each package: usage reference.py DATA OUTPUT."""

import os
import sys


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return [tuple(line.rstrip("\n").split("\t")) for line in stream]


def reach(after, start):
    seen, wave = set(), [start]
    while wave:
        for other in after.get(wave.pop(), ()):
            if other not in seen:
                seen.add(other)
                wave.append(other)
    return seen


def heights(packages, edges):
    """The longest chains of an acyclic graph, packages with nothing below first."""
    above, waiting = {}, {package: 0 for package in packages}
    for a, b in edges:
        above.setdefault(b, []).append(a)
        waiting[a] += 1
    height, wave = {package: 0 for package in packages}, [p for p, n in waiting.items() if n == 0]
    while wave:
        b = wave.pop()
        for a in above.get(b, ()):
            height[a] = max(height[a], height[b] + 1)
            waiting[a] -= 1
            if waiting[a] == 0:
                wave.append(a)
    assert not any(waiting.values()), "a circle is left"
    return height


def main():
    data, output = sys.argv[1:]
    packages, edges = [row[0] for row in read(data, "package.tsv")], set(read(data, "depends.tsv"))
    after = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)
    needs = {package: reach(after, package) for package in packages}
    circle = {(a, b) for a in packages for b in needs[a] if a in needs.get(b, ())}
    height = heights(packages, [(a, b) for a, b in edges if (a, b) not in circle])
    needed = {b for _, b in edges}
    expected = {
        "circle.tsv": circle,
        "unneeded.tsv": {(p, ) for p in packages if p not in needed},
        "height.tsv": {(p, f"{height[p]}.0") for p in packages},
        "editor.tsv": {(q, ) for q in needs.get("vim", ())},
    }
    wrong = 0
    for name, rows in expected.items():
        got = read(output, name)
        good = len(got) == len(set(got)) and set(got) == rows
        print(f"{name}: {len(got)} rows{'' if good else f', which are not the {len(rows)} expected'}")
        wrong += not good
    print(f"{sum(map(len, needs.values()))} pairs of packages of which one needs the other")
    print("FAILED" if wrong else "PASSED")
    sys.exit(wrong > 0)


main()
