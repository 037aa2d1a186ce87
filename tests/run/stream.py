#!/usr/bin/python3
"""Programs whose sources are larger than memory, streamed, against NumPy.

usage: stream.py --binary FUSE_DIST [--ranks N]...

Each program runs with a limit of memory under which it fits only when its sources, and perhaps its sinks, pass through in slabs:
the plan must say so, and values must be NumPy's. On up to 4 ranks, sources have at least 8 times as many bytes as all ranks
together have memory for tensors. Programs that cannot be streamed are refused before anything is
read or written, with the equation that needs a source whole. One run has a read, one a write in the background fail.
"""

import argparse
import json
import os
import sys
import tempfile

import launch

launch.require_numpy()

import h5py  # noqa: E402
import numpy  # noqa: E402

MIB = 1 << 20
BASE = 32 * MIB

ROWS, COLUMNS = 1 << 16, 96  # 24 MiB of f32


def softmax(x):
    e = numpy.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def relu(x):
    return numpy.maximum(x, 0)


class Case:
    """A program, what the plan says that it streams, and for each sink a function of the inputs."""

    def __init__(self, name, text, streams, expected):
        self.name, self.text, self.streams, self.expected = name, text, streams, expected


CASES = [
    Case("map", 'X[i,j] = "x.npy"\nY[i,j] = relu(X[i,j])\n"y.npy" = Y[i,j]\n', ["X along i", "Y along i"],
         {"y.npy": lambda d: relu(d["x"])}),
    Case("vector", 'X[i,j] = "x.npy"\nV[j] = "v.npy"\nY[i] = X[i,j] V[j]\n"y.npy" = Y[i]\n', ["X along i"],
         {"y.npy": lambda d: d["x"] @ d["v"]}),
    Case("contracted", 'X[i,j] = "x.npy"\nZ[i,k] = "z.npy"\nC[j,k] = X[i,j] Z[i,k]\n"c.npy" = C[j,k]\n',
         ["X along i", "Z along i"], {"c.npy": lambda d: d["x"].astype("f8").T @ d["z"]}),
    Case("columns", 'X[i,j] = "x.npy"\nS[j] = X[i,j]\nM[j] max= X[i,j]\n"s.npy" = S[j]\n"m.npy" = M[j]\n',
         ["X along i"], {"s.npy": lambda d: d["x"].sum(axis=0, dtype="f8"), "m.npy": lambda d: d["x"].max(axis=0)}),
    Case("softmax", 'X[i,j] = "x.npy"\nY[i,j.] = softmax(X[i,j])\n"y.npy" = Y[i,j]\n', ["X along i", "Y along i"],
         {"y.npy": lambda d: softmax(d["x"])}),
    Case("network",
         'X[i,j] = "x.npy"\nW[j,h] = "w.npy"\nU[h,k] = "u.npy"\nH[i,h] = relu(X[i,j] W[j,h])\nY[i,k] = H[i,h] U[h,k]\n'
         '"y.npy" = Y[i,k]\n', ["X along i"],
         {"y.npy": lambda d: relu(d["x"] @ d["w"]) @ d["u"]}),
    Case("fortran", 'X[i,j] = "xt.npy"\nY[j] = X[i,j]\n"y.npy" = Y[j]\n', ["X along j"],
         {"y.npy": lambda d: d["xt"].sum(axis=0, dtype="f8")}),
    Case("twice", 'X[i,j] = "x.npy"\nM[j] max= X[i,j]\nY[i,j] = X[i,j] - M[j]\n"y.npy" = Y[i,j]\n',
         ["X along i", "Y along i"], {"y.npy": lambda d: d["x"] - d["x"].max(axis=0)}),
    Case("deflated", 'X[i,j] = "d.npz:x"\nS[j] = X[i,j]\n"s.npy" = S[j]\n', ["X along i"],
         {"s.npy": lambda d: d["x"].sum(axis=0, dtype="f8")}),
    Case("safetensors", 'X[i,j] = "s.safetensors:x"\nS[j] = X[i,j]\n"s.npy" = S[j]\n', ["X along i"],
         {"s.npy": lambda d: d["x"].sum(axis=0, dtype="f8")}),
    Case("hdf5", 'X[i,j] = "x.h5:/x"\nY[i,j] = relu(X[i,j])\n"y.h5:/y" = Y[i,j]\nS[j] = Y[i,j]\n"s.npy" = S[j]\n',
         ["X along i", "Y along i"], {"s.npy": lambda d: relu(d["x"]).sum(axis=0, dtype="f8")}),
    Case("copy", 'X[i,j] = "x.npy"\n"y.npy" = X[i,j]\n', ["X along i"], {"y.npy": lambda d: d["x"]}),
]

