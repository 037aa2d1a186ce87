"""Tensors beyond 64 KiB, which are really distributed: at prime extents, short axes, diagonals, halos, slices."""

import numpy

from . import Exact, F32, F64, I64, INTEGER, NUMBER, Raw, TRUTH, einsum, f32, f64, ints, positive, program, wide
from .functions import softmax, standardised


@program
def large_matrix_product(rng):
    a, b = f32(rng, 300, 257), f32(rng, 257, 211)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        "c.npy" = C[i,j]
    """, {"a": a, "b": b}, {"c": F32(wide(a) @ wide(b), 257, 80)}


@program
def large_rows_in_blocks(rng):
    """Maps that share rows of more than 8 MiB: they run block by block, the last one over its input."""
    x, gain = f32(rng, 2111, 1031), f32(rng, 1031)
    mask = wide(x) > 0
    weights = numpy.where(mask, numpy.exp(wide(x)), 0)
    return """
        X[i,j] = "x.npy"
        G[j] = "gain.npy"
        S[i,j.] = softmax(2 X[i,j])
        M[i,j.] = masked_softmax(X[i,j], X[i,j] > 0)
        N[i,j.] = layernorm(X[i,j], weight=G[j])
        "s.npy" = S[i,j]
        "m.npy" = M[i,j]
        "n.npy" = N[i,j]
    """, {"x": x, "gain": gain}, {
        "s": F32(softmax(2 * wide(x)), 60, 1), "m": F32(weights / weights.sum(1, keepdims=True), 60, 1),
        "n": F32(standardised(wide(x)) * wide(gain), 60, 8)}


@program
def large_products_in_all_orientations(rng):
    a, b = f32(rng, 211, 157), f32(rng, 157, 173)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        At[k,i] = A[i,k]
        Bt[j,k] = B[k,j]
        C[i,j] = A[i,k] B[k,j]
        D[j,i] = At[k,i] B[k,j]
        E[i,j] = A[i,k] Bt[j,k]
        F[j,i] = At[k,i] Bt[j,k]
        G[i,l] = A[i,k] A[l,k]
        H[k,l] = A[i,k] A[i,l]
        "c.npy" = C[i,j]
        "d.npy" = D[j,i]
        "e.npy" = E[i,j]
        "f.npy" = F[j,i]
        "g.npy" = G[i,l]
        "h.npy" = H[k,l]
    """, {"a": a, "b": b}, {
        "c": F32(wide(a) @ wide(b), 157, 60), "d": F32((wide(a) @ wide(b)).T, 157, 60),
        "e": F32(wide(a) @ wide(b), 157, 60), "f": F32((wide(a) @ wide(b)).T, 157, 60),
        "g": F32(wide(a) @ wide(a).T, 157), "h": F32(wide(a).T @ wide(a), 211)}


@program
def large_product_of_doubles(rng):
    a, b = f64(rng, 131, 257), f64(rng, 257, 139)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        "c.npy" = C[i,j]
    """, {"a": a, "b": b}, {"c": F64(a @ b, 257, 80)}


@program
def large_product_of_integers(rng):
    a, b = ints(rng, -(2**20), 2**20, 131, 149), ints(rng, -(2**31), 2**31, 149, 127, dtype="i8")
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        Row[i] = C[i,j]
        Sum = A[i,k]
        "c.npy" = C[i,j]
        "row.npy" = Row[i]
        "sum.npy" = Sum
    """, {"a": a, "b": b}, {"c": I64(a @ b), "row": I64((a @ b).sum(1)), "sum": I64(a.sum())}


@program
def large_chain(rng):
    a, b, c = f32(rng, 1013, 31), f32(rng, 31, 701), f32(rng, 701, 41)
    return """
        A[i,j] = "a.npy"
        B[j,k] = "b.npy"
        C[k,l] = "c.npy"
        D[i,l] = A[i,j] B[j,k] C[k,l]
        E[l] = A[i,j] B[j,k] C[k,l]
        "d.npy" = D[i,l]
        "e.npy" = E[l]
    """, {"a": a, "b": b, "c": c}, {
        "d": F32(wide(a) @ wide(b) @ wide(c), 732, 800),
        "e": F32(wide(a).sum(0) @ wide(b) @ wide(c), 1745, 20000)}


