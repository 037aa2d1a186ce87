"""Fixed positions, offsets with zeros outside, slices."""

import numpy

from . import F32, I64, f32, ints, program, wide


def shifted(x, step, axis=0):
    """The element at i + step, 0 outside."""
    result = numpy.zeros_like(x)
    n = x.shape[axis]
    for i in range(n):
        if 0 <= i + step < n:
            numpy.moveaxis(result, axis, 0)[i] = numpy.moveaxis(x, axis, 0)[i + step]
    return result


@program
def fixed_positions(rng):
    x, y = ints(rng, -9, 9, 5, 7), ints(rng, -9, 9, 7)
    return """
        const last = 4
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        First[j] = X[0,j]
        Last[i] = X[i,-1]
        Corner = X[-5,6]
        Named[j] = X[last,j] - X[2,j]
        Product[i] = X[i,j] X[3,j]
        Scaled[i] = X[i,2] Y[-7]
        Sum = X[1,j] + Y[0]
        Table[a,b] = [[1, 2, 3], [40, 50, 60]]
        Raised[j] = Y[j] + Table[1,2] - Table[-1,0]
        "raised.npy" = Raised[j]
        "first.npy" = First[j]
        "last.npy" = Last[i]
        "corner.npy" = Corner
        "named.npy" = Named[j]
        "product.npy" = Product[i]
        "scaled.npy" = Scaled[i]
        "sum.npy" = Sum
    """, {"x": x, "y": y}, {
        "first": I64(x[0]), "last": I64(x[:, -1]), "corner": I64(x[0, 6]), "named": I64(x[4] - x[2]),
        "product": I64(x @ x[3]), "scaled": I64(x[:, 2] * y[0]), "sum": I64(x[1].sum() + y[0]),
        "raised": I64(y + 20)}


@program
def fixed_positions_with_a_diagonal(rng):
    x = ints(rng, -9, 9, 3, 5, 5, 2)
    return """
        X[a,b,c,d] = "x.npy"
        A[i] = X[1,i,i,-1]
        S = X[-1,i,i,0] X[0,i,j,1]
        "a.npy" = A[i]
        "s.npy" = S
    """, {"x": x}, {
        "a": I64(numpy.diagonal(x[1, :, :, -1])), "s": I64(numpy.diagonal(x[-1, :, :, 0]) @ x[0, :, :, 1].sum(1))}


@program
def offsets_are_zero_outside(rng):
    x = ints(rng, 1, 9, 7)
    return """
        X[i] = "x.npy"
        A[i] = X[i+1]
        B[i] = X[i-2]
        C[i] = X[i+1] - X[i-1]
        D[i] = X[i+100]
        E[i] = X[i-7]
        F = X[i] X[i+1]
        G = X[i+3]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F
        "g.npy" = G
    """, {"x": x}, {
        "a": I64(shifted(x, 1)), "b": I64(shifted(x, -2)), "c": I64(shifted(x, 1) - shifted(x, -1)),
        "d": I64(numpy.zeros(7, int)), "e": I64(numpy.zeros(7, int)), "f": I64(x[:-1] @ x[1:]), "g": I64(x[3:].sum())}


@program
def offsets_inside_functions(rng):
    x = f32(rng, 7)
    return """
        X[i] = "x.npy"
        A[i] = exp(X[i+2])
        B[i] = X[i] / (1 + X[i-1] ** 2)
        C[i] = (X[i+1] == 0) + (X[i-1] == 0)
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
    """, {"x": x}, {
        "a": F32(numpy.exp(shifted(wide(x), 2))), "b": F32(wide(x) / (1 + shifted(wide(x), -1) ** 2)),
        "c": I64([1, 0, 0, 0, 0, 0, 1])}


@program
def offsets_below_ranks(rng):
    x = ints(rng, 1, 9, 2, 3)
    return """
        X[i,j] = "x.npy"
        A[i,j] = X[i+1,j-1] + 10 X[i-1,j+1] + 100 X[i,j]
        "a.npy" = A[i,j]
    """, {"x": x}, {
        "a": I64(shifted(shifted(x, 1), -1, 1) + 10 * shifted(shifted(x, -1), 1, 1) + 100 * x)}


@program
def stencil_of_nine_points(rng):
    x = ints(rng, -9, 9, 13, 7)
    padded = numpy.pad(x, 1)
    value = sum(padded[1 + di:14 + di, 1 + dj:8 + dj] * (3 * di + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1))
    return """
        X[i,j] = "x.npy"
        A[i,j] = -4 X[i-1,j-1] - 3 X[i-1,j] - 2 X[i-1,j+1] - X[i,j-1] + X[i,j+1] + 2 X[i+1,j-1] + 3 X[i+1,j] + 4 X[i+1,j+1]
        "a.npy" = A[i,j]
    """, {"x": x}, {"a": I64(value)}


