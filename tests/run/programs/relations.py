"""Relations from files of rows: sparse, with or without values. Oracles are dense."""

import numpy

from . import F32, F64, I64, Holds, TRUTH as Bool, Text, f32, f64, ints, program, wide


def rows(rng, n, *extents, unique=True):
    """n rows of ids below the extents, the largest of each among them."""
    ids = numpy.stack([rng.integers(0, e, n) for e in extents], axis=1)
    ids[0] = [e - 1 for e in extents]
    return numpy.unique(ids, axis=0)[rng.permutation(len(numpy.unique(ids, axis=0)))] if unique else ids


def tsv(ids, values=None, separator="\t"):
    lines = []
    for k, row in enumerate(ids):
        fields = [str(i) for i in row] + ([] if values is None else [repr(values[k].item())])
        lines.append(separator.join(fields))
    return Text("\n".join(lines))


def cells(ids, extents, values=None, start=0.0):
    dense = numpy.full(extents, start)
    numpy.add.at(dense, tuple(ids.T), 1.0 if values is None else values)
    return dense


def quarters(rng, n):
    """Exact in every real type, and so are sums of a few."""
    return rng.integers(-20, 20, n) / 4


@program
def sparse_times_dense(rng):
    e, x = rows(rng, 300, 50, 60), f32(rng, 60, 17)
    w = rng.standard_normal(len(e)).astype("f4").astype("f8")
    a = cells(e, (50, 60), w)
    return """
        Edge[x,y] = "e.tsv"
        X[y,d] = "x.npy"
        H[x,d] = Edge[x,y] X[y,d]
        T[d,y] = Edge[x,y] H[x,d]
        S[y] = Edge[x,y]
        Total = Edge[x,y]
        "h.npy" = H[x,d]
        "t.npy" = T[d,y]
        "s.npy" = S[y]
        "total.npy" = Total
    """, {"e.tsv": tsv(e, w.astype("f4")), "x": x}, {
        "h": F32(a @ wide(x), 60, numpy.abs(a).max() * 4), "t": F32((a.T @ (a @ wide(x))).T, 600, 40),
        "s": F32(a.sum(0), 50, 4), "total": F32(a.sum(), 300, 4)}


@program
def facts_as_numbers(rng):
    e, x, n = rows(rng, 200, 40, 40), f32(rng, 40, 5), ints(rng, -9, 9, 40)
    a = cells(e, (40, 40))
    return """
        Edge(x,y) = "e.csv"
        X[y,d] = "x.npy"
        N[y] = "n.npy"
        Degree[x] = Edge(x,y)
        H[x,d] = Edge(x,y) X[y,d] / Degree[x]
        Sum[x] = Edge(x,y) N[y]
        Weighted[x] = Edge(x,y) N[y] N[x] Degree[y]
        Has(x) = Edge(x,y)
        "degree.npy" = Degree[x]
        "h.npy" = H[x,d]
        "sum.npy" = Sum[x]
        "weighted.npy" = Weighted[x]
        "has.npy" = Has(x)
    """, {"e.csv": tsv(e, separator=","), "x": x, "n": n}, {
        "degree": I64(a.sum(1)), "h": F32(a @ wide(x) / a.sum(1)[:, None], 50, 4), "sum": I64(a @ wide(n)),
        "weighted": I64((a @ (wide(n) * a.sum(1))) * wide(n)), "has": Bool(a.any(1))}


