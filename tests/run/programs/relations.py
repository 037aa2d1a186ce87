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
    return """
        A[x,y] = "w.tsv"
        B[x,y] max= "w.tsv"
        C[x,y] min= "w.tsv"
        "a.npy" = A[x,y]
        "b.npy" = B[x,y] + 0
        "c.npy" = C[x,y] + 0
        P(x,y) = A(x,y)
        "p.npy" = P(x,y)
        Q(x) = A(x,7)
        "q.npy" = Q(x)
    """, {"w.tsv": tsv(ids, w)}, {
        "a": F32(total), "b": F32(numpy.where(there, most, 0)), "c": F32(numpy.where(there, least, 0)),
        "p": Bool(there), "q": Bool(there[:, 7])}


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
