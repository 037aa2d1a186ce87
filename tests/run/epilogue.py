#!/usr/bin/python3
"""Element-wise maps behind products, which run in the product's pass: values against NumPy on 1 to 8 ranks, with 1 and 2 threads,
in panels, in slabs and in a recursion, and a count of the bytes that no map had to sweep over again.

usage: epilogue.py --binary FUSE_DIST

Where the product is written too, what the map makes of it is compared to the last bit, and the product with what it is without a
map. On one rank the count is known; on more it must not be nothing.
"""

import argparse
import json
import os
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

# Products in blocks, which have parts, take AVX-512; without it they are those of BLAS.
with open("/proc/cpuinfo") as cpuinfo:
    HAS_BLOCKS = "avx512f" in cpuinfo.read() and not os.environ.get("FUSE_ISA")
I, K, J = 648, 225, 1034
SQUARE = 300


def relu(x):
    return numpy.maximum(x, 0)


def gelu(x):
    return 0.5 * x * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3)))


# What is written at the end keeps its place in memory until then: a result that is not put over the product may else lie over operands.
# Name, equations for "<name>.npy" = Y, value in F64 of the tensors, times that a map goes over a product, bytes of its element.
PROGRAMS = [
    ("bias_j", "Y[i,j] = relu(A[i,k] B[k,j] + BJ[j])", lambda t: relu(t.A @ t.B + t.BJ), 1, 4),
    ("bias_i", "Y[i,j] = tanh(A[i,k] B[k,j] + BI[i])", lambda t: numpy.tanh(t.A @ t.B + t.BI[:, None]), 1, 4),
    ("bias_both", "Y[i,j] = A[i,k] B[k,j] + BI[i] - BJ[j]", lambda t: t.A @ t.B + t.BI[:, None] - t.BJ, 1, 4),
    ("residual", "Y[i,j] = Z[i,j] + A[i,k] B[k,j] + BJ[j]", lambda t: t.Z + t.A @ t.B + t.BJ, 1, 4),
    ("turned", "Y[j,i] = relu(A[i,k] B[k,j] + BI[i])", lambda t: relu(t.A @ t.B + t.BI[:, None]).T, 1, 4),
    ("gelu", "Y[i,j] = gelu(A[i,k] B[k,j] + BJ[j])", lambda t: gelu(t.A @ t.B + t.BJ), 1, 4),
    ("masked", "Y[i,j] = where(i >= j, A[i,k] B[k,j], -1.0)",
     lambda t: numpy.where(numpy.arange(I)[:, None] >= numpy.arange(J), t.A @ t.B, -1), 1, 4),
    ("doubles", "Y[i,j] = relu(D[i,k] E[k,j] + BJ[j])", lambda t: relu(t.D @ t.E + t.BJ), 1, 8),
    ("halves", "Y[i,j] = relu(H[i,k] G[k,j] + BJ[j])", lambda t: relu(t.H @ t.G + t.BJ), 1, 4),
    ("bytes", 'Y[i,j] = 0.125 cast(Q[i,k] R[k,j], "f32") + BJ[j]\n"alive3.npy" = Q[i,k]\n"alive4.npy" = R[k,j]',
     lambda t: 0.125 * (t.Q @ t.R) + t.BJ, 1, 8),
    ("several_axes", "Y[a,b,j] = relu(T[a,b,k] B[k,j] + P[b,j])", lambda t: relu(t.T @ t.B + t.P), 1, 4),
    ("heads", "Y[a,p,b] = tanh(T[a,b,k] U[k,p] + V[p,b])",
     lambda t: numpy.tanh(numpy.einsum("abk,kp->apb", t.T, t.U) + t.V), 1, 4),
    ("batches", "Y[a,b,j] = relu(T[a,b,k] W[a,k,j] + P[b,j])", lambda t: relu(t.T @ t.W + t.P), 1, 4),
    ("two_maps", 'M[i,j] = A[i,k] B[k,j]\nO[i,j] = relu(M[i,j] - BJ[j])\nY[i,j] = M[i,j] tanh(M[i,j])\n"over.npy" = O[i,j]\n"alive2.npy" = A[i,k]',
     lambda t: (t.A @ t.B) * numpy.tanh(t.A @ t.B), 2, 4),
    ("kept", 'M[i,j] = A[i,k] B[k,j]\nY[i,j] = relu(M[i,j] + BJ[j])\n"product.npy" = M[i,j]\n"alive.npy" = A[i,k]',
     lambda t: relu(t.A @ t.B + t.BJ), 1, 4),
    ("plain", "Y[i,j] = A[i,k] B[k,j]", lambda t: t.A @ t.B, 0, 4),
    ("other_place", "M[i,j] = A[i,k] B[k,j]\nY[i,j] = relu(M[i,j]) + M[i,j+1]",
     lambda t: relu(t.A @ t.B) + numpy.pad(t.A @ t.B, ((0, 0), (0, 1)))[:, 1:], 0, 4),
]


