#!/usr/bin/env python3
"""Relations in .npy files, "p.npy:coo", read and written on several numbers of ranks.

usage: coo.py --binary FUSE_DIST [--ranks N...]

Tuples are written by NumPy, and what comes out is compared with what NumPy makes of them. What would make it fail: a tuple
that is lost or read twice, an order that depends on the number of ranks, values that come to other tuples, a file that
np.load reads otherwise, a broken file that is believed.
"""

import argparse
import io
import os
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

PROGRAM = """\
E(x,y) = "edge.npy:coo"
F(x,y) = "edge_be.npy:coo"
G(x,y) = "edge_u2.npy:coo"
R(x,y,z) = "three.npy:coo"
W[x,y] = "weight.npy:coo"
N[x,y] = "count.npy:coo"
D[x] = E(x,y)
S[x] = W[x,y]
"degree.npy" = D[x]
"sum.npy" = S[x]
"edge_out.npy:coo" = E(x,y)
"be_out.npy:coo" = F(x,y)
"u2_out.npy:coo" = G(x,y)
"three_out.npy:coo" = R(x,y,z)
"weight_out.npy:coo" = W[x,y]
"count_out.npy:coo" = N[x,y]
"list_out.npy:coo" = D[x]
"""
BACK = """\
E(x,y) = "edge_out.npy:coo"
W[x,y] = "weight_out.npy:coo"
"edge_back.npy:coo" = E(x,y)
"weight_back.npy:coo" = W[x,y]
"""
NODES = 61


def store(path, *arrays):
    with open(path, "wb") as file:
        for array in arrays:
            numpy.save(file, array)


def load(path):
    """All arrays of a file, to its end."""
    with open(path, "rb") as file:
        size, arrays = os.fstat(file.fileno()).st_size, []
        while file.tell() < size:
            arrays.append(numpy.load(file))
    assert numpy.array_equal(numpy.load(path), arrays[0])
    return arrays


def make_inputs(folder):
    random = numpy.random.default_rng(17)
    at = lambda name: os.path.join(folder, name + ".npy")  # noqa: E731
    edge = random.integers(0, NODES, (900, 2))  # some twice
    three = random.integers(0, 13, (300, 3))
    weight = (random.integers(-40, 40, 900) / 8).astype("<f4")  # sums are exact
    store(at("edge"), edge)
    store(at("edge_be"), numpy.asfortranarray(edge.astype(">i4")))
    store(at("edge_u2"), edge.astype("<u2"))
    store(at("three"), three)
    store(at("weight"), edge, weight)
    store(at("count"), edge, numpy.arange(900) - 5)
    return edge, three, weight


def dense(edge, values):
    out = numpy.zeros((NODES, NODES), values.dtype)
    numpy.add.at(out, tuple(edge.T), values)
    return out


def check_outputs(folder, inputs):
    edge, three, weight = inputs
    at = lambda name: os.path.join(folder, name + ".npy")  # noqa: E731
    unique = numpy.unique(edge, axis=0)
    for name, want in (("edge", unique), ("be", unique), ("u2", unique), ("three", numpy.unique(three, axis=0))):
        (ids,) = load(at(name + "_out"))
        assert ids.dtype == "<i8" and numpy.array_equal(ids, want), name
    degree = numpy.bincount(unique[:, 0])
    assert numpy.array_equal(numpy.load(at("degree")), degree)
    # Integers of a numeric relation are kept as f64, as those of a .tsv file.
    for name, values in (("weight", weight), ("count", numpy.arange(900) - 5.0)):
        cells = dense(edge, values)
        ids, out = load(at(name + "_out"))
        assert numpy.array_equal(ids, numpy.argwhere(cells)) and out.dtype == values.dtype, name
        assert numpy.array_equal(out, cells[cells != 0]), name
    assert numpy.array_equal(numpy.load(at("sum")), dense(edge, weight).sum(1)[:edge.max(0)[0] + 1])
    ids, out = load(at("list_out"))
    assert ids.shape[1] == 1 and numpy.array_equal(ids[:, 0], numpy.flatnonzero(degree))
    assert numpy.array_equal(out, degree[degree > 0])


def contents(folder):
    found = {}
    for name in os.listdir(folder):
        if "_out" in name or "_back" in name:
            with open(os.path.join(folder, name), "rb") as file:
                found[name] = file.read()
    return found


def blob(*arrays):
    out = io.BytesIO()
    for array in arrays:
        numpy.save(out, array)
    return out.getvalue()


def check_hostile(binary, folder):
    ids = numpy.array([[0, 1], [2, 3]])
    cases = {
        "reals": (blob(ids * 1.0), "matrix of integers"), "flat": (blob(ids[0]), "matrix of integers"),
        "cube": (blob(ids[None]), "matrix of integers"), "truth": (blob(ids > 0), "matrix of integers"),
        "negative": (blob(ids - 1), "column 0 of tuple 0 is -1"), "far": (blob(ids + 2**61), "which is no id"),
        "no_columns": (blob(numpy.zeros((3, 0), "i8")), "tuples of 0 ids"),
        "many_columns": (blob(numpy.zeros((3, 40), "i8")), "tuples of 40 ids"),
        "cut": (blob(ids)[:-1], "truncated"), "more": (blob(ids) + b"x", "not an npy file"),
        "few_values": (blob(ids, ids[0][:1]), "no value for each"), "wide_values": (blob(ids, ids), "no value for each"),
        "cut_values": (blob(ids, ids[0])[:-1], "truncated"), "three": (blob(ids, ids[0], ids[0]), "more than its npy header"),
        "empty": (b"", "npy"), "lie": (blob(ids).replace(b"(2, 2)", b"(2**9)"), "npy header"),
    }
    for name, (data, says) in cases.items():
        with open(os.path.join(folder, "bad.npy"), "wb") as file:
            file.write(data)
        launch.run_text(binary, folder, 'E(x,y) = "bad.npy:coo"\n"never.npy:coo" = E(x,y)\n', 1, 66, (says,))
        assert not os.path.exists(os.path.join(folder, "never.npy")), name
    launch.run_text(binary, folder, 'E(x,y) = "bad.npy:coo"\n"never.npy:coo" = E(x,y)\n', 3, 66, ("npy header",))
    launch.run_text(binary, folder, 'W(x,y,z) = "weight.npy:coo"\n"never.npy:coo" = W(x,y,z)\n', 1, 66)
    launch.run_text(binary, folder, 'E(x,y) = "edge.npy:coo"\n"a.npy:coo" = E(x,y)\n"./a.npy" = E(x,y)\n', 1, 65, ("written twice",))
    return len(cases) + 3


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
            check_outputs(folder, inputs)
            launch.run_text(binary, folder, BACK, ranks, 0)
            found = contents(folder)
            assert found["edge_out.npy"] == found["edge_back.npy"]
            assert found["weight_out.npy"] == found["weight_back.npy"]
            first = first or found
            assert found == first, f"{ranks} ranks write other bytes"
        store(os.path.join(folder, "none.npy"), numpy.zeros((0, 2), "i8"))
        launch.run_text(binary, folder, 'E(x,y) = "none.npy:coo"\nF(x,y) = "edge.npy:coo"\n"n_out.npy:coo" = E(x,y) F(x,y)\n', 2, 0)
        assert load(os.path.join(folder, "n_out.npy"))[0].shape == (0, 2)
        count = check_hostile(binary, folder)
    print(f"coo: values and bytes on {options.ranks} ranks, {count} that fail well")


if __name__ == "__main__":
    main()
