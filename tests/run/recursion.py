#!/usr/bin/env python3
"""Tensors that depend on themselves through sums, against NumPy: usage recursion.py --binary FUSE_DIST [--ranks 1,2,3,4,8].

PageRank over a dense matrix, over a sparse relation, Jacobi, value iteration, belief propagation on a tree, mutual and nonlinear
recursion, integers: each on several numbers of ranks and in several ways of planning (everything distributed, little memory,
pinned layouts, another back end, a kept plan). Then what has no fixpoint: too few turns, growth, NaN.

What would make it fail: a turn that sees what this turn has made instead of what it began with, a test of convergence that a rank
does not take part in, a loop that stops a turn early or late (turns are counted), a matrix that is not there any more in the
second turn, layouts that differ between the begin and the end of a turn.
"""

import argparse
import itertools
import os
import re
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402

TOL = 1e-6


def settle(turn, start, tol=TOL, rtol=TOL, most=10000):
    """Simultaneous assignment until nothing moves; the tensors and the turns it took."""
    state = start
    for turns in range(1, most + 1):
        new = turn(*state)
        settled = all(np.all(np.abs(n - o) <= tol + rtol * np.abs(n)) for n, o in zip(new, state))
        state = new
        if settled:
            return state, turns
    return state, most


# ---- programs: name -> (text, files, {sink: (expected, tolerance)}, turns or None where rounding may decide, arguments) ----

def pagerank(rng):
    n = 37
    m = (rng.random((n, n)) < 0.2) * rng.random((n, n))
    m[:, m.sum(0) == 0] = 1
    m = m / m.sum(0)
    (r, ), turns = settle(lambda r: (0.15 / n + 0.85 * m @ r, ), (np.zeros(n), ))
    return ("""
M[i,j] = "m.npy"
R[i] = 0.15 / 37 + 0.85 M[i,j] R[j]
Best[k] = topk(R[i], k=3)
"r.npy" = R[i]
"best.npy" = Best[k]
""", {"m.npy": m}, {"r.npy": (r, 1e-12), "best.npy": (np.sort(r)[::-1][:3], 1e-12)}, turns, [])


def pagerank_sparse(rng):
    n = 300
    edges = sorted({(int(a), int(b)) for a, b in rng.integers(0, n, (1500, 2)) if a != b} | {(i, (i + 1) % n) for i in range(n)})
    out = np.bincount([a for a, _ in edges], minlength=n)
    m = np.zeros((n, n))
    for a, b in edges:
        m[b, a] = 1 / out[a]
    (r, ), turns = settle(lambda r: (0.15 / n + 0.85 * m @ r, ), (np.zeros(n), ), tol=1e-12, rtol=0)
    return ("""
E(x,y) = "e.tsv"
Out[x] = E(x,y)
Share[x] = 0.85 R[x] / cast(Out[x], "f64")
R[y] = 0.15 / 300 + E(x,y) Share[x]
"r.npy" = R[y]
""", {"e.tsv": "".join(f"{a}\t{b}\n" for a, b in edges)}, {"r.npy": (r, 1e-11)}, None, ["--tol", "1e-12"])


def jacobi(rng):
    n = 24
    a = rng.normal(size=(n, n))
    a[np.arange(n), np.arange(n)] = np.abs(a).sum(1) + 1
    b = rng.normal(size=n)
    d, rest = np.diag(a), a - np.diag(np.diag(a))
    (x, ), turns = settle(lambda x: ((b - rest @ x) / d, ), (np.zeros(n), ), tol=0, rtol=1e-10)
    exact = np.linalg.solve(a, b)
    assert np.allclose(x, exact, rtol=1e-6)
    return ("""
A[i,j] = "a.npy"
B[i] = "b.npy"
Rest[i,j] = A[i,j] (1 - (iota(i) == iota(j)))
X[i] = (B[i] - Rest[i,j] X[j]) / A[i,i]
"x.npy" = X[i]
""", {"a.npy": a, "b.npy": b}, {"x.npy": (x, 1e-9)}, None, ["--rtol", "1e-10"])


