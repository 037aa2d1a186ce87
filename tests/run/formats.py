#!/usr/bin/env python3
"""Programs that read and write every format, on several numbers of ranks.

usage: formats.py --binary FUSE_DIST [--ranks N...]

Sources are written by NumPy, Python's json and zipfile; sinks are read back by them and compared with what NumPy computes.
What would make it fail: a rank that reads or writes another part than its own, checksums that do not add up, bytes that
depend on the number of ranks, a failure that one rank alone sees.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

PROGRAM = """\
A[i,j] = "stored.npz"
B[i,j] = "deflated.npz:b"
F[i,j] = "deflated.npz:fortran.npy"
N[i,j] = "number.json"
K[k]   = "integers.json.gz"
T[i,j] = "truth.json.gz"
S      = "one.json"

"out.npz" = A[i,j] + B[j,i]
"./out.npz:sub/k" = K[k] * 2
"out.npz:same.npy" = F[i,j]
"sum.json" = N[i,j] + A[i,j]
"turned.json" = N[j,i]
"integers_out.json" = K[k] * 2
"truth_out.json" = T[i,j] > 0
"one_out.json" = S
"truth.npy" = T[i,j] * 3
"truth.tsv" = T[i,j] > 0
"rows.csv" = N[i,j] / (A[i,j] > 0)
"row.tsv" = S
"""
# Tables, read back and written again.
BACK = """\
T(i,j) = "truth.tsv.gz"
N[i,j] = "rows.csv.gz"
S[] = "row.tsv"
"truth_back.tsv" = T(i,j)
"rows_back.csv" = N[i,j]
"row_back.tsv" = S
"""
ROWS = 90


def write_inputs(folder):
    random = numpy.random.default_rng(7)
    a, b, f = (random.integers(-99, 99, (ROWS, ROWS)).astype("f4") for _ in range(3))
    n = (random.integers(-999, 999, (ROWS, ROWS)) / 8).astype("f4")
    k = random.integers(-2**50, 2**50, 1000)
    t = random.random((ROWS, 7)) < 0.5
    numpy.savez(os.path.join(folder, "stored.npz"), a)
    numpy.savez_compressed(os.path.join(folder, "deflated.npz"), b=b, fortran=numpy.asfortranarray(f), other=k)
    for name, value in (("number", n), ("integers", k), ("truth", t), ("one", numpy.float32(2.5))):
        with open(os.path.join(folder, name + ".json"), "w") as file:
            json.dump(value.tolist(), file, indent=1 if name == "number" else None)
        pack(os.path.join(folder, name + ".json"))
    return a, b, f, n, k, t


def pack(path):
    """Beside the file, in two members."""
    with open(path, "rb") as file:
        text = file.read()
    half = len(text) // 2 + 1
    with open(path + ".gz", "wb") as file:
        file.write(gzip.compress(text[:half], mtime=0) + gzip.compress(text[half:], 1, mtime=0))


def check_outputs(folder, inputs):
    a, b, f, n, k, t = inputs

    def load(name):
        with open(os.path.join(folder, name)) as file:
            return json.load(file)

    path = os.path.join(folder, "out.npz")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None and archive.namelist() == ["arr_0.npy", "sub/k.npy", "same.npy"]
    with numpy.load(path, allow_pickle=False) as out:
        for name, want in (("arr_0", a + b.T), ("sub/k", k * 2), ("same", f)):
            assert out[name].dtype == want.dtype and numpy.array_equal(out[name], want), name
    assert subprocess.run([sys.executable, "-m", "zipfile", "-t", path], stdout=subprocess.DEVNULL).returncode == 0
    for name, want in (("sum", n + a), ("turned", n), ("integers_out", k * 2), ("truth_out", t), ("one_out", 2.5)):
        assert load(name + ".json") == numpy.asarray(want).tolist(), name
    assert numpy.array_equal(numpy.load(os.path.join(folder, "truth.npy")), t * 3)
    check_rows(folder, a, n, t)


def check_rows(folder, a, n, t):
    """The cells that are not 0, by NumPy's order of their positions."""
    def lines(name):
        with open(os.path.join(folder, name), newline="") as file:
            return file.read().split("\n")

    assert lines("truth.tsv") == [f"{i}\t{j}" for i, j in numpy.argwhere(t)] + [""]
    with numpy.errstate(divide="ignore", invalid="ignore"):
        values = n / (a > 0).astype("f4")
    places = numpy.argwhere(values != 0)
    rows = [line.split(",") for line in lines("rows.csv")[:-1]]
    assert [row[:2] for row in rows] == [[str(i), str(j)] for i, j in places]
    got = numpy.array([float(row[2]) for row in rows], "f4")
    assert numpy.array_equal(got, values[tuple(places.T)], equal_nan=True)
    assert {"inf", "-inf"} <= {row[2] for row in rows}
    assert lines("row.tsv") == ["2.5", ""]