@program
def tall_and_skinny(rng):
    # One long axis that must be cut, others shorter than the number of ranks.
    x, w = f32(rng, 20011, 3), f32(rng, 3, 2)
    return """
        X[n,f] = "x.npy"
        W[f,g] = "w.npy"
        Y[n,g] = X[n,f] W[f,g]
        Gram[f,g] = X[n,f] X[n,g]
        Mean[f] = mean(X[n,f])
        Best[n] = argmax(X[n,f])
        "y.npy" = Y[n,g]
        "gram.npy" = Gram[f,g]
        "mean.npy" = Mean[f]
        "best.npy" = Best[n]
    """, {"x": x, "w": w}, {
        "y": F32(wide(x) @ wide(w), 3, 20), "gram": F32(wide(x).T @ wide(x), 600), "mean": F32(wide(x).mean(0), 600, 1),
        "best": I64(x.argmax(1))}


@program
def short_and_wide(rng):
    x, y = f32(rng, 2, 19997), f32(rng, 3, 19997)
    return """
        X[f,n] = "x.npy"
        Y[g,n] = "y.npy"
        Gram[f,g] = X[f,n] Y[g,n]
        Sum[n] = X[f,n] + Y[g,n]
        All = X[f,n]
        Max[f] = max(X[f,n])
        Arg[g] = argmin(Y[g,n])
        "gram.npy" = Gram[f,g]
        "sum.npy" = Sum[n]
        "all.npy" = All
        "max.npy" = Max[f]
        "arg.npy" = Arg[g]
    """, {"x": x, "y": y}, {
        "gram": F32(wide(x) @ wide(y).T, 600, 20000), "sum": F32(wide(x).sum(0) + wide(y).sum(0), 5, 12),
        "all": F32(wide(x).sum(), 600, 2000), "max": F32(wide(x).max(1)), "arg": I64(y.argmin(1))}


@program
def large_vector(rng):
    x = f32(rng, 40009)
    return """
        X[i] = "x.npy"
        Y[i] = 2 X[i] - 1
        Norm = sqrt(X[i] X[i])
        Unit[i] = X[i] / Norm
        Reversed[i] = X[i=::-1]
        Where = argmax(X[i])
        "y.npy" = Y[i]
        "norm.npy" = Norm
        "unit.npy" = Unit[i]
        "reversed.npy" = Reversed[i]
        "where.npy" = Where
    """, {"x": x}, {
        "y": F32(2 * wide(x) - 1), "norm": F32(numpy.linalg.norm(wide(x)), 600),
        "unit": F32(wide(x) / numpy.linalg.norm(wide(x)), 600), "reversed": Exact(x[::-1], "f32"),
        "where": I64(x.argmax())}


@program
def large_transposes(rng):
    x, y = f32(rng, 307, 211), ints(rng, -99, 99, 17, 31, 47, dtype="i4")
    return """
        X[i,j] = "x.npy"
        Y[a,b,c] = "y.npy"
        T[j,i] = X[i,j]
        U[c,a,b] = Y[a,b,c]
        V[b,c,a] = Y[a,b,c] + U[c,a,b]
        W[c,b,a] = Y[a,b,c] Y[a,b,c]
        "t.npy" = T[j,i]
        "u.npy" = U[c,a,b]
        "v.npy" = V[b,c,a]
        "w.npy" = W[c,b,a]
    """, {"x": x, "y": y}, {
        "t": Exact(x.T, "f32"), "u": Exact(y.transpose(2, 0, 1), "i32"), "v": I64(wide(2 * y).transpose(1, 2, 0)),
        "w": I64(wide(y).transpose(2, 1, 0) ** 2)}


@program
def large_transpose_meets_itself(rng):
    x = f32(rng, 193, 193)
    return """
        X[i,j] = "x.npy"
        S[i,j] = X[i,j] + X[j,i]
        A[i,j] = X[i,j] - X[j,i]
        Dot = X[i,j] X[j,i]
        Trace = X[i,i]
        Diagonal[i] = X[i,i] 2
        Strip[i,j] = X[i,i] X[i,j] X[j,j]
        "s.npy" = S[i,j]
        "a.npy" = A[i,j]
        "dot.npy" = Dot
        "trace.npy" = Trace
        "diagonal.npy" = Diagonal[i]
        "strip.npy" = Strip[i,j]
    """, {"x": x}, {
        "s": F32(wide(x) + wide(x).T), "a": F32(wide(x) - wide(x).T),
        "dot": F32((wide(x) * wide(x).T).sum(), 400, 2000), "trace": F32(numpy.trace(wide(x)), 193, 193),
        "diagonal": F32(2 * numpy.diagonal(wide(x))),
        "strip": F32(numpy.diagonal(wide(x))[:, None] * wide(x) * numpy.diagonal(wide(x)))}


