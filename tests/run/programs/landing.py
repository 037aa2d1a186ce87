"""Where sums land: terms sum their own missing indices, everything else at the smallest common sub-expression."""

import numpy

from . import F32, I64, NUMBER, TRUTH, einsum, f32, ints, positive, program, wide


@program
def terms_sum_their_own_indices(rng):
    x, y, z = f32(rng, 7, 5), f32(rng, 7), f32(rng, 7, 3, 2)
    return """
        X[i,j] = "x.npy"
        Y[i] = "y.npy"
        Z[i,j,k] = "z.npy"
        A[i] = X[i,j] + Y[i]
        B[i] = X[i,j] + Y[i] - Z[i,l,m]
        C = X[i,j] - Y[k]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C
    """, {"x": x, "y": y, "z": z}, {
        "a": F32(wide(x).sum(1) + wide(y), 6, 10),
        "b": F32(wide(x).sum(1) + wide(y) - wide(z).sum((1, 2)), 12, 20),
        "c": F32(wide(x).sum() - wide(y).sum(), 42, 42)}


@program
def terms_broadcast(rng):
    b, c, d, e = ints(rng, -9, 9, 5, 3), ints(rng, -9, 9, 3), ints(rng, -9, 9, 5), ints(rng, -9, 9)
    return """
        B[i,j] = "b.npy"
        C[j] = "c.npy"
        D[i] = "d.npy"
        E = "e.npy"
        A[i,j] = B[i,j] + C[j]
        F[i,j] = D[i] - C[j]
        G[j,i] = E - B[i,j] + D[i] - C[j] + 1
        H[i] = D[i] + E - C[j] + 2
        "a.npy" = A[i,j]
        "f.npy" = F[i,j]
        "g.npy" = G[j,i]
        "h.npy" = H[i]
    """, {"b": b, "c": c, "d": d, "e": e}, {
        "a": I64(b + c), "f": I64(d[:, None] - c), "g": I64((e - b + d[:, None] - c + 1).T),
        "h": I64(d + e - c.sum() + 2)}


@program
def sum_as_a_factor(rng):
    x, y, z = f32(rng, 7, 5), f32(rng, 7), f32(rng, 7)
    w = f32(rng, 5)
    return """
        X[i,j] = "x.npy"
        Y[i] = "y.npy"
        Z[i] = "z.npy"
        W[j] = "w.npy"
        A[i] = (X[i,j] + Y[i]) Z[i]
        B[i] = (X[i,j] + W[j]) Z[i]
        C[i] = (X[i,j] + Y[i]) W[j]
        D[i] = Z[i] * (W[j] - X[i,j]) * (Y[i] + 1)
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
    """, {"x": x, "y": y, "z": z, "w": w}, {
        # j belongs to X alone: the term sums it. In C it is shared with a factor outside: the product sums it.
        "a": F32((wide(x).sum(1) + wide(y)) * wide(z), 8, 30),
        "b": F32((wide(x).sum(1) + wide(w).sum()) * wide(z), 10, 40),
        "c": F32(((wide(x) + wide(y)[:, None]) * wide(w)).sum(1), 8, 30),
        "d": F32(wide(z) * (wide(w).sum() - wide(x).sum(1)) * (wide(y) + 1), 12, 60)}


@program
def parenthesised_sum_shares_the_index(rng):
    a, b, c = ints(rng, -5, 5, 13, 7), ints(rng, -5, 5, 7), ints(rng, -5, 5, 13)
    return """
        A[i,j] = "a.npy"
        B[j] = "b.npy"
        C[i] = "c.npy"
        R[i] = A[i,j] (B[j] + C[i])
        S[j] = A[i,j] (B[j] + C[i])
        T = A[i,j] (B[j] - C[i]) (B[j] + C[i])
        "r.npy" = R[i]
        "s.npy" = S[j]
        "t.npy" = T
    """, {"a": a, "b": b, "c": c}, {
        "r": I64((a * (b + c[:, None])).sum(1)),
        "s": I64((a * (b + c[:, None])).sum(0)),
        "t": I64((a * (b - c[:, None]) * (b + c[:, None])).sum())}


