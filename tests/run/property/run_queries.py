#!/usr/bin/python3
"""Queries: `--mode demand --query` gives the slice of the full result, and reads no more than that needs.

usage: run_queries.py --binary PATH [--batches N] [--seed S]

Fixed forms are compared with NumPy on 1, 2, 3, 4 and 8 ranks; tensors of the random programs of this folder with the slice of
what the whole program gives.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

import run_property  # noqa: E402
import sample  # noqa: E402

OPTIONS = None
RANKS = (1, 2, 3, 4, 8)

PROGRAM = """\
const n = 7
axis i = 60
axis j = 50
A[i,k] = "A.npy"
B[k,j] = "B.npy"
F[k,j] = "F.npy"
Z[k,j] = "Z.npz"
W[k,j] = "W.npz"
D[i,j] = A[i,k] B[k,j]
E[i,j] = relu(D[i,j]) + softmax(A[i,k] F[k,j], axis=j)
G[i] = D[i,j] B[0,j] + A[i,0]
S = D[i,j]
T[j,i] = D[i,j]
R(i,j) = D[i,j] > 0
Q(i) = R(i,j)
U[i,j] = 3 uniform(5) + iota(i) - even(j)
M[i] = argmax(D[i,j], axis=j)
L[i,j] = D[i+2,j-1]
H[j] max= D[i,j]
V[j] avg= D[i,j]
Y[k,j] = Z[k,j] + W[k,j]
P[a] = const([1, 4, 9, 16, 25])
"""


def shifted(array, rows, columns):
    out = numpy.zeros_like(array)
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            if 0 <= i + rows < array.shape[0] and 0 <= j + columns < array.shape[1]:
                out[i, j] = array[i + rows, j + columns]
    return out


class Queries(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-queries-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, program):
        with open(self.path("prog.fuse"), "w", encoding="utf-8") as file:
            file.write(program)

    def run_it(self, options, ranks=0):
        return launch.run(launch.on_ranks(ranks if ranks > 1 else 0, [OPTIONS.binary, "prog.fuse", *options]),
                          self.folder, 60)

    def ask(self, queries, ranks=0, more=()):
        """The answers by query, and the measured figures."""
        words = [w for q in queries for w in ("--query", q)]
        result = self.run_it(["--mode", "demand", *words, "--out", "answers.npz", "--times=json", *more], ranks)
        self.assertEqual(result.status, 0, result.tail())
        with numpy.load(self.path("answers.npz")) as file:
            answers = {name: file[name] for name in file}
        os.unlink(self.path("answers.npz"))
        self.assertEqual(set(answers), set(queries))
        return answers, json.loads(result.out.splitlines()[-1])

    def test_forms(self):
        rng = numpy.random.default_rng(3)
        a, b = rng.standard_normal((60, 40)), rng.standard_normal((40, 50))
        numpy.save(self.path("A.npy"), a)
        numpy.save(self.path("B.npy"), b)
        numpy.save(self.path("F.npy"), numpy.asfortranarray(b))
        numpy.savez(self.path("Z.npz"), b)
        numpy.savez_compressed(self.path("W.npz"), b)
        d = a @ b
        e = numpy.exp(d - d.max(1, keepdims=True))
        e = numpy.maximum(d, 0) + e / e.sum(1, keepdims=True)
        full = {
            "A": a, "B": b, "F": b, "Z": b, "D": d, "E": e, "G": d @ b[0] + a[:, 0] * 1.0, "T": d.T, "S": d.sum(),
            "R": d > 0, "Q": (d > 0).any(1), "M": d.argmax(1), "L": shifted(d, 2, -1), "H": d.max(0), "V": d.mean(0),
            "Y": b + b, "P": numpy.array([1, 4, 9, 16, 25]),
        }
        self.write(PROGRAM + 'export S\n"never.npy" = D[i,j]\n')
        result = self.run_it(["--mode", "demand", "--query", "U", "--query", "S", "--out", "u.npz"])
        self.assertEqual(result.status, 0, result.tail())
        with numpy.load(self.path("u.npz")) as file:
            full["U"] = file["U"]
        forms = {
            "D[3,:]": d[3], "D[n,:]": d[7], "D[-1,-2]": d[-1, -2], "D[:,:]": d, "D[:,4]": d[:, 4], "D[5:9,::7]": d[5:9, ::7],
            "D[40:,:3]": d[40:, :3], "D[-5:,n:12]": d[-5:, 7:12], "D[i,0]": d[:, 0], "D[i,j]": d,
            "D[i+1,3]": shifted(d, 1, 0)[:, 3], "T[2,:]": d.T[2], "T[:,3:5]": d.T[:, 3:5], "E[2:4,:]": e[2:4],
            "G[11]": full["G"][11], "S": d.sum(), "R(3,:)": d[3] > 0, "Q(2:9)": full["Q"][2:9], "U[17,:]": full["U"][17],
            "U[58:,45:]": full["U"][58:, 45:], "M[30:33]": full["M"][30:33], "L[:2,:2]": full["L"][:2, :2],
            "L[-3:,:]": full["L"][-3:], "H[5]": full["H"][5], "V[:3]": full["V"][:3], "Y[7,:]": 2 * b[7],
            "Y[:,7]": 2 * b[:, 7], "F[3,:4]": b[3, :4], "P[2:4]": full["P"][2:4], "A[ 3 , : ]": a[3], "P": full["P"],
        }
        for ranks in RANKS:
            answers, _ = self.ask(list(forms), ranks)
            for query, want in forms.items():
                got = answers[query]
                self.assertEqual(got.shape, numpy.shape(want), (query, ranks))
                numpy.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9, err_msg=f"{query} on {ranks} ranks")
            self.assertFalse(os.path.exists(self.path("never.npy")))
        for query in ("D[3,:]", "T[2,:]", "U[17,:]", "M[30:33]", "R(3,:)"):  # alone, so that nothing else keeps them whole
            for ranks in (1, 3):
                answers, _ = self.ask([query], ranks)
                numpy.testing.assert_allclose(answers[query], forms[query], rtol=1e-9, atol=1e-9, err_msg=query)

    def test_reads_what_is_needed(self):
        """A source of 4 TiB, of which no machine reads the whole, and of which a row and a column are asked for."""
        extent, row = 1 << 20, 12345
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({extent}, {extent}), }}"
        header += " " * (-(10 + len(header) + 1) % 64) + "\n"
        with open(self.path("x.npy"), "wb") as file:
            file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
            begin = file.tell()
            file.seek(begin + 4 * row * extent)
            file.write(numpy.arange(extent, dtype="<f4").tobytes())
            file.truncate(begin + 4 * extent * extent)
        self.write('X[i,j] = "x.npy"\nY[i,j] = 2 X[i,j] + 1\nN[i] = Y[i,j] X[i,j]\n"never.npy" = Y[i,j]\n')
        for ranks in RANKS:
            answers, figures = self.ask([f"Y[{row},:]"], ranks)
            numpy.testing.assert_array_equal(answers[f"Y[{row},:]"], 2 * numpy.arange(extent, dtype="f4") + 1)
            self.assertEqual(figures["file_bytes_total"], 4 * extent)
            if ranks > 1:  # all of them read
                self.assertLessEqual(figures["file_bytes_max"], 4 * extent // 2)
        answers, figures = self.ask([f"Y[{row - 2}:{row + 1},70]", f"Y[{row},71]"])
        self.assertEqual(answers[f"Y[{row},71]"], 143)
        self.assertEqual(list(answers[f"Y[{row - 2}:{row + 1},70]"]), [1, 1, 141])
        self.assertLessEqual(figures["file_bytes_total"], 3 << 20)
        # Without a query too: what nobody reads is not read.
        self.write(f'X[i,j] = "x.npy"\nY[j] = X[{row},j]\nexport Y\n')
        result = self.run_it(["--out", "y.npy", "--times=json"])
        self.assertEqual(result.status, 0, result.tail())
        self.assertEqual(json.loads(result.out)["file_bytes_total"], 4 * extent)
        numpy.testing.assert_array_equal(numpy.load(self.path("y.npy")), numpy.arange(extent))

    def test_parts_of_members(self):
        """Of a stored member a part is read, and its checksum, which is of the whole, is not asked for."""
        array = numpy.arange(3000 * 500, dtype="f8").reshape(3000, 500)
        numpy.savez(self.path("s.npz"), x=array)
        numpy.savez_compressed(self.path("d.npz"), x=array)
        for name, most in (("s.npz", 2 * 500 * 8), ("d.npz", os.path.getsize(self.path("d.npz")))):
            self.write(f'X[i,j] = "{name}:x"\n')
            for ranks in (1, 3):
                answers, figures = self.ask(["X[1000:1002,:]"], ranks)
                numpy.testing.assert_array_equal(answers["X[1000:1002,:]"], array[1000:1002])
                self.assertLessEqual(figures["file_bytes_max"], most)

    def test_relations(self):
        """Tuples stay where they are: what joins them shrinks, on the side of the result and of the dense operand."""
        rng = numpy.random.default_rng(5)
        x = rng.integers(-4, 5, (40, 6)).astype("f4")
        edges, weights = numpy.zeros((40, 40), bool), numpy.zeros((40, 40), "f4")
        with open(self.path("e.tsv"), "w", encoding="ascii") as file:
            for a, b in [(39, 39), *rng.integers(0, 40, (300, 2))]:
                edges[a, b] = True
                file.write(f"{a}\t{b}\n")
        with open(self.path("w.tsv"), "w", encoding="ascii") as file:
            for k, (a, b) in enumerate([(39, 39), *rng.integers(0, 40, (300, 2))]):
                weights[a, b] += k % 7 + 0.5
                file.write(f"{a}\t{b}\t{k % 7 + 0.5}\n")
        numpy.save(self.path("X.npy"), x)
        self.write('E(x,y) = "e.tsv"\nW[x,y] = "w.tsv"\nX[y,d] = "X.npy"\nH[x,d] = E(x,y) X[y,d]\n'
                   "V[x,d] = W[x,y] X[y,d]\nO[y,d] = W[x,y] X[x,d]\nT(x,z) = E(x,y) E(y,z)\n")
        v, o, t = weights @ x, weights.T @ x, (edges.astype(int) @ edges.astype(int)) > 0
        forms = {"H[3:9,2]": (edges @ x)[3:9, 2], "V[-4:,:]": v[-4:], "V[5,3]": v[5, 3], "O[4,:]": o[4],
                 "T(5,:)": t[5], "T(3:6,7:20)": t[3:6, 7:20], "E(7,:)": edges[7], "W[2:9,30:]": weights[2:9, 30:]}
        for ranks in RANKS:
            answers, _ = self.ask(list(forms), ranks)
            for query, want in forms.items():
                numpy.testing.assert_array_equal(answers[query], want, f"{query} on {ranks} ranks")
        for query in ("V[5,3]", "T(5,:)", "O[4,:]"):
            answers, _ = self.ask([query], 3)
            numpy.testing.assert_array_equal(answers[query], forms[query], query)

    def test_commands(self):
        self.write("X[i,j] = const([[1, 2], [3, 4]])\nY[i] = X[i,j]\n\"never.npy\" = Y[i]\n")
        result = self.run_it(["--mode", "demand", "--query", "Y[1]", "--query", "X[:,0]", "--query", "Y[1]"])
        self.assertEqual((result.status, result.err, result.out), (0, "", "Y[1] = 7\nX[:,0] = [1, 3]\n"))
        for command in (["check", "prog.fuse"], ["plan", "--ranks", "4", "prog.fuse"]):
            result = launch.run([OPTIONS.binary, *command, "--mode", "demand", "--query", "Y[1]"], self.folder, 30)
            self.assertEqual((result.status, result.err), (0, ""), result.tail())
        self.assertNotIn("never.npy", result.out)
        self.assertEqual(self.run_it(["--mode=all"]).status, 0)
        self.assertTrue(os.path.exists(self.path("never.npy")))


class RandomQueries(unittest.TestCase):
    """The generator's programs, whose tensors are exported once whole and then asked for in part."""

    @staticmethod
    def draw(rng, name, shape, boolean):
        parts, key = [], []
        for extent in shape:
            if extent > 0 and rng.random() < 0.5:
                at = rng.randrange(-extent, extent)
                parts.append(str(at))
                key.append(at)
            else:
                low, high = sorted(rng.randrange(extent + 1) for _ in range(2))
                step = rng.choice((1, 1, 2))
                parts.append(rng.choice((":", f"{low}:{high}:{step}")) if low < high else ":")
                key.append(slice(None) if parts[-1] == ":" else slice(low, high, step))
        text = ",".join(parts)
        return (f"{name}({text})" if boolean else f"{name}[{text}]") if parts else name, tuple(key)

    def test_slices_of_random_tensors(self):
        asked = 0
        for batch in range(OPTIONS.batches):
            rng = random.Random(f"queries {OPTIONS.seed} {batch}")
            with tempfile.TemporaryDirectory(prefix="fuse-queries-") as folder:
                asked += self.one_batch(rng, folder)
        self.assertGreater(asked, 10 * OPTIONS.batches)

    def one_batch(self, rng, folder):
        sample.draw_extents(rng, 1)
        inputs = sample.make_inputs(numpy.random.default_rng(rng.randrange(1 << 30)))
        tester = run_property.Tester(OPTIONS, folder, inputs)
        programs = [p for p in (sample.program(rng, inputs, f"P{k}", False) for k in range(30)) if p]
        tensors = [(name, shape, " ".join(s.text() for s in statements).startswith(f"{name}("))
                   for p in programs for name, (statements, shape) in p.tensors.items()]
        lines = [s.text() for p in programs for s in p.statements()]
        lines = run_property.preamble(inputs, False, "\n".join(lines)) + lines
        lines.append("export " + ", ".join(name for name, _, _ in tensors))
        with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        whole = launch.run([OPTIONS.binary, "prog.fuse", "--out", "whole.npz"], folder, 120)
        self.assertEqual(whole.status, 0, whole.tail())
        queries = {}
        for name, shape, boolean in rng.sample(tensors, min(len(tensors), 16)):
            text, key = self.draw(rng, name, shape, boolean)
            queries[text] = (name, key)
        words = [w for q in queries for w in ("--query", q)]
        rounds = [(words, r) for r in (1, rng.choice((2, 3, 4, 8)))] + [(words[k:k + 2], 1) for k in range(0, 12, 2)]
        with numpy.load(os.path.join(folder, "whole.npz")) as file:
            full = {name: file[name] for name in file}
        for some, ranks in rounds:
            command = [OPTIONS.binary, "prog.fuse", "--mode", "demand", *some, "--out", "part.npz"]
            result = launch.run(launch.on_ranks(ranks if ranks > 1 else 0, command), folder, 120)
            self.assertEqual(result.status, 0, result.tail())
            with numpy.load(os.path.join(folder, "part.npz")) as part:
                for query in some[1::2]:
                    name, key = queries[query]
                    want, got = full[name][key], part[query]
                    self.assertEqual(got.shape, want.shape, query)
                    scale = max(1.0, float(numpy.abs(full[name].astype(float)).max(initial=0)))
                    error = numpy.abs(got.astype(float) - want.astype(float)).max(initial=0)
                    self.assertLessEqual(error, (0 if want.dtype.kind in "bi" else 1e-4) * scale,
                                         "\n".join(lines) + f"\n{query} on {ranks} ranks: {got}, expected {want}")
        return len(queries)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    OPTIONS, rest = parser.parse_known_args()
    OPTIONS.binary, OPTIONS.backend = os.path.abspath(OPTIONS.binary), "cpu"
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
