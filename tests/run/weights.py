#!/usr/bin/env python3
"""Weights from a manifest, on several numbers of ranks: every kind of entry against NumPy.

usage: weights.py --binary FUSE_DIST [--ranks N...]

What would make it fail: a shard that is read at another place than its own, a scale or zero point that meets other elements,
nibbles the wrong way round, an adapter with another factor or that is multiplied out, a dequantised matrix that exists
whole, a file outside of the manifest's folder that is read all the same.
"""

import argparse
import json
import os
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

OUT, IN, BATCH, GROUP = 12, 20, 5, 8
PROGRAM = "\n".join(f'"{name}.npy" = {name}_y[b,o]\n{name}_y[b,o] = {name}[o,i] X[b,i]' for name in (
    "plain", "scaled", "cast", "inline", "shards0", "shards1", "tensor", "channel", "columns", "affine", "groups", "ragged",
    "nibbles", "nibble_groups", "thin", "merged", "bare", "packed_thin")) + """
X[b,i] = "models/x.npy"
both_y[b,o] = thin[o,i] X[b,i] / 2 - other[o,i] X[b,i]
"both.npy" = both_y[b,o]
turned_y[b,i] = X[b,o=0:12] thin[o,i]
"turned.npy" = turned_y[b,i]
rows_y[o] = thin[o,i]
"rows.npy" = rows_y[o]
pair_y[b,o,p] = other[o,i] thin[p,i] X[b,i]
"pair.npy" = pair_y[b,o,p]
odd_y[b,o] = odd[o,i] X[b,i=0:19]
"odd.npy" = odd_y[b,o]
"number.npy" = number
"facts.npy" = F(x,y)
"""


def pack(q):
    """Two values of four bits a byte along the last axis, the first in the low bits."""
    q = q.astype("i1") & 15
    if q.shape[-1] % 2:
        q = numpy.concatenate([q, numpy.zeros(q.shape[:-1] + (1,), "i1")], -1)
    return (q[..., 0::2] | q[..., 1::2] << 4).astype("u1")


def spread(scale, extent, group):
    return numpy.repeat(scale, group, -1)[..., :extent]


