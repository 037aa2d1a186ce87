#!/usr/bin/env python3
"""Programs that read and write .safetensors files, on several numbers of ranks.

usage: safetensors.py --binary FUSE_DIST [--ranks N...]

Sources are written by tests/unit/safetensors_file.py, sinks read back by it and compared with what NumPy computes. What
would make it fail: a rank that reads or writes another part than its own, bytes that depend on the number of ranks, bytes
of other tensors being read, a failure that one rank alone sees.
"""

import argparse
import os
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "unit"))
import safetensors_file as st  # noqa: E402

TYPES = [name for name in st.CODES if name != "BF16"]
PROGRAM = "".join(f'{name}[i,j] = "in.safetensors:layers.0.{name}"\n' for name in TYPES + ["BF16"]) + """\
One[k] = "one.safetensors"
"out.safetensors:sum" = F32[i,j] + I16[i,j]
"out.safetensors:a.b/weight" = F64[j,i]
"out.safetensors:u8" = U8[i,j]
"out.safetensors:bool" = BOOL[i,j] > 0
"out.safetensors:half" = F16[i,j]
"out.safetensors:brain" = BF16[i,j]
"out.safetensors:wide" = U64[i,j] + U32[i,j] + U16[i,j] + I64[i,j] + I32[i,j] + I8[i,j]
"single.safetensors" = One[k] * 2
"""
ROWS, COLUMNS = 37, 53


def make_inputs(folder):
    random = numpy.random.default_rng(3)
    tensors = {}
    for name in TYPES:
        code = numpy.dtype(st.CODES[name])
        array = random.integers(0, 2 if name == "BOOL" else 99, (ROWS, COLUMNS))
        tensors[name] = (name, array.astype(code))
    # The upper half of a float's bits is a bf16.
    reals = random.standard_normal((ROWS, COLUMNS)).astype("<f4")
    tensors["BF16"] = ("BF16", (reals.view("<u4") >> 16).astype("<u2"))
    padded = {}
    for k, (name, tensor) in enumerate(tensors.items()):
        padded[f"layers.0.{name}"] = tensor
        padded[f"unused.{k}"] = ("U8", numpy.zeros(k, "u1"))  # what follows lies at odd places
    with open(os.path.join(folder, "in.safetensors"), "wb") as out:
        out.write(st.write(padded, {"format": "pt"}))
    with open(os.path.join(folder, "one.safetensors"), "wb") as out:
        out.write(st.write({"it": ("I64", numpy.arange(1000))}))
    return {name: tensor[1] for name, tensor in tensors.items()}


def check_outputs(folder, inputs):
    blobs = []
    for name in ("out", "single"):
        with open(os.path.join(folder, name + ".safetensors"), "rb") as file:
            blobs.append(file.read())
    tensors, metadata = st.read(blobs[0])
    assert set(metadata) == {"fuse_program", "fuse_version"}, metadata
    wide = sum(inputs[name].astype("i8") for name in ("U64", "U32", "U16", "I64", "I32", "I8"))
    want = {"sum": ("F32", inputs["F32"] + inputs["I16"]), "a.b/weight": ("F64", inputs["F64"]),
            "u8": ("U8", inputs["U8"]), "bool": ("BOOL", inputs["BOOL"] > 0), "half": ("F16", inputs["F16"]),
            "brain": ("BF16", inputs["BF16"]), "wide": ("I64", wide)}
    assert set(tensors) == set(want), tensors.keys()
    for name, (dtype, array) in want.items():
        got, back = tensors[name]
        assert got == dtype and numpy.array_equal(back, array), (name, got)
    tensors, _ = st.read(blobs[1])
    assert list(tensors) == ["tensor"] and tensors["tensor"][0] == "I64"
    assert numpy.array_equal(tensors["tensor"][1], numpy.arange(1000) * 2)
    return blobs


def check_hostile(binary, folder, ranks):
    """One error, status 66 and no file, on every number of ranks."""
    data = numpy.zeros(6, "<f4").tobytes()
    cases = {"overlap": (st.pack({"a": st.entry("F32", (4,), 0, 16), "b": st.entry("F32", (4,), 8, 24)}, data), "overlap"),
             "long": (st.pack({}, data, length=2**63), "no safetensors file"),
             "overflow": (st.pack({"a": st.entry("F32", (2**32, 2**32, 6), 0, 24)}, data), "2^60"),
             "twice": (st.pack(b'{"a":1,"a":1}', data), "stands twice"),
             "deep": (st.pack(b'{"a":' * 70, data), "inside each other")}
    for name, (blob, says) in cases.items() if ranks == 1 else [("twice", cases["twice"])]:
        with open(os.path.join(folder, "bad.safetensors"), "wb") as file:
            file.write(blob)
        launch.run_text(binary, folder, 'A[i] = "bad.safetensors:a"\n"never.npy" = A[i]\n', ranks, 66, (says,))
        assert not os.path.exists(os.path.join(folder, "never.npy")), name


def check_huge(binary, folder, ranks):
    """A slice of a file that is larger than any memory: only what is asked for is read."""
    rows = 1 << 20
    header = {"hole": st.entry("F32", (rows, 1 << 20), 0, 4 * rows << 20),
              "w": st.entry("F32", (4,), 4 * rows << 20, (4 * rows << 20) + 16)}
    blob = st.pack(header)
    with open(os.path.join(folder, "huge.safetensors"), "wb") as file:
        file.write(blob)
        file.seek(len(blob) + (4 * rows << 20))
        file.write(numpy.arange(4, dtype="<f4").tobytes())
    launch.run_text(binary, folder, 'W[i] = "huge.safetensors:w"\n"w.npy" = W[i]\n', ranks, 0)
    assert numpy.load(os.path.join(folder, "w.npy")).tolist() == [0, 1, 2, 3]
    os.unlink(os.path.join(folder, "huge.safetensors"))


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
            blobs = check_outputs(folder, inputs)
            first = first or blobs
            assert blobs == first, f"{ranks} ranks write other bytes"
            check_hostile(binary, folder, ranks)
            check_huge(binary, folder, ranks)
    print(f"safetensors: {len(PROGRAM.splitlines())} sources and sinks on {options.ranks} ranks")


if __name__ == "__main__":
    main()
