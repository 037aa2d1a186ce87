#!/usr/bin/python3
"""`convert` and `info FILE`: every pair of formats, written and read back by NumPy and Python, at one and at three ranks.

usage: test_convert.py FUSE_DIST
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = None
REALS = ("f2", "f4", "f8", ">f4")
DTYPES = ("bool", "u1", "i1", "i4", "i8", "u2") + REALS


def array_of(dtype, shape=(3, 5)):
    values = numpy.arange(int(numpy.prod(shape)), dtype="f8").reshape(shape) * 3 % 7
    if dtype in REALS:
        values /= 4
    if dtype[0] == "i":
        values -= 3  # a table of nothing but ids is a set of cells
    return (values > 2 if dtype == "bool" else values).astype(dtype)


# ---- writers and readers that know nothing of fuse-dist ----

def write_json(path, array):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(array.tolist(), file)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return numpy.array(json.load(file))


def write_jsonl(path, array):
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps({"schema": "fuse.tensor", "version": 1, "shape": list(array.shape)},
                              separators=(",", ":")) + "\n")
        for value in array.ravel().tolist():
            file.write(json.dumps({"value": value}, separators=(",", ":")) + "\n")


def read_jsonl(path):
    with open(path, encoding="utf-8") as file:
        head = json.loads(file.readline())
        return numpy.array([json.loads(line)["value"] for line in file]).reshape(head["shape"])


def write_table(path, array):
    """Rows from last to first, the first one twice where that means nothing."""
    cells = [(*map(str, at), *([] if array.dtype == bool else [repr(array[at].item())]))
             for at in zip(*map(lambda a: a.tolist(), numpy.nonzero(array)))]
    if array.dtype == bool:
        cells.append(cells[0])
    with open(path, "w", encoding="utf-8") as file:
        for cell in reversed(cells):
            file.write((","if path.endswith(".csv") else "\t").join(cell) + "\n")


def read_table(path, shape, is_set):
    array = numpy.zeros(shape, dtype=bool if is_set else "f8")
    with open(path, encoding="utf-8") as file:
        for line in file:
            fields = line.rstrip("\n").split("," if path.endswith(".csv") else "\t")
            ids = tuple(map(int, fields if is_set else fields[:-1]))
            array[ids] = True if is_set else float(fields[-1])
    return array


def as_json(array):
    """What a .json file says of numbers: integers are i64, others f32."""
    return array if array.dtype == bool else array.astype("i8" if array.dtype.kind in "iu" else "f4")


def as_table(array):
    """A table has no zeros at the end, and its values are real."""
    ends = [int(at.max()) + 1 for at in numpy.nonzero(array)]
    array = array[tuple(slice(end) for end in ends)]
    return array if array.dtype == bool else array.astype("f8" if array.dtype.kind in "iu" else "f4")


def as_memory(array):
    """Unsigned integers grow, as in programs."""
    return array.astype({"u2": "i4", "u4": "i8"}.get(array.dtype.str[1:], array.dtype.newbyteorder("=")))


# suffix -> writer, what the file then holds, reader(path, what is expected)
FORMATS = {
    ".npy": (numpy.save, as_memory, lambda path, like: numpy.load(path)),
    ".npz": (lambda path, array: numpy.savez(path, array), as_memory,
             lambda path, like: numpy.load(path)["arr_0"]),
    ".json": (write_json, as_json, lambda path, like: read_json(path)),
    ".jsonl": (write_jsonl, as_json, lambda path, like: read_jsonl(path)),
    ".tsv": (write_table, as_table, lambda path, like: read_table(path, like.shape, like.dtype == bool)),
    ".csv": (write_table, as_table, lambda path, like: read_table(path, like.shape, like.dtype == bool)),
}
TYPED = (".npy", ".npz")  # formats that keep every dtype


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-convert-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_it(self, status, *words, ranks=0, mentions=()):
        result = launch.run(launch.on_ranks(ranks, [BINARY, *words]), self.folder, 60, launch.environment())
        self.assertEqual((result.status, result.timed_out), (status, False), f"{words}: {result.tail()}")
        for text in mentions:
            self.assertIn(text, result.err)
        if status != 0:
            self.assertEqual(result.err.count("error:"), 1, result.err)
            self.assertNotIn("^", result.err)  # no place in a program that nobody wrote
        return result


class Pairs(Folder):
    def one(self, source, sink, dtype, ranks, shape=(3, 5)):
        write, meant, _ = FORMATS[source]
        if source in (".tsv", ".csv") and dtype[0] == "u":
            dtype = "i4"
        array = array_of(dtype, shape)
        write(self.path("a" + source), array)
        expected = meant(array)
        result = self.run_it(0, "convert", "a" + source, "b" + sink, ranks=ranks)
        self.assertEqual((result.out, result.err), ("", ""), (source, sink, dtype))
        found = FORMATS[sink][2](self.path("b" + sink), expected)
        what = f"{source} {dtype} to {sink} at {ranks}"
        numpy.testing.assert_array_equal(found, expected.astype(found.dtype), what)
        self.assertEqual(found.shape, expected.shape, what)
        if sink in TYPED:
            self.assertEqual(found.dtype, expected.dtype, what)

    def test_every_pair_and_dtype(self):
        for source in FORMATS:
            for sink in FORMATS:
                for dtype in DTYPES:
                    self.one(source, sink, dtype, 0)

    def test_ranks(self):
        turn = 0
        for source in FORMATS:
            for sink in FORMATS:
                turn += 1
                self.one(source, sink, DTYPES[turn % len(DTYPES)], 3, (7, 3))

    def test_shapes(self):
        arrays = (".npy", ".npz", ".json", ".jsonl")
        for source in arrays:
            for sink in arrays:
                for shape in ((), (1,), (9,), (2, 3, 4)):
                    self.one(source, sink, "f4", 0, shape)
        numpy.save(self.path("a.npy"), numpy.asfortranarray(array_of("f8")))
        self.run_it(0, "convert", "a.npy", "b.npy")
        numpy.testing.assert_array_equal(numpy.load(self.path("b.npy")), array_of("f8"))


class Parts(Folder):
    def setUp(self):
        super().setUp()
        self.arrays = {"w": array_of("f4"), "two words": array_of("i8", (4,)), 'q":': array_of("bool", (2, 2))}
        numpy.savez_compressed(self.path("a.npz"), **self.arrays)

    def test_whole(self):
        for ranks in (0, 3):
            self.run_it(0, "convert", "a.npz", "b.npz", ranks=ranks)
            with numpy.load(self.path("b.npz")) as found:
                self.assertEqual(list(found), list(self.arrays))
                for name, array in self.arrays.items():
                    numpy.testing.assert_array_equal(found[name], array)
                    self.assertEqual(found[name].dtype, array.dtype)

    def test_one(self):
        self.run_it(0, "convert", "a.npz:two words", "b.json")
        self.assertEqual(read_json(self.path("b.json")).tolist(), self.arrays["two words"].tolist())
        self.run_it(0, "convert", "b.json", "c.npz:x")
        self.run_it(0, "convert", "c.npz", "d.npz")  # the only one keeps its name
        with numpy.load(self.path("d.npz")) as found:
            self.assertEqual(list(found), ["x"])

    def test_no_room(self):
        self.run_it(2, "convert", "a.npz", "b.npy", mentions=["holds 3 arrays", "a.npz:w"])
        self.run_it(2, "convert", "a.npz", "b.npz:w", ranks=3, mentions=["holds 3 arrays"])
        self.assertEqual(os.listdir(self.folder), ["a.npz"])


class Dtypes(Folder):
    def test_dtype(self):
        numpy.save(self.path("a.npy"), array_of("f8"))
        for dtype, numpys in (("f32", "f4"), ("i16", "i2"), ("bool", "?"), ("f16", "f2")):
            self.run_it(0, "convert", "a.npy", "b.npy", "--dtype", dtype)
            found = numpy.load(self.path("b.npy"))
            self.assertEqual(found.dtype, numpy.dtype(numpys))
            numpy.testing.assert_array_equal(found, array_of("f8").astype(numpys))
        self.run_it(73, "convert", "a.npy", "b.npy", "--dtype", "bf16", mentions=["npy cannot hold bf16"])


class Wrong(Folder):
    def test_errors(self):
        numpy.save(self.path("a.npy"), array_of("f4"))
        numpy.savez(self.path("o.npz"), o=numpy.array([None, 1]))
        open(self.path("empty.tsv"), "w").close()
        with open(self.path("bad.json"), "w", encoding="utf-8") as file:
            file.write("[[1, 2], [3]]")
        for words, status, text in (
                (("nothing.npy", "b.npy"), 66, "nothing.npy"), (("a.npy", "b.xyz"), 2, "b.xyz"),
                (("a.xyz", "b.npy"), 2, "a.xyz"), (("o.npz", "b.npz"), 66, "pickled"),
                (("empty.tsv", "b.npy"), 66, "has no row"), (("bad.json", "b.npy"), 66, "bad.json"),
                (("a.npy", "none/b.npy"), 73, "none"), (("a.npy:x", "b.npy"), 2, "has no parts"),
                (("a.npy",), 2, "two files"), (("a.npy", "b.npy", "c.npy"), 2, "two files"),
                (("a.npy", "b.npz:../x"), 73, "../x")):
            for ranks in (0, 3) if status != 2 else (0,):
                self.run_it(status, "convert", *words, ranks=ranks, mentions=[text])
        self.assertEqual(sorted(os.listdir(self.folder)), ["a.npy", "bad.json", "empty.tsv", "o.npz"])

    def test_not_utf8(self):
        os.symlink("nothing", os.fsencode(self.path("a")) + b"\xff.npy")
        result = subprocess.run([BINARY, "convert", b"a\xff.npy", "b.npy"], cwd=self.folder, capture_output=True,
                                check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"not UTF-8", result.stderr)


class Info(Folder):
    def test_text(self):
        numpy.savez_compressed(self.path("a.npz"), w=array_of("f4"), b=array_of("bool", (8,)))
        numpy.save(self.path("f.npy"), numpy.asfortranarray(array_of(">f8")))
        with open(self.path("t.tsv"), "w", encoding="utf-8") as file:
            file.write("0\t7\t1.5\n3\t2\t-1\n")
        for ranks in (0, 3):
            result = self.run_it(0, "info", "a.npz", "f.npy", "t.tsv", ranks=ranks)
            packed = {name: os.path.getsize(self.path(name)) for name in ("a.npz", "f.npy")}
            lines = result.out.splitlines()
            self.assertEqual(lines[0], f"a.npz: npz, {packed['a.npz']} bytes, 2 parts")
            self.assertRegex(lines[1], r"^  w  f32\[3, 5\], C order, little-endian, 60 bytes, deflated, \d+ bytes in the file$")
            self.assertRegex(lines[2], r"^  b  bool\[8\], 8 bytes, deflated, \d+ bytes in the file$")
            self.assertEqual(lines[3:], [
                f"f.npy: npy, {packed['f.npy']} bytes", "  f64[3, 5], Fortran order, big-endian, 120 bytes",
                "t.tsv: tsv, 15 bytes", "  2 rows", "    column 0  ids up to 3", "    column 1  ids up to 7",
                "    column 2  reals"])

    def test_json(self):
        numpy.savez(self.path("a.npz"), w=array_of("f4"), o=numpy.array([None]))
        write_json(self.path("j.json"), array_of("i4"))
        result = self.run_it(0, "info", "--json", "a.npz", "a.npz:w", "j.json")
        whole, part, text = map(json.loads, result.out.splitlines())
        self.assertEqual((whole["format"], whole["file_bytes"]), ("npz", os.path.getsize(self.path("a.npz"))))
        self.assertEqual([p["name"] for p in whole["parts"]], ["w", "o"])
        self.assertEqual({k: whole["parts"][0][k] for k in ("dtype", "shape", "bytes", "order", "byte_order")},
                         {"dtype": "f32", "shape": [3, 5], "bytes": 60, "order": "C", "byte_order": "little"})
        self.assertIn("pickled", whole["parts"][1]["refused"])
        self.assertEqual(part["parts"][0]["shape"], [3, 5])
        self.assertEqual((text["parts"][0]["dtype"], text["parts"][0]["shape"]), ("i64", [3, 5]))

    def test_wrong(self):
        numpy.save(self.path("a.npy"), array_of("f4"))
        result = self.run_it(66, "info", "nothing.npy", "a.npy", mentions=["nothing.npy"])
        self.assertIn("a.npy: npy", result.out)
        with open(self.path("bad.npz"), "wb") as file:
            file.write(b"PK\x05\x06" + bytes(100))
        self.run_it(66, "info", "bad.npz", ranks=3)
        self.run_it(2, "info", "a.xyz")

    def test_hostile_names(self):
        numpy.savez(self.path("a.npz"), **{"\x1b[31mred": array_of("f4")})
        result = self.run_it(0, "info", "a.npz")
        self.assertNotIn("\x1b", result.out)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