@program
def rules(rng):
    sister, parent = rows(rng, 90, 30, 30), rows(rng, 120, 30, 30)
    s, p = cells(sister, (30, 30)), cells(parent, (30, 30))
    return """
        Sister(x,y) = "sister.tsv"
        Parent(x,y) = "parent.tsv"
        Aunt(x,z) = Sister(x,y) Parent(y,z)
        Grand(x,z) = Parent(x,y) Parent(y,z)
        Either(x,y) = Sister(x,y) + Parent(x,y)
        Neither(x,y) = !Sister(x,y) && !Parent(x,y)
        Only(x,y) = Sister(x,y) !Parent(x,y)
        Both(x,y) = Sister(x,y) Parent(x,y)
        Self(x) = Parent(x,x)
        Turned(y,x) = Parent(x,y)
        Of3(y) = Parent(3,y)
        Childless(x) = !Parent(x,y)
        "aunt.npy" = Aunt(x,z)
        "grand.npy" = Grand(x,z)
        "either.npy" = Either(x,y)
        "neither.npy" = Neither(x,y)
        "only.npy" = Only(x,y)
        "both.npy" = Both(x,y)
        "self.npy" = Self(x)
        "turned.npy" = Turned(y,x)
        "of3.npy" = Of3(y)
        "childless.npy" = Childless(x)
    """, {"sister.tsv": tsv(sister), "parent.tsv": tsv(parent)}, {
        "aunt": Bool(s @ p > 0), "grand": Bool(p @ p > 0), "either": Bool(s + p > 0), "neither": Bool(s + p == 0),
        "only": Bool((s > 0) & (p == 0)), "both": Bool(s * p > 0), "self": Bool(p.diagonal() > 0),
        "turned": Bool(p.T > 0), "of3": Bool(p[3] > 0), "childless": Bool(p.sum(1) == 0)}


@program
def duplicates_and_operators(rng):
    ids = rows(rng, 400, 12, 15, unique=False)
    w = quarters(rng, len(ids))
    total, most, least = cells(ids, (12, 15), w), numpy.full((12, 15), -numpy.inf), numpy.full((12, 15), numpy.inf)
    numpy.maximum.at(most, tuple(ids.T), w)
    numpy.minimum.at(least, tuple(ids.T), w)
    there = cells(ids, (12, 15)) > 0
    mean = total / cells(ids, (12, 15)).clip(1)
    return """
        A[x,y] = "w.tsv"
        B[x,y] max= "w.tsv"
        C[x,y] min= "w.tsv"
        M[x,y] avg= "w.tsv"
        "a.npy" = A[x,y]
        "b.npy" = B[x,y] + 0
        "c.npy" = C[x,y] + 0
        "m.npy" = M[x,y] + 0
        S[x] = M[x,y] A[x,y]
        "s.npy" = S[x]
        P(x,y) = A(x,y)
        "p.npy" = P(x,y)
        Q(x) = A(x,7)
        "q.npy" = Q(x)
    """, {"w.tsv": tsv(ids, w)}, {
        "a": F32(total), "b": F32(numpy.where(there, most, 0)), "c": F32(numpy.where(there, least, 0)),
        "p": Bool(there), "q": Bool(there[:, 7]), "m": F32(mean, 3), "s": F32((mean * total).sum(1), 20, 400)}


def near_in_f32(got, inputs):
    there, a, d = inputs
    want = numpy.where(there, numpy.exp(numpy.where(there, a, 0) / 5) * d[:, None], -numpy.inf).max(0)
    return None if numpy.allclose(got, want, rtol=1e-6, atol=0) else f"{got}, expected {want}"


@program
def tropical(rng):
    ids = rows(rng, 150, 25, 25)
    w = quarters(rng, len(ids))
    d = f64(rng, 25)
    a = numpy.full((25, 25), numpy.inf)
    a[tuple(ids.T)] = w
    b = numpy.where(numpy.isinf(a), -numpy.inf, a)
    there = ~numpy.isinf(a)
    with numpy.errstate(invalid="ignore"):
        mean = numpy.where(there.any(0), numpy.where(there, wide(d)[:, None] * 2, 0).sum(0) / there.sum(0).clip(1), 0)
    return """
        W[x,y] = "w.tsv"
        D[x] = "d.npy"
        Near[y] min= D[x] + W[x,y]
        Far[y] max= exp(W[x,y] / 5) D[x]
        All max= W[x,y]
        Mean[y] when W(x,y) avg= D[x] * 2
        Own[y] avg= W[x,y]
        Some[y] when W[x,y] > 0 min= D[x]
        "near.npy" = Near[y]
        "far.npy" = Far[y]
        "all.npy" = All
        "mean.npy" = Mean[y]
        "own.npy" = Own[y]
        "some.npy" = Some[y]
    """, {"w.tsv": tsv(ids, w), "d": d}, {
        "near": F64((d[:, None] + a).min(0)),
        "far": Holds(lambda got: near_in_f32(got, (there, a, d))),
        "all": F32(b.max()), "mean": F64(mean, 50, 4),
        "own": F32(numpy.where(there, a, 0).sum(0) / there.sum(0).clip(1), 20, 4),
        "some": F64(numpy.where(there & (b > 0), d[:, None], numpy.inf).min(0))}


