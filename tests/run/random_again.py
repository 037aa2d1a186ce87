#!/usr/bin/env python3
"""Random programs whose tensors are computed again where they are needed, against NumPy.

usage: random_again.py --binary FUSE_DIST [--ranks 1,2,3,4,8] [--programs N] [--seed S]

Sums of vectors, masks and ramps, some of each other, are read along rows and along columns by products, sums, softmaxes and
attention-like chains, and in turns of a recursion. Messages are dear, so that plans compute what they would otherwise send; in panels,
in slabs, in little memory and with pinned layouts too. Values are quarters, and sums of them exact, but for exponentials.

What would make it fail: a mask computed for another rank's rows, another turn's panel or another slab; an operand that is gone when it
is needed again; a tensor of the turn before.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy as np  # noqa: E402

# Messages are dear, and to compute everything on every rank is, too.
MACHINE = {"schema": "fuse.machine", "version": 1, "latency_ps": 1000000, "node_ps_per_kib": 1000000000,
           "network_ps_per_kib": 1000000000, "map_ps_per_kib": 200000000, "f64_ps_per_kflop": 100000000}
SPREAD = ["--machine", "machine.json", "--replicate-below", "0", "--file-unit", "64"]
TURNS = 200


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Program:
    """lines: its text; sinks: name -> (value, tolerance); axes i and j are equally long, k is another."""

    def __init__(self, rng):
        self.rng, self.lines, self.sinks, self.made = rng, [], {}, []
        self.n, self.k = rng.choice([8, 13, 24, 40]), rng.choice([2, 3, 17])
        draw = np.random.default_rng(rng.randrange(1 << 30))
        self.files = {"a": draw.integers(-8, 8, self.n) / 4, "b": draw.integers(-8, 8, self.n) / 4,
                      "f": draw.integers(-8, 8, (self.n, self.k)) / 4}
        self.lines += ['A[i] = "a.npy"', 'B[i] = "b.npy"', 'F[i,k] = "f.npy"', f"axis i = {self.n}", f"axis j = {self.n}"]
        for _ in range(rng.randint(1, 3)):
            self.make()
        for kind in (0, 1) if rng.random() < 0.7 else ():  # along its rows and its columns
            self.read(kind, self.made[-1])
        for _ in range(rng.randint(2, 4)):
            self.read(rng.randrange(6), rng.choice(self.made))
        if rng.random() < 0.4:
            self.recur()

    def make(self):
        a, b = self.files["a"], self.files["b"]
        row, column = np.arange(self.n)[:, None], np.arange(self.n)[None, :]
        shift, name = self.rng.randint(-3, 3), f"N{len(self.made)}"
        before = self.rng.choice(self.made) if self.made and self.rng.random() < 0.4 else None
        text, value = self.rng.choice([("A[i] + B[j]", a[:, None] + b[None, :]),
                                       (f"(iota(i) <= iota(j) + {shift}) * A[i]", (row <= column + shift) * a[:, None]),
                                       ("0.25 * iota(i) - 0.5 * iota(j)", 0.25 * row - 0.5 * column),
                                       (f"(iota(j) == iota(i) + {shift}) * (B[j] + 2)", (column == row + shift) * (b + 2)[None, :])])
        if before:
            text, value = f"{text} + {before[0]}[i,j]", value + before[1]
        self.lines.append(f"{name}[i,j] = {text}")
        self.made.append((name, value))

    def sink(self, name, axes, value, tolerance=0.0):
        self.lines.append(f'"{name.lower()}.npy" = {name}[{axes}]')
        self.sinks[name.lower()] = value, tolerance

    def read(self, kind, made):
        (name, n), f, a = made, self.files["f"], self.files["a"]
        out = f"Y{len(self.sinks)}"
        if kind == 0:
            self.lines.append(f"{out}[i,k] = {name}[i,j] F[j,k]")
            self.sink(out, "i,k", n @ f)
        elif kind == 1:
            self.lines.append(f"{out}[j,k] = {name}[i,j] F[i,k]")
            self.sink(out, "j,k", n.T @ f)
        elif kind == 2:
            self.lines.append(f"{out}[j] = {name}[i,j] A[i]")
            self.sink(out, "j", n.T @ a)
        elif kind == 3:
            self.lines.append(f"{out}[i,j] = {name}[j,i] - A[i]")
            self.sink(out, "i,j", n.T - a[:, None])
        elif kind == 4:
            self.lines += [f"P{out}[i,j.] = softmax(0.25 {name}[i,j])", f"{out}[i,k] = P{out}[i,j] F[j,k]"]
            self.sink(out, "i,k", softmax(0.25 * n) @ f, 1e-5)
        else:
            self.lines += [f"S{out}[i,j] = F[i,k] F[j,k] / 8", f"P{out}[i,j.] = softmax(S{out}[i,j] + {name}[i,j])",
                           f"{out}[i,k] = P{out}[i,j] F[j,k]"]
            self.sink(out, "i,k", softmax(f @ f.T / 8 + n) @ f, 1e-5)

    def recur(self):
        (name, n), scale = self.rng.choice(self.made), 1 / (64 * self.n)
        turned = self.rng.random() < 0.5
        self.lines += ["M[i,j] = A[i] + X[j]",
                       f"X[i] = B[i] + {scale!r} * ({name}[{'j,i' if turned else 'i,j'}] X[j] + M[i,j] X[j] + M[j,i] A[j])"]
        x, a, b = np.zeros(self.n), self.files["a"], self.files["b"]
        for _ in range(TURNS):
            m = a[:, None] + x[None, :]
            x = b + scale * ((n.T if turned else n) @ x + m @ x + m.T @ a)
        self.sink("X", "i", x, 1e-5)


def ways(rng):
    """Options that must not change what is computed."""
    yield []
    yield ["--panel", str(rng.randint(2, 5))]
    yield ["--slabs-above", str(rng.choice([64, 400, 1600]))]
    yield ["--policy", "policy.json"]


def run(binary, folder, ranks, options):
    command = [binary, *SPREAD, *options, "prog.fuse"]
    return launch.run(launch.on_ranks(ranks if ranks > 1 else 0, command), folder, 120)


def count_again(binary, folder, ranks, options):
    result = launch.run([binary, "plan", "--ranks", str(ranks), *SPREAD, *options, "prog.fuse"], folder, 120)
    if result.status != 0:
        sys.exit(f"plan {options}: status {result.status}\n{result.tail()}")
    return len(re.findall(r"\bagain, for\b", result.out))


def check(binary, ranks, number, seed):
    rng = random.Random(seed * 1000 + number)
    program = Program(rng)
    counted = 0
    with tempfile.TemporaryDirectory(prefix="fuse-again-") as folder:
        for name, value in program.files.items():
            np.save(os.path.join(folder, f"{name}.npy"), value)
        with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write("\n".join(program.lines) + "\n")
        with open(os.path.join(folder, "machine.json"), "w", encoding="utf-8") as file:
            json.dump(MACHINE, file)
        pinned = rng.choice(["F", rng.choice(program.made)[0]])
        with open(os.path.join(folder, "policy.json"), "w", encoding="utf-8") as file:
            json.dump({"sharding": {pinned: rng.choice(["row", "column", "replicated"])}}, file)
        for options in ways(rng):
            for n in ranks:
                for name in program.sinks:
                    if os.path.exists(os.path.join(folder, f"{name}.npy")):
                        os.unlink(os.path.join(folder, f"{name}.npy"))
                counted += count_again(binary, folder, n, options) if n > 1 else 0
                result = run(binary, folder, n, options)
                where = f"program {number}, {n} ranks, {' '.join(options)}\n" + "\n".join(program.lines)
                if result.status != 0:
                    sys.exit(f"{where}\nstatus {result.status}\n{result.tail()}")
                for name, (value, tolerance) in program.sinks.items():
                    got = np.load(os.path.join(folder, f"{name}.npy"))
                    bound = tolerance * max(1.0, float(np.abs(value).max()))
                    if got.shape != value.shape or not np.all(np.abs(got - value) <= bound):
                        sys.exit(f"{where}\n{name}: got\n{got}\nexpected\n{value}")
    return counted


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,4,8")
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    ranks = [int(n) for n in arguments.ranks.split(",")]
    counted = [check(os.path.abspath(arguments.binary), ranks, number, arguments.seed) for number in range(arguments.programs)]
    print(f"{len(counted)} programs, {sum(counted)} times a tensor is computed again, in {sum(map(bool, counted))} of them")
    if sum(map(bool, counted)) < len(counted) // 5:
        sys.exit("too few programs compute anything again")


if __name__ == "__main__":
    main()