def value_iteration(rng):
    s, a = 30, 4
    p = rng.random((a, s, s))**8
    p /= p.sum(2, keepdims=True)
    r = rng.normal(size=(s, a))
    def turn(v):
        return (np.max(r + 0.9 * np.einsum("ast,t->sa", p, v), axis=1), )
    (v, ), turns = settle(turn, (np.zeros(s), ))
    q = r + 0.9 * np.einsum("ast,t->sa", p, v)
    return ("""
P[a,s,t] = "p.npy"
Reward[s,a] = "r.npy"
Q[s,a] = Reward[s,a] + 0.9 P[a,s,t] V[t]
V[s] = reduce(max, a) Q[s,a]
"v.npy" = V[s]
"q.npy" = Q[s,a]
""", {"p.npy": p, "r.npy": r}, {"v.npy": (v, 1e-3), "q.npy": (q, 1e-3)}, None, [])


def belief(rng):
    """Sum-product on a tree, messages in logarithms: exact marginals, found by summing over all assignments."""
    n, k = 7, 3
    edges = [(rng.integers(0, i), i) for i in range(1, n)]
    unary, pair = rng.random((n, k)) + 0.1, rng.random((k, k)) + 0.1
    pair = pair + pair.T
    adjacent = np.zeros((n, n))
    for a, b in edges:
        adjacent[a, b] = adjacent[b, a] = 1
    marginal = np.zeros((n, k))
    for x in itertools.product(range(k), repeat=n):
        w = np.prod([unary[i, x[i]] for i in range(n)]) * np.prod([pair[x[a], x[b]] for a, b in edges])
        for i in range(n):
            marginal[i, x[i]] += w
    marginal /= marginal.sum(1, keepdims=True)
    return ("""
U[i,x] = "u.npy"
F[x,y] = "f.npy"
A[i,j] = "adj.npy"
# what i says to j about j's value y
Heard[i,x] = log(U[i,x]) + A[k,i] M[k,i,x]
M[i,j,y] = A[i,j] log_softmax(log(F[x,y] exp(Heard[i,x] - A[j,i] M[j,i,x])), axis=y)
Marginal[i,x.] = softmax(Heard[i,x])
"marginal.npy" = Marginal[i,x]
""", {"u.npy": unary, "f.npy": pair, "adj.npy": adjacent}, {"marginal.npy": (marginal, 1e-6)}, None, ["--tol", "1e-9"])


def mutual(rng):
    n = 20
    a, b = rng.normal(size=(n, n)) / 12, rng.normal(size=(n, n)) / 12
    u, v = rng.normal(size=n), rng.normal(size=(n, 3))
    def turn(x, y, z):
        return np.tanh(a @ y.sum(1) + u), 0.5 * (b @ np.outer(z, np.ones(3))) + v, x
    (x, y, z), turns = settle(turn, (np.zeros(n), np.zeros((n, 3)), np.zeros(n)))
    return ("""
A[i,j] = "a.npy"
B[i,j] = "b.npy"
U[i] = "u.npy"
V[i,c] = "v.npy"
X[i] = tanh(A[i,j] (reduce(sum, c) Y[j,c]) + U[i])
Y[i,c] = 0.5 B[i,j] Z[j]
Y[i,c] = V[i,c]
# what a call defines is a part of the expression: not a turn later
fn twice(P[a]) -> Q[a] {
    T[a] = P[a] + P[a]
    Q[a] = T[a]
}
Z[i] = twice(X[p]) / 2
Norm = reduce(sum, i) (X[i] ** 2)
"x.npy" = X[i]
"y.npy" = Y[i,c]
"norm.npy" = Norm
""", {"a.npy": a, "b.npy": b, "u.npy": u, "v.npy": v},
            {"x.npy": (x, 1e-9), "y.npy": (y, 1e-9), "norm.npy": (np.sum(x**2), 1e-9)}, turns, [])


def scalar(rng):
    (x, ), turns = settle(lambda x: (np.cos(x), ), (np.zeros(()), ), tol=1e-10, rtol=0)
    return 'X = cos(cast(X, "f64"))\n"x.npy" = X\n', {}, {"x.npy": (x, 1e-9)}, turns, ["--tol", "1e-10"]


def counts(rng):
    """Paths in a graph without cycles, in integers: exact, and at the end when they are."""
    n = 60
    e = np.triu(rng.random((n, n)) < 0.3, 1)
    (c, ), turns = settle(lambda c: (np.eye(n, dtype=np.int64)[0] + c @ e.astype(np.int64), ), (np.zeros(n, np.int64), ), 0, 0)
    return ("""
E[x,y] = "e.npy"
C[0] = 1
C[y] = C[x] E[x,y]
"c.npy" = C[x]
""", {"e.npy": e.astype(np.int64)}, {"c.npy": (c, 0)}, turns, [])


