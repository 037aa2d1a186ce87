"""max= min= prod= avg=: one expression over all axes, projected at the end."""

import numpy

from . import F32, F64, I64, Exact, f32, f64, ints, program, wide


@program
def tropical_product(rng):
    a, b = ints(rng, -99, 99, 17, 13, dtype="i2"), ints(rng, -99, 99, 13, 19)
    w = wide(a)[:, :, None] + wide(b)[None]
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        M[i,j] max= A[i,k] + B[k,j]
        N[j,i] min= A[i,k] + B[k,j]
        "m.npy" = M[i,j]
        "n.npy" = N[j,i]
    """, {"a": a, "b": b}, {"m": I64(w.max(1)), "n": I64(w.min(1).T)}


@program
def nothing_is_summed_inside(rng):
    a, b = f64(rng, 7, 5), f64(rng, 5, 6)
    w = a[:, :, None] * b[None]
    return """
        A[i,j] = "a.npy"
        B[j,k] = "b.npy"
        J[i] max= A[i,j] B[j,k]
        E[i] min= exp(A[i,j] B[j,k]) ** 2 - A[i,j]
        S[i] max= sum(A[i,j] B[j,k], axis=j)
        R[i] max= reduce(sum, j) A[i,j] B[j,k]
        C[k] max= A[i,j] > B[j,k] ? A[i,j] : -B[j,k]
        All max= A[i,j]
        "j.npy" = J[i]
        "e.npy" = E[i]
        "s.npy" = S[i]
        "r.npy" = R[i]
        "c.npy" = C[k]
        "all.npy" = All
    """, {"a": a, "b": b}, {
        "j": F64(w.max((1, 2))), "e": F64((numpy.exp(w) ** 2 - a[:, :, None]).min((1, 2)), 8, 1e3),
        "s": F64((a @ b).max(1), 5, 20), "r": F64((a @ b).max(1), 5, 20),
        "c": F64(numpy.where(a[:, :, None] > b[None], a[:, :, None], -b[None]).max((0, 1))), "all": F64(a.max())}


@program
def means_and_products(rng):
    a, b, n = f32(rng, 9, 8), f32(rng, 8, 4), ints(rng, -3, 3, 9, 5)
    x, y = wide(a), wide(b)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        N[i,l] = "n.npy"
        V[i] avg= A[i,k] B[k,j]
        W[j] avg= A[i,k] / 2 + B[k,j]
        X avg= N[i,l]
        P[i] prod= A[i,k] + 2
        Q[l] prod= N[i,l]
        T avg= 3
        "v.npy" = V[i]
        "w.npy" = W[j]
        "x.npy" = X
        "p.npy" = P[i]
        "q.npy" = Q[l]
        "t.npy" = T
    """, {"a": a, "b": b, "n": n}, {
        "v": F32((x @ y).sum(1) / 32, 32, 60), "w": F32(x.mean() / 2 + y.mean(0), 72, 4), "x": F32(n.mean(), 1, 3),
        "p": F32((x + 2).prod(1), 8), "q": I64(n.prod(0)), "t": F32(3.0)}


@program
def several_contributions_combine(rng):
    a, b, x = ints(rng, -50, 50, 6, 7), ints(rng, -50, 50, 6), ints(rng, -50, 50, 6)
    return """
        A[i,j] = "a.npy"
        B[i] = "b.npy"
        M[i] max= A[i,j]
        M[k] max= 2 B[k]
        M[i] max= -3
        M[i] = "x.npy"
        N[i] min= "x.npy"
        N[i] min= A[i,j] - B[i]
        P[i] prod= B[i]
        P[i] prod= A[i,0] - 7
        P[2] prod= 2
        "m.npy" = M[i]
        "n.npy" = N[i]
        "p.npy" = P[i]
    """, {"a": a, "b": b, "x": x}, {
        "m": I64(numpy.maximum.reduce([a.max(1), 2 * b, x, numpy.full(6, -3)])),
        "n": I64(numpy.minimum(x, (a - b[:, None]).min(1))),
        "p": I64(b * (a[:, 0] - 7) * numpy.where(numpy.arange(6) == 2, 2, 1))}