@program
def sums_at_every_depth(rng):
    w, x, y, z, v = (ints(rng, -4, 4, *s) for s in ((5, 3), (5, 7), (5,), (3,), (3, 2)))
    return """
        W[i,k] = "w.npy"
        X[i,j] = "x.npy"
        Y[i] = "y.npy"
        Z[k] = "z.npy"
        V[k,l] = "v.npy"
        A[i] = W[i,k] ((X[i,j] + Y[i]) (Z[k] - V[k,l]))
        B[i] = ((X[i,j] + Y[i]) - (Y[i] - (W[i,k] + 1))) Y[i]
        C[i] = Y[i] (Z[k] + (V[k,l] - (X[i,j] + 2) Z[k])) W[i,k]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
    """, {"w": w, "x": x, "y": y, "z": z, "v": v}, {
        "a": I64(einsum("ik,i,k->i", w, x.sum(1) + y, z - v.sum(1))),
        "b": I64((x.sum(1) + y - (y - (w.sum(1) + 1))) * y),
        "c": I64(((z + (v.sum(1) - (x.sum(1) + 2)[:, None] * z)) * w).sum(1) * y)}


@program
def numbers_as_terms_are_not_multiplied(rng):
    x = ints(rng, -9, 9, 5, 7)
    return """
        X[i,j] = "x.npy"
        A[i] = X[i,j] + 1
        B = 2 - X[i,j]
        C[i] = 3 X[i,j] - 2 * 5
        D[i] = (X[i,j] + 1) 2
        "a.npy" = A[i]
        "b.npy" = B
        "c.npy" = C[i]
        "d.npy" = D[i]
    """, {"x": x}, {
        "a": I64(x.sum(1) + 1), "b": I64(2 - x.sum()), "c": I64(3 * x.sum(1) - 10), "d": I64(2 * (x.sum(1) + 1))}


@program
def unary_minus(rng):
    x, y, z = ints(rng, -9, 9, 5, 7), ints(rng, -9, 9, 5), ints(rng, -9, 9, 7)
    return """
        X[i,j] = "x.npy"
        Y[i] = "y.npy"
        Z[j] = "z.npy"
        A[i] = -X[i,j]
        B[i] = -(X[i,j] + Y[i])
        C[i] = -X[i,j] Z[j]
        D[i] = -(X[i,j] + Y[i]) Z[j]
        E[i] = - -Y[i] - -X[i,j]
        F[i] = Y[i] -1
        G[i] = Y[i] * -2
        H[i] = Y[i] - Z[j] -X[i,j]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F[i]
        "g.npy" = G[i]
        "h.npy" = H[i]
    """, {"x": x, "y": y, "z": z}, {
        "a": I64(-x.sum(1)), "b": I64(-x.sum(1) - y), "c": I64(-(x @ z)),
        "d": I64(-((x + y[:, None]) @ z)), "e": I64(y + x.sum(1)), "f": I64(y - 1), "g": I64(-2 * y),
        "h": I64(y - z.sum() - x.sum(1))}


@program
def a_term_that_sums_a_name_used_elsewhere(rng):
    x, z = f32(rng, 5, 7), f32(rng, 7)
    return """
        X[i,j] = "x.npy"
        Z[j] = "z.npy"
        A[i] = X[i,j] Z[j] + Z[j]
        B[i] = X[i,j] Z[j] - X[i,k] Z[k] Z[k] + 3 X[i,0]
        C[j] = X[i,j] + Z[j] X[k,j]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[j]
    """, {"x": x, "z": z}, {
        "a": F32(wide(x) @ wide(z) + wide(z).sum(), 14, 30),
        "b": F32(wide(x) @ wide(z) - wide(x) @ wide(z) ** 2 + 3 * wide(x)[:, 0], 14, 60),
        "c": F32(wide(x).sum(0) + wide(z) * wide(x).sum(0), 10, 40)}


