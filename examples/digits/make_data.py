#!/usr/bin/python3
"""Writes scikit-learn's 1,797 handwritten digits (8 x 8 pixels) as .npy files; every fifth digit is a test digit.

With --scale, every digit is drawn 225 times: shifted by up to two pixels each way, what leaves the frame lost and what
enters it blank, and at nine intensities from 3/4 to 5/4. No drawing of a test digit is among the training images. Of
these the first 320,000 are training and the first 80,000 are test images; --rows takes fewer of both. They are written
as they are drawn, a digit set at a time: 100 MB of memory are enough, most of it scikit-learn.
"""

import argparse
import os
import sys

import numpy
from sklearn.datasets import load_digits

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from npyblocks import write_blocks

SHIFTS = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
INTENSITIES = [sixteenths / 16 for sixteenths in range(12, 21)]  # so that f32 holds every pixel exactly


def shifted(images, down, right):
    """images [n,8,8]"""
    result = numpy.zeros_like(images)
    height, width = images.shape[1:]
    result[:, max(down, 0):height + min(down, 0), max(right, 0):width + min(right, 0)] = \
        images[:, max(-down, 0):height + min(-down, 0), max(-right, 0):width + min(-right, 0)]
    return result


def drawings(images, rows):
    """Blocks [n,64] of rows in all: all images, drawn in one way after the other."""
    for intensity in INTENSITIES:
        for down, right in SHIFTS:
            block = (intensity * shifted(images, down, right)).reshape(len(images), -1)[:rows]
            rows -= len(block)
            if len(block) > 0:
                yield block


def repeated(labels, rows):
    """Blocks [n] of rows in all, the drawings' labels."""
    while rows > 0:
        yield labels[:rows]
        rows -= min(rows, len(labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--rows", type=int, default=400000, help="of --scale in all, one fifth of them test images")
    parser.add_argument("folder")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    digits = load_digits()
    is_test = numpy.arange(len(digits.target)) % 5 == 4
    for name, chosen, share in (("train", ~is_test, 4), ("test", is_test, 1)):
        images, labels = digits.images[chosen], digits.target[chosen]
        rows = options.rows * share // 5 if options.scale else len(images)
        if not 0 < rows <= len(images) * len(SHIFTS) * len(INTENSITIES):
            parser.error("--rows is between 5 and 400000")
        blocks = drawings(images, rows) if options.scale else [images.reshape(len(images), -1)]
        write_blocks(os.path.join(options.folder, name + ".npy"), (rows, 64), numpy.float32, blocks)
        write_blocks(os.path.join(options.folder, name + "_label.npy"), (rows,), numpy.int64, repeated(labels, rows))


if __name__ == "__main__":
    main()
