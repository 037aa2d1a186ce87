#!/usr/bin/env python3
"""Compares safetensors sources and sinks with NumPy, file by file: usage test_safetensors_numpy.py DRIVER. Returns 77
without NumPy.

What would make it fail: a file of the format being read wrongly or refused, one of ours that is not of the format, a header
that lies and is believed.
"""

import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("NumPy is missing, nothing checked")
    sys.exit(77)

import safetensors_file as st

NAMES = {"BOOL": "bool", "U8": "u8", "I8": "i8", "I16": "i16", "U16": "u16", "F16": "f16", "BF16": "bf16", "I32": "i32",
         "U32": "u32", "F32": "f32", "I64": "i64", "U64": "u64", "F64": "f64"}
RESIDENT = {"U16": "<i4", "U32": "<i8", "U64": "<i8"}
SHAPES = [(), (5,), (0,), (6, 7), (3, 0, 5), (3, 4, 5), (200, 301)]
random = np.random.default_rng(20261121)
DRIVER = ""


def ask(commands):
    """The driver's answers, one a command."""
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True,
                          timeout=50)
    answers = done.stdout.splitlines()
    assert len(answers) == len(commands), (len(answers), len(commands), answers[-1:])
    return answers


def sample(dtype, shape):
    code = np.dtype(st.CODES[dtype])
    if code.kind == "f":
        return (random.standard_normal(shape) * 100).astype(code)
    return random.integers(0, 2 if code.kind == "b" else 100, shape).astype(code)


def store(name, blob):
    with open(name, "wb") as out:
        out.write(blob)


def read_as(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_sources():
    tensors = {f"layers.{k}.{dtype}/é": (dtype, sample(dtype, shape))
               for dtype in NAMES for k, shape in enumerate(SHAPES)}
    store("all.safetensors", st.write(tensors, {"format": "pt", "note": "two\nlines"}))
    order = sorted(tensors, key=lambda name: random.random())
    header = json.loads(st.write(tensors)[8:][:int.from_bytes(st.write(tensors)[:8], "little")])
    # The header's order is not that of the bytes; no padding, so that elements lie at odd places.
    data = st.write(tensors)[8 + int.from_bytes(st.write(tensors)[:8], "little"):]
    store("other.safetensors", st.pack(json.dumps({n: header[n] for n in order}).encode() + b"\n", data, pad=False))
    store("one.safetensors", st.write({"only": ("F32", np.arange(6).reshape(2, 3))}))
    commands, expected = [], []
    for path in ("all.safetensors", "other.safetensors"):
        for name, (dtype, array) in tensors.items():
            commands.append(f"all {path}:{name} out{len(commands)}")
            expected.append((dtype, array))
    commands.append(f"all one.safetensors out{len(commands)}")
    expected.append(("F32", np.arange(6, dtype="<f4").reshape(2, 3)))
    for number, (answer, (dtype, array)) in enumerate(zip(ask(commands), expected)):
        shape = "".join(f" {e}" for e in array.shape)
        assert answer == f"ok {NAMES[dtype]} 0 0 {array.ndim}{shape}", (commands[number], answer)
        assert read_as(f"out{number}") == array.astype(RESIDENT.get(dtype, array.dtype)).tobytes(), commands[number]
    return len(commands)


def test_boxes():
    """Boxes of a tensor in the middle of a file, in C and Fortran order in memory."""
    big = random.integers(0, 50, (300, 200, 7)).astype("<i2")
    store("big.safetensors", st.write({"a": ("F64", sample("F64", (31,))), "b": ("I16", big), "c": ("U8", sample("U8", (99,)))}))
    commands, expected = [], []
    for turn in range(40):
        low, high = zip(*(sorted(random.integers(0, e + 1, 2).tolist()) for e in big.shape))
        commands.append(f"read big.safetensors:b out{turn} {turn % 2} {' '.join(map(str, low + high))}")
        expected.append(big[tuple(slice(a, b) for a, b in zip(low, high))].tobytes("F" if turn % 2 else "C"))
    for number, (answer, want) in enumerate(zip(ask(commands), expected)):
        assert answer.startswith("ok"), (commands[number], answer)
        assert read_as(f"out{number}") == want, commands[number]
    return len(commands)


def test_sinks():
    commands, expected = [], []
    for dtype in NAMES:
        if dtype in RESIDENT:
            continue
        for shape in SHAPES:
            array = sample(dtype, shape)
            number = len(commands)
            store(f"w{number}.raw", array.tobytes())
            part = ["", ":a", ":model.layers.0/weight", ":é\"\\"][number % 4]
            box = " ".join(["0"] * len(shape) + [str(e) for e in shape])
            extents = " ".join(str(e) for e in shape)
            commands.append(f"write w{number}.safetensors{part} {NAMES[dtype]} {len(shape)} {extents} w{number}.raw 1\n{box}")
            expected.append((part[1:] or "tensor", dtype, array))
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True)
    assert done.stdout.splitlines() == ["ok"] * len(commands), done.stdout
    for number, (name, dtype, array) in enumerate(expected):
        tensors, metadata = st.read(read_as(f"w{number}.safetensors"))
        assert metadata is None and list(tensors) == [name], (metadata, tensors)
        got, back = tensors[name]
        assert got == dtype and back.shape == array.shape and back.tobytes() == array.tobytes(), number
    return len(commands)


