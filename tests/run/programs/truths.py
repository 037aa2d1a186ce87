"""Boolean tensors: AND, OR, NOT, counts, truths of numbers."""

import numpy

from . import F32, I64, TRUTH, f32, ints, program, wide


def relation(rng, *shape, density=0.3):
    return (rng.random(shape) < density).astype("u1")


@program
def joins_of_relations(rng):
    a, b, c = relation(rng, 17, 13), relation(rng, 13, 11), relation(rng, 11, 17)
    x, y, z = wide(a, b, c)
    return """
        A(x,y) = "a.npy"
        B(y,z) = "b.npy"
        C(z,w) = "c.npy"
        Two(x,z) = A(x,y) B(y,z)
        Three(x,w) = A(x,y) B(y,z) C(z,w)
        Round() = A(x,y) B(y,z) C(z,x)
        Both(y) = A(x,y) B(y,z)
        Apart() = A(x,y) C(z,w)
        Count[x,z] = A(x,y) B(y,z)
        Degree[x] = A(x,y)
        "two.npy" = Two(x,z)
        "three.npy" = Three(x,w)
        "round.npy" = Round()
        "both.npy" = Both(y)
        "apart.npy" = Apart()
        "count.npy" = Count[x,z]
        "degree.npy" = Degree[x]
        "joined.npy" = A(x,y) B(y,z)
    """, {"a": a, "b": b, "c": c}, {
        "two": TRUTH(x @ y > 0), "three": TRUTH(x @ y @ z > 0), "round": TRUTH(numpy.trace(x @ y @ z) > 0),
        "both": TRUTH(x.any(0) & y.any(1)), "apart": TRUTH(x.any() and z.any()), "count": I64(x @ y),
        "degree": I64(x.sum(1)), "joined": TRUTH((x[:, :, None] & y[None]) > 0)}


@program
def many_witnesses_are_one_truth(rng):
    """256 and 65,536 would be 0 in a byte or a 16-bit count."""
    n = 256
    e = numpy.zeros((5, 512), "?")
    e[1, :n], e[2, :300], e[3, :] = True, True, True
    f = numpy.zeros((512, 3), "?")
    f[:, 0], f[:n, 1] = True, True
    counts = e.astype(int) @ f.astype(int)
    return """
        E(x,y) = "e.npy"
        F(y,z) = "f.npy"
        J(x,z) = E(x,y) F(y,z)
        K(x) = E(x,y) F(w,z)
        Some(x) = E(x,y)
        Count[x,z] = E(x,y) F(y,z)
        "j.npy" = J(x,z)
        "k.npy" = K(x)
        "some.npy" = Some(x)
        "count.npy" = Count[x,z]
    """, {"e": e, "f": f}, {"j": TRUTH(counts > 0), "k": TRUTH(e.any(1)), "some": TRUTH(e.any(1)),
                            "count": I64(counts)}


@program
def negation(rng):
    e, f = relation(rng, 9, 9, density=0.15), relation(rng, 9, 9)
    a, b = e > 0, f > 0
    return """
        E(x,y) = "e.npy"
        F(x,y) = "f.npy"
        Alone(x) = !E(x,y)
        Less(x,y) = F(x,y) !E(x,y)
        Same(x) = F(x,y) && !E(y,x)
        Every(x) = reduce(all, y) (!E(x,y) || F(x,y))
        Nothing() = !E(x,y)
        Two(x) = !(E(x,y) F(y,z))
        "alone.npy" = Alone(x)
        "less.npy" = Less(x,y)
        "same.npy" = Same(x)
        "every.npy" = Every(x)
        "none.npy" = Nothing()
        "two.npy" = Two(x)
    """, {"e": e, "f": f}, {
        "alone": TRUTH(~a.any(1)), "less": TRUTH(b & ~a), "same": TRUTH((b & ~a.T).any(1)),
        "every": TRUTH((~a | b).all(1)), "none": TRUTH(not a.any()),
        "two": TRUTH(~(a & b.any(1)[None]).any(1))}


@program
def contributions_are_united(rng):
    e, f, w = relation(rng, 7, 7), relation(rng, 7, 7), ints(rng, -5, 5, 7)
    a, b = e > 0, f > 0
    want = a | b.T | (b @ b > 0)
    want[3, 4] = True
    want[numpy.arange(7), numpy.arange(7)] |= w > 2
    want[:6, 1:] |= a[1:, :6]
    return """
        E(x,y) = "e.npy"
        F(x,y) = "f.npy"
        W[x] = "w.npy"
        U(x,y) = "e.npy"
        U(x,y) += F(y,x)
        U(x,z) max= F(x,y) F(y,z)
        U(3,4) = true
        U(x,x) when W[x] > 2 = 1
        U(x-1,y+1) = E(x,y)
        "u.npy" = U(a,b)
        "sum.npy" = E(x,y) + F(x,y)
    """, {"e": e, "f": f, "w": w}, {"u": TRUTH(want), "sum": TRUTH(a | b)}


