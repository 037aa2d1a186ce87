#!/usr/bin/env python3
"""Writes a random road map: usage make_data.py [--places N] [--roads N] FOLDER.

roads.tsv    from, to, length: lengths are multiples of 1/4 below 250, so that sums are exact in any order
widths.tsv   from, to, width: the same roads; between two places there may be several
"""

import argparse
import os

import numpy as np


def write(folder, name, columns, values):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
        for (a, b), value in zip(columns.tolist(), values.tolist()):
            stream.write(f"{a}\t{b}\t{value:g}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--places", type=int, default=20000)
    parser.add_argument("--roads", type=int, default=80000)
    parser.add_argument("folder")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    ends = rng.integers(0, options.places, (options.roads, 2))
    write(options.folder, "roads.tsv", ends, rng.integers(1, 1000, options.roads) / 4)
    write(options.folder, "widths.tsv", ends, rng.integers(1, 1000, options.roads))


main()
