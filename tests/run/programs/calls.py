"""fn: calls, carried axes, locals, nesting."""

import numpy

from . import F32, F64, I64, TRUTH, f32, f64, ints, program, wide


def relu(x):
    return numpy.maximum(x, 0)


@program(fixed_order=True)
def calls_of_a_function(rng):
    x, y = ints(rng, -9, 9, 5), ints(rng, -9, 9, 7, 5)
    return """
        fn square(x[i]) -> y[i] { y[i] = x[i] * x[i] }
        X[k] = "x.npy"
        Y[a,b] = "y.npy"
        A[k] = square(X[k])
        B[a,b] = square(Y[a,b])
        C[p] = square(X[q])
        D = square(X[k]) X[k]
        E[k] = square(X[k]) + X[k]
        F[a] = sum(square(Y[a,b]))
        M = mean(square(X[k] - 1))
        N[a] = reduce(max, b) square(Y[a,b])
        O[a] when Y[a,0] > -99 max= square(Y[a,b]) + 1
        G[b] = square(Y[2,b] - X[b])
        H[b] = square(Y[a,b] Y[a,0])
        "a.npy" = A[k]
        "b.npy" = B[a,b]
        "c.npy" = C[k]
        "d.npy" = D
        "e.npy" = E[k]
        "f.npy" = F[k]
        "m.npy" = M
        "n.npy" = N[k]
        "o.npy" = O[k]
        "g.npy" = G[k]
        "h.npy" = H[k]
        "sink.npy" = square(Y[a,b])
    """, {"x": x, "y": y}, {
        "f": I64((y**2).sum(1)), "m": F32(((x - 1) ** 2).mean(), 5), "n": I64((y**2).max(1)),
        "o": I64((y**2).max(1) + 1),
        "a": I64(x**2), "b": I64(y**2), "c": I64(x**2), "d": I64((x**3).sum()), "e": I64(x**2 + x),
        "g": I64((y[2] - x) ** 2), "h": I64((y.T @ y[:, 0]) ** 2), "sink": I64(y**2)}


@program(fixed_order=True)
def a_perceptron_of_functions(rng):
    x, w, v, b, c = f32(rng, 6, 4), f32(rng, 4, 9), f32(rng, 9, 4), f32(rng, 9), f32(rng, 4)
    hidden = relu(wide(x) @ wide(w) + wide(b))
    return """
        fn linear(x[n,d], w[d,h], b[h]) -> y[n,h] {
            y[n,h] = x[n,d] w[d,h] + b[h]
        }
        fn mlp(x[n,d], w[d,h], b[h], v[h,d], c[d]) -> y[n,d] {
            hidden[n,h] = relu(linear(x[n,d], w[d,h], b[h]))
            y[n,d] = linear(hidden[n,h], v[h,d], c[d])
        }
        X[p,e] = "x.npy"
        W[e,f] = "w.npy"
        V[f,e] = "v.npy"
        B[f] = "b.npy"
        C[e] = "c.npy"
        Y[p,e] = mlp(X[p,e], W[e,f], B[f], V[f,e], C[e])
        Z[p,e] = mlp(X[p,e], W[e,f], B[f], v=V[f,e], c=C[e]) + X[p,e]
        "y.npy" = Y[p,e]
        "z.npy" = Z[p,e]
    """, {"x": x, "w": w, "v": v, "b": b, "c": c}, {
        "y": F32(hidden @ wide(v) + wide(c), 13, 60), "z": F32(hidden @ wide(v) + wide(c) + wide(x), 14, 60)}


@program(fixed_order=True)
def axes_are_carried_through_a_body(rng):
    x, m = f64(rng, 3, 4, 5), f64(rng, 4, 5)
    mean = x.mean(2, keepdims=True)
    centred = x - mean
    return """
        fn center(x[i]) -> y[i] {
            const_part = 3
            m = mean(x[i])
            let scaled[i] = const_part * x[i]
            y[i] = scaled[i] / const_part - m
        }
        fn spread(x[i]) -> s {
            c[i] = center(x[i])
            s = sqrt(mean(c[i] ** 2))
        }
        fn shifted(x[i]) -> y[i] { y[i+1] = x[i]; y[0] = x[-1] }
        fn softened(x[i], m[i]) -> y[i] { y[j] = softmax(x[j]) m[j] + causal[j]; causal[j] = iota(j) }
        X[b,c,d] = "x.npy"
        M[c,d] = "m.npy"
        A[b,c,d] = center(X[b,c,d])
        S[b,c] = spread(X[b,c,d])
        R[b,c,d] = shifted(X[b,c,d])
        P[b,c,d] = softened(X[b,c,d], M[c,d])
        T[d,b] = center(X[b,1,d])
        "a.npy" = A[b,c,d]
        "s.npy" = S[b,c]
        "r.npy" = R[b,c,d]
        "p.npy" = P[b,c,d]
    """.replace("        T[d,b] = center(X[b,1,d])\n", ""), {"x": x, "m": m}, {
        "a": F64(centred, 5, 9), "s": F64(numpy.sqrt((centred**2).mean(2)), 12, 9), "r": F64(numpy.roll(x, 1, 2)),
        "p": F64(numpy.exp(x) / numpy.exp(x).sum(2, keepdims=True) * m + numpy.arange(5), 9, 9)}


@program(fixed_order=True)
def functions_of_functions(rng):
    a, b = ints(rng, -5, 5, 4), ints(rng, -5, 5, 6)
    return """
        const base = 10
        Table[i] = [1, 2, 3, 4]
        fn outer(x[i], y[j]) -> o[p,q] { o[p,q] = x[p] y[q] }
        fn total(x[i,j]) -> s { s = x[i,j] }
        fn shift(x[i]) -> y[i] { y[i] = x[i] + base + Table[0] }
        A[k] = "a.npy"
        B[l] = "b.npy"
        O[u,v] = outer(A[k], B[l])
        S = total(outer(A[k], B[l]))
        T[u] = shift(shift(A[k]))
        U = total(outer(shift(A[k]), B[l])) + total(outer(A[k], A[k]))
        "o.npy" = O[u,v]
        "s.npy" = S
        "t.npy" = T[u]
        "u.npy" = U
    """, {"a": a, "b": b}, {"o": I64(numpy.outer(a, b)), "s": I64(a.sum() * b.sum()), "t": I64(a + 22),
                            "u": I64((a + 11).sum() * b.sum() + a.sum() ** 2)}


@program(fixed_order=True)
def functions_of_relations_and_extremes(rng):
    e, w = (rng.random((7, 7)) < 0.3).astype("u1"), ints(rng, 0, 9, 7, 7)
    x = e.astype(int)
    return """
        fn twice(R(x,y)) -> S(x,z) { S(x,z) = R(x,y) R(y,z) }
        fn minplus(d[x,y], w[y,z]) -> r[x,z] { r[x,z] min= d[x,y] + w[y,z] }
        E(x,y) = "e.npy"
        W[x,y] = "w.npy"
        T(a,b) = twice(E(a,b))
        F(a,b) = twice(twice(E(a,b)))
        M[a,b] = minplus(W[a,b], W[a,b])
        "t.npy" = T(x,y)
        "f.npy" = F(x,y)
        "m.npy" = M[x,y]
    """, {"e": e, "w": w}, {
        "t": TRUTH(x @ x > 0), "f": TRUTH(x @ x @ x @ x > 0), "m": I64((w[:, :, None] + w[None]).min(1))}