@program
def large_reductions_over_every_axis(rng):
    x = ints(rng, -999, 999, 29, 43, 37)
    return """
        X[a,b,c] = "x.npy"
        A[a] = X[a,b,c]
        B[b] = X[a,b,c]
        C[c] = X[a,b,c]
        D[c,a] = X[a,b,c]
        E[b,a] = max(X[a,b,c])
        F[c] = min(X[a,b,c])
        G = max(X[a,b,c])
        H[b,c] = argmax(X[a,b,c])
        I[a,c] = argmin(X[a,b,c])
        J = X[a,b,c]
        K[c] = mean(X[a,b,c])
        "a.npy" = A[a]
        "b.npy" = B[b]
        "c.npy" = C[c]
        "d.npy" = D[c,a]
        "e.npy" = E[b,a]
        "f.npy" = F[c]
        "g.npy" = G
        "h.npy" = H[b,c]
        "i.npy" = I[a,c]
        "j.npy" = J
        "k.npy" = K[c]
    """, {"x": x}, {
        "a": I64(x.sum((1, 2))), "b": I64(x.sum((0, 2))), "c": I64(x.sum((0, 1))), "d": I64(x.sum(1).T),
        "e": I64(x.max(2).T), "f": I64(x.min((0, 1))), "g": I64(x.max()), "h": I64(x.argmax(0)),
        "i": I64(x.argmin(1)), "j": I64(x.sum()), "k": F32(x.mean((0, 1)), 600, 999)}


@program
def large_arg_max_with_ties(rng):
    # The first of many equal values, wherever the axis is cut.
    x = ints(rng, 0, 2, 5, 9001, dtype="u1")
    x[:, :7000] = numpy.minimum(x[:, :7000], 1)
    y = ints(rng, 0, 1, 9001, 5)
    return """
        X[i,j] = "x.npy"
        Y[j,i] = "y.npy"
        A[i] = argmax(X[i,j])
        B[i] = argmin(X[i,j])
        C[i] = argmax(Y[j,i])
        D[j] = argmax(Y[j,i])
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[j]
    """, {"x": x, "y": y}, {
        "a": I64(x.argmax(1)), "b": I64(x.argmin(1)), "c": I64(y.argmax(0)), "d": I64(y.argmax(1))}


@program
def large_broadcasts(rng):
    b, c, d = f32(rng, 251, 127), f32(rng, 127), f32(rng, 251)
    return """
        B[i,j] = "b.npy"
        C[j] = "c.npy"
        D[i] = "d.npy"
        A[i,j] = B[i,j] + C[j] - D[i]
        E[i,j] = C[j] D[i]
        F[j,i] = D[i] - 1
        G[i] = B[i,j] + D[i] - C[j]
        H[j] = B[i,j] (C[j] + D[i])
        Z[i,j] = E[i,j] + F[j,i]
        "a.npy" = A[i,j]
        "e.npy" = E[i,j]
        "f.npy" = F[j,i]
        "g.npy" = G[i]
        "h.npy" = H[j]
        "z.npy" = Z[i,j]
    """, {"b": b, "c": c, "d": d}, {
        "a": F32(wide(b) + wide(c) - wide(d)[:, None]), "e": F32(numpy.outer(wide(d), wide(c))),
        "f": F32(numpy.broadcast_to(wide(d) - 1, (127, 251))),
        "g": F32(wide(b).sum(1) + wide(d) - wide(c).sum(), 127, 120),
        "h": F32((wide(b) * (wide(c) + wide(d)[:, None])).sum(0), 251, 120),
        "z": F32(numpy.outer(wide(d), wide(c)) + wide(d)[:, None] - 1)}


