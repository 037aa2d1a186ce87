#!/usr/bin/env python3
"""HDF5 files read and written by programs on several numbers of ranks, and files that break libhdf5.

usage: hdf5.py --binary FUSE_DIST [--ranks N...]

Sources are written by h5py; sinks are read back by h5py and h5dump and compared with what NumPy computes. What would make it
fail: a rank that reads or writes another part than its own, labels or attributes that are missing, bytes that differ between
equal runs, a broken file that ends a rank, hangs, or is told more than once.
"""

import argparse
import base64
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib

import launch

launch.require_numpy()

import numpy  # noqa: E402

try:
    import h5py
except ImportError:
    print("h5py is missing, nothing checked")
    sys.exit(launch.SKIP)

PROGRAM = """\
A[i,j] = "in.h5:/plain"
B[i,j] = "in.h5:/deep/er/packed"
C[i,j] = "in.h5:/odd"
D[i,j] = "in.h5:/soft"
E[i,j] = "in.hdf5"
M(i,j) = "in.h5:/mask"
S = "in.h5:/one"

"out.h5:/sums/rows" = A[i,j] + B[i,j]
"out.h5:/sums/all" = A[i,j] S
"out.h5:turned" = C[j,i] + 0
"out.h5:/deep/er/same" = D[i,j]
"out.h5:/mask" = M(i,j)
"out.h5:/one" = S
"single.hdf5" = E[i,j]
"""
ROWS, COLUMNS = 211, 97


def write_inputs(folder):
    random = numpy.random.default_rng(5)
    a, b = (random.integers(-99, 99, (ROWS, COLUMNS)).astype("f4") for _ in range(2))
    c = random.integers(-2**40, 2**40, (ROWS, COLUMNS))
    d, e = (random.standard_normal((ROWS, COLUMNS)) for _ in range(2))
    mask = random.random((ROWS, COLUMNS)) < 0.5
    with h5py.File(os.path.join(folder, "in.h5"), "w") as file:
        file["plain"] = a
        file.create_dataset("deep/er/packed", data=b.astype(">f4"), chunks=(10, 7), compression="gzip", shuffle=True,
                            fletcher32=True)
        file.create_dataset("odd", data=c, chunks=(17, 97))
        file.create_dataset("here", data=d, chunks=(100, 1), compression="gzip")
        file["soft"] = h5py.SoftLink("/here")
        file["mask"] = mask
        file["one"] = numpy.float32(2.5)
    with h5py.File(os.path.join(folder, "in.hdf5"), "w", libver="latest") as file:
        file.create_dataset("where/ever", data=e, chunks=(50, 50), maxshape=(None, None))
    return a, b, c, d, e, mask