@program
def facts_as_guards(rng):
    e, n, x = rows(rng, 100, 20, 30), ints(rng, -99, 99, 30, dtype="i4"), f64(rng, 20, 30)
    a = cells(e, (20, 30)) > 0
    big = wide(n)[None]
    return """
        E(x,y) = "e.tsv"
        N[y] = "n.npy"
        X[x,y] = "x.npy"
        Most[x] when E(x,y) max= X[x,y]
        Product[x] when E(x,y) prod= N[y] > 0 ? 2.0 : 0.5
        Mean[x] when E(x,y) && X[x,y] > 0 avg= N[y]
        Sum[x] when E(x,y) = X[x,y] * 3
        "most.npy" = Most[x]
        "product.npy" = Product[x]
        "mean.npy" = Mean[x]
        "sum.npy" = Sum[x]
    """, {"e.tsv": tsv(e), "n": n, "x": x}, {
        "most": F64(numpy.where(a, x, -numpy.inf).max(1)),
        "product": F32(numpy.where(a, numpy.where(big > 0, 2.0, 0.5), 1).prod(1)),
        "mean": F32(numpy.where(a & (x > 0), big, 0).sum(1) / (a & (x > 0)).sum(1).clip(1), 60, 99),
        "sum": F64(numpy.where(a, x * 3, 0).sum(1), 60, 12)}


@program
def cells_where_they_are_needed(rng):
    ids, b = rows(rng, 60, 9, 11), f64(rng, 9, 11)
    w = quarters(rng, len(ids))
    a = cells(ids, (9, 11), w)
    e = numpy.exp(a)
    return """
        W[x,y] = "w.tsv"
        B[x,y] = "b.npy"
        Sum[x,y] = W[x,y] + B[x,y]
        Product[y,x] = W[x,y] * B[x,y] - 1
        Exp[x,y] = exp(W[x,y])
        Soft[x,y.] = softmax(W[x,y])
        Quotient[x,y] = B[x,y] / (W[x,y] + 100)
        Shifted[x,y] = W[x+1,y-2]
        Part[x] = W[x,2:9:3] B[x,2:9:3]
        Place[x] = W[x,4] + W[x,-1]
        Index[x] = W[x,y] * iota(y) * 2
        "sum.npy" = Sum[x,y]
        "product.npy" = Product[y,x]
        "exp.npy" = Exp[x,y]
        "soft.npy" = Soft[x,y]
        "quotient.npy" = Quotient[x,y]
        "shifted.npy" = Shifted[x,y]
        "part.npy" = Part[x]
        "index.npy" = Index[x]
        "place.npy" = Place[x]
    """, {"w.tsv": tsv(ids, w), "b": b}, {
        "sum": F64(a + b), "product": F64((a * b - 1).T, 4, 30), "exp": F32(e, 4, e.max()),
        "soft": F32(e / e.sum(1)[:, None], 50), "quotient": F64(b / (a + 100), 4, 1),
        "shifted": F32(numpy.pad(a[1:, :-2], ((0, 1), (2, 0)))), "part": F64((a * b)[:, 2:9:3].sum(1), 9, 30),
        "place": F32(a[:, 4] + a[:, -1]), "index": F32((a * numpy.arange(11) * 2).sum(1))}