def two_of_them(rng):
    """One after the other; between them and after them things that are computed once; a transposed operand, a diagonal."""
    n = 16
    m = rng.random((n, n))
    m = m / (2 * m.sum(1, keepdims=True))
    def first(x):
        return (0.5 * m.T @ x + 0.25 * x[::-1] + np.eye(n), )
    (x, ), _ = settle(first, (np.zeros((n, n)), ))
    scale = x / x.max()
    def second(y):
        return (np.diag(scale) + 0.4 * (m @ y), )
    (y, ), _ = settle(second, (np.zeros(n), ))
    return ("""
M[i,j] = "m.npy"
X[i,k] = 0.5 M[j,i] X[j,k] + 0.25 X[Back,k] + (iota(i) == iota(k))
Scale[i,k] = X[i,k] / reduce(max, a, b) X[a,b]
Y[i] = Scale[i,i] + 0.4 M[i,j] Y[j]
"x.npy" = X[i,k]
"y.npy" = Y[i]
""".replace("X[Back,k]", "Flip[i,j] X[j,k]") + "Flip[i,j] = iota(i) + iota(j) == 15\naxis i = 16\naxis j = 16\n", {"m.npy": m},
            {"x.npy": (x, 1e-9), "y.npy": (y, 1e-9)}, None, [])


def cooling(rng):
    """A temperature that goes by the turn, and a recursion that does not end before that does."""
    n = 12
    edge = (rng.random((n, n)) < 0.15).astype(float)
    def turn(t, r):
        return np.minimum(t + 1, 30), 1 / (1 + np.exp(-(edge + edge @ r - 0.5) / (1 - 0.03 * t)))
    (t, r), turns = settle(turn, (np.zeros(()), np.zeros((n, n))), tol=1e-10, rtol=0)
    assert turns > 30
    return ("""
E[x,y] = "e.npy"
Turn = minimum(Turn + 1, 30) + 0 Reach[0,0]
Reach[x,z] = sig(E[x,z] + E[x,y] Reach[y,z] - 0.5, 1 - 0.03 Turn)
"reach.npy" = Reach[x,z]
"turn.npy" = Turn
""", {"e.npy": edge}, {"reach.npy": (r, 1e-8), "turn.npy": (t, 0)}, turns, ["--tol", "1e-10", "--precision", "fp64"])


PROGRAMS = (pagerank, pagerank_sparse, jacobi, value_iteration, belief, mutual, scalar, counts, two_of_them, cooling)


def write(folder, name, content):
    path = os.path.join(folder, name)
    if isinstance(content, str):
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content)
    else:
        np.save(path, content)


def run(binary, ranks, folder, arguments, status=0):
    result = launch.run(launch.on_ranks(ranks, [binary, "p.fuse"] + arguments), folder, 100)
    assert result.status == status, (ranks, arguments, result.status, result.tail())
    return result


def compare(folder, sinks, where):
    for name, (expected, tolerance) in sinks.items():
        path = os.path.join(folder, name)
        got = np.load(path)
        os.remove(path)
        assert got.shape == np.shape(expected), (where, name, got.shape)
        assert np.allclose(got, expected, rtol=tolerance, atol=tolerance), (where, name, got, expected)


def check_program(binary, ranks, make):
    text, files, sinks, turns, arguments = make(np.random.default_rng(7))
    spread = ["--replicate-below", "0", "--workspace", "512", "--file-unit", "64"]
    ways = [(n, []) for n in ranks] + [(n, spread) for n in ranks if n in (3, 4, 8)]
    if len(ranks) > 1:
        ways += [(2, ["--backend", "ref"]), (3, ["--backend", "fakedev"] + spread), (4, ["--panel", "3"] + spread)]
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "p.fuse", text)
        for name, content in files.items():
            write(folder, name, content)
        for n, extra in ways:
            where = (make.__name__, n, extra)
            result = run(binary, n, folder, ["--explain"] + arguments + extra)
            compare(folder, sinks, where)
            taken = re.search(r"recursions of tensors: (\d+) turns", result.out)
            assert taken and (turns is None or int(taken.group(1)) == turns), (where, turns, taken and taken.group(0))


# ---- layouts and plans ----