def write_models(folder):
    """Returns the manifest and what each weight is as a matrix."""
    random = numpy.random.default_rng(11)

    def real(*shape):
        return (random.integers(-64, 64, shape) / 16).astype("f4")

    def whole(low, high, *shape):
        return random.integers(low, high, shape)

    def save(name, value):
        numpy.save(os.path.join(folder, name), value)
        return name

    x, w, entries, values = real(BATCH, IN), real(OUT, IN), [], {}
    save("x.npy", x)

    def add(name, matrix, **entry):
        entries.append({"name": name, **entry})
        values[name] = matrix

    add("plain", w, path=save("w.npy", w), shape=[OUT, IN], dtype="f32", metadata={"from": ["here", 1]}, prefetch=True)
    add("scaled", w * 0.25, path="w.npy", scale=0.25)
    wide = real(OUT, IN).astype("f8")
    add("cast", wide, path=save("wide.npy", wide), dtype="f32")
    small = whole(-9, 9, OUT, IN)
    add("inline", small.astype("f4"), value=small.tolist())
    add("number", 2.5, value=2.5)
    numpy.savez_compressed(os.path.join(folder, "part.npz"), rest=w[7:])
    add("shards0", w, shards=[{"path": save("w0.npy", w[:3])}, {"path": save("w1.npy", numpy.asfortranarray(w[3:7]))},
                              {"path": "part.npz:rest"}])
    add("shards1", w, shard_axis=1, dtype="f32",
        shards=[{"path": save(f"c{k}.npy", numpy.ascontiguousarray(w[:, k:k + 5])), "axis": 1} for k in range(0, IN, 5)])

    q, u, n = whole(-128, 128, OUT, IN).astype("i1"), whole(0, 256, OUT, IN).astype("u1"), whole(-8, 8, OUT, IN)
    save("q.npy", q), save("u.npy", u), save("n.npy", pack(n))
    per_row, per_column = real(OUT), real(IN)
    per_group, zero = real(OUT, (IN + GROUP - 1) // GROUP), whole(-3, 4, OUT, (IN + GROUP - 1) // GROUP).astype("i1")
    fine, fine_zero = real(OUT, IN // 4), whole(-3, 4, 1, IN // 4).astype("i1")
    add("tensor", q * 0.5, path="q.npy", quant={"dtype": "int8", "scale": 0.5, "mode": "symmetric"})
    add("channel", per_row[:, None] * q, path="q.npy", quant={"dtype": "int8", "scale": save("s.npy", per_row)})
    add("columns", per_column * q, path="q.npy", quant={"dtype": "int8", "scale": per_column.tolist(), "axis": 1})
    add("affine", per_row[:, None] * (u - 128.0), path="u.npy",
        quant={"dtype": "uint8", "mode": "affine", "scale": "s.npy", "zero_point": 128})
    add("groups", spread(fine, IN, 4) * (q - spread(fine_zero.astype("f4"), IN, 4)), path="q.npy", scale=1,
        quant={"dtype": "int8", "scale": save("fine.npy", fine), "zero_point": save("fz.npy", fine_zero), "group_size": 4})
    add("ragged", spread(per_group, IN, GROUP) * (q - spread(zero.astype("f4"), IN, GROUP)), path="q.npy", dtype="f32",
        quant={"dtype": "int8", "scale": save("g.npy", per_group), "zero_point": save("z.npy", zero), "group_size": GROUP})
    add("nibbles", per_row[:, None] * n, path="n.npy", quant={"dtype": "int4", "scale": "s.npy"})
    odd = n[:, :IN - 1]
    add("odd", 0.5 * odd, path=save("odd.npy", pack(odd)), shape=[OUT, IN - 1], quant={"dtype": "int4", "scale": 0.5})
    add("nibble_groups", spread(per_group, IN, GROUP) * n * 3, path="n.npy", scale=3,
        quant={"dtype": "int4", "scale": "g.npy", "group_size": GROUP})

    a, b = real(2, IN), real(OUT, 2)
    a2, b2 = real(3, IN), real(OUT, 3)
    save("a.npy", a), save("b.npy", b), save("a2.npy", a2), save("b2.npy", b2)
    adapters = {"one": {"a": "a.npy", "b": "b.npy"}, "two": {"a": "a2.npy", "b": "b2.npy", "alpha": 1.5}}
    lora = {"slot": "task", "alpha": 8, "default": "one", "adapters": adapters}
    low, low2 = b @ a * 4, b2 @ a2 * 0.5
    add("thin", w + low, path="w.npy", lora=lora)
    add("merged", w + low, path="w.npy", lora={**lora, "merge": True})
    add("bare", w, path="w.npy", lora={"adapters": {"one": adapters["one"]}})
    add("packed_thin", 0.5 * q + low, path="q.npy", quant={"dtype": "int8", "scale": 0.5}, lora=lora)
    other = real(OUT, IN)
    add("other", other, path=save("other.npy", other), lora={"slot": "second", "adapters": {
        "x": {"a": save("xa.npy", real(1, IN)), "b": save("xb.npy", real(OUT, 1))}}})
    with open(os.path.join(folder, "facts.tsv"), "w") as file:
        file.write("0\t1\n2\t0\n")
    add("F", numpy.array([[0, 1], [0, 0], [1, 0]], "u1"), path="facts.tsv")
    values["task=two"] = {name: values[name] - low + low2 for name in ("thin", "merged", "packed_thin")}
    values["second=x"] = {"other": other + numpy.load(os.path.join(folder, "xb.npy"))
                          @ numpy.load(os.path.join(folder, "xa.npy"))}
    values["task=none"] = {name: values[name] - low for name in ("thin", "merged", "packed_thin")}
    return {"version": 1, "metadata": {"made": "by a test"}, "weights": entries}, values, x


def expected(values, x, options):
    values = dict(values)
    for option in options:
        values.update(values.get(option, {}))
    products = {name: x @ values[name].T for name in values
                if isinstance(values[name], numpy.ndarray) and values[name].shape == (OUT, IN)}
    products["odd"] = x[:, :IN - 1] @ values["odd"].T
    products["both"] = products["thin"] / 2 - products.pop("other")
    products["turned"] = x[:, :OUT] @ values["thin"]
    products["rows"] = values["thin"].sum(1)
    products["pair"] = numpy.einsum("oi,pi,bi->bop", values["other"], values["thin"], x)
    products["number"] = numpy.float32(values["number"])
    products["facts"] = values["F"]
    return products


def run(binary, folder, ranks, *options):
    command = launch.on_ranks(ranks, [binary, *options])
    return launch.run(command, folder, 120)


def write_manifest(folder, manifest, name="weights.json"):
    os.makedirs(os.path.join(folder, "models"), exist_ok=True)
    with open(os.path.join(folder, "models", name), "w") as file:
        json.dump(manifest, file, indent=1)


def test_values(binary, ranks):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "models"))
        manifest, values, x = write_models(os.path.join(folder, "models"))
        write_manifest(folder, manifest)
        with open(os.path.join(folder, "prog.fuse"), "w") as file:
            file.write(PROGRAM)
        spread = ["--replicate-below", "0", "--file-unit", "64", "--workspace", "512"]
        runs = [(n, o, ()) for n in ranks for o in (spread, [*spread, "--slabs-above", "64"])]
        runs += [(0, [], ()), (2, ["--backend", "ref"], ())]
        runs += [(n, spread, ("task=two", "second=x")) for n in (1, 4)] + [(1, [], ("task=none",))]
        for n, options, adapters in runs:
            chosen = [word for adapter in adapters for word in ("--adapter", adapter)]
            result = run(binary, folder, n, "prog.fuse", "--weights", "models/weights.json", *options, *chosen)
            assert result.status == 0, f"{n} ranks, {options}: {result.tail()}"
            for name, want in expected(values, x, adapters).items():
                path = os.path.join(folder, name + ".npy")
                found = numpy.load(path)
                # Sums of IN products of multiples of 2^-8 below 2^12 and factors 2^-k: exact but for a few roundings.
                assert found.shape == want.shape, f"{name}: shape {found.shape}, wanted {want.shape}"
                error = numpy.abs(found - want).max() / max(1, numpy.abs(want).max())
                assert error < 1e-5, f"{name} is off by {error} on {n} ranks with {options} {adapters}"
                os.remove(path)
        return len(runs)


