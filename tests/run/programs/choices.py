"""Conditions, `reduce`, positions as numbers, masks, the rarer reductions and normalisers."""

import numpy

from . import Exact, F32, F64, Holds, I64, INTEGER, NUMBER, TRUTH, f32, ints, positive, program, wide
from .functions import softmax, standardised


@program
def conditions(rng):
    x, y = ints(rng, -9, 9, 5, 7), ints(rng, -9, 9, 7)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        A[i,j] = X[i,j] > Y[j] ? X[i,j] : Y[j]
        B[i,j] = select(X[i,j] > 0, X[i,j], -1)
        C[i,j] = where(Y[j] == 0, 100, X[i,j])
        D[i,j] = case(X[i,j] < -3, 1, X[i,j] < 3, 2, 3)
        E[i,j] = case { X[i,j] < -3 -> 1; X[i,j] < 3 -> 2; default -> 3 }
        F[i,j] = case { X[i,j] > 5 -> Y[j] }
        H[i,j] = X[i,j] > 0 && Y[j] > 0 || X[i,j] == -9
        K[i,j] = !(X[i,j] > 0) + 0
        "a.npy" = A[i,j]
        "b.npy" = B[i,j]
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
        "e.npy" = E[i,j]
        "f.npy" = F[i,j]
        "h.npy" = H[i,j]
        "k.npy" = K[i,j]
    """, {"x": x, "y": y}, {
        "a": I64(numpy.maximum(x, y)), "b": I64(numpy.where(x > 0, x, -1)), "c": I64(numpy.where(y == 0, 100, x)),
        "d": INTEGER(numpy.select([x < -3, x < 3], [1, 2], 3)), "e": INTEGER(numpy.select([x < -3, x < 3], [1, 2], 3)),
        "f": I64(numpy.where(x > 5, y, 0)), "h": TRUTH((x > 0) & (y > 0) | (x == -9)), "k": INTEGER(~(x > 0) * 1)}


@program
def reduce_where_it_stands(rng):
    x, y, z = ints(rng, -9, 9, 5, 7), ints(rng, -9, 9, 7), ints(rng, -9, 9, 5)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        Z[i] = "z.npy"
        A[i] = reduce(max, j) X[i,j]
        B[i] = reduce(sum, j) (X[i,j] ** 2)
        C[i] = (reduce(sum, j) X[i,j]) ** 2
        D[i] = Z[i] reduce(max, j) X[i,j] Y[j]
        E[i] = reduce(min, j) X[i,j] Y[j] + Z[i]
        F = reduce(sum, i, j) X[i,j] Y[j] Z[i]
        G[i] = abs(reduce(sum, j) X[i,j])
        H[j] = reduce(prod, i) X[i,j] - Y[j]
        I[i] = reduce(mean, j) X[i,j]
        K = reduce(max, i) reduce(min, j) X[i,j]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F
        "g.npy" = G[i]
        "h.npy" = H[j]
        "i.npy" = I[i]
        "k.npy" = K
    """, {"x": x, "y": y, "z": z}, {
        "a": I64(x.max(1)), "b": I64((x**2).sum(1)), "c": I64(x.sum(1) ** 2), "d": I64(z * (x * y).max(1)),
        "e": I64((x * y).min(1) + z), "f": I64(z @ x @ y), "g": I64(abs(x.sum(1))), "h": I64(x.prod(0) - y),
        "i": F32(x.mean(1), 7), "k": I64(x.min(1).max())}


@program
def positions_as_numbers(rng):
    x = ints(rng, -9, 9, 5, 7)
    i, j = numpy.indices((5, 7))
    return """
        X[i,j] = "x.npy"
        A[i,j] = X[i,j] + 10 iota(i) + 100 iota(j)
        B[i] = X[i,j] iota(j)
        C[i,j] = X[i,j] even(i) odd(j)
        D[i,j] = iota(j) - iota(i)
        E[i,j] = X[i,j] (iota(i) == iota(j))
        F[j] = iota(j) ** 2 + X[0,j]
        G[i,j] = A[i,j] D[i,j]
        "a.npy" = A[i,j]
        "b.npy" = B[i]
        "c.npy" = C[i,j]
        "e.npy" = E[i,j]
        "f.npy" = F[j]
        "g.npy" = G[i,j]
    """, {"x": x}, {
        "a": I64(x + 10 * i + 100 * j), "b": I64((x * j).sum(1)), "c": I64(x * (i % 2 == 0) * (j % 2 == 1)),
        "e": I64(x * (i == j)), "f": I64(numpy.arange(7) ** 2 + x[0]), "g": I64((x + 10 * i + 100 * j) * (j - i))}


@program
def positions_in_large_tensors(rng):
    x = ints(rng, -9, 9, 251, 103)
    i, j = numpy.indices(x.shape)
    return """
        X[i,j] = "x.npy"
        A[j,i] = X[i,j] + 1000 iota(i) + 1000000 iota(j)
        B[j] = X[i,j] iota(i)
        C[i,j] = iota(i) == 2 iota(j) ? X[i,j] : 0
        D[i,j] = X[i+1,j] iota(i) - X[i,j-1] iota(j)
        "a.npy" = A[j,i]
        "b.npy" = B[j]
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
    """, {"x": x}, {
        "a": I64((x + 1000 * i + 1000000 * j).T), "b": I64((x * i).sum(0)), "c": I64(x * (i == 2 * j)),
        "d": I64(numpy.pad(x[1:], ((0, 1), (0, 0))) * i - numpy.pad(x[:, :-1], ((0, 0), (1, 0))) * j)}


