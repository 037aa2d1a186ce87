#!/usr/bin/env python3
"""Relations in HDF5 files, "file.h5:/set:coo", read and written on several numbers of ranks.

usage: hdf5_coo.py --binary FUSE_DIST [--ranks N...]

Tuples are written by h5py, and what comes out is compared with what NumPy makes of them. What would make it fail: a tuple
that is lost or read twice, an order that depends on the number of ranks, values that come to other tuples or are not seen, a
file that h5py reads otherwise, bytes that differ between numbers of ranks, a broken file that is believed.
"""

import argparse
import os
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

try:
    import h5py
except ImportError:
    print("skipped: this Python has no h5py")
    sys.exit(launch.SKIP)

NODES = 61
PROGRAM = """\
E(x,y) = "in.h5:/graph/edge:coo"
F(x,y) = "in.h5:packed:coo"
W[x,y] = "in.h5:/weight:coo"
N[x,y] = "in.h5:/count:coo"
V[x]   = "in.h5:/dense"
D[x] = E(x,y)
S[x] = W[x,y] V[y]
G(x,z) = E(x,y) F(y,z)
"degree.npy" = D[x]
"sum.npy" = S[x]
"out.h5:/graph/edge:coo" = E(x,y)
"out.h5:/packed:coo" = F(x,y)
"out.h5:/weight:coo" = W[x,y]
"out.h5:/count:coo" = N[x,y]
"out.h5:/none:coo" = E(x,y) ! E(x,y)
"product.h5:coo" = G(x,z)
"""
BACK = """\
E(x,y) = "out.h5:/graph/edge:coo"
W[x,y] = "out.h5:/weight:coo"
Z(x,y) = "out.h5:/none:coo"
A(x,y) = E(x,y) + Z(x,y)
"back.h5:/graph/edge:coo" = A(x,y)
"back.h5:/weight:coo" = W[x,y]
"""