@program
def offsets_in_contractions(rng):
    x, y = ints(rng, -9, 9, 7, 13), ints(rng, -9, 9, 13)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        A[i] = X[i,j+1] Y[j]
        B[i] = X[i,j-3]
        C[i,j] = X[i-1,j] Y[j+2]
        D[i] = X[i,j] X[i+1,j]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i,j]
        "d.npy" = D[i]
    """, {"x": x, "y": y}, {
        "a": I64(shifted(x, 1, 1) @ y), "b": I64(x[:, :10].sum(1)), "c": I64(shifted(x, -1) * shifted(y, 2)),
        "d": I64((x * shifted(x, 1)).sum(1))}


@program
def named_slices(rng):
    x = ints(rng, -9, 9, 13, 7)
    return """
        X[i,j] = "x.npy"
        A[p,j] = X[p=2:9,j]
        B[p,q] = X[p=::3,q=-4:]
        C[q,p] = X[p=::-1,q=5:0:-2]
        D[p,j] = X[p=:-3,j]
        E[p] = X[p=100:,0] + 5
        F[p,j] = X[p=-100:2,j]
        "a.npy" = A[p,j]
        "b.npy" = B[p,q]
        "c.npy" = C[q,p]
        "d.npy" = D[p,j]
        "e.npy" = E[p]
        "f.npy" = F[p,j]
    """, {"x": x}, {
        "a": I64(x[2:9]), "b": I64(x[::3, -4:]), "c": I64(x[::-1, 5:0:-2].T), "d": I64(x[:-3]),
        "e": I64(x[100:, 0] + 5), "f": I64(x[-100:2])}


@program
def slices_in_sinks(rng):
    x = ints(rng, -9, 9, 13, 7)
    return """
        X[i,j] = "x.npy"
        "a.npy" = X[1:5,j]
        "b.npy" = X[::2, ::-3]
        "c.npy" = X[:, 0]
        "d.npy" = X[ -3 : , 2:3 ]
        "e.npy" = X[i=::-1,j] + X[i=::1,j]
    """, {"x": x}, {
        "a": I64(x[1:5]), "b": I64(x[::2, ::-3]), "c": I64(x[:, 0]), "d": I64(x[-3:, 2:3]), "e": I64(x[::-1] + x)}


@program
def slices_with_named_bounds(rng):
    x = ints(rng, -9, 9, 31)
    return """
        const low = 3
        param high = 19
        param by = 4
        X[i] = "x.npy"
        A[p] = X[p=low:high]
        B[p] = X[p=-high:-low:by]
        C[p] = X[p=high:low:-by]
        "a.npy" = A[p]
        "b.npy" = B[p]
        "c.npy" = C[p]
    """, {"x": x}, {"a": I64(x[3:19]), "b": I64(x[-19:-3:4]), "c": I64(x[19:3:-4])}


@program
def slices_meet_in_products(rng):
    x, w = ints(rng, -9, 9, 7, 13), ints(rng, -9, 9, 6)
    return """
        X[i,j] = "x.npy"
        W[k] = "w.npy"
        B[i,k] = X[i,k=1::2] W[k]
        C = X[:,0] X[:,1]
        D[i] = X[i,1:4] X[0,1:4]
        Difference[i,d] = X[i,d=1:] - X[i,d=:-1]
        Reversed[i] = X[i,k=:6] W[k=::-1]
        "b.npy" = B[i,k]
        "c.npy" = C
        "d.npy" = D[i]
        "difference.npy" = Difference[i,d]
        "reversed.npy" = Reversed[i]
    """, {"x": x, "w": w}, {
        "b": I64(x[:, 1::2] * w), "c": I64(x[:, 0] @ x[:, 1]), "d": I64(x[:, 1:4] @ x[0, 1:4]),
        "difference": I64(numpy.diff(x)), "reversed": I64(x[:, :6] @ w[::-1])}


@program
def slices_are_summed_when_missing(rng):
    x = ints(rng, -9, 9, 13, 7)
    return """
        X[i,j] = "x.npy"
        A[i] = X[i,2:5]
        B[j] = X[p=::2,j] - X[q=1::2,j]
        S = X[3:,::-1]
        Mean[i] = mean(X[i,1:5])
        "a.npy" = A[i]
        "b.npy" = B[j]
        "s.npy" = S
        "mean.npy" = Mean[i]
    """, {"x": x}, {
        "a": I64(x[:, 2:5].sum(1)), "b": I64(x[::2].sum(0) - x[1::2].sum(0)), "s": I64(x[3:].sum()),
        "mean": F32(x[:, 1:5].mean(1), 4)}


@program
def convolution_by_offsets(rng):
    x, w = f32(rng, 31), f32(rng, 5)
    return """
        X[i] = "x.npy"
        W[k] = "w.npy"
        Y[i] = W[0] X[i-2] + W[1] X[i-1] + W[2] X[i] + W[3] X[i+1] + W[4] X[i+2]
        "y.npy" = Y[i]
    """, {"x": x, "w": w}, {"y": F32(numpy.correlate(wide(x), wide(w), "same"), 5, 20)}


@program
def even_and_odd_halves(rng):
    # A radix-2 butterfly: slices of slices, through named tensors.
    x = ints(rng, -9, 9, 16)
    return """
        X[i] = "x.npy"
        Even[i] = X[i=::2]
        Odd[i] = X[i=1::2]
        Sum[i] = Even[i] + Odd[i]
        Difference[i] = Even[i] - Odd[i]
        Quarter[i] = Sum[i=::2]
        "sum.npy" = Sum[i]
        "difference.npy" = Difference[i]
        "quarter.npy" = Quarter[i]
        "pick.npy" = Quarter[-1] * Difference[i=6:1:-3]
    """, {"x": x}, {
        "sum": I64(x[::2] + x[1::2]), "difference": I64(x[::2] - x[1::2]), "quarter": I64(x[::4] + x[1::4]),
        "pick": I64((x[12] + x[13]) * (x[::2] - x[1::2])[6:1:-3])}