@program
def large_halo(rng):
    x = ints(rng, -99, 99, 263, 131)
    p = numpy.pad(x, ((3, 3), (2, 2)))

    def at(di, dj):
        return p[3 + di:266 + di, 2 + dj:133 + dj]

    return """
        X[i,j] = "x.npy"
        Laplace[i,j] = X[i+1,j] + X[i-1,j] + X[i,j+1] + X[i,j-1] - 4 X[i,j]
        Down[i,j] = X[i-3,j]
        Corner[i,j] = X[i+2,j-2] X[i-1,j+1]
        Turned[j,i] = X[i+1,j] - X[i,j-1]
        Far[i,j] = X[i+200,j]
        Correlation[j] = X[i,j] X[i+1,j]
        Twice[i,j] = Laplace[i+1,j] - Laplace[i,j+1]
        "laplace.npy" = Laplace[i,j]
        "down.npy" = Down[i,j]
        "corner.npy" = Corner[i,j]
        "turned.npy" = Turned[j,i]
        "far.npy" = Far[i,j]
        "correlation.npy" = Correlation[j]
        "twice.npy" = Twice[i,j]
    """, {"x": x}, {
        "laplace": I64(laplace(x)),
        "down": I64(at(-3, 0)), "corner": I64(at(2, -2) * at(-1, 1)), "turned": I64((at(1, 0) - at(0, -1)).T),
        "far": I64(numpy.pad(x[200:], ((0, 200), (0, 0)))), "correlation": I64((x[:-1] * x[1:]).sum(0)),
        "twice": I64(numpy.pad(laplace(x)[1:], ((0, 1), (0, 0))) - numpy.pad(laplace(x)[:, 1:], ((0, 0), (0, 1))))}


def laplace(x):
    p = numpy.pad(x, 1)
    return p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2] - 4 * x


@program
def large_vector_halo(rng):
    x = f32(rng, 33013)
    w = wide(x)
    return """
        X[i] = "x.npy"
        Smooth[i] = 0.25 X[i-1] + 0.5 X[i] + 0.25 X[i+1]
        Jump[i] = X[i+5000] - X[i-20000]
        "smooth.npy" = Smooth[i]
        "jump.npy" = Jump[i]
    """, {"x": x}, {
        "smooth": F32(0.25 * numpy.pad(w, (1, 0))[:-1] + 0.5 * w + 0.25 * numpy.pad(w, (0, 1))[1:], 3, 5),
        "jump": F32(numpy.pad(w[5000:], (0, 5000)) - numpy.pad(w[:-20000], (20000, 0)))}


@program
def large_slices(rng):
    x = f32(rng, 317, 223)
    return """
        X[i,j] = "x.npy"
        Strided[p,q] = X[p=::3,q=1::2]
        Backward[p,q] = X[p=::-1,q=200:10:-7]
        Window[p,j] = X[p=100:300,j]
        Difference[i,d] = X[i,d=1:] - X[i,d=:-1]
        Row[j] = X[-1,j] - X[158,j]
        Blocks[p,q] = X[p=:100,k] X[q=200:300,k]
        Sum[j] = X[::2,j] - X[1::2,j]
        "strided.npy" = Strided[p,q]
        "backward.npy" = Backward[p,q]
        "window.npy" = Window[p,j]
        "difference.npy" = Difference[i,d]
        "row.npy" = Row[j]
        "blocks.npy" = Blocks[p,q]
        "sum.npy" = Sum[j]
        "sink.npy" = X[5::4, :-9]
    """, {"x": x}, {
        "strided": Exact(x[::3, 1::2], "f32"), "backward": Exact(x[::-1, 200:10:-7], "f32"),
        "window": Exact(x[100:300], "f32"), "difference": F32(numpy.diff(wide(x))), "row": F32(wide(x)[-1] - wide(x)[158]),
        "blocks": F32(wide(x)[:100] @ wide(x)[200:300].T, 223, 70),
        "sum": F32(wide(x)[::2].sum(0) - wide(x)[1::2].sum(0), 317, 80), "sink": Exact(x[5::4, :-9], "f32")}