def plan(binary, folder, *options):
    result = run(binary, folder, 0, "plan", "prog.fuse", "--ranks", "4", "--weights", "models/weights.json", *options)
    assert result.status == 0, result.tail()
    return result.out


def test_plans(binary):
    """An adapter stays thin; an int8 matrix of 256 MiB as f32 is never whole."""
    size, rank, batch = 8192, 16, 64
    with tempfile.TemporaryDirectory() as folder:
        models = os.path.join(folder, "models")
        os.mkdir(models)
        for name, shape, dtype in (("q", (size, size), "i1"), ("w", (size, size), "f4"), ("a", (rank, size), "f4"),
                                   ("b", (size, rank), "f4"), ("x", (batch, size), "f4"),
                                   ("g", (size, size // 128), "f4"), ("n", (size, size // 2), "u1")):
            numpy.lib.format.open_memmap(os.path.join(models, name + ".npy"), "w+", dtype, shape)
        with open(os.path.join(folder, "prog.fuse"), "w") as file:
            file.write('Y[b,o] = W[o,i] X[b,i]\nX[b,i] = "models/x.npy"\n"y.npy" = Y[b,o]\n')
        lora = {"default": "l", "adapters": {"l": {"a": "a.npy", "b": "b.npy"}}}
        write_manifest(folder, {"version": 1, "weights": [{"name": "W", "path": "w.npy", "lora": lora}]})
        text = plan(binary, folder)
        # A and B are matrices of size x rank; nothing else but the weight itself may have both axes.
        tensors = re.findall(r"^  (\S+) \w+\[([\d,]*)\]", text, re.MULTILINE)
        wide = [name for name, extents in tensors if extents.split(",").count(str(size)) > 1]
        assert wide == ["W"], f"these are as large as the weight: {wide}\n{text}"

        for storage, elem, options in (("int8", 1, {}), ("int8", 1, {"group_size": 128}), ("int4", 0.5, {})):
            scale = "g.npy" if options else 0.5
            path = "n.npy" if storage == "int4" else "q.npy"
            write_manifest(folder, {"version": 1, "weights": [
                {"name": "W", "path": path, "quant": {"dtype": storage, "scale": scale, **options}}]})
            for ranks in (1, 4):
                result = run(binary, folder, 0, "plan", "prog.fuse", "--ranks", str(ranks), "--weights",
                             "models/weights.json")
                assert result.status == 0, result.tail()
                peak = int(re.search(r"^  peak (\d+) bytes", result.out, re.MULTILINE).group(1))
                stored = int(size * size * elem)
                # what is stored, a slab and what is gathered of it, X, Y and the scales
                limit = stored // ranks + (96 << 20) + 3 * batch * size * 4
                assert peak < limit, f"{storage} {options} on {ranks} ranks: {peak} of {limit} bytes\n{result.out}"


def check_error(binary, folder, manifest, mentions, status=66, program=None, options=(), ranks=(0, 3)):
    write_manifest(folder, manifest)
    with open(os.path.join(folder, "prog.fuse"), "w") as file:
        file.write(program or '"y.npy" = W[i,j] * 2\n')
    for n in ranks:
        result = run(binary, folder, n, "prog.fuse", "--weights", "models/weights.json", *options)
        assert result.status == status, f"status {result.status}: {result.tail()}"
        assert result.err.count("error:") == 1, result.tail()
        for text in mentions:
            assert text in result.err, f"'{text}' is not said: {result.tail()}"
        assert not os.path.exists(os.path.join(folder, "y.npy"))


def test_sandbox(binary):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "models"))
        numpy.save(os.path.join(folder, "secret.npy"), numpy.ones((2, 2), "f4"))
        os.symlink("../secret.npy", os.path.join(folder, "models", "link.npy"))
        os.symlink("..", os.path.join(folder, "models", "up"))
        for path in ("../secret.npy", os.path.join(folder, "secret.npy"), "a/../../secret.npy"):
            manifest = {"version": 1, "weights": [{"name": "W", "path": path}]}
            check_error(binary, folder, manifest, ["weights.json:6:", "outside of the manifest's folder"])
        for path in ("link.npy", "up/secret.npy"):
            manifest = {"version": 1, "weights": [{"name": "W", "shards": [{"path": path}]}]}
            check_error(binary, folder, manifest, ["weights.json:8:", "a link leads outside"])
        result = run(binary, folder, 1, "prog.fuse", "--weights", "models/weights.json", "--weights-anywhere")
        assert result.status == 0 and (numpy.load(os.path.join(folder, "y.npy")) == 2).all(), result.tail()


def test_document(binary):
    """The manifest of docs/weights.md does what the text says."""
    document = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "docs", "weights.md")
    with open(document, encoding="utf-8") as file:
        manifest = json.loads(re.search(r"^```json\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL).group(1))
    random = numpy.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        models = os.path.join(folder, "models")
        os.mkdir(models)
        made = {name: random.integers(-8, 8, shape).astype("f4") for name, shape in
                {"w": (4, 6), "e0": (1, 6), "e1": (3, 6), "s": 4, "a": (2, 6), "b": (4, 2)}.items()}
        q, p = random.integers(-128, 128, (4, 6)).astype("i1"), random.integers(-8, 8, (4, 6))
        for name, value in {**made, "q": q, "p": pack(p)}.items():
            numpy.save(os.path.join(models, name + ".npy"), value)
        want = {"W": made["w"], "E": numpy.concatenate([made["e0"], made["e1"]]), "Q": made["s"][:, None] * q,
                "P": (p - 1.0) * numpy.repeat(numpy.arange(1, 9).reshape(4, 2), 3, 1),
                "V": made["w"] + made["b"] @ made["a"]}
        x = random.integers(-8, 8, 6).astype("f4")
        numpy.save(os.path.join(models, "x.npy"), x)
        write_manifest(folder, manifest)
        with open(os.path.join(folder, "prog.fuse"), "w") as file:
            file.write('X[i] = "models/x.npy"\n"B.npy" = B[i]\n' + "".join(
                f'{name}_y[o] = {name}[o,i] X[i]\n"{name}.npy" = {name}_y[o]\n' for name in want))
        with open(os.path.join(folder, "policy.json"), "w") as file:
            json.dump({"weights": "models/weights.json", "strict_weights": True, "strict_mmap": True}, file)
        for n in 1, 3:
            result = run(binary, folder, n, "prog.fuse", "--policy", "policy.json", "--explain")
            assert result.status == 0, result.tail()
            assert "adapter 'formal' of slot 'style' as two thin products" in result.out, result.tail()
            for name, value in want.items():
                assert numpy.array_equal(numpy.load(os.path.join(folder, name + ".npy")), value @ x), name
            assert numpy.array_equal(numpy.load(os.path.join(folder, "B.npy")), [0.5, -1, 0, 2])


def test_policy(binary):
    """Placements, quantisation and adapters that a policy chooses, and what `policies` says of them."""
    with tempfile.TemporaryDirectory() as folder:
        models = os.path.join(folder, "models")
        os.mkdir(models)
        random = numpy.random.default_rng(6)
        q, x = random.integers(-128, 128, (8, 12)).astype("i1"), random.integers(-8, 8, (5, 12)).astype("f4")
        a, b = random.integers(-4, 4, (1, 12)).astype("f4"), random.integers(-4, 4, (8, 1)).astype("f4")
        for name, value in {"q": q, "x": x, "a": a, "b": b}.items():
            numpy.save(os.path.join(models, name + ".npy"), value)
        with open(os.path.join(folder, "prog.fuse"), "w") as file:
            file.write('X[b,i] = "models/x.npy"\nY[b,o] = W[o,i] X[b,i]\n"y.npy" = Y[b,o]\n')
        scales = random.integers(1, 9, (8, 3)).astype("f4")
        lora = {"slot": "s", "adapters": {"l": {"a": "a.npy", "b": "b.npy"}}}
        full = numpy.repeat(scales, 4, 1) * (q - 2.0)
        rules = {"quantization": {"W*": {"mode": "affine", "dtype": "int8", "scale": scales.ravel().tolist(), "zero_point": 2,
                                         "group_size": 4}}}
        cases = [({}, q.astype("f4")), (rules, full), ({**rules, "lora": {"s": "l"}}, full + b @ a),
                 ({"quantization": {"W": {"dtype": "int8", "scale": 3}}}, q * 3.0)]
        for placement in "free", "row", "column", "replicated":
            write_manifest(folder, {"version": 1, "metadata": {"author": "nobody"}, "weights": [
                {"name": "W", "path": "q.npy", "placement": placement, "lora": lora, "metadata": {"tag": "old"}}]})
            for policy, matrix in cases:
                with open(os.path.join(folder, "policy.json"), "w") as file:
                    json.dump({"weights": "models/weights.json", **policy}, file)
                for n in (1, 3, 4) if placement == "free" else (4,):
                    result = run(binary, folder, n, "prog.fuse", "--policy", "policy.json", "--replicate-below", "0")
                    assert result.status == 0, f"{placement} {policy} {n}: {result.tail()}"
                    found = numpy.load(os.path.join(folder, "y.npy"))
                    assert numpy.array_equal(found, x @ matrix.T), f"{placement} {policy} on {n} ranks"
        result = run(binary, folder, 0, "policies", "policy.json", "prog.fuse")
        assert result.status == 0, result.tail()
        for text in '"author": "nobody"', "W from q.npy", '"tag": "old"', "int8":
            assert text in result.out, f"'{text}' is not said: {result.tail()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    runs = test_values(binary, arguments.ranks)
    test_plans(binary)
    test_sandbox(binary)
    test_document(binary)
    test_policy(binary)
    print(f"{runs} runs agree with NumPy")


if __name__ == "__main__":
    sys.exit(main())