class Tensors:
    def __init__(self, folder):
        rng = numpy.random.default_rng(11)
        shapes = {"A": (I, K), "B": (K, J), "BI": (I, ), "BJ": (J, ), "Z": (I, J), "D": (I, K), "E": (K, J), "H": (I, K), "G": (K, J),
                  "Q": (I, K), "R": (K, J), "T": (24, I // 24, K), "P": (I // 24, J), "U": (K, 301), "V": (301, I // 24),
                  "W": (24, K, J), "C": (SQUARE, SQUARE), "F": (SQUARE, SQUARE)}
        types = {"D": "f8", "E": "f8", "H": "f2", "G": "f2", "Q": "i1", "R": "i1"}
        self.text = ""
        for name, shape in shapes.items():
            kind = types.get(name, "f4")
            value = rng.integers(-9, 9, shape) if kind == "i1" else rng.standard_normal(shape) / {"C": 50}.get(name, 4 if name in "ADHT" else 1)
            value = value.astype(kind)
            setattr(self, name, value.astype("f8"))
            for file in [name] if name != "A" else [f"A_{program[0]}" for program in PROGRAMS]:
                numpy.save(os.path.join(folder, file + ".npy"), value)
            letters = ",".join(f"x{name}{a}" for a in range(len(shape)))
            self.text += f'{name}[{letters}] = "{name}.npy"\n' if name != "A" else ""


def text_of(tensors, programs):
    """Each program has a file of its own for A: products of equal operands would be computed once for all of them."""
    text = tensors.text
    for name, equations, *_ in programs:
        for tensor in "AMOY":
            equations = equations.replace(f"{tensor}[", f"{tensor}_{name}[")
        sink = equations.split(f"Y_{name}[")[1].split("]")[0]
        text += f'A_{name}[i,k] = "A_{name}.npy"\n{equations}\n"{name}.npy" = Y_{name}[{sink}]\n'
    return text


def run(binary, folder, text, ranks, options):
    with open(os.path.join(folder, "some.fuse"), "w") as file:
        file.write(text)
    result = launch.run(launch.on_ranks(ranks, [binary, *options, "--times=json", "some.fuse"]), folder, 120)
    if result.status != 0:
        print(f"{ranks} ranks, {' '.join(options)}: {result.tail()}")
        return None
    return json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{\"ranks\"")))


def compare(folder, tensors, what):
    good = True
    for name, _, value, _, _ in PROGRAMS:
        got, want = numpy.load(os.path.join(folder, name + ".npy")), value(tensors)
        error = numpy.abs(got - want).max() / numpy.abs(want).max() if got.shape == want.shape else numpy.inf
        # a sum of K terms, each half a unit in the last place off, and some operations
        if not error < (K + 16) * (2.0**-53 if name == "doubles" else 2.0**-24):
            print(f"{what}: {name} is {error:.2g} from NumPy")
            good = False
    plain, product, kept, over = (numpy.load(os.path.join(folder, f"{name}.npy")) for name in ("plain", "product", "kept", "over"))
    bias = tensors.BJ.astype("f4")
    for name, same in (("product", product == plain), ("kept", kept == relu(product + bias)), ("over", over == relu(plain - bias))):
        if not same.all():
            print(f"{what}: {name} differs in some bit at {numpy.argwhere(~same)[0]}")
            good = False
    return good


def settles(binary, folder, tensors, ranks):
    x = numpy.zeros((SQUARE, SQUARE))
    for _ in range(200):
        x = numpy.tanh(tensors.C @ x + tensors.F)
    text = 'C[u,w] = "C.npy"\nF[u,v] = "F.npy"\nX[u,v] = tanh(C[u,w] X[w,v] + F[u,v])\n"recursion.npy" = X[u,v]\n'
    report = run(binary, folder, text, ranks, [])
    error = numpy.abs(numpy.load(os.path.join(folder, "recursion.npy")) - x).max() if report else numpy.inf
    saved = report["epilogue_bytes"] if report else 0
    if error < 1e-4 and (ranks > 1 or not HAS_BLOCKS or saved >= 5 * x.size * 4):
        return True
    print(f"recursion on {ranks} ranks: {error:.2g} from NumPy, {saved} bytes in the product's pass")
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    binary = os.path.abspath(parser.parse_args().binary)
    ways = [(ranks, ["--threads", str(threads)]) for ranks in (1, 2, 3, 4, 8) for threads in (1, 2) if ranks < 8 or threads == 1]
    ways += [(2, ["--panel", "3"]), (3, ["--panel", "3"]), (4, ["--slabs-above", "200000"]), (3, ["--replicate-below", "0"])]
    others = [(2, ["--backend", "fakedev"]), (2, ["--isa", "baseline"]), (4, ["--deterministic"])]
    with tempfile.TemporaryDirectory() as folder:
        tensors = Tensors(folder)
        text = text_of(tensors, PROGRAMS)
        all_of_it = sum(maps * width * value(tensors).size for _, _, value, maps, width in PROGRAMS)
        good = all([settles(binary, folder, tensors, ranks) for ranks in (1, 2, 3)])
        for ranks, options in ways + others:
            what = f"{ranks} ranks, {' '.join(options)}"
            report = run(binary, folder, text, ranks, options)
            if report is None or not compare(folder, tensors, what):
                good = False
                continue
            saved = report["epilogue_bytes"]
            print(f"{what}: {saved} bytes in the products' pass")
            if (ranks, options) in ways and HAS_BLOCKS and (saved != all_of_it if ranks == 1 else saved == 0):
                print(f"{what}: {all_of_it} on one rank are wanted, and some on each of several")
                good = False
    print(f"{len(PROGRAMS)} programs: {'as NumPy has them' if good else 'FAILED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