def check_layouts(binary):
    """Pinned layouts; a matrix that is gathered once, before the loop; a plan that is kept; little memory."""
    rng = np.random.default_rng(3)
    n = 512
    m = rng.random((n, n))
    m /= 2 * m.sum(1, keepdims=True)
    b = rng.random(n)
    exact = np.linalg.solve(np.eye(n) - m, b)
    text = 'M[i,j] = "m.npy"\nB[i] = "b.npy"\nX[i] = B[i] + M[i,j] X[j]\n"x.npy" = X[i]\n'
    sinks = {"x.npy": (exact, 1e-5)}
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "p.fuse", text)
        write(folder, "m.npy", m)
        write(folder, "b.npy", b)
        for layout in ("row", "replicated"):
            write(folder, "policy.json", f'{{"sharding": {{"X": "{layout}"}}}}')
            result = run(binary, 4, folder, ["--policy", "policy.json", "--explain", "--replicate-below", "0"])
            compare(folder, sinks, layout)
            held = re.search(r"^  X f64\[512\] (.*)$", result.out, re.MULTILINE).group(1)
            assert held == ("[0/4]" if layout == "row" else "[0] x4"), (layout, held)
            assert re.search(r"^  X before f64\[512\] (.*)$", result.out, re.MULTILINE).group(1) == held
        # Whole rows of M are wanted, but the matrix lies in columns: it is moved once.
        write(folder, "policy.json", '{"sharding": {"M": "column", "X": "row"}}')
        result = run(binary, 4, folder, ["--policy", "policy.json", "--explain", "--replicate-below", "0"])
        compare(folder, sinks, "columns")
        for _ in range(2):
            run(binary, 3, folder, ["--cache", "plans"])
            compare(folder, sinks, "kept plan")
        assert len(os.listdir(os.path.join(folder, "plans"))) >= 1
        # The least memory that will do: what does not change is brought anew in every turn, in panels.
        refused = run(binary, 4, folder, ["--mem-per-rank", "32800K", "--replicate-below", "0"], 71)
        least = re.search(r"--mem-per-rank (\d+)M", refused.err).group(1)
        run(binary, 4, folder, ["--mem-per-rank", f"{least}M", "--replicate-below", "0"])
        compare(folder, sinks, "little memory")
        plan = launch.run([binary, "plan", "p.fuse", "--ranks", "4", "--tol", "1e-3"], folder, 60)
        assert "until X moves no more" in plan.out and "settle" in plan.out, plan.tail()


# ---- soft logic ----

def check_soft(binary, ranks):
    """One program of rules over numbers, hard and soft: the temperature of sig comes from the policy, or from a param. With 0 it
    derives what Boolean rules derive. Of the t-norms, products with sums below a sigmoid, and the minimum with the maximum."""
    rng = np.random.default_rng(5)
    n = 25
    edge = (rng.random((n, n)) < 0.08).astype(float)
    strength = edge * rng.random((n, n))
    text = """
param T = 0
E[x,y] = "e.npy"
W[x,y] = "w.npy"
Reach[x,z] = sig(E[x,z] + E[x,y] Reach[y,z] - 0.5, T)
Trust[x,z] = sig(W[x,z] + 0.2 W[x,y] Trust[y,z] - 0.5)
Best[x,z] = maximum(W[x,z], reduce(max, y) minimum(W[x,y], Best[y,z]))
Hard(x,z) = E[x,z] + E[x,y] Hard(y,z)
"reach.npy" = cast(Reach[x,z], "f64")
"trust.npy" = cast(Trust[x,z], "f64")
"best.npy" = Best[x,z]
"hard.npy" = Hard(x,z)
"""

    def sig(x, t):
        return (x > 0).astype(float) if t == 0 else 1 / (1 + np.exp(-x / t))

    def expect(t, trust):
        (reach, ), _ = settle(lambda r: (sig(edge + edge @ r - 0.5, t), ), (np.zeros((n, n)), ), 1e-10, 0)
        (trusted, ), _ = settle(lambda r: (sig(strength + 0.2 * strength @ r - 0.5, trust), ), (np.zeros((n, n)), ), 1e-10, 0)
        return reach, trusted

    best = strength.copy()
    for k in range(n):
        best = np.maximum(best, np.minimum(best[:, k:k + 1], best[k:k + 1, :]))
    hard, _ = expect(0, 0)
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "p.fuse", text)
        write(folder, "e.npy", edge)
        write(folder, "w.npy", strength)
        for t, trust in ((0, 0), (0.5, 0.25), (2.0, 1.0)):
            write(folder, "policy.json", f'{{"temperatures": {{"Trust": {trust}}}}}')
            run(binary, ranks, folder, ["-D", f"T={t}", "--tol", "1e-10", "--policy", "policy.json"])
            reach, trusted = expect(t, trust)
            tolerance = 1e-8
            compare(folder, {"reach.npy": (reach, tolerance), "trust.npy": (trusted, tolerance), "best.npy": (best, 0),
                             "hard.npy": (hard, 0)}, ("soft", ranks, t))


