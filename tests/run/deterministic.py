#!/usr/bin/python3
"""Runs 40 programs with --deterministic on several numbers of ranks and threads and with each instruction set, and compares
the bytes of all that they write.

usage: deterministic.py --binary FUSE_DIST [--each] [--speed]

All in one file, whose sums are longer than a chunk; with --each every program by itself, larger, at two memory limits.
--speed: the product of 4096 takes at most twice as long as in any order. Values come from NumPy. Without --deterministic some bytes must differ, or the programs would show nothing.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

RANKS = 1, 2, 3, 4, 5, 7, 8


def softmax(x):
    e = numpy.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def normed(x):
    return (x - x.mean(-1, keepdims=True)) / numpy.sqrt(x.var(-1, keepdims=True) + 1e-5)


# Name, equations for "<name>.npy" = Y, and the value in F64; i, j are short, k is long, u and v are in between.
PROGRAMS = [
    ("product", "Y[i,j] = A[i,k] B[k,j]", lambda t: t.A @ t.B),
    ("product_turned", "Y[j,i] = A[i,k] B[k,j]", lambda t: (t.A @ t.B).T),
    ("product_f64", "Y[i,j] = D[i,k] E[k,j]", lambda t: t.D @ t.E),
    ("mixed", "Y[i,j] = D[i,k] B[k,j]", lambda t: t.D @ t.B),
    ("halves", "Y[i,j] = H[i,k] B[k,j]", lambda t: t.H @ t.B),
    ("gram", "Y[i,i'] = A[i,k] A[i',k]", lambda t: t.A @ t.A.T),
    ("vector", "Y[i] = A[i,k] X[k]", lambda t: t.A @ t.X),
    ("dot", "Y = X[k] Z[k]", lambda t: t.X @ t.Z),
    ("outer", "Y[k,i] = X[k] W[i]", lambda t: numpy.outer(t.X, t.W)),
    ("sum_all", "Y = A[i,k]", lambda t: t.A.sum()),
    ("sum_rows", "Y[i] = A[i,k]", lambda t: t.A.sum(1)),
    ("sum_columns", "Y[k] = A[i,k]", lambda t: t.A.sum(0)),
    ("sum_f64", "Y[j] = E[k,j]", lambda t: t.E.sum(0)),
    ("sum_of_map", "Y[i] = exp(-abs(A[i,k])) sin(A[i,k])", lambda t: (numpy.exp(-abs(t.A)) * numpy.sin(t.A)).sum(1)),
    ("two_summed", "Y[i] = T[i,u,v] U[u,v]", lambda t: numpy.einsum("iuv,uv->i", t.T, t.U)),
    ("two_summed_product", "Y[i,j] = T[i,u,v] V[v,u,j]", lambda t: numpy.einsum("iuv,vuj->ij", t.T, t.V)),
    ("batched", "Y[i,u] = T[i,u,v] U[u,v]", lambda t: numpy.einsum("iuv,uv->iu", t.T, t.U)),
    ("batched_product", "Y[u,i,j] = T[i,u,v] V[v,u,j]", lambda t: numpy.einsum("iuv,vuj->uij", t.T, t.V)),
    ("mttkrp", "Y[i,j] = T[i,u,v] P[u,j] Q[v,j]", lambda t: numpy.einsum("iuv,uj,vj->ij", t.T, t.P, t.Q)),
    ("trace", "Y = S[k,k]", lambda t: numpy.trace(t.S)),
    ("diagonal", "Y[i] = A[i,k] S[k,k]", lambda t: t.A @ numpy.diag(t.S)),
    ("window", "Y[i] = A[i,k] X[k+3]", lambda t: t.A[:, :-3] @ t.X[3:]),
    ("largest", "Y[i] max= A[i,k]", lambda t: t.A.max(1)),
    ("smallest_zero", "Y[i] min= abs(A[i,k]) floor(0.001 abs(A[i,k]))", lambda t: (abs(t.A) * numpy.floor(0.001 * abs(t.A))).min(1)),
    ("multiplied", "Y[i] prod= 1 + 0.001 sin(A[i,k])", lambda t: (1 + 0.001 * numpy.sin(t.A)).prod(1)),
    ("mean", "Y[i] avg= A[i,k]", lambda t: t.A.mean(1)),
    ("softmax", "Y[i,k.] = softmax(A[i,k])", lambda t: softmax(t.A)),
    ("softmax_product", "M[i,k.] = softmax(A[i,k])\nY[i,j] = M[i,k] B[k,j]", lambda t: softmax(t.A) @ t.B),
    ("layernorm", "Y[i,k.] = lnorm(A[i,k])", lambda t: normed(t.A)),
    ("attention", "M[k,k'] = B[k,j] B[k',j] / 10\nN[k,k'.] = softmax(M[k,k'])\nY[k,j] = N[k,k'] B[k',j]",
     lambda t: softmax(t.B @ t.B.T / 10) @ t.B),
    ("chain", "M[i,j] = A[i,k] B[k,j]\nN[i,k] = M[i,j] B[k,j]\nY[i,j] = N[i,k] E[k,j]", lambda t: t.A @ t.B @ t.B.T @ t.E),
    ("perceptron", "M[i,j] = gelu(0.01 A[i,k] B[k,j])\nN[i,k] = M[i,j] B[k,j]\nO[k] = N[i,k]\nY[k] = tanh(0.01 O[k])", None),
    ("logarithm", "M[i,k] = log(1 + abs(A[i,k])) + log1p(abs(A[i,k]))\nY[i] = M[i,k]", lambda t: 2 * numpy.log1p(abs(t.A)).sum(1)),
    ("powers", "M[i,k] = abs(A[i,k]) ** 0.37\nY[i] = M[i,k]", lambda t: (abs(t.A) ** 0.37).sum(1)),
    ("waves", "Y[i,k] = cos(A[i,k]) + gelu_erf(A[i,k])", None),
    ("sigmoid", "Y[i,k] = sigmoid(A[i,k])", lambda t: 0.5 + 0.5 * numpy.tanh(t.A / 2)),
    ("drawn", "M[i,k] = normal(seed=7)\nY[i] = M[i,k] A[i,k]", None),
    ("not_a_number", "Y[i,j] = (A[i,k] - A[i,k]) / (A[i,k] - A[i,k]) B[k,j]", None),
    ("join", "Y[u] = R(u,k) X[k]", None),
    ("join_by_column", "Y[k,j] = R(u,k) P[u,j]", None),
]


class Tensors:
    """The inputs. Of sizes that neither chunks nor ranks divide, and of magnitudes at which the order of a sum shows."""

    def __init__(self, folder, scale):
        rng = numpy.random.default_rng(5)
        i, j, k, u, v = 23, 19, 1500 * scale, 31, 45

        def make(name, *shape, dtype=numpy.float32, size=1.5):
            x = (rng.standard_normal(shape) * numpy.exp(size * rng.standard_normal(shape))).astype(dtype)
            numpy.save(os.path.join(folder, name + ".npy"), x)
            setattr(self, name, x.astype(numpy.float64))

        make("A", i, k)
        make("B", k, j)
        make("D", i, k, dtype=numpy.float64)
        make("E", k, j, dtype=numpy.float64)
        make("H", i, k, dtype=numpy.float16, size=0.5)
        make("X", k)
        make("Z", k)
        make("W", i)
        make("T", i, u, v)
        make("U", u, v)
        make("V", v, u, j)
        make("P", u, j)
        make("Q", v, j)
        make("S", k, k)
        with open(os.path.join(folder, "R.tsv"), "w") as file:
            pairs = {(int(a), int(b)) for a, b in zip(rng.integers(0, u, 9000), rng.integers(0, k, 9000))}
            pairs |= {(u - 1, k - 1)}
            file.writelines(f"{a}\t{b}\n" for a, b in sorted(pairs))


SOURCES = {"A": "i,k", "B": "k,j", "D": "i,k", "E": "k,j", "H": "i,k", "X": "k", "Z": "k", "W": "i", "T": "i,u,v", "U": "u,v",
           "V": "v,u,j", "P": "u,j", "Q": "v,j", "S": "k,l"}


def text_of(programs):
    lines = [f'{name}[{axes}] = "{name}.npy"' for name, axes in SOURCES.items()] + ['R(u,k) = "R.tsv"']
    for number, (name, equations, _) in enumerate(programs):
        for local in "YMNO":
            equations = equations.replace(local + "[", f"{local}{number}[").replace(local + " =", f"{local}{number} =")
        axes = re.match(r"Y\d*(\[[^\]]*\])?", equations.splitlines()[-1])[1] or ""
        lines += [equations, f'"{name}.npy" = Y{number}{axes.replace(".", "")}']
    return "\n".join(lines) + "\n"


def digests(binary, folder, file, ranks, *options):
    """With a memory limit that is too small for the program, under the one that the refusal says is enough."""
    out = tempfile.mkdtemp(dir=folder)
    command = launch.on_ranks(ranks, [binary, *options, "--output-root", out, os.path.join(folder, file)])
    result = launch.run(command, folder, 300)
    enough = re.search(r"hint: give it --mem-per-rank (\d+M)", result.tail())
    if result.status == 71 and enough and "--mem-per-rank" in options:
        command = [enough[1] if word == options[options.index("--mem-per-rank") + 1] else word for word in command]
        result = launch.run(command, folder, 300)
    if result.status != 0:
        sys.exit(f"{' '.join(command)}: status {result.status}\n{result.tail()}")
    found = {}
    for name in sorted(os.listdir(out)):
        with open(os.path.join(out, name), "rb") as file:
            found[name] = hashlib.sha256(file.read()).hexdigest()
    return found, out


def has_right_values(programs, tensors, out):
    good = True
    for name, _, value in programs:
        if value is None:
            continue
        got, want = numpy.load(os.path.join(out, name + ".npy")), value(tensors)
        error = numpy.abs(got - want).max() / (numpy.abs(want).max() or 1)
        if got.shape != want.shape or not error < 2e-4:
            print(f"{name}: {error:.2g} from NumPy")
            good = False
    return good


def variants(limits):
    """Ranks and options beside the first run, which is on one rank."""
    spread = ["--replicate-below", "0", "--file-unit", "256"]
    result = [(ranks, spread) for ranks in RANKS]
    result += [(3, ["--threads", "2"]), (1, ["--threads", "2", *spread]), (3, ["--isa", "avx2", *spread]),
               (2, ["--isa", "baseline", *spread]), (4, ["--slabs-above", "4096", *spread]), (2, ["--panel", "3", *spread])]
    return result + [(ranks, ["--mem-per-rank", limit, *spread]) for limit in limits for ranks in (2, 5)]


def compare(binary, folder, programs, tensors, file, limits):
    with open(os.path.join(folder, file), "w") as handle:
        handle.write(text_of(programs))
    first, out = digests(binary, folder, file, 1, "--deterministic")
    good = has_right_values(programs, tensors, out) and len(first) == len(programs)
    for ranks, options in variants(limits):
        other, _ = digests(binary, folder, file, ranks, "--deterministic", *options)
        wrong = [name for name in first if first[name] != other.get(name)]
        if wrong or len(other) != len(first):
            print(f"{ranks} ranks, {' '.join(options)}: other bytes in {' '.join(wrong)}")
            good = False
    return good, first


def is_fast(binary, folder):
    """Medians of interleaved runs on an idle machine, one thread."""
    good = True
    for precision in "fp32", "fp64":
        seconds = {"": [], "--deterministic": []}
        for _ in range(3):
            for option, times in seconds.items():
                command = [binary, "bench", "gemm", "4096", "4096", "4096", "--precision", precision, "--threads", "1", "--json",
                           "--repeat", "3", *option.split()]
                result = launch.run(launch.on_ranks(0, command), folder, 300)
                times.append(json.loads(result.out)["lines"][0]["median"])
        ratio = sorted(seconds["--deterministic"])[1] / sorted(seconds[""])[1]
        print(f"product of 4096, {precision}: {ratio:.2f} times the time in any order")
        good &= ratio <= 2
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--speed", action="store_true")
    args = parser.parse_args()
    binary = os.path.abspath(args.binary)
    assert len(PROGRAMS) == 40
    with tempfile.TemporaryDirectory() as folder:
        tensors = Tensors(folder, 2 if args.each else 1)
        if args.each:
            good = True
            for number, one in enumerate(PROGRAMS):
                good &= compare(binary, folder, [one], tensors, f"program{number}.fuse", ["48M", "60M"])[0]
        else:
            good, first = compare(binary, folder, PROGRAMS, tensors, "all.fuse", [])
            one, three = (digests(binary, folder, "all.fuse", ranks, "--replicate-below", "0")[0] for ranks in (1, 3))
            differ = sum(one[name] != three[name] for name in first)
            print(f"in any order {differ} of {len(first)} have other bytes on 3 ranks than on 1")
            good &= differ >= len(first) // 4
        good &= not args.speed or is_fast(binary, folder)
    print(f"{len(PROGRAMS)} programs: {'the same bytes everywhere' if good else 'FAILED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
