#!/usr/bin/env python3
"""Compares npy sources and sinks with NumPy: usage test_npy_numpy.py DRIVER. Returns 77 without NumPy.

What would make it fail: a file that NumPy writes being refused or read wrongly, a file of ours that numpy.load reads
otherwise, a header that differs from NumPy's.
"""

import os
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
except ImportError:
    print("NumPy is missing, nothing checked")
    sys.exit(77)

RESIDENT = {"u2": "i4", "u4": "i8", "u8": "i8"}
NAMES = {"b1": "bool", "u1": "u8", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "f2": "f16", "f4": "f32",
         "f8": "f64", "u2": "u16", "u4": "u32", "u8": "u64"}
SHAPES = [(), (1,), (0,), (17,), (5, 0, 3), (6, 7), (3, 4, 5), (2, 1, 3, 1, 4), (40, 300), (300, 40), (2, 70000)]
random = np.random.default_rng(20240131)


def sample(dtype, shape):
    kind = np.dtype(dtype)
    count = int(np.prod(shape))
    if kind.kind == "b":
        return (random.random(count) < 0.5).reshape(shape)
    if kind.kind == "f":
        values = random.standard_normal(count) * 1000
        values[random.random(count) < 0.01] = np.inf
        return values.astype(dtype).reshape(shape)
    info = np.iinfo(kind.newbyteorder("="))
    top = min(int(info.max), 2**63 - 1)
    return random.integers(int(info.min), top, count, endpoint=True).astype(dtype).reshape(shape)


def random_box(shape):
    low, high = [], []
    for extent in shape:
        a, b = sorted(random.integers(0, extent + 1, 2).tolist()) if random.random() < 0.7 else (0, extent)
        low.append(a)
        high.append(b)
    return low, high


class Script:
    """Commands for the driver, each with the check of its answer."""

    def __init__(self):
        self.lines, self.checks = [], []

    def add(self, line, check):
        self.lines.append(line)
        self.checks.append((line, check))

    def run(self, driver):
        done = subprocess.run([driver], input="\n".join(self.lines) + "\n", text=True, stdout=subprocess.PIPE, check=True)
        answers = done.stdout.splitlines()
        assert len(answers) == len(self.checks), (len(answers), len(self.checks))
        for answer, (line, check) in zip(answers, self.checks):
            try:
                check(answer)
            except AssertionError as error:
                sys.exit(f"{line}\n  answers: {answer}\n  {error}")
        return len(answers)


def words(*values):
    return " ".join(str(v) for value in values for v in (value if isinstance(value, (list, tuple)) else [value]))


def add_reads(script):
    number = 0
    for code in NAMES:
        for order in "<>" if np.dtype(code).itemsize > 1 else "|":
            for shape in SHAPES:
                for fortran in (False, True):
                    version = [(1, 0), (2, 0), (3, 0)][number % 3]
                    array = sample(order + code, shape)
                    array = np.asarray(array, order="F" if fortran else "C")
                    path = f"s{number}.npy"
                    number += 1
                    with open(path, "wb") as stream, warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        np.lib.format.write_array(stream, array, version=version)
                    is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
                    want = words("ok", NAMES[code], int(order == ">"), int(is_fortran), len(shape), list(shape))
                    script.add(f"probe {path}", lambda answer, want=want: equal(answer, want))
                    for turn in range(4):
                        low, high = random_box(shape) if turn else ([0] * len(shape), list(shape))
                        out = f"{path}.{turn}"
                        part = array[tuple(slice(a, b) for a, b in zip(low, high))]
                        expected = part.astype(RESIDENT.get(code, code)).tobytes("F" if turn % 2 else "C")
                        script.add(words("read", path, out, turn % 2, low, high),
                                   lambda answer, out=out, expected=expected: same_bytes(answer, out, expected))


def equal(answer, want):
    assert answer == want, f"wanted: {want}"


def same_bytes(answer, path, expected):
    assert answer.startswith("ok"), "refused"
    with open(path, "rb") as stream:
        assert stream.read() == expected, "other elements than NumPy's"


def add_writes(script):
    for number, (code, shape) in enumerate((c, s) for c in NAMES for s in SHAPES):
        array = sample(("|" if np.dtype(code).itemsize == 1 else "<") + code, shape)
        path, data = f"w{number}.npy", f"w{number}.raw"
        # The first axis of more than one coordinate is cut in three, the last in two.
        boxes = [([0] * len(shape), list(shape))]
        for axis, parts in ((0, 3), (len(shape) - 1, 2)) if shape else ():
            boxes = [cut for box in boxes for cut in split(box, axis, parts)]
        with open(data, "wb") as stream:
            for low, high in boxes:
                stream.write(array[tuple(slice(a, b) for a, b in zip(low, high))].tobytes())
        script.add(words("write", path, NAMES[code], len(shape), list(shape), data, len(boxes))
                   + "".join("\n" + words(low, high) for low, high in boxes),
                   lambda answer, path=path, array=array: same_file(answer, path, array))


def split(box, axis, parts):
    low, high = box
    borders = [low[axis] + (high[axis] - low[axis]) * i // parts for i in range(parts + 1)]
    for a, b in zip(borders, borders[1:]):
        yield low[:axis] + [a] + low[axis + 1:], high[:axis] + [b] + high[axis + 1:]


def same_file(answer, path, array):
    assert answer == "ok", "refused"
    back = np.load(path, allow_pickle=False)
    assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes(), "other elements"
    np.save("numpy.npy", array)
    # NumPy leaves room for a growing axis since 1.23; before, only the padding differs.
    with open(path, "rb") as ours, open("numpy.npy", "rb") as numpy:
        if tuple(int(v) for v in np.__version__.split(".")[:2]) >= (1, 23):
            assert ours.read() == numpy.read(), "other bytes than numpy.save writes"


def add_refused(script):
    cases = {
        "object": (np.array([{}, []], dtype=object), "pickled objects are never read"),
        "complex": (np.zeros(3, "c16"), "complex"),
        "date": (np.zeros(3, "M8[s]"), "dates"),
        "string": (np.array(["a", "bc"]), "strings"),
        "bytes": (np.array([b"a", b"bc"]), "strings"),
        "void": (np.zeros(3, "V5"), "raw bytes"),
        "structured": (np.zeros(3, [("a", "f4"), ("\u00e9", "i4")]), "structured"),
        "subarray": (np.zeros(3, [("a", "f4", (2,))]), "structured"),
    }
    if np.dtype("longdouble").itemsize > 8:
        cases["longdouble"] = (np.zeros(3, "longdouble"), "16, 32 and 64 bits")
    for name, (array, says) in cases.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.save(f"{name}.npy", array, allow_pickle=True)
        script.add(f"probe {name}.npy", lambda answer, says=says: refused(answer, says))


def refused(answer, says):
    assert answer.startswith("INPUT ") and says in answer, f"wanted: INPUT .. {says}"


def main():
    driver = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        script = Script()
        add_reads(script)
        add_writes(script)
        add_refused(script)
        print(f"{script.run(driver)} comparisons with NumPy {np.__version__}")
        os.chdir("/")


if __name__ == "__main__":
    main()
