#!/usr/bin/env python3
"""HDF5 files read and written by programs on several numbers of ranks, and files that break libhdf5.

usage: hdf5.py --binary FUSE_DIST [--ranks N...]

Sources are written by h5py; sinks are read back by h5py and h5dump and compared with what NumPy computes. What would make it
fail: a rank that reads or writes another part than its own, labels or attributes that are missing, bytes that differ between
equal runs, a broken file that ends a rank, hangs, or is told more than once.
"""

import argparse
import base64
import hashlib
import json
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


def run(binary, folder, program, ranks, status, mentions=(), policy=None):
    with open(os.path.join(folder, "policy.json"), "w") as file:
        json.dump(policy or {}, file)
    with open(os.path.join(folder, "prog.fuse"), "w") as file:
        file.write(program)
    begin = time.monotonic()
    result = launch.run(launch.on_ranks(ranks, [binary, "--policy", "policy.json", "prog.fuse"]), folder, 60)
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


# ---- chunks ----

FORMS = [  # extents, chunks
    ((37, 23), (5, 7)), ((37, 23), (1, 1)), ((37, 23), (37, 23)), ((37, 23), (40, 30)), ((301,), (64,)), ((9, 4, 11), (2, 3, 4)),
    ((1000, 70), (130, 70))]
FILTERS = [{"compression": "gzip", "compression_opts": level} for level in range(10)] + [
    {}, {"shuffle": True}, {"fletcher32": True}, {"shuffle": True, "fletcher32": True, "compression": "gzip"},
    {"shuffle": True, "compression": "gzip", "compression_opts": 1}, {"fletcher32": True, "compression": "gzip"}]


def make_chunked(folder):
    """Sets of every form, filter and type; returns name -> (array, chunks)."""
    random = numpy.random.default_rng(11)
    types = ["?", "u1", "i1", "<i2", ">i4", "<i8", ">u2", "<u4", ">f2", "<f4", ">f8", "<f8"]
    sets = {}
    for library in ("earliest", "latest"):
        with h5py.File(os.path.join(folder, f"{library}.h5"), "w", libver=library) as file:
            for n, filters in enumerate(FILTERS):
                for shape, chunks in (FORMS[n % len(FORMS)], FORMS[(n + 3) % len(FORMS)]):
                    dtype = types[len(sets) % len(types)]
                    array = random.integers(0, 2 if dtype == "?" else 100, shape).astype(dtype)
                    name = f"s{len(sets)}"
                    part = file.create_dataset(name, shape, dtype, chunks=chunks, maxshape=tuple(2 * e + 9 for e in shape),
                                               fillvalue=array.dtype.type(1), **filters)
                    if n % 4 == 3:  # the last rows are never written
                        array[shape[0] // 2:] = 1
                        part[:shape[0] // 2] = array[:shape[0] // 2]
                    else:
                        part[...] = array
                    sets[name] = (f"{library}.h5", array, [min(c, e) for c, e in zip(chunks, shape)])
    return sets


def check_chunks(binary, ranks):
    """Sets in chunks become sets in chunks, with the same bytes on every number of ranks."""
    with tempfile.TemporaryDirectory() as folder:
        sets = make_chunked(folder)
        lines, rules = [], {}
        for n, (name, (path, array, chunks)) in enumerate(sets.items()):
            axes = ",".join("ijk"[:array.ndim])
            left, right = ("(", ")") if array.dtype == bool else ("[", "]")
            lines += [f'{name.upper()}{left}{axes}{right} = "{path}:/{name}"',
                      f'"out.h5:/{name}" = {name.upper()}{left}{axes}{right}']
            rules[f"out.h5:/{name}"] = {"chunks": chunks, "gzip": n % 10} if n % 5 else {"chunks": "auto", "gzip": n % 10}
        seen = set()
        for count in ranks:
            run(binary, folder, "\n".join(lines) + "\n", count, 0, policy={"io": rules})
            seen.add(hashlib.sha256(read_bytes(folder, "out.h5")).hexdigest())
            assert len(seen) == 1, f"other bytes on {count} ranks"
        with h5py.File(os.path.join(folder, "out.h5")) as file:
            for name, (path, array, chunks) in sets.items():
                found = file[name]
                level = rules[f"out.h5:/{name}"]["gzip"]
                assert numpy.array_equal(found[()], array), (name, array.dtype, array.shape, chunks)
                assert found.chunks and (found.compression_opts or 0) == level, (name, found.chunks, found.compression_opts)
                assert rules[f"out.h5:/{name}"]["chunks"] == "auto" or list(found.chunks) == chunks, name
        if shutil.which("h5dump"):
            subprocess.run(["h5dump", "out.h5"], cwd=folder, stdout=subprocess.DEVNULL, check=True)


def check_too_many_chunks(binary):
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(os.path.join(folder, "x.npy"), numpy.zeros((1 << 24) + 1, "i1"))
        run(binary, folder, 'X[i] = "x.npy"\n"y.h5" = X[i]\n', 0, 73, ["more than 16777216 chunks"],
            policy={"io": {"y.h5": {"chunks": [1]}}})
        assert not [name for name in os.listdir(folder) if name.startswith((".", "y"))]


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
        empty = file.create_dataset("empty", (64, 64), "f4", chunks=(64, 64), compression="gzip")
        empty.id.write_direct_chunk((0, 0), b"\0")
        bomb = file.create_dataset("bomb", (64, 64), "f4", chunks=(64, 64), compression="gzip")
        bomb.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 30), 9))
    with open(os.path.join(folder, "x.h5"), "r+b") as file:
        file.seek(offset + 40)
        file.write(b"\x55\xaa")
    return {"packed": "damaged", "away": "out of the file", "ring": "circle", "nothing": "its datasets are", "bomb": "does not unpack to its size",
            "empty": "cannot hold a chunk"}


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
    check_chunks(binary, [count for count in arguments.ranks if count != 1])  # 0 ranks: one, without MPI
    check_too_many_chunks(binary)
    check_bad(binary, [0, 4])
    check_crashes(binary, [0, 4])


if __name__ == "__main__":
    main()