@program
def products_of_many(rng):
    ids, q, k, v = rows(rng, 200, 30, 35), f64(rng, 30, 6), f64(rng, 35, 6), f64(rng, 35, 4)
    m = f64(rng, 6, 5)
    w = quarters(rng, len(ids))
    a = cells(ids, (30, 35), w)
    return """
        W[x,y] = "w.tsv"
        Q[x,d] = "q.npy"
        K[y,d] = "k.npy"
        V[y,e] = "v.npy"
        M[d,f] = "m.npy"
        Chain[x,f] = W[x,y] K[y,d] M[d,f]
        Sampled[x,e] = W[x,y] Q[x,d] K[y,d] V[y,e]
        Form = W[x,y] Q[x,d] K[y,d]
        Twice[x,z] = W[x,y] W[z,y]
        Divided[x,d] = W[x,y] K[y,d] / (2 + abs(V[y,0]))
        "chain.npy" = Chain[x,f]
        "sampled.npy" = Sampled[x,e]
        "form.npy" = Form
        "twice.npy" = Twice[x,z]
        "divided.npy" = Divided[x,d]
    """, {"w.tsv": tsv(ids, w), "q": q, "k": k, "v": v, "m": m}, {
        "chain": F64(a @ k @ m, 300, 200), "sampled": F64((a * (q @ k.T)) @ v, 300, 400),
        "form": F64((a * (q @ k.T)).sum(), 2000, 100), "twice": F32(a @ a.T, 100, 100),
        "divided": F64(a @ (k / (2 + numpy.abs(v[:, 0]))[:, None]), 300, 60)}


@program
def three_columns_and_one(rng):
    t, r, v = rows(rng, 250, 10, 7, 12), f64(rng, 7, 5), f64(rng, 12, 5)
    w = quarters(rng, len(t))
    a, one = cells(t, (10, 7, 12), w), numpy.array([[3], [8], [1], [0]])
    b = cells(one, (9,), numpy.array([0.5, 2.0, -1.0, 4.0]))
    return """
        Triple[s,p,o] = "t.tsv"
        R[p,d] = "r.npy"
        V[o,d] = "v.npy"
        One[i] = "one.tsv"
        Sum[s,d] = Triple[s,p,o] R[p,d] V[o,d]
        Fixed[s] = Triple[s,3,o] V[o,d]
        Count[p] = Triple(s,p,o)
        Scaled[i] = One[i] * 2
        Best[s] max= Triple[s,p,o] * R[p,0]
        "sum.npy" = Sum[s,d]
        "fixed.npy" = Fixed[s]
        "count.npy" = Count[p]
        "scaled.npy" = Scaled[i]
        "best.npy" = Best[s]
    """, {"t.tsv": tsv(t, w), "r": r, "v": v, "one.tsv": tsv(one, numpy.array([0.5, 2.0, -1.0, 4.0]))}, {
        "sum": F64(numpy.einsum("spo,pd,od->sd", a, r, v), 300, 60), "fixed": F64((a[:, 3] @ v).sum(1), 60, 60),
        "count": I64((cells(t, (10, 7, 12)) > 0).sum((0, 2))), "scaled": F32(b * 2),
        "best": F64(numpy.where(cells(t, (10, 7, 12)) > 0, a * r[:, 0][None, :, None], -numpy.inf).max((1, 2)))}


@program
def several_files_and_other_contributions(rng):
    one, two = rows(rng, 40, 14, 14, unique=False), rows(rng, 50, 14, 14, unique=False)
    u, v = quarters(rng, len(one)), quarters(rng, len(two))
    a, x = cells(one, (14, 14), u) + cells(two, (14, 14), v), f64(rng, 14, 3)
    f, g = cells(one, (14, 14)) > 0, cells(two, (14, 14)) > 0
    return """
        W[x,y] = "one.tsv"
        W[x,y] = "two.tsv"
        X[y,d] = "x.npy"
        H[x,d] = W[x,y] X[y,d]
        E(x,y) = "f.tsv"
        E(x,y) = "g.tsv"
        Count[x] = E(x,y)
        M[x,y] = "one.tsv"
        M[x,y] = X[x,0] * X[y,1]
        O(x,y) = "f.tsv"
        O(y,x) = O2(x,y)
        O2(x,y) = "g.tsv"
        "h.npy" = H[x,d]
        "count.npy" = Count[x]
        "m.npy" = M[x,y]
        "o.npy" = O(x,y)
    """, {"one.tsv": tsv(one, u), "two.tsv": tsv(two, v), "f.tsv": tsv(one), "g.tsv": tsv(two), "x": x}, {
        "h": F64(a @ x, 100, 60), "count": I64((f | g).sum(1)),
        "m": F64(cells(one, (14, 14), u) + numpy.outer(x[:, 0], x[:, 1]), 4, 30), "o": Bool(f | g.T)}