@program
def rarer_reductions(rng):
    x, n = f32(rng, 5, 7), ints(rng, -1, 3, 7, 5)
    w = wide(x)
    return """
        X[i,j] = "x.npy"
        N[j,i] = "n.npy"
        Norm[i] = norm(X[i,j])
        Log[i] = logsumexp(X[i,j] * 50)
        Prod[j] = prod(N[j,i])
        Any[j] = any(N[j,i] > 2)
        All[i] = all(N[j,i])
        Avg = avg(X[i,j])
        Amax[i] = amax(X[i,j])
        Amin[j] = amin(X[i,j])
        "norm.npy" = Norm[i]
        "log.npy" = Log[i]
        "prod.npy" = Prod[j]
        "any.npy" = Any[j]
        "all.npy" = All[i]
        "avg.npy" = Avg
        "amax.npy" = Amax[i]
        "amin.npy" = Amin[j]
    """, {"x": x, "n": n}, {
        "norm": F32(numpy.linalg.norm(w, axis=1), 7),
        "log": F32((50 * w).max(1) + numpy.log(numpy.exp(50 * w - (50 * w).max(1, keepdims=True)).sum(1)), 7),
        "prod": I64(n.prod(1)), "any": TRUTH((n > 2).any(1)), "all": TRUTH((n > 0).all(0)), "avg": F32(w.mean(), 35, 2),
        "amax": F32(w.max(1)), "amin": F32(w.min(0))}


@program
def rarer_normalisers(rng):
    x, mask, weight, bias = f32(rng, 5, 7), ints(rng, 0, 1, 5, 7), f32(rng, 7), f32(rng, 7)
    mask[2] = 0
    w = wide(x)
    with numpy.errstate(all="ignore"):
        masked = numpy.nan_to_num(softmax(numpy.where(mask > 0, w, -numpy.inf)))
    return """
        X[i,j] = "x.npy"
        Mask[i,j] = "mask.npy"
        Weight[j] = "weight.npy"
        Bias[j] = "bias.npy"
        A[i,j] = log_softmax(X[i,j] * 30)
        B[i,j] = masked_softmax(X[i,j], Mask[i,j])
        C[i,j] = lnorm(X[i,j], weight=Weight[j], bias=Bias[j])
        D[i,j] = layer_norm(X[i,j], weight=Weight[j], eps=0.1)
        E[i,j] = rmsnorm(X[i,j] * 10)
        "a.npy" = A[i,j]
        "b.npy" = B[i,j]
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
        "e.npy" = E[i,j]
    """, {"x": x, "mask": mask, "weight": weight, "bias": bias}, {
        "a": F32(30 * w - (30 * w).max(1, keepdims=True)
                 - numpy.log(numpy.exp(30 * w - (30 * w).max(1, keepdims=True)).sum(1, keepdims=True)), 7),
        "b": F32(masked, 7, 1), "c": F32(standardised(w) * wide(weight) + wide(bias), 20, 8),
        "d": F32(standardised(w, 1, 0.1) * wide(weight), 20, 8),
        "e": F32(10 * w / numpy.sqrt((100 * w * w).mean(1, keepdims=True) + 1e-5), 20)}


@program
def made_matrices(rng):
    x = f32(rng, 7, 7)
    return """
        X[i,j] = "x.npy"
        I[i,j] = eye(7)
        O[i,j] = ones()
        Z[i,j] = zeros()
        A[i,k] = I[i,j] X[j,k]
        B[i,j] = X[i,j] - I[i,j] + O[i,j] Z[j,i]
        C = I[i,j] O[i,j]
        "a.npy" = A[i,k]
        "b.npy" = B[i,j]
        "c.npy" = C
    """, {"x": x}, {"a": F32(x), "b": F32(wide(x) - numpy.eye(7)), "c": NUMBER(7)}


@program
def casts(rng):
    x, n = f32(rng, 13) * 100, ints(rng, -100, 100, 13)
    return """
        X[i] = "x.npy"
        N[i] = "n.npy"
        A[i] = cast(X[i], "f64")
        B[i] = cast(X[i], "i64")
        C[i] = cast(N[i], "f64") / 3
        D[i] = cast(X[i], "f16")
        E[i] = cast(N[i], "bool")
        F[i] = cast(N[i], "i8")
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F[i]
    """, {"x": x, "n": n}, {
        "a": Exact(wide(x), "f64"), "b": I64(numpy.trunc(wide(x)).astype(int)), "c": F64(n / 3),
        "d": Exact(x.astype(numpy.float16), "f16"), "e": TRUTH(n > 0), "f": Exact(n, "i8")}


@program
def coins(rng):
    def fair(got):
        if got.shape != (127, 131) or not numpy.isin(got, (0, 1)).all():
            return f"shape {got.shape}, values {numpy.unique(got)[:5]}"
        deviation = (0.3 * 0.7 / got.size) ** 0.5
        return None if abs(got.mean() - 0.3) < 5 * deviation else f"mean {got.mean()}, expected 0.3"

    return """
        axis i = 127
        axis j = 131
        A[i,j] = bernoulli(0.3, seed=5)
        B = A[i,j]
        C[i,j] = A[i,j] - bernoulli(0.3, seed=5)
        Zero = sum(abs(C[i,j]))
        "a.npy" = A[i,j]
        "zero.npy" = Zero
        "b.npy" = B
    """, {}, {
        "a": Holds(fair, exact=True), "zero": NUMBER(0),
        "b": Holds(lambda got: None if abs(got - 0.3 * 127 * 131) < 5 * 60 else f"{got} heads", exact=True)}
