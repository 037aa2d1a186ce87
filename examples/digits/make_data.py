#!/usr/bin/python3
"""Writes scikit-learn's 1,797 handwritten digits (8 x 8 pixels) as .npy files; every fifth image is a test image.

usage: make_data.py FOLDER
"""

import os
import sys

import numpy
from sklearn.datasets import load_digits


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    digits = load_digits()
    is_test = numpy.arange(len(digits.target)) % 5 == 4
    for name, rows in (("train", ~is_test), ("test", is_test)):
        numpy.save(os.path.join(folder, name + ".npy"), digits.data[rows].astype(numpy.float32))
        numpy.save(os.path.join(folder, name + "_label.npy"), digits.target[rows].astype(numpy.int64))


if __name__ == "__main__":
    main()
