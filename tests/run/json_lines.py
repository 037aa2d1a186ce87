#!/usr/bin/env python3
"""Programs that read and write .jsonl, tensors and rankings, on several numbers of ranks.

usage: json_lines.py --binary FUSE_DIST [--ranks N...]

What is written is read with Python's json and compared with what NumPy computes, byte by byte between numbers of ranks; what
was written is read again by fuse-dist. What would make it fail: a line that is missing, doubled or in another place, a number
that does not read back equal, a ranking in another order, a line that is wrong and is not noticed.
"""

import argparse
import json
import os
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

from formats import digest, expect  # noqa: E402

WRITE = """\
X[i,j] = "x.npy"
N[i,j] = "n.npy"
V[i] = "v.npy"
E[i,j] = "e.npy"
H[a,b,c] = "h.npy"
"x.jsonl" = X[i,j]
"n.jsonl" = N[i,j]
"v.jsonl" = V[i]
"e.jsonl" = E[i,j]
"b.jsonl" = X[i,j] > 0
"s.jsonl" = max(N[i,j], axis=[i,j])
"top_x.jsonl" = topk(X[i,j], k=7)
"top_n.jsonl" = topk(N[i,j], k=2)
"top_v.jsonl" = topk(V[i])
"top_e.jsonl" = topk(E[i,j], k=2)
"top_h.jsonl" = topk(H[a,b,c], k=2)
"top_down.jsonl" = topk(X[i,j], k=2, axis=i)
"""
READ = """\
X[i,j] = "x.jsonl"
N[i,j] = "n.jsonl"
B[i,j] = "b.jsonl"
E[k,l] = "e.jsonl"
S = "s.jsonl"
"x.npy" = X[i,j]
"turned.npy" = X[i,j] - X[i,0]
"n.npy" = N[i,j]
"b.npy" = B[i,j]
"e.npy" = E[k,l]
"s.npy" = S
"""
SPREAD = ["--replicate-below", "0", "--file-unit", "64", "--workspace", "512"]


def inputs():
    random = numpy.random.default_rng(11)
    x = (random.integers(-40, 40, (23, 307)) / 8).astype("f4")
    x[:, ::50] = 0.1
    x[3, 5], x[4, 7] = 3.4e38, 1e-45
    return {"x": x, "n": random.integers(-2**62, 2**62, (7, 3)), "v": random.standard_normal(9),
            "e": numpy.zeros((3, 0), "f4"), "h": random.standard_normal((2, 3, 5)).astype("f2")}


def tensor(array):
    """The lines of a tensor, numbers as Python objects."""
    head = {"schema": "fuse.tensor", "version": 1, "shape": list(array.shape)}
    return [head] + [{"value": v} for v in array.reshape(-1).tolist()]


def ranking(array, k):
    rows = [{"topk": [{"index": j, "value": row[j]} for j in sorted(range(len(row)), key=lambda j: (-row[j], j))[:k]]}
            for row in array.reshape(int(numpy.prod(array.shape[:-1])), array.shape[-1]).tolist()]
    return [{"schema": "fuse.topk", "version": 1}] + rows


def same(got, want, single):
    """Equal, where reals of f32 and f16 have no more digits than they need."""
    if isinstance(want, dict):
        return list(got) == list(want) and all(same(got[k], want[k], single) for k in want)
    if isinstance(want, list):
        return len(got) == len(want) and all(same(g, w, single) for g, w in zip(got, want))
    if isinstance(want, float):
        return isinstance(got, float) and (numpy.float32(got) == numpy.float32(want) if single else got == want)
    return type(got) is type(want) and got == want


def check(folder, arrays):
    x, n, v, e, h = (arrays[name] for name in "xnveh")
    expected = {"x": tensor(x), "n": tensor(n), "v": tensor(v), "e": tensor(e), "b": tensor(x > 0),
                "s": tensor(n.max()), "top_x": ranking(x, 7), "top_n": ranking(n, 2), "top_v": ranking(v, 5),
                "top_h": ranking(h, 2), "top_down": ranking(x.T, 2), "top_e": ranking(e, 2)}
    for name, lines in expected.items():
        with open(os.path.join(folder, name + ".jsonl"), encoding="ascii") as file:
            text = file.read()
        assert text.endswith("\n") and " " not in text, name
        got = [json.loads(line) for line in text.splitlines()]
        assert same(got, lines, not name.endswith("v")), name
        assert name != "x" or '{"value":0.1}\n' in text


