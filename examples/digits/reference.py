#!/usr/bin/python3
"""Computes digits.fuse again with NumPy in float64 and checks the files that the program wrote.

Predictions must be the same; the accuracy must be that of all predictions, to 1e-5. With --sample N only N test images,
spread over all, are classified again. Similarities are made for a block of training images at a time. Exits 1 when a
file is missing or differs.
"""

import argparse
import os
import sys

import numpy

TOLERANCE = 1e-5
CLASSES = 10
BLOCK = 2048  # images


def votes(train, label, test, chosen, temperature):
    """train [n,f], label [n], test [m,f], chosen [k]: numbers of test images -> [k,c], the sum of each row 1"""
    centre = train.mean(axis=0, dtype=numpy.float64)
    scale = numpy.sqrt(train.var(axis=0, dtype=numpy.float64) + 1.0)
    images = standardised(test[chosen], centre, scale)
    result = numpy.zeros((len(chosen), CLASSES))
    for first in range(0, len(train), BLOCK):
        others = standardised(train[first:first + BLOCK], centre, scale)
        # No cosine is above 1: taking 1 away, which changes no weight, keeps the exponential in range.
        weight = numpy.exp((images @ others.T - 1.0) / temperature)
        result += weight @ numpy.eye(CLASSES)[label[first:first + BLOCK]]
    return result / result.sum(axis=1, keepdims=True)


def standardised(images, centre, scale):
    images = (images.astype(numpy.float64) - centre) / scale
    return images / numpy.linalg.norm(images, axis=1, keepdims=True)


def read(path, shape):
    values = numpy.load(path)
    if values.shape != shape:
        raise ValueError(f"{path}: the shape is {values.shape}, expected {shape}")
    return values.astype(numpy.float64)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.025)
    parser.add_argument("data", help="folder of the inputs")
    parser.add_argument("output", help="folder of predictions.npy and accuracy.npy")
    options = parser.parse_args()
    train, label, test, truth = (numpy.load(os.path.join(options.data, name + ".npy"), mmap_mode="r")
                                 for name in ("train", "train_label", "test", "test_label"))
    try:
        predictions = read(os.path.join(options.output, "predictions.npy"), truth.shape)
        accuracy = float(read(os.path.join(options.output, "accuracy.npy"), ()))
    except (OSError, ValueError) as error:
        print(f"reference: {error}\nFAILED")
        return 1
    count = len(truth) if options.sample is None else min(options.sample, len(truth))
    chosen = numpy.arange(count) * len(truth) // count
    vote = votes(train, label, test, chosen, options.temperature)
    best = numpy.sort(vote, axis=1)
    expected = vote.argmax(axis=1)
    print(f"reference accuracy (NumPy, float64) on {count} of {len(truth)} test images: "
          f"{numpy.mean(expected == truth[chosen]):.6f}")
    print(f"the closest decision among them is won by {(best[:, -1] - best[:, -2]).min():.2g} of all votes")
    wrong = chosen[predictions[chosen] != expected]
    if len(wrong) > 0:
        print(f"reference: {len(wrong)} predictions differ, first that of test image {wrong[0]}")
    counted = float(numpy.mean(predictions == truth))
    agrees = abs(accuracy - counted) <= TOLERANCE  # a NaN does not
    if not agrees:
        print(f"reference: accuracy.npy says {accuracy}, the predictions' is {counted}")
    if len(wrong) > 0 or not agrees:
        print("FAILED")
        return 1
    print(f"PASSED: predictions are the same, and the accuracy agrees to {TOLERANCE:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