# ---- what has no end ----

def check_ends(binary, ranks):
    with tempfile.TemporaryDirectory() as folder:
        def refused(text, arguments, *mentions):
            write(folder, "p.fuse", text)
            result = run(binary, ranks, folder, arguments, 76)
            for mention in mentions:
                assert mention in result.err, (ranks, text, mention, result.err)
            assert "turn" in result.err and "hint: " in result.err, result.err
            assert not os.path.exists(os.path.join(folder, "x.npy")), text

        slow = 'X[i] = 0.5 X[i] + iota(i)\nY[i] = X[i] + 0 Z[i]\nZ[i] = Y[i]\naxis i = 5\n"x.npy" = X[i]\n"y.npy" = Y[i]\n'
        refused(slow, ["--max-iters", "3"], "'X' has not converged after 3 turns: it still moves by 1")
        run(binary, ranks, folder, ["--max-iters", "3", "--allow-nonconverged"])
        compare(folder, {"x.npy": (np.arange(5) * 1.75, 1e-7)}, "left early")
        result = run(binary, ranks, folder, ["--mode", "single"])
        assert "warning" not in result.err, result.err
        compare(folder, {"x.npy": (np.arange(5), 0), "y.npy": (np.arange(5), 0)}, "one turn")
        refused('X[i] = 2.0 X[i] + 1\naxis i = 5\n"x.npy" = X[i]\n', [], "'X' has become infinite in turn 128")
        refused('X[i] = -1 X[i] + 1\naxis i = 5\n"x.npy" = X[i]\n', ["--max-iters", "8"], "has not converged after 8 turns")
        refused('X[i] = A[i] / B[i]\nA[i] = X[i]\nB[i] = X[i]\naxis i = 700\n"x.npy" = X[i]\n', ["--allow-nonconverged"],
                "'X' has become NaN in turn 1")
        write(folder, "p.fuse", 'X[i] = 2 X[i] + 1\naxis i = 5\n"x.npy" = X[i]\n')
        assert "integer overflow in 'X'" in run(binary, ranks, folder, [], 1).err
        # Infinite data are data.
        write(folder, "d.npy", np.array([1, np.inf, 3]))
        write(folder, "p.fuse", 'D[i] = "d.npy"\nX[i] = D[i] + Y[i]\nY[i] = 0.5 X[i]\n"x.npy" = X[i]\n')
        run(binary, ranks, folder, [])
        compare(folder, {"x.npy": (np.array([2, np.inf, 6]), 1e-5)}, "infinite data")
        # Nothing moves where nothing is.
        write(folder, "d.npy", np.zeros((0, 4)))
        write(folder, "p.fuse", 'D[i,j] = "d.npy"\nX[i,j] = D[i,j] + 0.5 X[i,j]\n"x.npy" = X[i,j]\n')
        run(binary, ranks, folder, [])
        assert np.load(os.path.join(folder, "x.npy")).shape == (0, 4)
        os.remove(os.path.join(folder, "x.npy"))
        for wrong in ("abc", "-1", "nan"):
            assert "is no tolerance" in run(binary, 1, folder, [f"--tol={wrong}"], 2).err


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,4,8")
    parser.add_argument("--only", help="one of the programs, and nothing else")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    ranks = [int(n) for n in arguments.ranks.split(",")]
    for make in PROGRAMS:
        if arguments.only in (None, make.__name__):
            check_program(binary, ranks, make)
    if arguments.only:
        return
    check_layouts(binary)
    for n in ranks:
        check_soft(binary, n)
        if n in (1, 3, 8):
            check_ends(binary, n)
    print("ok")


if __name__ == "__main__":
    main()