@program
def affine_layer_then_relu(rng):
    w, x, b = f32(rng, 13, 31), f32(rng, 31), f32(rng, 13)
    return """
        W[h,d] = "w.npy"
        X[d] = "x.npy"
        B[h] = "b.npy"
        H[h] = relu(W[h,d] X[d] + B[h])
        "h.npy" = H[h]
    """, {"w": w, "x": x, "b": b}, {"h": F32(numpy.maximum(wide(w) @ wide(x) + wide(b), 0), 32, 80)}


@program
def function_as_a_factor(rng):
    a, x, z = f32(rng, 5, 7), f32(rng, 7, 3), f32(rng, 3)
    return """
        A[i,j] = "a.npy"
        X[j,k] = "x.npy"
        Z[k] = "z.npy"
        B[i] = A[i,j] relu(X[j,k] Z[k])
        C[i,j] = A[i,j] relu(X[j,k] Z[k])
        S = relu(X[j,k] Z[k]) relu(-X[j,k] Z[k] + 1)
        "b.npy" = B[i]
        "c.npy" = C[i,j]
        T = relu(X[j,k] Z[k]) relu(X[j,p] Z[p] + 1)
        "s.npy" = S
        "t.npy" = T
    """, {"a": a, "x": x, "z": z}, {
        "b": F32(wide(a) @ numpy.maximum(wide(x) @ wide(z), 0), 10, 30),
        "c": F32(wide(a) * numpy.maximum(wide(x) @ wide(z), 0), 3, 30),
        # k is used in both factors, so the product is the smallest that contains all its uses.
        "s": F32(numpy.einsum("jk,jk->", numpy.maximum(wide(x) * wide(z), 0), numpy.maximum(1 - wide(x) * wide(z), 0)),
                 20, 40),
        "t": F32(numpy.maximum(wide(x) @ wide(z), 0) @ numpy.maximum(1 + wide(x) @ wide(z), 0), 20, 40)}


@program
def functions_inside_functions(rng):
    a, b, c, d = f32(rng, 7, 3), f32(rng, 3), f32(rng, 7, 5), f32(rng, 5)
    return """
        A[i,k] = "a.npy"
        B[k] = "b.npy"
        C[i,l] = "c.npy"
        D[l] = "d.npy"
        R[i] = exp(tanh(A[i,k] B[k]) tanh(C[i,l] D[l]))
        S[i] = tanh(A[i,k] B[k] + C[i,l] D[l])
        T[i] = sigmoid(A[i,k] B[k] - tanh(C[i,l] D[l] / 2) - 1)
        "r.npy" = R[i]
        "s.npy" = S[i]
        "t.npy" = T[i]
    """, {"a": a, "b": b, "c": c, "d": d}, {
        "r": F32(numpy.exp(numpy.tanh(wide(a) @ wide(b)) * numpy.tanh(wide(c) @ wide(d))), 16),
        "s": F32(numpy.tanh(wide(a) @ wide(b) + wide(c) @ wide(d)), 16, 8),
        "t": F32(1 / (1 + numpy.exp(1 + numpy.tanh(wide(c) @ wide(d) / 2) - wide(a) @ wide(b))), 16, 4)}


@program
def products_inside_a_function_keep_what_is_shared(rng):
    # k is used outside the function too: the function is taken for every k.
    a, x, w = f32(rng, 5, 3), f32(rng, 5), f32(rng, 3)
    return """
        A[i,k] = "a.npy"
        X[i] = "x.npy"
        W[k] = "w.npy"
        R[i] = tanh(A[i,k] X[i]) W[k]
        S = exp(A[i,k] W[k] / 4) X[i]
        T[k] = tanh(A[i,k] X[i]) W[k]
        "r.npy" = R[i]
        "s.npy" = S
        "t.npy" = T[k]
    """, {"a": a, "x": x, "w": w}, {
        "r": F32(numpy.tanh(wide(a) * wide(x)[:, None]) @ wide(w), 6, 10),
        "s": F32(numpy.exp(wide(a) @ wide(w) / 4) @ wide(x), 12, 30),
        "t": F32(numpy.tanh(wide(x) @ wide(a)) * wide(w), 10, 10)}