def check_outputs(folder, inputs):
    a, b, c, d, e, mask = inputs
    wanted = {"sums/rows": (a + b, "ij"), "sums/all": (a * numpy.float32(2.5), "ij"), "turned": (c, "ji"),
              "deep/er/same": (d, "ij"), "mask": (mask, "ij"), "one": (numpy.float32(2.5), "")}
    path = os.path.join(folder, "out.h5")
    with h5py.File(path, "r") as file:
        assert sorted(file.attrs) == ["fuse_dist_version", "fuse_program"], dict(file.attrs)
        assert file.attrs["fuse_program"].startswith("fnv1a64:")
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert sorted(names) == sorted(wanted), names
        for name, (value, labels) in wanted.items():
            found = file[name]
            assert found.dtype == value.dtype and numpy.array_equal(found[()], value), name
            assert [axis.label for axis in found.dims] == list(labels), name
        assert file["deep/er/same"].attrs["fuse_tensor"] == "D"
    with h5py.File(os.path.join(folder, "single.hdf5"), "r") as file:
        assert numpy.array_equal(file["data"][()], e)
    if shutil.which("h5dump"):
        dump = subprocess.run(["h5dump", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert 'DATASET "turned"' in dump and "H5T_STD_I64LE" in dump


def run(binary, folder, program, ranks, status, mentions=(), env=None):
    with open(os.path.join(folder, "prog.fuse"), "w") as file:
        file.write(program)
    begin = time.monotonic()
    result = launch.run(launch.on_ranks(ranks, [binary, "prog.fuse"]), folder, 60, launch.environment(env))
    where = f"{ranks} ranks: {result.tail()}"
    assert result.status == status and not result.timed_out, f"status {result.status}, wanted {status}; {where}"
    for text in mentions:
        assert text in result.err, f"'{text}' is not said; {where}"
    if status != 0:
        assert result.err.count("error: ") == 1, f"not one message; {where}"
    return result, time.monotonic() - begin


def check_info(binary, folder):
    """The names and attributes that h5py sees, and everything once more as an archive of NumPy's."""
    listed = launch.run([binary, "info", "out.h5"], folder, 60)
    assert listed.status == 0, listed.tail()
    for text in ("deep/er/same", "sums/rows", 'fuse_tensor = "D"', 'DIMENSION_LABELS = "j, i"'):
        assert text in listed.out, f"'{text}' is not listed: {listed.tail()}"
    done = launch.run(launch.on_ranks(3, [binary, "convert", "out.h5", "back.npz"]), folder, 60)
    assert done.status == 0, done.tail()
    with h5py.File(os.path.join(folder, "out.h5")) as file, numpy.load(os.path.join(folder, "back.npz")) as archive:
        for name in ("sums/all", "turned", "mask"):
            assert numpy.array_equal(archive[name], file[name][()]), name


def read_bytes(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def check_values(binary, ranks):
    with tempfile.TemporaryDirectory() as folder:
        inputs = write_inputs(folder)
        first = None
        for count in [*ranks, ranks[-1]]:
            run(binary, folder, PROGRAM, count, 0)
            check_outputs(folder, inputs)
            first = first or read_bytes(folder, "out.h5")
            assert read_bytes(folder, "out.h5") == first, f"other bytes on {count} ranks"
            assert not [name for name in os.listdir(folder) if name.endswith(".part")], "a temporary file is left"
        check_info(binary, folder)


# ---- files that break things ----

TEXT = 'X[{1}] = "x.h5:/{0}"\n"y.h5" = X[{1}]\n'
READ = 'X[i,j] = "x.h5:/{}"\n"y.h5" = X[i,j]\n'


def build_bad(folder):
    """name -> (part, what is said)"""
    with h5py.File(os.path.join(folder, "x.h5"), "w") as file:
        packed = file.create_dataset("packed", data=numpy.arange(6000, dtype="i4").reshape(60, 100), chunks=(7, 30),
                                     compression="gzip", fletcher32=True)
        offset = packed.id.get_chunk_info(13).byte_offset
        file["plain"] = numpy.ones((3, 4))
        file["away"] = h5py.ExternalLink("other.h5", "/x")
        file["ring"] = h5py.SoftLink("/gnir")
        file["gnir"] = h5py.SoftLink("ring")
        bomb = file.create_dataset("bomb", (64, 64), "f4", chunks=(64, 64), compression="gzip")
        bomb.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 30), 9))
    with open(os.path.join(folder, "x.h5"), "r+b") as file:
        file.seek(offset + 40)
        file.write(b"\x55\xaa")
    return {"packed": "damaged", "away": "out of the file", "ring": "circle", "nothing": "its datasets are", "bomb": "x.h5"}


def check_bad(binary, ranks):
    with tempfile.TemporaryDirectory() as folder:
        cases = build_bad(folder)
        with open(os.path.join(folder, "y.h5"), "wb") as file:
            file.write(b"old")
        for part, says in cases.items():
            for count in ranks:
                result, seconds = run(binary, folder, READ.format(part), count, 66, [says])
                assert seconds < 30, f"{part}: {seconds} s"
                assert read_bytes(folder, "y.h5") == b"old", part
        whole = read_bytes(folder, "x.h5")
        for length in (0, 7, 100, 2048, len(whole) - 1):
            with open(os.path.join(folder, "x.h5"), "wb") as file:
                file.write(whole[:length])
            run(binary, folder, READ.format("plain"), ranks[length % len(ranks)], 66, ["x.h5"])


def check_crashes(binary, ranks):
    """Files found by changing bytes at random; each ended libhdf5 1.10.8 by a signal."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "data", "hdf5_crashes.txt")
    crashes = files = 0
    with open(here, encoding="ascii") as lines, tempfile.TemporaryDirectory() as folder:
        for line in lines:
            if line.startswith("#"):
                continue
            part, data = line.split()
            with open(os.path.join(folder, "x.h5"), "wb") as file:
                file.write(zlib.decompress(base64.b64decode(data)))
            files += 1
            for count in ranks:
                result, seconds = run(binary, folder, TEXT.format(part, "i,j" if part == "k" else "i"), count, 66, ["x.h5"])
                assert seconds < 30, f"{files}: {seconds} s"
                assert not os.path.exists(os.path.join(folder, "y.h5"))
            crashes += "crashes" in result.err
            listed = launch.run([binary, "info", "x.h5"], folder, 60)
            assert listed.status in (0, 66) and not listed.timed_out, listed.tail()
    assert files >= 10, files
    print(f"{crashes} of {files} files crash this libhdf5")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 1, 3, 8])
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    check_values(binary, arguments.ranks)
    check_bad(binary, [0, 4])
    check_crashes(binary, [0, 4])


if __name__ == "__main__":
    main()