@program
def open_and_fixed_extents(rng):
    ids = numpy.array([[0, 2], [3, 1]])
    a = cells(ids, (6, 5))
    x = f32(rng, 5)
    return """
        axis x = 6
        E(x,y) = "e.tsv"
        X[y] = "x.npy"
        S[x] = E(x,y) X[y]
        Nobody(u,v) = "none.tsv"
        N[u] = Nobody(u,v)
        Count = Nobody(u,v)
        F(p,q) = "e.tsv"
        F(4,q) = G(q)
        G(q) = F2(1,q)
        F2(p,q) = "e.tsv"
        "s.npy" = S[x]
        "n.npy" = N[u]
        "count.npy" = Count
        "f.npy" = F(p,q)
    """, {"e.tsv": tsv(ids), "x": x, "none.tsv": Text("")}, {
        "s": F32(a @ wide(x)), "n": I64(numpy.zeros(0)), "count": I64(0),
        "f": Bool(cells(ids, (5, 3)) > 0)}


@program
def skewed_rows(rng):
    """One row of the relation holds nearly everything."""
    hub = numpy.stack([numpy.zeros(800, "i8"), numpy.arange(800)], 1)
    ids = numpy.unique(numpy.concatenate([hub, rows(rng, 100, 700, 800)]), axis=0)
    w, x = quarters(rng, len(ids)), f64(rng, 800, 3)
    a = cells(ids, (700, 800), w)
    return """
        W[x,y] = "w.csv"
        X[y,d] = "x.npy"
        H[x,d] = W[x,y] X[y,d]
        "h.npy" = H[x,d]
    """, {"w.csv": tsv(ids, w, ","), "x": x}, {"h": F64(a @ x, 900, 2000)}


def two_relations(rng, n):
    """Two numeric relations over the same ids: (files, where each is there, cells of each)."""
    first, second = rows(rng, 5 * n, n, n), rows(rng, 5 * n, n, n)
    u, v = quarters(rng, len(first)), quarters(rng, len(second))
    files = {"w.tsv": tsv(first, u), "v.tsv": tsv(second, v)}
    return files, cells(first, (n, n)) > 0, cells(second, (n, n)) > 0, cells(first, (n, n), u), cells(second, (n, n), v)


def largest(there, values, axis=1):
    return numpy.where(there, values, -numpy.inf).max(axis)


def mean(there, values, axis=1):
    return numpy.where(there, values, 0).sum(axis) / there.sum(axis).clip(1)


