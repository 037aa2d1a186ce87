#!/usr/bin/python3
"""Writes the input x.npy, f32 [tokens, width], and random weights of a transformer block.

Biases, gains and weights are drawn so that every part of the block matters for its output. The files are written block
by block: 100 MB of memory are enough for any size.
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
    parser.add_argument("--hidden", type=int, help="features of the network's hidden layer; else four times the width")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("folder")
    options = parser.parse_args()
    tokens, width, heads = options.tokens, options.width, options.heads
    hidden = 4 * width if options.hidden is None else options.hidden
    if min(tokens, width, heads, hidden) < 1 or width % heads:
        parser.error("tokens, width, heads and hidden are positive, and heads divides width")
    os.makedirs(options.folder, exist_ok=True)
    head = width // heads
    # Name, shape, spread, mean. A weight's spread is that of a sum of its inputs made 1; queries are longer, so that
    # tokens differ clearly in whom they attend to.
    files = [
        ("x", (tokens, width), 1.0, 0.0),
        ("norm1_gain", (width,), 0.2, 1.0),
        ("norm1_shift", (width,), 0.2, 0.0),
        ("query_weight", (width, heads, head), 2.0 * width ** -0.5, 0.0),
        ("key_weight", (width, heads, head), width ** -0.5, 0.0),
        ("value_weight", (width, heads, head), width ** -0.5, 0.0),
        ("output_weight", (heads, head, width), width ** -0.5, 0.0),
        ("output_bias", (width,), 0.5, 0.0),
        ("norm2_gain", (width,), 0.2, 1.0),
        ("norm2_shift", (width,), 0.2, 0.0),
        ("up_weight", (width, hidden), width ** -0.5, 0.0),
        ("up_bias", (hidden,), 0.5, 0.0),
        ("down_weight", (hidden, width), hidden ** -0.5, 0.0),
        ("down_bias", (width,), 0.5, 0.0),
    ]
    for number, (name, shape, spread, mean) in enumerate(files):
        write_normal(os.path.join(options.folder, name + ".npy"), shape, [options.seed, number], spread, mean)


if __name__ == "__main__":
    main()
