#!/usr/bin/env python3
"""Checks what shortest_paths.fuse wrote against Dijkstra's algorithm: usage reference.py DATA OUTPUT.

The nearest (or widest) place that is not settled yet is, along each of its roads (E. W. Dijkstra, Numer. Math. 1, 1959).
"""

import heapq
import os
import sys


def read_roads(path):
    roads = {}
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            a, b, value = line.split("\t")
            roads.setdefault(int(a), []).append((int(b), float(value)))
    return roads


def settle(roads, start, along):
    """along(value, road): what a place that has the value gives to the end of a road; the heap's smallest is the best."""
    best, heap = {}, [(start, 0)]
    while heap:
        value, place = heapq.heappop(heap)
        if place in best:
            continue
        best[place] = value
        for other, road in roads.get(place, ()):
            if other not in best:
                heapq.heappush(heap, (along(value, road), other))
    return best


def read(path):
    rows = []
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            place, value = line.split("\t")
            rows.append((int(place), float(value)))
    return rows


def main():
    data, output = sys.argv[1:]
    roads = read_roads(os.path.join(data, "roads.tsv"))
    expected = {
        "distance.tsv": settle(roads, 0.0, lambda value, road: value + road),
        "hops.tsv": settle(roads, 0.0, lambda value, road: value + 1),
    }
    del roads
    # The widest way: the smallest of the negated widths is best, and a way is as wide as its narrowest road.
    widest = settle(read_roads(os.path.join(data, "widths.tsv")), -1000.0, lambda value, road: max(value, -road))
    expected["widest.tsv"] = {place: -value for place, value in widest.items()}
    wrong = 0
    for name, values in expected.items():
        got = read(os.path.join(output, name))
        good = got == sorted(values.items())
        print(f"{name}: {len(got)} places{'' if good else ', which are not what is expected'}")
        wrong += not good
    print("FAILED" if wrong else "PASSED")
    sys.exit(wrong > 0)


main()
