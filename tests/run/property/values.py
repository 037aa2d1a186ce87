"""Values of expressions as NumPy arrays with named axes, and the functions of the language on them."""

import itertools
import math

import numpy

from trees import index_name

KINDS = {"b": numpy.bool_, "i": numpy.int64, "w": numpy.float64, "d": numpy.float64, "s": numpy.float64}
LARGEST = 200_000  # elements of an intermediate array

# What combines two contributions, what changes nothing, what projects. The large numbers mark cells without a value,
# which no program to compare may have.
JOINT = {"max=": (numpy.maximum, -2**62, numpy.max), "min=": (numpy.minimum, 2**62, numpy.min),
         "prod=": (numpy.multiply, 1, numpy.prod), "avg=": (numpy.add, 0, None)}
NEUTRAL = {assign: row[1] for assign, row in JOINT.items()}
ELEMENT = {
    "relu": (lambda x: numpy.maximum(x, 0), "number"), "abs": (numpy.abs, "number"), "sign": (numpy.sign, "number"),
    "floor": (numpy.floor, "number"), "ceil": (numpy.ceil, "number"), "round": (numpy.round, "number"),
    "step": (lambda x: x > 0, "truth"), "isnan": (numpy.isnan, "truth"), "exp": (numpy.exp, "real"),
    "sigmoid": (lambda x: 1 / (1 + numpy.exp(-x)), "real"), "tanh": (numpy.tanh, "real"), "sin": (numpy.sin, "real"),
    "cos": (numpy.cos, "real"), "silu": (lambda x: x / (1 + numpy.exp(-x)), "real"),
    "minimum": (numpy.minimum, "number"), "maximum": (numpy.maximum, "number"),
    "clip": (lambda x, a, b: numpy.minimum(numpy.maximum(x, a), b), "number"),
}
JUMPS = {"sign", "floor", "ceil", "round", "step"}
REDUCE = {"sum": (numpy.sum, "number"), "mean": (numpy.mean, "real"), "avg": (numpy.mean, "real"),
          "max": (numpy.max, "number"), "amax": (numpy.max, "number"), "min": (numpy.min, "number"),
          "amin": (numpy.min, "number"), "prod": (numpy.prod, "number"), "any": (numpy.any, "truth"),
          "all": (numpy.all, "truth"), "argmax": (numpy.argmax, "place"), "argmin": (numpy.argmin, "place"),
          "norm": (lambda x, axis: numpy.sqrt((x * x).sum(axis=axis)), "real"),
          "logsumexp": (lambda x, axis: numpy.log(numpy.exp(x).sum(axis=axis)), "real")}
NORMALISE = {"softmax", "log_softmax", "lnorm", "layernorm", "rmsnorm", "cumsum"}


class ProgramError(Exception):
    """The program is wrong. kind: what is said about it; names: the indices it is about."""

    def __init__(self, kind, names=()):
        super().__init__(kind)
        self.kind = kind
        self.names = tuple(names)


class Fragile(Exception):
    """A rounding error would decide the result, or a value is too large: no program to compare."""


class Value:
    """names: one per axis; kind: b(ool), i(nteger), d (f64), s (f32), w (real literals, which give way)."""

    loose = False  # something was rounded to f32

    def __init__(self, names, array, kind, exact=True):
        self.names = tuple(names)
        self.array = numpy.asarray(array, KINDS[kind])
        self.kind = kind
        self.exact = exact
        if kind in "sw" and not exact:
            Value.loose = True
        if self.array.size > LARGEST:
            raise Fragile()
        if kind not in "bi" and not numpy.isfinite(self.array).all():
            raise Fragile()
        if self.array.size and kind != "b" and numpy.abs(self.array).max() > 1e9:
            raise Fragile()


def join(a, b):
    if a == b and a not in "b":
        return a
    for kind in "dsw":
        if kind in (a, b):
            return kind
    return "i"


def number_kind(kind):
    return "i" if kind == "b" else kind


def real_kind(kind):
    return kind if kind in "dsw" else "w"


def spread(value, names):
    """The array with exactly these axes, of length 1 where the value has none."""
    order = [value.names.index(n) for n in names if n in value.names]
    shape = [value.array.shape[value.names.index(n)] if n in value.names else 1 for n in names]
    return value.array.transpose(order).reshape(shape)


def together(values):
    """Names of all, and the arrays with those axes."""
    names = list(dict.fromkeys(itertools.chain(*(v.names for v in values))))
    if math.prod(dict(pair for v in values for pair in zip(v.names, v.array.shape)).values()) > LARGEST:
        raise Fragile()
    return names, [spread(v, names) for v in values]


def refuse_large(array, axes):
    """A product of so many large elements."""
    with numpy.errstate(over="ignore"):
        if (numpy.maximum(numpy.abs(array.astype(float)), 1).prod(axis=axes) > 1e15).any():
            raise Fragile()


def sum_over(value, names):
    axes = tuple(value.names.index(n) for n in names)
    kind = number_kind(value.kind)
    array = value.array.astype(KINDS[kind]).sum(axis=axes)
    return Value([n for n in value.names if n not in names], array, kind, value.exact)


def shifted(array, axis, offset):
    """At i, the element at i + offset; 0 outside."""
    result = numpy.zeros_like(array)
    n = array.shape[axis]
    for i in range(n):
        if 0 <= i + offset < n:
            result[(slice(None),) * axis + (i,)] = array[(slice(None),) * axis + (i + offset,)]
    return result


def store(lefts, value, shape, extents, assign="="):
    """The tensor that one contribution makes: 0, or what changes nothing, where it does not reach."""
    result = numpy.full(shape, NEUTRAL.get(assign, 0), value.array.dtype)
    free = list(dict.fromkeys(index_name(i) for i in lefts if index_name(i)))
    if math.prod(shape) > LARGEST:
        raise Fragile()
    array = numpy.broadcast_to(spread(value, free), [extents[n] for n in free])
    if all(i[0] != "o" for i in lefts) and len(free) == len(lefts):
        return array.copy()
    places = dict(zip(free, numpy.indices(array.shape)))
    cells = [numpy.full(array.shape, i[1] % n) if i[0] == "f" else places[index_name(i)] + (i[2] if i[0] == "o" else 0)
             for i, n in zip(lefts, shape)]
    inside = numpy.ones(array.shape, bool)
    for cell, n in zip(cells, shape):
        inside &= (cell >= 0) & (cell < n)
    result[tuple(cell[inside] for cell in cells)] = array[inside]
    return result