@program
def division(rng):
    x, y, z, w = f32(rng, 7, 5), positive(rng, 5), positive(rng, 5), positive(rng, 7)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        Z[j] = "z.npy"
        W[i] = "w.npy"
        A[i] = X[i,j] / Y[j]
        B[i] = W[i] / (Y[j] Z[j])
        C[i] = (X[i,j] Y[j]) / (Y[j] Z[j])
        D[i,j] = X[i,j] / W[i]
        E[j] = X[i,j] / W[i]
        F[i] = X[i,j] Z[j] / W[i]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i,j]
        "e.npy" = E[j]
        "f.npy" = F[i]
    """, {"x": x, "y": y, "z": z, "w": w}, {
        "a": F32(wide(x) @ (1 / wide(y)), 5, 20),
        "b": F32(wide(w) / (wide(y) @ wide(z)), 5),
        # One name used on both sides of the bar: the quotient is the smallest part that has all its uses.
        "c": F32(((wide(x) * wide(y)) / (wide(y) * wide(z))).sum(1), 8, 20),
        "d": F32(wide(x) / wide(w)[:, None]),
        "e": F32((1 / wide(w)) @ wide(x), 7, 20),
        "f": F32(wide(x) @ wide(z) / wide(w), 5, 20)}


@program
def division_is_left_associative(rng):
    x, y, z = positive(rng, 13), positive(rng, 13), positive(rng, 13)
    return """
        X[i] = "x.npy"
        Y[i] = "y.npy"
        Z[i] = "z.npy"
        A[i] = X[i] / Y[i] / Z[i]
        B[i] = X[i] / Y[i] * Z[i]
        C[i] = X[i] / Y[i] Z[i]
        D[i] = X[i] / (Y[i] Z[i])
        E[i] = 1 / 2 X[i]
        F = 7 / 2
        G[i] = X[i] - Y[i] - Z[i]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F
        "g.npy" = G[i]
    """, {"x": x, "y": y, "z": z}, {
        "a": F32(wide(x) / wide(y) / wide(z)), "b": F32(wide(x) / wide(y) * wide(z)),
        "c": F32(wide(x) / wide(y) * wide(z)), "d": F32(wide(x) / (wide(y) * wide(z))), "e": F32(0.5 * wide(x)),
        "f": F32(3.5), "g": F32(wide(x) - wide(y) - wide(z), 2, 4)}


@program
def quotients_among_factors(rng):
    q, r, t, u = f32(rng, 5, 7), positive(rng, 7), f32(rng, 7, 3), f32(rng, 3)
    return """
        Q[i,j] = "q.npy"
        R[j] = "r.npy"
        T[j,k] = "t.npy"
        U[k] = "u.npy"
        A[i] = Q[i,j] / R[j] T[j,k] U[k]
        B[i] = exp(Q[i,j] / R[j] / 8)
        C[i] = Q[i,j] R[j] / (2 + R[k] R[k])
        D[i] = Q[i,j] / (R[j] + R[k] R[k])
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
    """, {"q": q, "r": r, "t": t, "u": u}, {
        "a": F32((wide(q) / wide(r)) @ wide(t) @ wide(u), 21, 60),
        "b": F32(numpy.exp((wide(q) / wide(r)).sum(1) / 8), 16),
        "c": F32(wide(q) @ wide(r) / (2 + wide(r) @ wide(r)), 16, 10),
        "d": F32((wide(q) / (wide(r) + wide(r) @ wide(r))).sum(1), 16, 10)}


@program
def normalisation_by_a_contraction(rng):
    x, o = positive(rng, 7, 5), positive(rng, 5)
    return """
        X[i,j] = "x.npy"
        O[j] = "o.npy"
        A[i,j] = X[i,j] / (X[i,k] O[k])
        B[i,j] = X[i,j] / sqrt(X[i,k] X[i,k])
        C[i,j] = X[i,j] O[j] / sum(X[i,k] O[k])
        "a.npy" = A[i,j]
        "b.npy" = B[i,j]
        "c.npy" = C[i,j]
    """, {"x": x, "o": o}, {
        "a": F32(wide(x) / (wide(x) @ wide(o))[:, None], 5),
        "b": F32(wide(x) / numpy.linalg.norm(wide(x), axis=1)[:, None], 5),
        "c": F32(wide(x) * wide(o) / (wide(x) @ wide(o))[:, None], 5)}


@program
def powers_close(rng):
    x, y = f32(rng, 7, 5), f32(rng, 5)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        A[i] = (X[i,j] Y[j]) ** 2
        B[i] = X[i,j] ** 2 Y[j]
        C = Y[j] ** 2 Y[j]
        D[i] = (X[i,j] Y[j]) ** 2 + X[i,j]
        E[i] = (X[i,j] Y[j] + 1) ** 3
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C
        "d.npy" = D[i]
        "e.npy" = E[i]
    """, {"x": x, "y": y}, {
        "a": F32((wide(x) @ wide(y)) ** 2, 10, 40),
        "b": F32(wide(x) ** 2 @ wide(y), 5, 30),
        "c": F32((wide(y) ** 3).sum(), 5, 20),
        "d": F32((wide(x) @ wide(y)) ** 2 + wide(x).sum(1), 10, 40),
        "e": F32((wide(x) @ wide(y) + 1) ** 3, 20, 200)}