REFUSED = [
    ("gram", 'X[i,j] = "x.npy"\nG[i,k] = X[i,j] X[k,j]\nS[i] max= G[i,k]\n"s.npy" = S[i]\n', "the equation of G needs it whole"),
    ("shifted", 'X[i,j] = "x.npy"\nY[i,j] = X[i,j] + X[i+1,j]\n"y.npy" = Y[i,j]\n', "the equation of Y needs it whole"),
]


def make_inputs(folder):
    rng = numpy.random.default_rng(7)
    data = {"x": rng.standard_normal((ROWS, COLUMNS)).astype("f4"), "z": rng.standard_normal((ROWS, 40)).astype("f4"),
            "v": rng.standard_normal(COLUMNS).astype("f4"), "w": rng.standard_normal((COLUMNS, 48)).astype("f4"),
            "u": rng.standard_normal((48, 8)).astype("f4")}
    data["xt"] = numpy.asfortranarray(data["x"])
    for name, array in data.items():
        numpy.save(os.path.join(folder, name + ".npy"), array)
    header = json.dumps({"x": {"dtype": "F32", "shape": [ROWS, COLUMNS], "data_offsets": [0, data["x"].nbytes]}}).encode()
    with open(os.path.join(folder, "s.safetensors"), "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + data["x"].tobytes())
    with h5py.File(os.path.join(folder, "x.h5"), "w") as file:
        file.create_dataset("x", data=data["x"])
    numpy.savez_compressed(os.path.join(folder, "d.npz"), x=data["x"])
    return data


class Runner:
    def __init__(self, binary, folder, data):
        self.binary, self.folder, self.data, self.failures = binary, folder, data, 0

    def fail(self, what):
        self.failures += 1
        print(what)

    def run(self, ranks, text, limit, *options, env=None):
        with open(os.path.join(self.folder, "p.fuse"), "w", encoding="utf-8") as file:
            file.write(text)
        command = [self.binary, "p.fuse", "--mem-per-rank", str(limit), *options]
        return launch.run(launch.on_ranks(ranks, command), self.folder, 120, launch.environment(env))

    def check(self, case, ranks):
        name = f"{case.name} on {ranks} ranks"
        limit = BASE + max(self.data["x"].nbytes // 8 // ranks, 640 << 10)  # messages and pieces of files need some
        for path in case.expected:
            if os.path.exists(os.path.join(self.folder, path)):
                os.unlink(os.path.join(self.folder, path))
        result = self.run(ranks, case.text, limit, "--explain")
        if result.status != 0:
            return self.fail(f"{name}: exit status {result.status}\n{result.tail()}")
        for stream in case.streams:
            if f"stream {stream} in " not in result.out:
                self.fail(f"{name}: the plan does not say that it streams {stream}\n{result.out}")
        for path, function in case.expected.items():
            got, wanted = numpy.load(os.path.join(self.folder, path)), function(self.data)
            error = numpy.abs(got - wanted).max() / max(1, numpy.abs(wanted).max())
            if got.shape != wanted.shape or not error < 1e-5:
                self.fail(f"{name}: {path} is off by {error}")
        return None

    def check_refused(self, name, text, words, ranks):
        before = launch.files_below(self.folder)
        result = self.run(ranks, text, BASE + 2 * MIB)
        if result.status != 71 or words not in result.err:
            self.fail(f"{name} on {ranks} ranks: exit status {result.status}, expected 71 and '{words}'\n{result.tail()}")
        if launch.files_below(self.folder) - before - {"p.fuse"}:
            self.fail(f"{name} on {ranks} ranks: left files")

    def check_fault(self, kind, ranks):
        fault = f"{kind}:5@{ranks - 1}"
        before = launch.files_below(self.folder) - {"y.npy"}
        if os.path.exists(os.path.join(self.folder, "y.npy")):
            os.unlink(os.path.join(self.folder, "y.npy"))
        result = self.run(ranks, CASES[0].text, BASE + 2 * MIB, env={"FUSE_FAULT": fault})
        if "planted" not in result.err or result.status != 74:
            self.fail(f"fault {fault} on {ranks} ranks: exit status {result.status}\n{result.tail()}")
        if launch.files_below(self.folder) - before:
            self.fail(f"fault {fault}: left files")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuse-stream-") as folder:
        runner = Runner(os.path.abspath(options.binary), folder, make_inputs(folder))
        for ranks in options.ranks or [1, 3]:
            for case in CASES:
                runner.check(case, ranks)
            for name, text, words in REFUSED:
                runner.check_refused(name, text, words, ranks)
            runner.check_fault("read", ranks)
            runner.check_fault("write", ranks)
    print(f"{len(CASES)} streamed programs, {len(REFUSED)} refused: {runner.failures} failures")
    return 1 if runner.failures else 0


if __name__ == "__main__":
    sys.exit(main())