@program
def large_one_hot(rng):
    label, v = ints(rng, 0, 40, 5003), f32(rng, 41, 13)
    return """
        L[n] = "label.npy"
        V[c,e] = "v.npy"
        H[n,c] = one_hot(L[n], 41)
        Count[c] = H[n,c]
        Taken[n,e] = H[n,c] V[c,e]
        Back[n] = argmax(H[n,c])
        Scatter[c,e] = H[n,c] Taken[n,e]
        "h.npy" = H[n,c]
        "count.npy" = Count[c]
        "taken.npy" = Taken[n,e]
        "back.npy" = Back[n]
        "scatter.npy" = Scatter[c,e]
    """, {"label": label, "v": v}, {
        "h": NUMBER(numpy.eye(41, dtype=int)[label]), "count": NUMBER(numpy.bincount(label, minlength=41)),
        "taken": F32(wide(v)[label]), "back": I64(label),
        "scatter": F32(wide(v) * numpy.bincount(label, minlength=41)[:, None], 200)}


@program
def large_normalisers(rng):
    x = f32(rng, 251, 163) * 2
    w = wide(x)
    return """
        X[i,j] = "x.npy"
        Rows[i,j.] = softmax(X[i,j])
        Columns[i.,j] = softmax(X[i,j])
        All[i,j] = softmax(X[i,j], axis=[i,j])
        NormRows[i,j] = lnorm(X[i,j])
        NormColumns[i.,j] = layernorm(X[i,j])
        Turned[j,i] = softmax(X[i,j])
        "rows.npy" = Rows[i,j]
        "columns.npy" = Columns[i,j]
        "all.npy" = All[i,j]
        "norm_rows.npy" = NormRows[i,j]
        "norm_columns.npy" = NormColumns[i,j]
        "turned.npy" = Turned[j,i]
    """, {"x": x}, {
        "rows": F32(softmax(w, 1), 163), "columns": F32(softmax(w, 0), 251), "all": F32(softmax(w, (0, 1)), 600),
        "norm_rows": F32(standardised(w, 1), 163, 6), "norm_columns": F32(standardised(w, 0), 251, 6),
        "turned": F32(softmax(w, 1).T, 163)}


@program
def large_attention(rng):
    q, k, v = f32(rng, 4, 131, 16), f32(rng, 4, 137, 16), f32(rng, 4, 137, 24)
    weight = softmax(einsum("hpd,hqd->hpq", wide(q), wide(k)) / 4)
    return """
        Q[h,p,d] = "q.npy"
        K[h,q,d] = "k.npy"
        V[h,q,e] = "v.npy"
        Score[h,p,q] = Q[h,p,d] K[h,q,d] / 4
        Weight[h,p,q.] = softmax(Score[h,p,q])
        Out[p,h,e] = Weight[h,p,q] V[h,q,e]
        Mean[e] = mean(Out[p,h,e])
        "out.npy" = Out[p,h,e]
        "mean.npy" = Mean[e]
    """, {"q": q, "k": k, "v": v}, {
        "out": F32(einsum("hpq,hqe->phe", weight, wide(v)), 160, 4),
        "mean": F32(einsum("hpq,hqe->phe", weight, wide(v)).mean((0, 1)), 700, 2)}


@program
def large_batched_products(rng):
    a, b = f32(rng, 13, 61, 37), f32(rng, 37, 13, 53)
    return """
        A[b,i,k] = "a.npy"
        B[k,b,j] = "b.npy"
        C[i,b,j] = A[b,i,k] B[k,b,j]
        D[b] = A[b,i,k] B[k,b,j]
        E[j,k] = A[b,i,k] B[k,b,j]
        "c.npy" = C[i,b,j]
        "d.npy" = D[b]
        "e.npy" = E[j,k]
    """, {"a": a, "b": b}, {
        "c": F32(einsum("bik,kbj->ibj", wide(a), wide(b)), 37, 30),
        "d": F32(einsum("bik,kbj->b", wide(a), wide(b)), 140, 3000),
        "e": F32(einsum("bik,kbj->jk", wide(a), wide(b)), 90, 300)}


@program
def large_mttkrp(rng):
    x, b, c = f32(rng, 53, 41, 37), f32(rng, 41, 7), f32(rng, 37, 7)
    return """
        X[i,j,k] = "x.npy"
        B[j,r] = "b.npy"
        C[k,r] = "c.npy"
        M[i,r] = X[i,j,k] B[j,r] C[k,r]
        N[j,r] = X[i,j,k] M[i,r] C[k,r]
        "m.npy" = M[i,r]
        "n.npy" = N[j,r]
    """, {"x": x, "b": b, "c": c}, {
        "m": F32(einsum("ijk,jr,kr->ir", wide(x), wide(b), wide(c)), 80, 200),
        "n": F32(einsum("ijk,ir,kr->jr", wide(x), einsum("ijk,jr,kr->ir", wide(x), wide(b), wide(c)), wide(c)), 200, 9000)}