@program
def powers_bind(rng):
    x = ints(rng, 2, 4, 5)
    y = positive(rng, 5)
    return """
        X[i] = "x.npy"
        Y[i] = "y.npy"
        A[i] = -X[i] ** 2
        B = -2 ** 2
        C[i] = Y[i] ** 2 ** 3
        D[i] = 2 X[i] ** 2
        E[i] = Y[i] ** -1
        F[i] = 2.0 ** Y[i]
        G[i] = (-Y[i]) ** 2
        H[i] = Y[i] ** X[i]
        I[i] = Y[i] ** 0.5 - Y[i] ** 0
        "a.npy" = A[i]
        "b.npy" = B
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F[i]
        "g.npy" = G[i]
        "h.npy" = H[i]
        "i.npy" = I[i]
    """, {"x": x, "y": y}, {
        "a": I64(-x**2), "b": I64(-4), "c": F32(wide(y) ** 8), "d": I64(2 * x**2), "e": F32(1 / wide(y)),
        "f": F32(2 ** wide(y)), "g": F32(wide(y) ** 2), "h": F32(wide(y) ** x, 4),
        "i": F32(numpy.sqrt(wide(y)) - 1, 1, 2)}


@program
def comparisons_are_numbers(rng):
    x, y, w = ints(rng, -3, 3, 13, 7), ints(rng, -3, 3, 7), ints(rng, -3, 3, 13)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        W[i] = "w.npy"
        Less[i,j] = X[i,j] < Y[j]
        Equal[i,j] = X[i,j] == W[i]
        Count[i] = X[i,j] > Y[j]
        Half[i] = (X[i,j] >= Y[j]) Y[j]
        Scores[i] = X[i,j] Y[j] > W[i]
        Both[i,j] = (X[i,j] <= Y[j]) (X[i,j] != W[i])
        Sum[i,j] = (X[i,j] < Y[j]) + (X[i,j] > 0) - 1
        "less.npy" = Less[i,j]
        "equal.npy" = Equal[i,j]
        "count.npy" = Count[i]
        "half.npy" = Half[i]
        "scores.npy" = Scores[i]
        "both.npy" = Both[i,j]
        "sum.npy" = Sum[i,j]
    """, {"x": x, "y": y, "w": w}, {
        "less": TRUTH(x < y), "equal": TRUTH(x == w[:, None]), "count": I64((x > y).sum(1)),
        "half": I64(((x >= y) * y).sum(1)), "scores": TRUTH(x @ y > w),
        "both": NUMBER((x <= y) & (x != w[:, None])), "sum": I64((x < y).astype(int) + (x > 0) - 1)}


@program
def comparison_sides_close(rng):
    x, y, z = ints(rng, -3, 3, 13, 7), ints(rng, -3, 3, 7), ints(rng, -3, 3, 13, 5)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        Z[i,k] = "z.npy"
        A[i] = X[i,j] Y[j] + 1 < 2 Z[i,k] Z[i,k]
        B = (X[i,j] Y[j] >= Z[i,k] Z[i,k]) Z[i,0]
        C[i] = (X[i,j] Y[j] > 0) + (X[i,j] Y[j] == 0)
        "a.npy" = A[i]
        "b.npy" = B
        "c.npy" = C[i]
    """, {"x": x, "y": y, "z": z}, {
        "a": TRUTH(x @ y + 1 < 2 * (z * z).sum(1)), "b": I64(((x @ y >= (z * z).sum(1)) * z[:, 0]).sum()),
        "c": I64((x @ y > 0).astype(int) + (x @ y == 0))}