@program
def cells_that_several_relations_leave_out(rng):
    files, w, v, a, b = two_relations(rng, 14)
    both, d, x = w & v, quarters(rng, 14), quarters(rng, 14 * 3).reshape(14, 3)
    path = w[:, :, None] & v[None]
    return """
        W[x,y] = "w.tsv"
        V[x,y] = "v.tsv"
        D[y] = "d.npy"
        X[y,d] = "x.npy"
        Sum[x] max= W[x,y] + V[x,y]
        Path[x,z] min= W[x,y] + V[y,z]
        Loop[x] max= W[x,y] + W[y,x]
        Product[x] prod= V[x,y] * 2 + W[x,y]
        Mean[x] avg= W[x,y] + V[x,y]
        Scaled[x] avg= W[x,y] V[x,y]
        Ways[x] avg= W[x,y] V[y,z]
        Ratio[x] avg= W[x,y] / (V[x,y] + 9)
        Features[d] avg= W[x,y] X[y,d]
        Chosen[x] max= W[x,y] > 0 ? D[y] : 7
        Inner[x] max= reduce(sum, z) W[x,z] D[z] + V[x,y]
        Denied[x] max= !W[x,y] ? 5 : V[x,y]
        Truth[x] max= W(x,y) ? 5 : V[x,y]
        Cells[x,y] max= W[x,y]
        Cells[x,y] max= 0 - 1
        "sum.npy" = Sum[x]
        "path.npy" = Path[x,z]
        "loop.npy" = Loop[x]
        "product.npy" = Product[x]
        "mean.npy" = Mean[x]
        "scaled.npy" = Scaled[x]
        "ways.npy" = Ways[x]
        "ratio.npy" = Ratio[x]
        "features.npy" = Features[d]
        "chosen.npy" = Chosen[x]
        "inner.npy" = Inner[x]
        "denied.npy" = Denied[x]
        "truth.npy" = Truth[x]
        "cells.npy" = Cells[x,y]
    """, {**files, "d": d, "x": x}, {
        "sum": F32(largest(both, a + b)), "path": F32(-largest(path, -(a[:, :, None] + b[None]))),
        "loop": F32(largest(w & w.T, a + a.T)), "product": F32(numpy.where(both, 2 * b + a, 1).prod(1), 20),
        "mean": F32(mean(both, a + b), 20, 10), "scaled": F32(mean(both, a * b), 20, 30),
        "ways": F32(mean(path, a[:, :, None] * b[None], (1, 2)), 100, 30),
        "ratio": F32(mean(both, a / (b + 9)), 20, 4), "features": F64(mean(
            numpy.broadcast_to(w[..., None], (14, 14, 3)), a[..., None] * x, (0, 1)), 100, 30),
        "chosen": F64(largest(w, numpy.where(a > 0, d, 7))), "inner": F64(largest(v, (a @ d)[:, None] + b), 20, 100),
        "denied": F32(largest(v, numpy.where(a > 0, b, 5))), "truth": F32(largest(v, numpy.where(w, 5, b))),
        "cells": F32(numpy.where(w, numpy.maximum(a, -1), -1))}


@program
def relations_of_different_rank(rng):
    files, _, v, _, b = two_relations(rng, 9)
    triples = rows(rng, 90, 9, 9, 9)
    weights = quarters(rng, len(triples))
    t, a = cells(triples, (9, 9, 9)) > 0, cells(triples, (9, 9, 9), weights)
    return """
        T[x,y,z] = "t.tsv"
        V[x,y] = "v.tsv"
        Best[x] max= T[x,y,z] + V[x,y]
        Least[x,z] min= V[x,y] * T[x,y,z]
        Mean[z] avg= T[x,y,z] + V[x,y]
        "best.npy" = Best[x]
        "least.npy" = Least[x,z]
        "mean.npy" = Mean[z]
    """, {"t.tsv": tsv(triples, weights), "v.tsv": files["v.tsv"]}, {
        "best": F32(largest(t & v[:, :, None], a + b[:, :, None], (1, 2))),
        "least": F32(-largest(t & v[:, :, None], -(a * b[:, :, None]))),
        "mean": F32(mean(t & v[:, :, None], a + b[:, :, None], (0, 1)), 100, 10)}