def test_writing(binary, ranks, folder):
    arrays, first = inputs(), None
    for name, array in arrays.items():
        numpy.save(os.path.join(folder, name + ".npy"), array)
    before = launch.files_below(folder) | {"prog.fuse"}
    for n in [0, *ranks]:
        expect(binary, folder, WRITE, n, 0, options=SPREAD if n % 2 else [])
        check(folder, arrays)
        found = digest(folder, before)
        first = first or found
        assert found == first, f"other bytes on {n} ranks"
    return arrays


def test_reading(binary, ranks, folder, arrays):
    for name in arrays:
        os.remove(os.path.join(folder, name + ".npy"))
    x, n, e = arrays["x"], arrays["n"], arrays["e"]
    expected = {"x": x, "turned": x - x[:, :1], "n": n, "b": x > 0, "e": e, "s": n.max()}
    for r in ranks:
        expect(binary, folder, READ, r, 0, options=SPREAD if r % 2 else [])
        for name, want in expected.items():
            got = numpy.load(os.path.join(folder, name + ".npy"))
            want = numpy.asarray(want)
            assert got.dtype == want.dtype and got.shape == want.shape and (got == want).all(), name
            os.remove(os.path.join(folder, name + ".npy"))


def test_failures(binary, folder):
    """Files that are no .jsonl tensor, and values that JSON has not."""
    def head(shape):
        return json.dumps({"schema": "fuse.tensor", "version": 1, "shape": shape}, separators=(",", ":")) + "\n"

    line = '{"value":1.5}\n'
    many = head([50000]) + "".join('{"value":%d.5}\n' % i for i in range(40000)) + '{"value":nan}\n' + 9999 * line
    cases = [
        ("", ":1: "), ("junk\n", ":1: "), (head([-1]), ":1: "), (head([1.5]), ":1: "), (head([2**63]), ":1: "),
        (head([1] * 33) + line, ":1: "), ('{"schema":"fuse.topk","version":1}\n{"topk":[]}\n', "ranking"),
        (head([2]) + line, "2 elements, but 1 lines"), (head([2**62, 2**62]) + line, "but 1 lines"),
        (head([1]) + 2 * line, "1 elements, but 2 lines"), (head([2]) + line + '{"value":true}\n', "mixed"),
        (head([2]) + line + '{"value":01}\n', ":3: "), (head([2]) + line + '{"value":1e999}\n', ":3: "),
        (head([2]) + line + '{"value":9223372036854775808}\n', ":3: "), (head([2]) + line + "\n" + line, ":3: "),
        (head([2]) + line + '{"value":"' + 5000 * "x" + '"}\n', ":3: "), (head([2]) + '{"value":1,"a":2}\n' + line, ":2: "),
        (many, ":40002: "),
    ]
    for k, (text, message) in enumerate(cases):
        with open(os.path.join(folder, "bad.jsonl"), "w") as file:
            file.write(text)
        ranks = 3 if k % 5 == 0 or text is many else 0
        expect(binary, folder, 'X[i] = "bad.jsonl"\n"y.npy" = X[i]\n', ranks, 66, ["prog.fuse:1:", "bad.jsonl", message])
    numpy.save(os.path.join(folder, "nan.npy"), numpy.array([1, numpy.nan], "f4"))
    for sink in ("X[i]", "topk(X[i])"):
        expect(binary, folder, f'X[i] = "nan.npy"\n"y.jsonl" = {sink}\n', 2, 73, ["y.jsonl", "is NaN"])
    assert not os.path.exists(os.path.join(folder, "y.jsonl")) and not os.path.exists(os.path.join(folder, "y.npy"))
    return len(cases) + 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    with tempfile.TemporaryDirectory() as folder:
        arrays = test_writing(binary, options.ranks, folder)
        test_reading(binary, options.ranks, folder, arrays)
        failures = test_failures(binary, folder)
    print(f"tensors and rankings on {options.ranks} ranks are right, {failures} runs fail well")


if __name__ == "__main__":
    main()
