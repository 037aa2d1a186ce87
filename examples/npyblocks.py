"""Reading and writing .npy files a block of rows at a time: what the examples' generators and references share."""

import numpy

BLOCK_BYTES = 16 << 20  # of one block in memory


def row_blocks(shape, itemsize=8, block_bytes=BLOCK_BYTES):
    """Ranges (first, end) of rows of a tensor, each of about block_bytes."""
    row_bytes = max(1, int(numpy.prod(shape[1:], dtype=numpy.int64)) * itemsize)
    step = max(1, block_bytes // row_bytes)
    return [(first, min(first + step, shape[0])) for first in range(0, shape[0], step)]


def write_blocks(path, shape, dtype, blocks):
    """Writes a C-ordered .npy file from an iterable of arrays, which are its rows in order."""
    dtype = numpy.dtype(dtype)
    header = {"descr": numpy.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    rows = 0
    with open(path, "wb") as file:
        numpy.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            if block.shape[1:] != tuple(shape[1:]):
                raise ValueError(f"{path}: a block of shape {block.shape} in a tensor of shape {tuple(shape)}")
            numpy.ascontiguousarray(block, dtype=dtype).tofile(file)
            rows += block.shape[0]
    if rows != shape[0]:
        raise ValueError(f"{path}: {rows} rows of {shape[0]}")


def write_normal(path, shape, seed, scale=1.0, mean=0.0):
    """Writes normally distributed f32 numbers. seed: a list of integers, another one for every file."""
    random = numpy.random.default_rng(seed)
    write_blocks(path, shape, numpy.float32,
                 (mean + scale * random.standard_normal((end - first, *shape[1:]))
                  for first, end in row_blocks(shape)))


class Comparison:
    """Collects the difference of a file that a program wrote from blocks of what was expected, in float64."""

    def __init__(self, path, shape, dtype=numpy.float32):
        self.got = numpy.load(path, mmap_mode="r")
        if self.got.shape != tuple(shape) or self.got.dtype != dtype:
            raise ValueError(f"{path} holds {self.got.dtype}{list(self.got.shape)}, "
                             f"expected {numpy.dtype(dtype)}{list(shape)}")
        self.largest = 0.0
        self.count = 0
        self.total = 0.0
        self.squares = 0.0

    def add(self, place, expected):
        """place: an index of the file's array; expected: what should be there."""
        difference = numpy.abs(self.got[place].astype(numpy.float64) - expected)
        # fmax would drop a NaN; so would max() of Python in one order of its arguments.
        self.largest = float(numpy.maximum(self.largest, difference.max(initial=0.0)))
        self.count += expected.size
        self.total += float(expected.sum())
        self.squares += float((expected ** 2).sum())

    def verdict(self, tolerance):
        """Prints the largest error relative to the spread (standard deviation) of the expected values, and PASSED or
        FAILED. True when every element was compared and the error is at most tolerance."""
        mean = self.total / self.count
        spread = (self.squares / self.count - mean ** 2) ** 0.5
        error = self.largest / spread
        passed = self.count == self.got.size and error <= tolerance  # a NaN fails
        print(f"largest error / spread of the output: {self.largest:.3g} / {spread:.3g} = {error:.3g} "
              f"(at most {tolerance:g} is right)")
        print("PASSED" if passed else "FAILED")
        return passed
