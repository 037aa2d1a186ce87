#!/usr/bin/python3
"""Writes the inputs and expected outputs of the small examples, and compares outputs with them.

usage: compare.py write [NAME...]       writes NAME/* and NAME/expected/*, of all examples if none is named
       compare.py compare NAME FOLDER   compares the files in FOLDER with NAME/expected; exits 1 when one is missing or off

NAME/NAME.py has two functions, which know nothing of fuse-dist:
  inputs(random)   file name -> array, made with a numpy.random.Generator
  outputs(...)     file name -> array, from the inputs by the stems of their names, in float64
An array of integers or Booleans has to come out exactly; in a real one the largest error may be TOLERANCE (1e-5, or what
NAME.py sets) times the largest magnitude. A .tsv file holds a fact or a weighted edge a line.
"""

import functools
import importlib.util
import json
import os
import sys

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
TOLERANCE = 1e-5


def names():
    return sorted(name for name in os.listdir(HERE) if os.path.exists(os.path.join(HERE, name, name + ".fuse")))


@functools.cache
def mathematics(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(HERE, name, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path, array):
    """Eight digits: more than f32 holds."""
    array = numpy.asarray(array)
    if path.endswith(".tsv"):
        text = "".join("\t".join(f"{field:.8g}" for field in row) + "\n" for row in array)
    else:
        values = (numpy.vectorize(lambda x: float(f"{x:.8g}"))(array) if array.dtype.kind == "f" else array).tolist()
        rows = [json.dumps(row) for row in values] if array.ndim > 1 else None
        text = ("[" + ",\n ".join(rows) + "]" if rows else json.dumps(values)) + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def read(path):
    if path.endswith(".tsv"):
        table = numpy.loadtxt(path, ndmin=2)
        return table.astype(int) if (table == numpy.floor(table)).all() else table
    with open(path, encoding="utf-8") as file:
        return numpy.array(json.load(file))


def make(name, folder):
    """Writes the inputs into folder and what is expected into folder/expected."""
    module = mathematics(name)
    os.makedirs(os.path.join(folder, "expected"), exist_ok=True)
    inputs = module.inputs(numpy.random.default_rng(sum(name.encode())))
    for file, array in inputs.items():
        write(os.path.join(folder, file), array)
    # From the files, whose numbers are rounded.
    arrays = {os.path.splitext(file)[0]: read(os.path.join(folder, file)) for file in inputs}
    for file, array in module.outputs(**arrays).items():
        write(os.path.join(folder, "expected", file), array)


def difference(name, got, expected):
    """What is wrong with the array that a program wrote, or None."""
    if got.shape != expected.shape or got.dtype.kind != expected.dtype.kind:
        return f"{got.dtype.kind}{list(got.shape)} instead of {expected.dtype.kind}{list(expected.shape)}"
    if got.dtype.kind != "f":
        return None if (got == expected).all() else f"{(got != expected).sum()} of {got.size} values differ"
    bound = getattr(mathematics(name), "TOLERANCE", TOLERANCE)
    error = numpy.abs(got - expected).max() / numpy.abs(expected).max()
    return None if error <= bound else f"largest error / largest magnitude: {error:.3g}, more than {bound:g}"


def compare(name, folder):
    """Prints a line a file; true when all are right."""
    good = True
    expected = os.path.join(HERE, name, "expected")
    for file in sorted(os.listdir(expected)):
        try:
            wrong = difference(name, read(os.path.join(folder, file)), read(os.path.join(expected, file)))
        except (OSError, ValueError) as error:
            wrong = str(error)
        print(f"{name}: {file}: {wrong or 'as NumPy computes it'}")
        good &= wrong is None
    print("PASSED" if good else "FAILED")
    return good


def main(arguments):
    if arguments[:1] == ["write"]:
        for name in arguments[1:] or names():
            make(name, os.path.join(HERE, name))
        return 0
    if len(arguments) == 3 and arguments[0] == "compare" and arguments[1] in names():
        return 0 if compare(*arguments[1:]) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
