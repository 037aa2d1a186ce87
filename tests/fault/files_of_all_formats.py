"""A program that reads and writes a file of every format, its inputs, and what its outputs must hold."""

import gzip
import json
import os
import struct

import h5py
import numpy

N, M = 60, 40

# Sources and sinks of a new format are added here, in `make_inputs` and in `load`.
SINKS = ["o.npy", "o.npz", "o.json", "o.jsonl", "o.tsv", "o.csv", "o.h5", "p.h5", "o.safetensors"]
PROGRAM = """\
A[i,k] = "a.npy"
B[i,k] = "b.npz"
C[i,k] = "c.npz:c"
D[i,k] = "d.json"
E[i,k] = "e.tsv"
F[i,k] = "f.csv"
G[i,k] = "g.jsonl"
H[i,k] = "h.h5:/g/h"
K[i,k] = "k.h5:/k"
L[i,k] = "l.safetensors:l"
Y[i,k] = A[i,k] + 2 B[i,k] + 3 C[i,k] + 4 D[i,k] + 5 E[i,k] + 6 F[i,k] + 7 G[i,k] + 8 H[i,k] + 9 K[i,k] + 10 L[i,k]
Z[i] = Y[i,k]
"o.npy" = Y[i,k]
"o.npz:y" = Y[i,k]
"o.npz:z" = Z[i]
"o.json" = Y[i,k]
"o.jsonl" = Y[i,k]
"o.tsv" = Z[i]
"o.csv" = Y[i,k]
"o.h5:/g/y" = Y[i,k]
"o.h5:/z" = Z[i]
"p.h5:/g/y" = Y[i,k]
"p.h5:/z" = Z[i]
"o.safetensors:y" = Y[i,k]
"o.safetensors:z" = Z[i]
"""
POLICY = {"io": {"p.h5:/g/y": {"chunks": [16, 16], "gzip": 4}, "p.h5:/z": {"chunks": [7]}}}
ARGUMENTS = ["--policy", "policy.json", "prog.fuse"]


def write_rows(path, array, between):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(between.join([str(i), str(k), str(array[i, k])]) + "\n" for i, k in numpy.argwhere(array))


def make_inputs(folder):
    """Writes the program and its inputs; returns name of the sink -> its arrays. Integers: every result is exact."""
    rng = numpy.random.default_rng(8)
    a, b, c, d, e, f, g, h, k, l = (rng.integers(1, 50, (N, M)) for _ in range(10))
    join = lambda name: os.path.join(folder, name)
    numpy.save(join("a.npy"), a)
    numpy.savez(join("b.npz"), b)
    numpy.savez_compressed(join("c.npz"), other=b, c=c)
    with open(join("d.json"), "w", encoding="utf-8") as file:
        json.dump(d.tolist(), file)
    write_rows(join("e.tsv"), e, "\t")
    write_rows(join("f.csv"), f, ",")
    with open(join("g.jsonl"), "w", encoding="utf-8") as file:
        file.write(json.dumps({"schema": "fuse.tensor", "version": 1, "shape": g.shape}, separators=(",", ":")) + "\n")
        file.writelines(f'{{"value":{value}}}\n' for value in g.ravel())
    with h5py.File(join("h.h5"), "w") as file:
        file["g/h"] = h
    with h5py.File(join("k.h5"), "w") as file:
        file.create_dataset("k", data=k, chunks=(16, 16), compression="gzip")
    head = json.dumps({"l": {"dtype": "I64", "shape": l.shape, "data_offsets": [0, l.nbytes]}}).encode()
    with open(join("l.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + l.astype("<i8").tobytes())
    with open(join("prog.fuse"), "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    with open(join("policy.json"), "w", encoding="utf-8") as file:
        json.dump(POLICY, file)
    y = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * k + 10 * l
    return {"y": y, "z": y.sum(1)}


def load(path):
    """name -> array"""
    if path.endswith(".npz"):
        with numpy.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    if path.endswith(".npy"):
        return {"y": numpy.load(path)}
    if path.endswith(".h5"):
        with h5py.File(path) as file:
            return {"y": file["y"][()]} if "y" in file else {"y": file["g/y"][()], "z": file["z"][()]}
    if path.endswith(".safetensors"):
        with open(path, "rb") as file:
            head = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            data = file.read()
        types = {"F64": "<f8", "F32": "<f4", "I64": "<i8"}
        return {name: numpy.frombuffer(data[slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(entry["shape"])
                for name, entry in head.items() if name != "__metadata__"}
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        if ".jsonl" in path:
            shape = json.loads(next(file))["shape"]
            return {"y": numpy.array([json.loads(line)["value"] for line in file]).reshape(shape)}
        if ".json" in path:
            return {"y": numpy.array(json.load(file))}
        rows = numpy.loadtxt(file, delimiter="," if ".csv" in path else "\t", ndmin=2)
    ids, values = rows[:, :-1].astype(int), rows[:, -1]
    array = numpy.full(ids.max(0) + 1, numpy.nan)
    array[tuple(ids.T)] = values
    return {"z" if array.ndim == 1 else "y": array}


def problem(folder, name, expected):
    """What is wrong with a sink; None: it is whole and right."""
    try:
        got = load(os.path.join(folder, name))
    except (OSError, ValueError, KeyError, EOFError, StopIteration, struct.error) as error:
        return f"cannot be read: {error}"
    for key, array in got.items():
        if array.shape != expected[key].shape or not (array == expected[key]).all():
            return f"'{key}' is wrong"
    return None if len(got) == (2 if name in ("o.npz", "o.h5", "p.h5", "o.safetensors") else 1) else f"holds {list(got)}"
