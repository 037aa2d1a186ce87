#!/usr/bin/python3
"""Computes digits.fuse again with NumPy in float64 and checks the files that the program wrote, to 1e-5.

usage: reference.py DATA_FOLDER OUTPUT_FOLDER
Prints the accuracy; exits 1 when a file is missing or differs.
"""

import os
import sys

import numpy

TOLERANCE = 1e-5
TEMPERATURE = 0.025


def classify(train, label, test):
    centre = train.mean(axis=0)
    scale = numpy.sqrt(train.var(axis=0) + 1.0)
    train = (train - centre) / scale
    test = (test - centre) / scale
    train /= numpy.linalg.norm(train, axis=1, keepdims=True)
    test /= numpy.linalg.norm(test, axis=1, keepdims=True)
    logits = test @ train.T / TEMPERATURE
    weights = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    votes = numpy.stack([weights[:, label == digit].sum(axis=1) for digit in range(10)], axis=1)
    return votes.argmax(axis=1)


def check(name, expected, path):
    try:
        got = numpy.load(path)
    except (OSError, ValueError) as error:
        print(f"reference: {name}: {error}")
        return False
    if got.shape != numpy.shape(expected):
        print(f"reference: {name}: the shape is {got.shape}, expected {numpy.shape(expected)}")
        return False
    difference = numpy.abs(got.astype(numpy.float64) - expected).max()
    # Written so that a NaN fails.
    if not difference <= TOLERANCE:
        print(f"reference: {name}: differs by up to {difference}")
        return False
    return True


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, output = sys.argv[1:]
    train, test = (numpy.load(os.path.join(data, name + ".npy")).astype(numpy.float64) for name in ("train", "test"))
    label, truth = (numpy.load(os.path.join(data, name + "_label.npy")) for name in ("train", "test"))
    predictions = classify(train, label, test)
    accuracy = numpy.mean(predictions == truth)
    print(f"reference accuracy (NumPy, float64): {accuracy:.6f}")
    checks = [
        check("predictions", predictions, os.path.join(output, "predictions.npy")),
        check("accuracy", accuracy, os.path.join(output, "accuracy.npy")),
    ]
    if not all(checks):
        return 1
    print(f"both files agree to {TOLERANCE:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