@program
def guards_leave_cells_out(rng):
    a, g = f64(rng, 8, 9), ints(rng, 0, 2, 9, 5)
    a[3] = -1
    keep = (a > 0.5)[:, :, None] & (g > 0)[None]
    whole = numpy.broadcast_to(a[:, :, None], keep.shape)
    with numpy.errstate(invalid="ignore"):
        mean = numpy.where(keep.any((1, 2)), (whole * keep).sum((1, 2)) / keep.sum((1, 2)), 0)
    return """
        A[i,k] = "a.npy"
        G[k,j] = "g.npy"
        M[i] when A[i,k] > 0.5 && G[k,j] max= A[i,k]
        N[i] when A[i,k] > 0.5 && G[k,j] min= A[i,k]
        P[i] when A[i,k] > 0.5 && G[k,j] prod= A[i,k]
        V[i] when A[i,k] > 0.5 && G[k,j] avg= A[i,k]
        W[i] when G[k,j] avg= A[i,k]
        L[i] when A[i,0] > 0 max= A[i,1]
        "m.npy" = M[i]
        "n.npy" = N[i]
        "p.npy" = P[i]
        "v.npy" = V[i]
        "w.npy" = W[i]
        "l.npy" = L[i]
    """, {"a": a, "g": g}, {
        "m": F64(numpy.where(keep, whole, -numpy.inf).max((1, 2))),
        "n": F64(numpy.where(keep, whole, numpy.inf).min((1, 2))),
        "p": F64(numpy.where(keep, whole, 1).prod((1, 2)), 45), "v": F64(mean, 45),
        "w": F64((a @ (g > 0)).sum(1) / (g > 0).sum(), 45, 100),
        "l": Exact(numpy.where(a[:, 0] > 0, a[:, 1], -numpy.inf), "f64")}


@program
def integers_that_guards_reach(rng):
    e, d = ints(rng, 0, 1, 12, 12), ints(rng, 0, 99, 12)
    e[:, 3] = 1
    return """
        Edge[x,y] = "e.npy"
        D[x] = "d.npy"
        Best[x] when Edge[x,y] min= D[y] + 1
        Tied[x] when D[x] == D[y] max= iota(y)
        "best.npy" = Best[x]
        "tied.npy" = Tied[x]
    """, {"e": e, "d": d}, {
        "best": I64(numpy.where(e > 0, d[None] + 1, 1000).min(1)),
        "tied": I64([max(numpy.flatnonzero(d == x)) for x in d])}


@program
def cells_that_nothing_reaches(rng):
    x, n = f32(rng, 6), ints(rng, 1, 9, 6)
    inf = numpy.inf
    return """
        X[k] = "x.npy"
        N[k] = "n.npy"
        M[k+2] max= X[k]
        M[5] max= X[k]
        K[0] min= X[k]
        K[k+4] min= X[k]
        P[k+3] prod= N[k]
        D[k,k] min= X[k]
        I[0] max= 4
        I[k+1] max= N[k]
        J[-1] min= 4
        J[k-1] min= N[k]
        A[k,4] avg= X[k]
        "m.npy" = M[i]
        "k.npy" = K[i]
        "p.npy" = P[i]
        "d.npy" = D[a,b]
        "i.npy" = I[i]
        "j.npy" = J[i]
        "a.npy" = A[p,q]
    """, {"x": x, "n": n}, {
        "m": Exact(numpy.array([-inf, -inf, *x[:3], max(x)]), "f32"),
        "k": Exact(numpy.array([x.min(), inf, inf, inf, *x[:2]]), "f32"),
        "p": I64([1, 1, 1, *n[:3]]),
        "d": Exact(numpy.where(numpy.eye(6) > 0, x[:, None], inf), "f32"),
        "i": I64([4, *n[:5]]), "j": I64([*n[1:], 4]),
        "a": Exact(numpy.concatenate([numpy.zeros((6, 4)), x[:, None]], 1), "f32")}


@program
def not_is_there_is_no(rng):
    e, w = ints(rng, 0, 1, 8, 8), ints(rng, -9, 9, 8)
    e[2] = 0
    none = (e == 0).all(1)
    return """
        E[x,y] = "e.npy"
        W[x] = "w.npy"
        M max= !E[x,y] ? W[x] : -100
        N[x] max= !E[x,y] && W[y] > 3
        "m.npy" = M
        "n.npy" = N[x]
    """, {"e": e, "w": w}, {
        "m": I64(max(numpy.where(none, w, -100))), "n": I64(((e == 0) & (w > 3)[None]).any(1).astype(int))}


@program
def empty_and_short_axes(rng):
    z, one = numpy.zeros((4, 0), "f4"), ints(rng, -9, 9, 4, 1)
    return """
        Z[i,k] = "z.npy"
        One[i,j] = "one.npy"
        A[i] max= Z[i,k]
        B[i] min= Z[i,k]
        C[i] prod= Z[i,k]
        D[i] avg= Z[i,k]
        E[i] max= One[i,j]
        F[i] avg= One[i,j]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F[i]
    """, {"z": z, "one": one}, {
        "a": Exact(numpy.full(4, -numpy.inf), "f32"), "b": Exact(numpy.full(4, numpy.inf), "f32"),
        "c": Exact(numpy.ones(4), "f32"), "d": Exact(numpy.zeros(4), "f32"), "e": I64(one[:, 0]), "f": F32(one[:, 0])}