def make_inputs(folder):
    draw = numpy.random.default_rng(7)
    edge = draw.integers(0, NODES, (900, 2))
    edge[0] = NODES - 1
    packed = draw.integers(0, NODES, (5000, 2)).astype(">u2")
    keys = draw.permutation(NODES * NODES)[:700]
    weight = numpy.stack([keys // NODES, keys % NODES], 1)
    values = draw.integers(1, 1000, 700) / 8
    counts = draw.integers(1, 100, 700)
    dense = draw.integers(-8, 8, NODES).astype("f8")
    with h5py.File(os.path.join(folder, "in.h5"), "w") as file:
        file["graph/edge"] = edge
        file.create_dataset("packed", data=packed, chunks=(512, 2), compression="gzip")
        file["weight"], file["weight.values"] = weight.astype("i4"), values.astype("f4")
        file["count"], file["count.values"] = weight, counts
        file["dense"] = dense
    return edge, packed, weight, values, counts, dense


def sorted_set(ids):
    return numpy.unique(ids.astype("i8"), axis=0)


def check_outputs(folder, edge, packed, weight, values, counts, dense):
    matrix = numpy.zeros((NODES, NODES))
    matrix[weight[:, 0], weight[:, 1]] = values
    joined = numpy.zeros((NODES, NODES), bool), numpy.zeros((NODES, NODES), bool)
    for cells, ids in zip(joined, (edge, packed)):
        cells[ids[:, 0], ids[:, 1]] = True
    assert numpy.array_equal(numpy.load(os.path.join(folder, "degree.npy")), joined[0].sum(1))
    assert numpy.array_equal(numpy.load(os.path.join(folder, "sum.npy")), matrix @ dense)
    order = numpy.lexsort((weight[:, 1], weight[:, 0]))
    with h5py.File(os.path.join(folder, "out.h5")) as file:
        wanted = {"graph/edge": sorted_set(edge), "packed": sorted_set(packed), "none": numpy.zeros((0, 2), "i8"),
                  "weight": weight[order], "weight.values": values[order], "count": weight[order],
                  "count.values": counts[order]}
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert sorted(names) == sorted(wanted), names
        for name, want in wanted.items():
            assert numpy.array_equal(file[name][()], want), name
            assert name.endswith("values") or file[name].dtype == numpy.dtype("<i8"), name
        assert file["weight"].attrs["fuse_tensor"].startswith("W"), dict(file["weight"].attrs)
        assert sorted(file.attrs) == ["fuse_dist_version", "fuse_program"], dict(file.attrs)
    with h5py.File(os.path.join(folder, "product.h5")) as file:
        want = numpy.argwhere(joined[0].astype(int) @ joined[1].astype(int))
        assert numpy.array_equal(file["data"][()], want)


def check_back(folder):
    with h5py.File(os.path.join(folder, "out.h5")) as one, h5py.File(os.path.join(folder, "back.h5")) as other:
        for name in ("graph/edge", "weight", "weight.values"):
            assert numpy.array_equal(one[name][()], other[name][()]), name


def check_wrong(binary, folder):
    ids = numpy.array([[0, 1], [2, 3]])
    cases = {
        "reals": ({"e": ids * 1.0}, "does not begin with a matrix of integers"), "flat": ({"e": ids[0]}, "matrix of integers"),
        "negative": ({"e": ids - 1}, "column 0 of tuple 0 is -1"), "far": ({"e": ids + 2**61}, "which is no id"),
        "few": ({"e": ids, "e.values": ids[0][:1]}, "no value for each"), "absent": ({"f": ids}, "there is no 'e'"),
        "group": ({"e/f": ids}, "bad.h5"), "text": ({"e": ids, "e.values": [b"ab", b"cd"]}, ""),
    }
    source = 'E(x,y) = "bad.h5:/e:coo"\n"never.h5:/e:coo" = E(x,y)\n'
    for name, (sets, says) in cases.items():
        with h5py.File(os.path.join(folder, "bad.h5"), "w") as file:
            for key, value in sets.items():
                file[key] = value
        launch.run_text(binary, folder, source, 0, 66, (says,))
        assert not os.path.exists(os.path.join(folder, "never.h5")), name
    launch.run_text(binary, folder, source, 3, 66)
    edge = 'E(x,y) = "in.h5:/graph/edge:coo"\nW[x,y] = "in.h5:/weight:coo"\n'
    sinks = {
        '"never.h5:/a:coo" = E(x,y)\n"never.h5:/b" = E(x,y)\n': (73, "dense tensors"),
        '"never.h5:/b" = E(x,y)\n"never.h5:/a:coo" = E(x,y)\n': (73, "dense tensors"),
        '"never.h5:/a:coo" = E(x,y)\n"never.h5:a:coo" = E(x,y)\n': (65, "written twice"),
        '"never.h5:/a:coo" = W[x,y]\n"never.h5:/a.values:coo" = E(x,y)\n': (73, "do not go together"),
        '"never.h5:/a:coo" = E(x,y)\n"never.h5:/a/b:coo" = E(x,y)\n': (73, "do not go together"),
        '"never.h5:/../a:coo" = E(x,y)\n': (73, "name of an HDF5 dataset"),
        '"never.npz:a:coo" = E(x,y)\n': (65, "a relation (':coo') cannot be written as part of a .npz file"),
        'D = E(x,y)\n"never.h5:/a:coo" = D\n': (73, "no index"),
    }
    for text, (status, says) in sinks.items():
        launch.run_text(binary, folder, edge + text, 0, status, (says,))
        assert not [name for name in os.listdir(folder) if "never" in name], text
    return len(cases) + len(sinks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 3, 8])
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    first = None
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(folder)
        for ranks in options.ranks:
            launch.run_text(binary, folder, PROGRAM, ranks, 0)
            check_outputs(folder, *inputs)
            launch.run_text(binary, folder, BACK, ranks, 0)
            check_back(folder)
            with open(os.path.join(folder, "out.h5"), "rb") as file:
                data = file.read()
            first = first or data
            assert data == first, f"{ranks} ranks write other bytes"
        count = check_wrong(binary, folder)
    print(f"hdf5 coo: values and bytes on {options.ranks} ranks, {count} that fail well")


if __name__ == "__main__":
    main()
