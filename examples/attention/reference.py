#!/usr/bin/python3
"""Computes attention again with NumPy in float64 and compares out.npy with it, without any code of fuse-dist.

Scores are made for one head and a block of tokens at a time: p = 4096 needs about 100 MB.
Exits 1 when the output is missing, of another shape, or further off than the tolerance.
"""

import argparse
import os
import sys

import numpy

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from npyblocks import Comparison, row_blocks

# f32 rounds to 6e-8, which leaves errors of about 2e-6 in scores of about 10 and, relatively, in their weights. The
# spread of the output falls with the square root of the number of tokens that it is a mean of.
TOLERANCE = 2e-6  # times the square root of the number of tokens


def attend(query, key, value, first_token, causal):
    """query [m,d] of the tokens from first_token on, key [q,d], value [q,e], all float64 -> [m,e]"""
    score = query @ key.T / numpy.sqrt(query.shape[1])
    if causal:
        token = first_token + numpy.arange(len(query))
        score[token[:, None] < numpy.arange(len(key))[None, :]] = -numpy.inf
    weight = numpy.exp(score - score.max(axis=1, keepdims=True))
    return weight @ value / weight.sum(axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--causal", action="store_true")
    parser.add_argument("data", help="folder of the inputs")
    parser.add_argument("output", help="folder of out.npy")
    options = parser.parse_args()
    query, key, value = (numpy.load(os.path.join(options.data, name + ".npy"), mmap_mode="r")
                         for name in ("query", "key", "value"))
    try:
        comparison = Comparison(os.path.join(options.output, "out.npy"), query.shape[:2] + value.shape[2:])
    except (OSError, ValueError) as error:
        print(f"reference: {error}\nFAILED")
        return 1
    for head in range(query.shape[1]):
        keys, values = (tensor[:, head].astype(numpy.float64) for tensor in (key, value))
        for first, end in row_blocks((len(query), len(key))):
            expected = attend(query[first:end, head].astype(numpy.float64), keys, values, first, options.causal)
            comparison.add((slice(first, end), head), expected)
    return 0 if comparison.verdict(TOLERANCE * len(key) ** 0.5) else 1


if __name__ == "__main__":
    sys.exit(main())