@program
def numbers_become_truths(rng):
    w, v = ints(rng, -3, 3, 8, 5), f32(rng, 5)
    return """
        W[i,j] = "w.npy"
        V[j] = "v.npy"
        A(i) = W[i,j]
        B(i) = W[i,j] V[j]
        C(i,j) = W[i,j] + V[j]
        D(i) = W[i,j] (V[j] ** 2 > 0.25)
        E(i) = relu(W[i,j] V[j])
        F(i) when W[i,0] > 0 = true
        G(i,j) = W[i,j] > 0 ? V[j] : W[i,j] + 1
        P(j) = W[i,j] && 0
        "a.npy" = A(i)
        "b.npy" = B(i)
        "c.npy" = C(i,j)
        "d.npy" = D(i)
        "e.npy" = E(i)
        "f.npy" = F(i)
        "g.npy" = G(i,j)
        "p.npy" = P(j)
        "m.npy" = W(i,j)
        Masked[i] = W(i,j) V[j]
        "masked.npy" = Masked[i]
    """, {"w": w, "v": v}, {
        "a": TRUTH((w > 0).any(1)), "b": TRUTH(((w > 0) & (v > 0)).any(1)), "c": TRUTH((w > 0) | (v > 0)),
        "d": TRUTH(((w > 0) & (v**2 > 0.25)).any(1)), "e": TRUTH(w @ wide(v) > 0), "f": TRUTH(w[:, 0] > 0),
        "g": TRUTH(numpy.where(w > 0, v > 0, True)), "p": TRUTH(numpy.zeros(5)), "m": TRUTH(w > 0),
        "masked": F32((w > 0) @ wide(v), 5, 10)}


@program
def facts_and_literals(rng):
    return """
        Edge(0,1) = true
        Edge(1,2) = 1
        Edge(3,0) = true
        Edge(3,3) = false
        Square(x,y) = const([[1, 0], [0, 1]])
        Odd(i) = odd(i)
        Odd(4) = true
        Two(x,z) = Edge(x,y) Edge(y,z)
        "two.npy" = Two(x,z)
        "edge.npy" = Edge(x,y)
        "square.npy" = Square(x,y)
        "odd.npy" = Odd(i)
    """, {}, {
        "two": TRUTH([[0, 0, 1, 0], [0] * 4, [0] * 4, [0, 1, 0, 0]]),
        "edge": TRUTH([[0, 1, 0, 0], [0, 0, 1, 0], [0] * 4, [1, 0, 0, 0]]), "square": TRUTH(numpy.eye(2)),
        "odd": TRUTH([0, 1, 0, 1, 1])}


@program
def guards_of_relations(rng):
    e, f, w = relation(rng, 11, 11), relation(rng, 11, 11), ints(rng, -9, 9, 11)
    a, b = e > 0, f > 0
    return """
        E(x,y) = "e.npy"
        F(x,y) = "f.npy"
        W[x] = "w.npy"
        G(x) when E(x,y) && W[y] > 0 = F(y,x) + F(x,y)
        H(x,y) when W[x] < W[y] = E(x,y)
        Sum[x] when E(x,y) = W[y]
        Best[x] when E(x,y) max= W[y]
        Best[x] max= -10
        "g.npy" = G(x)
        "h.npy" = H(x,y)
        "sum.npy" = Sum[x]
        "best.npy" = Best[x]
    """, {"e": e, "f": f, "w": w}, {
        "g": TRUTH((a & (w > 0)[None] & (b | b.T)).any(1)), "h": TRUTH(a & (w[:, None] < w[None])),
        "sum": I64(a @ w), "best": I64(numpy.where(a, w[None], -10).max(1))}


@program
def relations_of_many_bytes(rng):
    a, b = relation(rng, 300, 257, density=0.02), relation(rng, 257, 311, density=0.02)
    count = wide(a) @ wide(b)
    return """
        A(x,y) = "a.npy"
        B(y,z) = "b.npy"
        J(x,z) = A(x,y) B(y,z)
        N(x,z) = !J(x,z)
        L[x] = J(x,z)
        "j.npy" = J(x,z)
        "n.npy" = N(x,z)
        "l.npy" = L[x]
    """, {"a": a, "b": b}, {"j": TRUTH(count > 0), "n": TRUTH(count == 0), "l": I64((count > 0).sum(1))}
