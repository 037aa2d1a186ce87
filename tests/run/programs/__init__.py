"""Small programs with generated inputs and independently computed values.

A program is a function that takes a seeded random generator and returns (text, inputs, expected): the program, a
dictionary of arrays (or `Raw` files) saved as NAME.npy, and a dictionary of expectations for the sinks NAME.npy. Values
are computed in float64 (or Python integers) with NumPy calls chosen for the purpose, never by reading the program text.
"""

import textwrap
import zlib

import numpy

REGISTRY = {}


class Program:
    def __init__(self, name, function, arguments, fixed_order, slow):
        self.name = name
        self.function = function
        self.arguments = arguments  # further command line arguments
        self.fixed_order = fixed_order  # statements span lines: they cannot be reordered line by line
        self.slow = slow  # too much arithmetic for the slow reference back end

    def build(self):
        """Returns (text, inputs, expected), the same at every call."""
        text, inputs, expected = self.function(numpy.random.default_rng(zlib.crc32(self.name.encode())))
        return textwrap.dedent(text).strip() + "\n", inputs, expected


def program(function=None, arguments=(), fixed_order=False, slow=False):
    """Registers a program under its function's name."""

    def register(function):
        name = function.__name__
        if name in REGISTRY:
            raise ValueError(f"two programs are called {name}")
        REGISTRY[name] = Program(name, function, list(arguments), fixed_order, slow)
        return function

    return register(function) if function else register


class Raw:
    """An input file written in a particular way: a header version, or bytes as they stand."""

    def __init__(self, array, version=None):
        self.array = array
        self.version = version


class Text:
    """An input that is written as it stands, under its whole name: a file to import."""

    def __init__(self, text):
        self.text = textwrap.dedent(text).strip() + "\n"


# ---- inputs


def f32(rng, *shape):
    return rng.standard_normal(shape).astype(numpy.float32)


def f64(rng, *shape):
    return rng.standard_normal(shape)


def positive(rng, *shape):
    """f32 in [0.5, 2): denominators, logarithms."""
    return rng.uniform(0.5, 2.0, shape).astype(numpy.float32)


def ints(rng, low, high, *shape, dtype=numpy.int64):
    """Integers in [low, high]."""
    return rng.integers(low, high, shape, endpoint=True).astype(dtype)


def wide(*arrays):
    """Copies in the type that expected values are computed in: float64, or int64 for integers and Booleans."""
    copies = [a.astype(numpy.float64 if a.dtype.kind == "f" else numpy.int64) for a in map(numpy.asarray, arrays)]
    return copies[0] if len(copies) == 1 else copies


# ---- expectations

EPSILON = {"f16": 2.0**-10, "f32": 2.0**-23, "f64": 2.0**-52}
NUMPY_NAME = {"f16": "float16", "f32": "float32", "f64": "float64", "i8": "int8", "u8": "uint8", "i16": "int16",
              "i32": "int32", "i64": "int64"}


class Real:
    """A real result: |got - expected| <= epsilon(dtype) * (length + 16) * scale for every element.

    `length` is the length of the longest chain of additions behind an element, `scale` bounds the magnitude of what is
    added (the largest expected magnitude when it is not given; it must be given where terms cancel). The 16 covers a
    few element-wise operations and functions. Infinities and NaN must be where they are expected.
    """

    exact = False

    def __init__(self, value, length=1, dtype="f32", scale=None):
        self.value = numpy.asarray(value, numpy.float64)
        self.dtype = dtype
        finite = numpy.abs(self.value[numpy.isfinite(self.value)])
        if scale is None:
            scale = finite.max() if finite.size else 0.0
        # The smallest normal numbers of f16 are far from 0: results near 0 lose relative precision there.
        self.bound = EPSILON[dtype] * (length + 16) * max(float(scale), 1e-6)

    def problem(self, got):
        if got.shape != self.value.shape:
            return f"shape {got.shape}, expected {self.value.shape}"
        if got.dtype.newbyteorder("=") != NUMPY_NAME[self.dtype]:
            return f"dtype {got.dtype}, expected {NUMPY_NAME[self.dtype]}"
        got = got.astype(numpy.float64)
        with numpy.errstate(invalid="ignore"):
            difference = numpy.abs(got - self.value)
        same = (got == self.value) | (numpy.isnan(got) & numpy.isnan(self.value))
        bad = ~(same | (difference <= self.bound))
        if bad.any():
            return describe(bad, got, self.value) + f" (bound {self.bound:.3g})"
        return None


class Exact:
    """Integers, Booleans, and reals that are known to the last bit. dtype: a name, or several; None takes any."""

    exact = True

    def __init__(self, value, dtype=("i64",)):
        self.value = numpy.asarray(value)
        self.dtypes = (dtype,) if isinstance(dtype, str) else dtype

    def problem(self, got):
        if got.shape != self.value.shape:
            return f"shape {got.shape}, expected {self.value.shape}"
        names = [NUMPY_NAME.get(name, name) for name in self.dtypes or ()]
        if names and got.dtype.name not in names:
            return f"dtype {got.dtype}, expected {' or '.join(names)}"
        if self.value.dtype.kind == "f":
            bad = ~((got == self.value) | (numpy.isnan(got) & numpy.isnan(self.value)))
        else:
            bad = got.astype(object) != self.value.astype(object)
        return describe(bad, got, self.value) if numpy.any(bad) else None


class Holds:
    """A property of the array: `check` returns None or what is wrong."""

    def __init__(self, check, exact=False):
        self.check = check
        self.exact = exact

    def problem(self, got):
        return self.check(got)


def describe(bad, got, expected):
    bad = numpy.asarray(bad, bool)
    place = tuple(int(x) for x in numpy.argwhere(bad)[0])
    return f"{int(bad.sum())} of {bad.size} elements differ, first at {list(place)}: {got[place]}, expected {expected[place]}"


def F32(value, length=1, scale=None):
    return Real(value, length, "f32", scale)


def F64(value, length=1, scale=None):
    return Real(value, length, "f64", scale)


def I64(value):
    return Exact(value, "i64")


def TRUTH(value):
    """A Boolean tensor: a dense file of bool or u8."""
    return Exact(numpy.asarray(value).astype(numpy.int64), ("bool", "u8"))


def INTEGER(value):
    """Integers of any width."""
    return Exact(value, ("i8", "u8", "i16", "uint16", "i32", "uint32", "i64"))


def NUMBER(value):
    """Whole numbers that may be held in any type, such as the zeros and ones of a mask."""
    return Exact(value, None)


def einsum(spec, *arrays):
    return numpy.einsum(spec, *arrays, optimize=len(arrays) > 2)


from . import (products, landing, indices, equations, types, functions, generators, choices, models,  # noqa: E402, F401
               large, joint, truths, structure, calls, imports, relations)  # noqa: F401
