#!/usr/bin/python3
"""Computes the transformer block again with NumPy in float64 and compares out.npy with it, without any code of
fuse-dist.

Only tensors of tokens x width and single weights are held as a whole: 4,096 tokens of width 1,024 need about 400 MB.
Exits 1 when the output is missing, of another shape, or further off than the tolerance.
"""

import os
import sys

import numpy

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from npyblocks import Comparison, row_blocks

# f32 rounds to 6e-8; attention's scores are off by about 2e-6, and so are, relatively, its weights.
TOLERANCE = 2e-5


def layer_norm(x, gain, shift):
    centred = x - x.mean(axis=-1, keepdims=True)
    return gain * centred / numpy.sqrt((centred ** 2).mean(axis=-1, keepdims=True) + 1e-5) + shift


def gelu(x):
    return 0.5 * x * (1.0 + numpy.tanh(numpy.sqrt(2.0 / numpy.pi) * (x + 0.044715 * x ** 3)))


def attend_causally(query, key, value):
    """[p,k] each, of one head -> [p,k]"""
    out = numpy.empty_like(value)
    for first, end in row_blocks((len(query), len(key))):
        score = query[first:end] @ key[:end].T / numpy.sqrt(query.shape[1])
        score[numpy.arange(first, end)[:, None] < numpy.arange(end)[None, :]] = -numpy.inf
        weight = numpy.exp(score - score.max(axis=1, keepdims=True))
        out[first:end] = weight @ value[:end] / weight.sum(axis=1, keepdims=True)
    return out


def attention(x, load):
    query_weight, key_weight, value_weight, output_weight = (
        load(name + "_weight") for name in ("query", "key", "value", "output"))
    result = numpy.tile(load("output_bias"), (len(x), 1))
    for head in range(len(output_weight)):
        mixed = attend_causally(*(x @ weight[:, head] for weight in (query_weight, key_weight, value_weight)))
        result += mixed @ output_weight[head]
    return result


def network(x, load):
    return gelu(x @ load("up_weight") + load("up_bias")) @ load("down_weight") + load("down_bias")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: reference.py DATA_FOLDER OUTPUT_FOLDER")
    data, output = sys.argv[1:]

    def load(name):
        return numpy.load(os.path.join(data, name + ".npy")).astype(numpy.float64)

    x = load("x")
    try:
        comparison = Comparison(os.path.join(output, "out.npy"), x.shape)
    except (OSError, ValueError) as error:
        print(f"reference: {error}\nFAILED")
        return 1
    x += attention(layer_norm(x, load("norm1_gain"), load("norm1_shift")), load)
    for first, end in row_blocks((len(x), len(load("up_bias")))):
        middle = x[first:end]
        normed = layer_norm(middle, load("norm2_gain"), load("norm2_shift"))
        comparison.add(slice(first, end), middle + network(normed, load))
    return 0 if comparison.verdict(TOLERANCE) else 1


if __name__ == "__main__":
    sys.exit(main())