@program
def index_shared_by_two_parentheses(rng):
    x, y, z, w = ints(rng, -5, 5, 7, 5), ints(rng, -5, 5, 7, 5), ints(rng, -5, 5, 7), ints(rng, -5, 5, 7)
    return """
        X[i,j] = "x.npy"
        Y[i,j] = "y.npy"
        Z[i] = "z.npy"
        W[i] = "w.npy"
        A[i] = (X[i,j] Z[i]) (Y[i,j] W[i])
        B[i] = (X[i,j]) (Y[i,k])
        C[i] = (X[i,j] Y[i,j]) (X[i,k] Y[i,k])
        D[i] = ((X[i,j] Y[i,k]) W[i]) Y[i,j]
        E[i] = (X[i,j] + Z[i]) (Y[i,j] + W[i])
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
    """, {"x": x, "y": y, "z": z, "w": w}, {
        "a": I64((x * y).sum(1) * z * w), "b": I64(x.sum(1) * y.sum(1)), "c": I64((x * y).sum(1) ** 2),
        "d": I64((x * y).sum(1) * y.sum(1) * w),
        # j has uses in both parentheses, so neither may sum it.
        "e": I64(((x + z[:, None]) * (y + w[:, None])).sum(1))}


@program
def nested_products(rng):
    a, b, c = f32(rng, 5, 7), f32(rng, 7, 3), f32(rng, 3)
    return """
        A[i,j] = "a.npy"
        B[j,k] = "b.npy"
        C[k] = "c.npy"
        R[i] = A[i,j] (B[j,k] C[k])
        S[i] = (A[i,j] B[j,k]) C[k]
        T[i] = 2 (A[i,j] (B[j,k] (C[k] 0.5)))
        U[i] = (A[i,j] (B[j,k] - 1)) (C[k] + 1)
        "r.npy" = R[i]
        "s.npy" = S[i]
        "t.npy" = T[i]
        "u.npy" = U[i]
    """, {"a": a, "b": b, "c": c}, {
        "r": F32(wide(a) @ wide(b) @ wide(c), 21, 40), "s": F32(wide(a) @ wide(b) @ wide(c), 21, 40),
        "t": F32(wide(a) @ wide(b) @ wide(c), 21, 40),
        "u": F32(wide(a) @ (wide(b) - 1) @ (wide(c) + 1), 21, 80)}
