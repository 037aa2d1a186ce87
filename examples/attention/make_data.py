#!/usr/bin/python3
"""Writes query.npy, key.npy and value.npy, f32 [tokens, heads, width / heads], normally distributed.

The files are written block by block: 40 MB of memory are enough for any size.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from npyblocks import write_normal


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--width", type=int, default=8, help="features of a token, all heads together")
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("folder")
    options = parser.parse_args()
    if min(options.tokens, options.width, options.heads) < 1 or options.width % options.heads:
        parser.error("tokens, width and heads are positive, and heads divides width")
    os.makedirs(options.folder, exist_ok=True)
    shape = (options.tokens, options.heads, options.width // options.heads)
    # Queries are twice as long as usual, so that tokens differ clearly in whom they attend to.
    for number, (name, scale) in enumerate([("query", 2.0), ("key", 1.0), ("value", 1.0)]):
        write_normal(os.path.join(options.folder, name + ".npy"), shape, [options.seed, number], scale)


if __name__ == "__main__":
    main()