@program
def guards_of_several_kinds(rng):
    files, w, v, a, b = two_relations(rng, 13)
    d = f64(rng, 13)
    e = numpy.broadcast_to(d, (13, 13))
    return """
        W[x,y] = "w.tsv"
        V[x,y] = "v.tsv"
        D[y] = "d.npy"
        Above[x] when W[x,y] > 2 max= D[y]
        Some[x] when W[x,y] > -2 = D[y]
        Here[x] when W(x,y) max= V[x,y]
        Not[x] when !W(x,y) max= V[x,y]
        Nowhere[x] when !W(x,y) max= D[y]
        Either[x] when W(x,y) || V(x,y) max= D[y]
        Both[x] when W(x,y) V(x,y) avg= D[y]
        Only[x] when V(x,y) && !W(x,y) max= D[y]
        Large[y] when W[x,y] V[x,y] > 1 max= D[x]
        Mixed[y] when W[x,y] > 0 || D[x] > 0 max= D[x]
        Counted[x] when W(x,y) = D[y] + D[x]
        "above.npy" = Above[x]
        "some.npy" = Some[x]
        "here.npy" = Here[x]
        "not.npy" = Not[x]
        "nowhere.npy" = Nowhere[x]
        "either.npy" = Either[x]
        "both.npy" = Both[x]
        "only.npy" = Only[x]
        "large.npy" = Large[y]
        "mixed.npy" = Mixed[y]
        "counted.npy" = Counted[x]
    """, {**files, "d": d}, {
        "above": F64(largest(w & (a > 2), e)), "some": F64((e * (a > -2)).sum(1), 13, 13),
        "here": F32(largest(w & v, b)), "not": F32(largest(~w & v, b)), "nowhere": F64(largest(~w, e)),
        "either": F64(largest(w | v, e)), "both": F64(mean(w & v, e), 13, 4), "only": F64(largest(v & ~w, e)),
        "large": F64(largest((w & v & (a * b > 1)).T, e)), "mixed": F64(largest((w & ((a > 0) | (d > 0)[:, None])).T, e)),
        "counted": F64((w * (e + d[:, None])).sum(1), 26, 8)}


@program(arguments=["-D", "k=5", "--input", "Given=w.tsv", "--input", "Facts=v.tsv"])
def where_relations_come_from(rng):
    """Constants, parameters, positions from the end, offsets, diagonals, slices; functions, imports, --input."""
    n = 15
    ids, facts = rows(rng, 70, n, n), rows(rng, 60, n, n)
    u, d = quarters(rng, len(ids)), quarters(rng, n)
    a, e = cells(ids, (n, n), u), cells(facts, (n, n))
    w = cells(ids, (n, n)) > 0
    moved, there = numpy.zeros((n, n)), numpy.zeros((n, n), bool)
    moved[:-1, 2:], there[:-1, 2:] = a[1:, :-2], w[1:, :-2]
    return """
        import "more.fuse" as more
        param k = 3
        const c = 7
        D[y] = "d.npy"
        fn rows(A[i,j], B[j]) -> R[i] { R[i] = A[i,j] B[j] }
        fn any_of(A(i,j)) -> R(i) { R(i) = A(i,j) }
        fn inside(A[i]) -> R[i] { R[i] = Given[i,j] A[j] }
        Places[x] = Given[x,k] D[x] + Given[c,x] + Given[-1,x] + Given[x,-2]
        Last max= Given[-1,x]
        Moved[x] = Given[x+1,y-2] D[y]
        Best[x] max= Given[x+1,y-2] + D[y]
        Diagonal[x] = Given[x,x] D[x]
        Trace = Given[x,x]
        Beside max= Given[x,x+1]
        Part[x] = Given[x,j=2:9:3] D[x]
        Back[x] max= Given[x,j=9:2:-3]
        One = Given[3,4]
        Call[x] = rows(Given[x,y], D[y])
        Support(x) = any_of(Given(x,y))
        Any(x) = any_of(Facts(x,y))
        Inside[x] = inside(D[x])
        Imported[x] = more::Weight[x,y] D[y]
        Present(x) = more::Weight(x,y)
        "places.npy" = Places[x]
        "last.npy" = Last
        "moved.npy" = Moved[x]
        "best.npy" = Best[x]
        "diagonal.npy" = Diagonal[x]
        "trace.npy" = Trace
        "beside.npy" = Beside
        "part.npy" = Part[x]
        "back.npy" = Back[x]
        "one.npy" = One
        "call.npy" = Call[x]
        "support.npy" = Support(x)
        "any.npy" = Any(x)
        "inside.npy" = Inside[x]
        "imported.npy" = Imported[x]
        "present.npy" = Present(x)
    """, {"w.tsv": tsv(ids, u), "v.tsv": tsv(facts), "d": d, "more.fuse": Text('Weight[a,b] = "w.tsv"')}, {
        "places": F64(a[:, 5] * d + a[7] + a[-1] + a[:, -2], 4, 50),
        "last": F32(largest(w[-1], a[-1], 0)), "moved": F64(moved @ d, 30, 100),
        "best": F64(largest(there, moved + d)), "diagonal": F64(a.diagonal() * d), "trace": F32(a.trace(), 15, 60),
        "beside": F32(largest(w.diagonal(1), a.diagonal(1), 0)), "part": F64(a[:, 2:9:3].sum(1) * d, 4, 80),
        "back": F32(largest(w[:, 9:2:-3], a[:, 9:2:-3])), "one": F32(a[3, 4]), "call": F64(a @ d, 30, 100),
        "support": Bool(w.any(1)), "any": Bool(e.any(1)), "inside": F64(a @ d, 30, 100),
        "imported": F64(a @ d, 30, 100), "present": Bool(w.any(1))}