@program
def large_product_weighed_within_its_rows(rng):
    """What the product makes is 8 MiB on one rank, which takes it some rows at a time; Z[i,j] has a map behind the sum."""
    x, b, c = f32(rng, 67, 263, 3), f32(rng, 263, 128), f32(rng, 3, 128)
    p = einsum("ijk,ka->ija", wide(x), wide(c))
    return """
        X[i,j,k] = "x.npy"
        B[j,a] = "b.npy"
        C[k,a] = "c.npy"
        P[i,j,a] = X[i,j,k] C[k,a]
        Y[i,a] = P[i,j,a] B[j,a]
        Q[i,j,a] = X[i,j,k] C[k,a]
        Z[i,j] = relu(Q[i,j,a] B[j,a])
        "y.npy" = Y[i,a]
        "z.npy" = Z[i,j]
    """, {"x": x, "b": b, "c": c}, {
        "y": F32(einsum("ija,ja->ia", p, wide(b)), 266, 300),
        "z": F32(numpy.maximum(einsum("ija,ja->ij", p, wide(b)), 0), 131, 300)}


@program
def large_files_of_every_kind(rng):
    big = f32(rng, 173, 211).astype(">f4")
    fortran = numpy.asfortranarray(f32(rng, 211, 173))
    half = rng.standard_normal((173, 211)).astype(numpy.float16)
    short, byte = ints(rng, -999, 999, 173, 211, dtype=">i2"), ints(rng, 0, 255, 211, 401, dtype="u1")
    flag = rng.random((401, 311)) < 0.5
    return """
        Big[i,j] = "big.npy"
        Fortran[j,i] = "fortran.npy"
        Half[i,j] = "half.npy"
        Short[i,j] = "short.npy"
        Byte[j,k] = "byte.npy"
        Flag[k,l] = "flag.npy"
        Sum[i,j] = Big[i,j] - Fortran[j,i] + Short[i,j]
        Product[i,k] = Short[i,j] Byte[j,k]
        Count[j,l] = Byte[j,k] Flag[k,l]
        Copy[i,j] = Half[i,j]
        "sum.npy" = Sum[i,j]
        "product.npy" = Product[i,k]
        "count.npy" = Count[j,l]
        "copy.npy" = Copy[i,j]
        "turned.npy" = Fortran[j,i]
        "flag.npy.npy" = Flag[k,l]
    """, {"big": Raw(big, (2, 0)), "fortran": fortran, "half": half, "short": short, "byte": Raw(
        numpy.asfortranarray(byte), (3, 0)), "flag": flag}, {
        "sum": F32(wide(big) - wide(fortran).T + wide(short), 2, 1000), "product": I64(wide(short) @ wide(byte)),
        "count": I64(wide(byte) @ wide(flag)), "copy": Exact(half, "f16"), "turned": Exact(fortran, "f32"),
        "flag.npy": TRUTH(flag)}