def f32(*shape, at=0):
    size = 4 * int(np.prod(shape))
    return st.entry("F32", shape, at, at + size)


def text(header):
    return json.dumps(header).encode()


def test_lies():
    data = np.arange(6, dtype="<f4").tobytes()
    good = {"w": f32(2, 3)}
    with_entry = lambda **changes: st.pack({"w": dict(good["w"], **changes)}, data)  # noqa: E731
    deep = b'{"w":' + b"[" * 70 + b"]" * 70 + b"}"
    cases = {
        "good": (st.pack(good, data), None),
        "empty": (b"", "too short"),
        "short": (b"\1\0\0\0", "too short"),
        "no_header": (st.pack(b"", data, pad=False), "ends too early"),
        "text": (b"just text\n" * 100, "no safetensors file"),
        "length_huge": (st.pack(good, data, length=2**63 + 5), "no safetensors file"),
        "length_100_mb": (st.pack(good, data, length=100000001), "no safetensors file"),
        "length_beyond": (st.pack(good, data, length=1000), "is truncated"),
        "length_shorter": (st.pack(good, data, length=20), "header):1:"),
        "length_longer": (st.pack(good, data, length=len(st.pack(good)) - 8 + 8), "header):1:"),
        "list": (st.pack(b"[]" + b" " * 6), "must begin with '{'"),
        "blank_first": (st.pack(b" " + text(good), data), "must begin with '{'"),
        "mark_first": (st.pack(b"\xef\xbb\xbf" + text(good), data), "byte order mark"),
        "nul_padding": (st.pack(text(good) + b"\0\0", data), "behind the end"),
        "not_utf8": (st.pack(b'{"w\xff":1}'), "not UTF-8"),
        "surrogate": (st.pack(b'{"w\\ud800":1}'), "surrogate"),
        "nul_name": (st.pack(b'{"w\\u0000":1}'), "a NUL"),
        "deep": (st.pack(deep), "inside each other"),
        "deeper": (st.pack(b'{"w":' + b'{"a":' * 100000), "inside each other"),
        "twice": (st.pack(text(good)[:-1] + b"," + text(good)[1:], data), '"w" stands twice'),
        "twice_escaped": (st.pack(text(good)[:-1] + b"," + text(good)[1:].replace(b'"w"', b'"\\u0077"'), data), "stands twice"),
        "metadata_twice": (st.pack(b'{"__metadata__":{},"__metadata__":{}}'), "stands twice"),
        "metadata_number": (st.pack({"__metadata__": {"a": 1}, **good}, data), "must be a string"),
        "metadata_list": (st.pack({"__metadata__": [], **good}, data), "must be an object"),
        "metadata_nested": (st.pack({"__metadata__": {"a": {}}, **good}, data), "must be a string"),
        "entry_list": (st.pack({"w": []}, data), "must be an object"),
        "entry_empty": (st.pack({"w": {}}, data), 'needs a "dtype"'),
        "no_shape": (st.pack({"w": {"dtype": "F32", "data_offsets": [0, 24]}}, data), 'needs a "shape"'),
        "no_offsets": (st.pack({"w": {"dtype": "F32", "shape": [2, 3]}}, data), 'needs a "data_offsets"'),
        "more_keys": (with_entry(strides=[3, 1]), "is no key of a tensor"),
        "dtype_number": (with_entry(dtype=3), "must be a string"),
        "dtype_unknown": (with_entry(dtype="F33"), 'an unknown dtype, "F33"'),
        "dtype_lower": (with_entry(dtype="f32"), "an unknown dtype"),
        "dtype_object": (with_entry(dtype="O"), "an unknown dtype"),
        "f8": (st.pack({"w": st.entry("F8_E4M3", (24,), 0, 24)}, data), "F8_E4M3, which is not read"),
        "f4": (st.pack({"w": st.entry("F4", (48,), 0, 24)}, data), "F4, which is not read"),
        "f4_odd": (st.pack({"w": st.entry("F4", (47,), 0, 24)}, data), "do not take 24 bytes"),
        "c64": (st.pack({"w": st.entry("C64", (3,), 0, 24)}, data), "C64, which is not read"),
        "shape_negative": (with_entry(shape=[-2, -3]), "below 0"),
        "shape_real": (with_entry(shape=[2.0, 3]), "must be an integer"),
        "shape_text": (with_entry(shape=["2", 3]), "must be an integer"),
        "shape_number": (with_entry(shape=6), "must be a list"),
        "shape_null": (with_entry(shape=None), "must be a list"),
        "shape_nested": (with_entry(shape=[[2, 3]]), "must be an integer"),
        "shape_2_40": (with_entry(shape=[2**40]), "do not take 24 bytes"),
        "shape_overflow": (with_entry(shape=[2**53, 2**53]), "more than 2^60"),
        "shape_overflow_to_6": (with_entry(shape=[2**32, 2**32, 6]), "more than 2^60"),
        "shape_overflow_zero": (with_entry(shape=[2**53, 2**53, 0]), "more than 2^60"),
        "shape_beyond_2_53": (with_entry(shape=[2**53 + 1]), "beyond 2^53"),
        "shape_2_64": (with_entry(shape=[2**64 + 2, 3]), "beyond 2^53"),
        "shape_33_axes": (with_entry(shape=[2, 3] + [1] * 31), "33 axes"),
        "shape_many_axes": (with_entry(shape=[1] * 100000), "100000 axes"),
        "offsets_one": (with_entry(data_offsets=[0]), "are two"),
        "offsets_three": (with_entry(data_offsets=[0, 24, 24]), "are two"),
        "offsets_text": (with_entry(data_offsets=["0", 24]), "must be an integer"),
        "offsets_real": (with_entry(data_offsets=[0.5, 24]), "must be an integer"),
        "offsets_back": (with_entry(data_offsets=[24, 0]), "no range of bytes"),
        "offsets_negative": (with_entry(data_offsets=[-8, 16]), "no range of bytes"),
        "offsets_beyond": (with_entry(data_offsets=[4, 28]), "beyond the 24"),
        "offsets_far": (with_entry(data_offsets=[2**52, 2**52 + 24]), "beyond the 24"),
        "too_few_bytes": (with_entry(data_offsets=[0, 20]), "do not take 20 bytes"),
        "cut": (st.pack(good, data[:-1]), "beyond the 23"),
        "longer": (st.pack(good, data + b"x"), "last 1 bytes belong to no tensor"),
        "hole_first": (st.pack({"w": f32(2, 2, at=8)}, data), "in front of the tensor"),
        "hole": (st.pack({"a": f32(2), "b": f32(2, at=16)}, data), "the 8 bytes in front of"),
        "overlap": (st.pack({"a": f32(4), "b": f32(4, at=8)}, data), "overlap"),
        "same_bytes": (st.pack({"a": f32(6), "b": f32(6)}, data), "overlap"),
        "inside": (st.pack({"a": f32(6), "b": f32(1, at=8)}, data), "overlap"),
        "nothing": (st.pack(b"{}" + b" " * 6), "holds no tensors"),
        "nothing_but_bytes": (st.pack(b"{}" + b" " * 6, data), "belong to no tensor"),
        "several": (st.pack({"a": f32(3), "b": f32(3, at=12)}, data), "say which one"),
        "values": (st.pack(b'{"w":[' + b"0," * (1 << 20) + b"0]}"), "too many values"),
    }
    names = list(cases)
    for number, name in enumerate(names):  # whose names say nothing that a message should
        store(f"l{number}.safetensors", cases[name][0])
    for name, answer in zip(names, ask([f"all l{number}.safetensors out" for number in range(len(names))])):
        says = cases[name][1]
        if says is None:
            assert answer == "ok f32 0 0 2 2 3", (name, answer)
        else:
            assert answer.startswith("INPUT ") and says in answer, (name, answer)
    return len(cases)


def test_damage():
    """Every truncation is refused; a changed byte is refused, or what comes out is of the size that the header says."""
    good = st.write({"a": ("F32", np.arange(10)), "b": ("I64", np.arange(3)), "c": ("U8", np.arange(5))})
    for length in range(len(good)):
        store(f"t{length}.safetensors", good[:length])
    for answer in ask([f"all t{length}.safetensors:a out" for length in range(len(good))]):
        assert answer.startswith("INPUT "), answer
    for place in range(len(good)):
        changed = bytearray(good)
        changed[place] ^= 1 << int(random.integers(8)) if place % 2 else 0xFF
        store(f"f{place}.safetensors", bytes(changed))
    refused = 0
    for answer in ask([f"all f{place}.safetensors:a g{place}" for place in range(len(good))]):
        assert answer.startswith(("INPUT ", "ok ")), answer
        refused += answer.startswith("INPUT ")
    assert refused > int.from_bytes(good[:8], "little") // 2, refused
    return 2 * len(good)


def main():
    global DRIVER
    DRIVER = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in (test_sources, test_boxes, test_sinks, test_lies, test_damage):
            print(f"{test.__name__}: {test()} checked")
        os.chdir("/")


if __name__ == "__main__":
    main()