@program
def functions_see_all_cells(rng):
    files, w, v, a, b = two_relations(rng, 12)
    x = f32(rng, 12, 3)
    e = numpy.exp(a)
    masked = numpy.where(w, e, 0) / numpy.where(w, e, 0).sum(1).clip(1e-300)[:, None]
    return """
        W[x,y] = "w.tsv"
        V[x,y] = "v.tsv"
        X[y,d] = "x.npy"
        Most[x] = reduce(max, y) W[x,y]
        Least[x] = min(W[x,y])
        Sum[x] = sum(W[x,y])
        Mean[x] = mean(W[x,y])
        All(x) = reduce(all, y) W(x,y)
        Where[x] = argmax(W[x,y])
        Norm[x] = norm(W[x,y])
        Running[x,y] = cumsum(W[x,y])
        Soft[x,d] = softmax(W[x,y]) X[y,d]
        Masked[x,y.] = masked_softmax(W[x,y], W(x,y))
        Top[x,r] = topk(W[x,y], k=3)
        Joined[x,c] = concat(W[x,y], V[x,z])
        Square[x] = reduce(sum, y) (W[x,y] ** 2)
        Case[x,y] = case(W(x,y), W[x,y], V[x,y])
        Positive(x,y) = W[x,y] > 0
        "most.npy" = Most[x]
        "least.npy" = Least[x]
        "sum.npy" = Sum[x]
        "mean.npy" = Mean[x]
        "all.npy" = All(x)
        "where.npy" = Where[x]
        "norm.npy" = Norm[x]
        "running.npy" = Running[x,y]
        "soft.npy" = Soft[x,d]
        "masked.npy" = Masked[x,y]
        "top.npy" = Top[x,r]
        "joined.npy" = Joined[x,c]
        "square.npy" = Square[x]
        "case.npy" = Case[x,y]
        "positive.npy" = Positive(x,y)
    """, {**files, "x": x}, {
        "most": F32(a.max(1)), "least": F32(a.min(1)), "sum": F32(a.sum(1), 12, 60), "mean": F32(a.mean(1), 12, 6),
        "all": Bool(w.all(1)), "where": I64(a.argmax(1)), "norm": F32(numpy.sqrt((a * a).sum(1)), 12),
        "running": F32(a.cumsum(1), 12, 60), "soft": F32((e / e.sum(1)[:, None]) @ wide(x), 24, 4),
        "masked": F32(masked, 20), "top": F32(-numpy.sort(-a, 1)[:, :3]), "joined": F32(numpy.hstack([a, b])),
        "square": F32((a * a).sum(1), 12), "case": F32(numpy.where(w, a, b)), "positive": Bool(a > 0)}


@program
def empty_files(rng):
    d = f64(rng, 9)
    return """
        W[x,y] = "nothing.tsv"
        E(x,y) = "nothing.csv"
        D[x] = "d.npy"
        Sum[x] = W[x,y] D[y] + D[x]
        Count[x] = E(x,y) D[y] + D[x]
        Most max= W[u,v]
        Best[x] max= W[x,y] + D[y]
        Best[x] max= D[x]
        "sum.npy" = Sum[x]
        "count.npy" = Count[x]
        "most.npy" = Most
        "best.npy" = Best[x]
    """, {"nothing.tsv": Text(""), "nothing.csv": Text(""), "d": d}, {
        "sum": F64(d), "count": F64(d), "most": F64(-numpy.inf), "best": F64(d)}