@program
def large_comparisons(rng):
    x, y = f32(rng, 307, 89), f32(rng, 89)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        Above[i,j] = X[i,j] > Y[j]
        Count[i] = X[i,j] > Y[j]
        Share = mean(X[i,j] > Y[j], axis=[i,j])
        Kept[i,j] = X[i,j] Above[i,j]
        Steps[j] = step(X[i,j] - Y[j]) One[i]
        One[i] = 1
        "above.npy" = Above[i,j]
        "count.npy" = Count[i]
        "share.npy" = Share
        "kept.npy" = Kept[i,j]
        "steps.npy" = Steps[j]
    """, {"x": x, "y": y}, {
        "above": TRUTH(x > y), "count": I64((x > y).sum(1)), "share": F32((x > y).mean(), 300, 1),
        "kept": F32(wide(x) * (x > y)), "steps": NUMBER((x > y).sum(0))}


@program
def large_sink_of_two_shapes(rng):
    x = f32(rng, 127, 241)
    return """
        X[i,j] = "x.npy"
        Y[i,j] = X[i,j] * 3
        "one.npy" = Y[i,j]
        "two.npy" = Y[p,q]
        "three.npy" = X[i,j]
        Z[j,i] = Y[i,j]
        "four.npy" = Z[j,i]
        "five.npy" = Y[i,j] - Y[i,0]
    """, {"x": x}, {
        "one": F32(3 * wide(x)), "two": F32(3 * wide(x)), "three": Exact(x, "f32"), "four": F32(3 * wide(x).T),
        "five": F32(3 * (wide(x) - wide(x)[:, :1]))}


@program
def large_outer_product(rng):
    x, y, z = f32(rng, 61), f32(rng, 53), f32(rng, 47)
    return """
        X[i] = "x.npy"
        Y[j] = "y.npy"
        Z[k] = "z.npy"
        T[k,i,j] = X[i] Y[j] Z[k]
        S[j] = T[k,i,j]
        "t.npy" = T[k,i,j]
        "s.npy" = S[j]
    """, {"x": x, "y": y, "z": z}, {
        "t": F32(einsum("i,j,k->kij", wide(x), wide(y), wide(z))),
        "s": F32(wide(x).sum() * wide(z).sum() * wide(y), 110, 3000)}


@program
def large_extents_of_one(rng):
    x = ints(rng, -99, 99, 1, 211, 1, 97, 1)
    return """
        X[a,b,c,d,e] = "x.npy"
        Y[e,d,c,b,a] = X[a,b,c,d,e] + 1
        Z[b,d] = X[0,b,0,d,0]
        W[c,d,f] = X[a,b,c,d,e] X[a,b,c,f,e]
        "y.npy" = Y[e,d,c,b,a]
        "z.npy" = Z[b,d]
        "w.npy" = W[c,d,f]
    """, {"x": x}, {
        "y": I64(x.transpose() + 1), "z": I64(x[0, :, 0, :, 0]),
        "w": I64((x[0, :, 0, :, 0].T @ x[0, :, 0, :, 0])[None])}


@program
def large_standardise_and_compare(rng):
    a, b = positive(rng, 301, 67), positive(rng, 203, 67)
    wa, wb = ((wide(y) - wide(a).mean(0)) / numpy.sqrt(wide(a).var(0) + 1) for y in (a, b))
    cosine = wb @ wa.T / numpy.outer(numpy.linalg.norm(wb, axis=1), numpy.linalg.norm(wa, axis=1))
    return """
        A[n,f] = "a.npy"
        B[m,f] = "b.npy"
        Centre[f] = mean(A[n,f])
        Scale[f] = sqrt(mean((A[n,f] - Centre[f]) ** 2, axis=n) + 1)
        SA[n,f] = (A[n,f] - Centre[f]) / Scale[f]
        SB[m,f] = (B[m,f] - Centre[f]) / Scale[f]
        NA[n] = sqrt(SA[n,f] SA[n,f])
        NB[m] = sqrt(SB[m,f] SB[m,f])
        Cosine[m,n] = SB[m,f] SA[n,f] / (NB[m] NA[n])
        Best[m] = max(Cosine[m,n])
        "cosine.npy" = Cosine[m,n]
        "best.npy" = Best[m]
    """, {"a": a, "b": b}, {"cosine": F32(cosine, 300, 1), "best": F32(cosine.max(1), 300, 1)}


@program(slow=True)
def product_of_megabytes(rng):
    a, b = f32(rng, 1201, 1103), f32(rng, 1103, 1009)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        "c.npy" = C[i,j]
    """, {"a": a, "b": b}, {"c": F32(wide(a) @ wide(b), 1103, 170)}


@program
def elements_of_megabytes(rng):
    x, y = f32(rng, 1511, 1307), f32(rng, 1307, 1511)
    return """
        X[i,j] = "x.npy"
        Y[j,i] = "y.npy"
        Z[i,j] = X[i,j] - 2 Y[j,i]
        Row[i] = Z[i,j]
        Column[j] = Z[i,j]
        "z.npy" = Z[i,j]
        "row.npy" = Row[i]
        "column.npy" = Column[j]
    """, {"x": x, "y": y}, {
        "z": F32(wide(x) - 2 * wide(y).T), "row": F32((wide(x) - 2 * wide(y).T).sum(1), 1307, 300),
        "column": F32((wide(x) - 2 * wide(y).T).sum(0), 1511, 300)}