def expect(binary, folder, program, ranks, status, mentions=(), options=()):
    with open(os.path.join(folder, "prog.fuse"), "w") as file:
        file.write(program)
    result = launch.run(launch.on_ranks(ranks, [binary, *options, "prog.fuse"]), folder, 60)
    where = f"{ranks} ranks, {' '.join(options)}: {result.tail()}"
    assert result.status == status and not result.timed_out, f"status {result.status}, wanted {status}; {where}"
    for text in mentions:
        assert text in result.err, f"'{text}' is not said; {where}"
    if status != 0:
        assert result.err.count("error:") == 1, where


def digest(folder, before):
    files = sorted(launch.files_below(folder) - before)
    return {f: hashlib.sha256(open(os.path.join(folder, f), "rb").read()).hexdigest() for f in files}


def test_values(binary, ranks):
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(folder)
        before = launch.files_below(folder) | {"prog.fuse"}
        first = None
        spread = ["--replicate-below", "0", "--file-unit", "64", "--workspace", "512"]
        runs = [(n, o) for n in ranks for o in ([], spread)] + [(3, ["--backend", "fakedev", *spread]), (0, [])]
        runs += [(n, [*spread, "--slabs-above", "64"]) for n in (1, 4)]
        for n, options in runs:
            expect(binary, folder, PROGRAM, n, 0, options=options)
            check_outputs(folder, inputs)
            for name in "truth.tsv", "rows.csv":
                pack(os.path.join(folder, name))
            expect(binary, folder, BACK, n, 0, options=options)
            for name in "truth.tsv", "rows.csv", "row.tsv":
                same = [open(os.path.join(folder, name.replace(".", end)), "rb").read() for end in (".", "_back.")]
                assert same[0] == same[1], f"{name} reads back otherwise on {n} ranks with {options}"
            found = digest(folder, before)
            first = first or found
            assert found == first, f"other bytes on {n} ranks with {options}"
            for name in found:
                os.remove(os.path.join(folder, name))
        return len(runs)


def flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def test_failures(binary, ranks):
    """One message, one status, no output, older outputs as they were."""
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(folder)
        for name, place in (("stored.npz", 20000), ("deflated.npz", 9000)):
            flip(os.path.join(folder, name), place)
        with open(os.path.join(folder, "integers.json"), "a") as file:
            file.write("]")
        with open(os.path.join(folder, "cut.json.gz"), "wb") as file:
            file.write(gzip.compress(b"[1, 2, 3]")[:-3])
        with open(os.path.join(folder, "old.json"), "w") as file:
            file.write("old")
        before = digest(folder, set()) | {"prog.fuse": None}
        spread = ["--replicate-below", "0", "--file-unit", "64", "--workspace", "512"]
        cases = [
            ('A[i,j] = "stored.npz"\n"y.npy" = A[i,j]\n"z.npz" = A[i,j]\n', 66, ["prog.fuse:1:", "stored.npz", "CRC-32"]),
            ('A[i,j] = "deflated.npz:b"\n"y.json" = A[i,j]\n"z.npz:q" = A[i,j]\n', 66, ["prog.fuse:1:", "deflated.npz:b"]),
            ('A[i] = "integers.json"\n"y.json" = A[i]\n', 66, ["prog.fuse:1:8", "integers.json:1:", "follows the end"]),
            ('A[i] = "cut.json.gz"\n"y.json" = A[i]\n', 66, ["prog.fuse:1:", "cut.json.gz is truncated"]),
            ('A[i,j] = "deflated.npz"\n"y.json" = A[i,j]\n', 66, ["prog.fuse:1:", "b.npy, fortran.npy, other.npy"]),
            ('A[i,j] = "number.json"\n"old.json" = 0.0 / (A[i,j] - A[i,j])\n"z.npz" = A[i,j]\n', 73, ["old.json", "is NaN"]),
            ('A[i] = "number.json"\n"y.json" = A[i]\n', 65, ["prog.fuse:1:"]),
            ('A = "one.json:part"\n"y.json" = A\n', 65, ["has no parts"]),
        ]
        count = 0
        for program, status, mentions in cases:
            for n in (ranks if program == cases[0][0] else ranks[-2:-1]):
                expect(binary, folder, program, n, status, mentions, spread)
                after = digest(folder, set())
                assert set(after) == set(before), set(after) ^ set(before)
                assert all(after[f] == before[f] for f in after if f != "prog.fuse")
                count += 1
        return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    print(f"{test_values(binary, options.ranks)} runs with the right values, {test_failures(binary, options.ranks)} that fail well")


if __name__ == "__main__":
    main()
