"""A program that reads and writes a file of every format, its inputs, and what its outputs must hold."""

import gzip
import json
import os

import numpy

N, M = 60, 40

# Sources and sinks of a new format are added here, in `make_inputs` and in `load`.
SINKS = ["o.npy", "o.npz", "o.json", "o.jsonl", "o.tsv", "o.csv"]
PROGRAM = """\
A[i,k] = "a.npy"
B[i,k] = "b.npz"
C[i,k] = "c.npz:c"
D[i,k] = "d.json"
E[i,k] = "e.tsv"
F[i,k] = "f.csv"
G[i,k] = "g.jsonl"
Y[i,k] = A[i,k] + 2 B[i,k] + 3 C[i,k] + 4 D[i,k] + 5 E[i,k] + 6 F[i,k] + 7 G[i,k]
Z[i] = Y[i,k]
"o.npy" = Y[i,k]
"o.npz:y" = Y[i,k]
"o.npz:z" = Z[i]
"o.json" = Y[i,k]
"o.jsonl" = Y[i,k]
"o.tsv" = Z[i]
"o.csv" = Y[i,k]
"""


def write_rows(path, array, between):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(between.join([str(i), str(k), str(array[i, k])]) + "\n" for i, k in numpy.argwhere(array))


def make_inputs(folder):
    """Writes the program and its inputs; returns name of the sink -> its arrays. Integers: every result is exact."""
    rng = numpy.random.default_rng(8)
    a, b, c, d, e, f, g = (rng.integers(1, 50, (N, M)) for _ in range(7))
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
    with open(join("prog.fuse"), "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    y = a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g
    return {"y": y, "z": y.sum(1)}


def load(path):
    """name -> array"""
    if path.endswith(".npz"):
        with numpy.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    if path.endswith(".npy"):
        return {"y": numpy.load(path)}
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
    except (OSError, ValueError, KeyError, EOFError, StopIteration) as error:
        return f"cannot be read: {error}"
    for key, array in got.items():
        if array.shape != expected[key].shape or not (array == expected[key]).all():
            return f"'{key}' is wrong"
    return None if len(got) == (2 if name.endswith(".npz") else 1) else f"holds {list(got)}"
