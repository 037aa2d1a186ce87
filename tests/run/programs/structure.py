"""Calls that glue, merge, rank, sum up, attend and factorise along axes: the rules at small extents, then large ones."""

import numpy

from . import Exact, F32, F64, I64, TRUTH, f32, f64, ints, positive, program, wide
from .functions import softmax


@program
def concat_along_its_glued_index(rng):
    a, b, c = ints(rng, -9, 9, 5, 3), ints(rng, -9, 9, 5, 4), ints(rng, -9, 9, 5)
    return """
        A[i,j] = "a.npy"
        B[i,k] = "b.npy"
        C[i] = "c.npy"
        Lacking[i,m] = concat(A[i,j], B[i,k])
        Named[m,i] = concat(B[i,k], 2 A[i,j], B[i,k], axis=m)
        First[j,i] = concat(A[i,j], A[i,j] + 1)
        Down[i,j] = concat(A[i,j], A[i,j], axis=i)
        Broadcast[i,m] = concat(A[i,j] + C[i], B[0,k])
        Weighted[i] = concat(A[i,j], B[i,k], axis=m) iota(m)
        Nested[i,m] = concat(concat(A[i,j], B[i,k], axis=p), A[i,q])
        "lacking.npy" = Lacking[i,m]
        "named.npy" = Named[m,i]
        "first.npy" = First[j,i]
        "down.npy" = Down[i,j]
        "broadcast.npy" = Broadcast[i,m]
        "weighted.npy" = Weighted[i]
        "nested.npy" = Nested[i,m]
        "sink.npy" = concat(A[i,j], B[i,k])
        "sink_axis.npy" = concat(A[i,j], A[i,j], axis=i)
        "position.npy" = concat(A[i,j], A[i,j], axis=0)
    """, {"a": a, "b": b, "c": c}, {
        "lacking": I64(numpy.hstack([a, b])), "named": I64(numpy.hstack([b, 2 * a, b]).T),
        "first": I64(numpy.hstack([a, a + 1]).T), "down": I64(numpy.vstack([a, a])),
        "broadcast": I64(numpy.hstack([a + c[:, None], numpy.tile(b[0], (5, 1))])),
        "weighted": I64(numpy.hstack([a, b]) @ numpy.arange(7)), "nested": I64(numpy.hstack([a, b, a])),
        "sink": I64(numpy.hstack([a, b])), "sink_axis": I64(numpy.vstack([a, a]).T),
        "position": I64(numpy.vstack([a, a]).T)}


@program
def concat_of_types_and_extents(rng):
    x, h, n, e, one = f64(rng, 3), f32(rng, 4).astype(numpy.float16), ints(rng, 0, 1, 5, dtype="u1"), f32(rng, 0), f32(rng, 1)
    big = numpy.array([2**62, -(2**62)], numpy.int64)
    return """
        X[i] = "x.npy"
        H[j] = "h.npy"
        N[k] = "n.npy"
        E[l] = "e.npy"
        One[o] = "one.npy"
        Big[b] = "big.npy"
        Halves[p] = concat(H[j], H[j])
        Doubles[p] = concat(X[i], N[k], 0.1 H[j])
        Empty[p] = concat(E[l], One[o], E[l])
        Flags[p] = concat(N[k] > 0, H[j] > 0)
        Kept[p] = concat(Big[b] + Big[b] * 0, N[k])
        "halves.npy" = Halves[p]
        "doubles.npy" = Doubles[p]
        "empty.npy" = Empty[p]
        "flags.npy" = Flags[p]
        "kept.npy" = Kept[p]
    """, {"x": x, "h": h, "n": n, "e": e, "one": one, "big": big}, {
        "halves": Exact(numpy.concatenate([h, h]), "f16"),
        "doubles": F64(numpy.concatenate([x, n, 0.1 * wide(h)]), scale=1e6), "empty": Exact(one, "f32"),
        "flags": TRUTH(numpy.concatenate([n > 0, h > 0])), "kept": I64(numpy.concatenate([big, n]))}


@program
def concat_merges_the_last_two_axes(rng):
    h = ints(rng, -99, 99, 5, 3, 4)
    return """
        H[t,h,d] = "h.npy"
        Heads[t,m] = concat(H[t,h,d])
        Turned[m,t] = concat(H[t,h,d]) + 1
        Swapped[d,h,t] = H[t,h,d]
        Transposed[m,d] = concat(Swapped[d,h,t])
        Row[m] = concat(H[1,h,d])
        Places[h,d] = 10 iota(h) + iota(d)
        Extents[h,d] = Places[h,d] + H[0,h,d]
        Counted[m] = concat(Places[h,d]) + H[0,0,0]
        Flat[n] = concat(concat(H[t,h,d], axis=m))
        "heads.npy" = Heads[t,m]
        "turned.npy" = Turned[m,t]
        "row.npy" = Row[m]
        "counted.npy" = Counted[m]
        "extents.npy" = Extents[h,d]
        "transposed.npy" = Transposed[m,d]
        "flat.npy" = Flat[n]
        "sink.npy" = concat(H[t,h,d])
    """, {"h": h}, {
        "heads": I64(h.reshape(5, 12)), "turned": I64(h.reshape(5, 12).T + 1),
        "extents": I64(10 * numpy.arange(3)[:, None] + numpy.arange(4) + h[0]),
        "counted": I64((10 * numpy.arange(3)[:, None] + numpy.arange(4)).reshape(12) + h[0, 0, 0]), "row": I64(h[1].reshape(12)),
        "transposed": I64(h.transpose(2, 1, 0).reshape(4, 15).T), "flat": I64(h.reshape(60)),
        "sink": I64(h.reshape(5, 12))}


@program
def made_axes_under_guards(rng):
    # The guard may name the axis that a call on the right makes.
    a, b = ints(rng, -9, 9, 5, 3), ints(rng, -9, 9, 5, 4)
    both = numpy.hstack([a, b])
    return """
        A[i,j] = "a.npy"
        B[i,k] = "b.npy"
        Part[i,m] when iota(m) < 4 = concat(A[i,j], B[i,k])
        First[i,r] when iota(r) == 0 = topk(B[i,k], k=2)
        Positive(i,m) = concat(A[i,j], B[i,k])
        Largest[i] max= concat(A[i,j], B[i,k], axis=m)
        Least[m] min= cumsum(concat(A[i,j], B[i,k]), axis=m)
        "part.npy" = Part[i,m]
        "first.npy" = First[i,r]
        "true.npy" = Positive(i,m)
        "largest.npy" = Largest[i]
        "least.npy" = Least[m]
    """, {"a": a, "b": b}, {
        "part": I64(numpy.where(numpy.arange(7) < 4, both, 0)), "true": TRUTH(both > 0),
        "first": I64(b.max(1)[:, None] * [1, 0]), "largest": I64(both.max(1)), "least": I64(both.cumsum(1).min(0))}


@program
def stacks(rng):
    a, b = ints(rng, -9, 9, 5, 3), ints(rng, -9, 9, 3)
    return """
        A[i,j] = "a.npy"
        B[j] = "b.npy"
        Middle[i,s,j] = stack(A[i,j], -A[i,j], B[j])
        One[s,j] = stack(B[j])
        Numbers[s] = stack(1, 2, 3)
        Columns[k,s] = stack(B[k], A[0,k], A[1,k])
        "middle.npy" = Middle[i,s,j]
        "one.npy" = One[s,j]
        "numbers.npy" = Numbers[s]
        "columns.npy" = Columns[k,s]
        "sink.npy" = stack(B[j], A[i,j])
    """, {"a": a, "b": b}, {
        "middle": I64(numpy.stack([a, -a, numpy.tile(b, (5, 1))], 1)), "one": I64(b[None]),
        "numbers": Exact([1, 2, 3], None), "columns": I64(numpy.stack([b, a[0], a[1]], 1)),
        "sink": I64(numpy.stack([numpy.tile(b, (5, 1)), a], 2).transpose(1, 0, 2))}


def ranked(x):
    """Positions by value downwards, ties by position, NaN last: of rows, by sorting Python tuples."""
    rows = x.reshape(-1, x.shape[-1])
    keys = [[(bool(numpy.isnan(v)), 0 if numpy.isnan(v) else -v, j) for j, v in enumerate(row.tolist())] for row in rows]
    order = numpy.array([[key[2] for key in sorted(row)] for row in keys], int)
    return order.reshape(x.shape)


@program
def topk_of_ties_infinities_and_nan(rng):
    x, n = ints(rng, -2, 2, 13, 9).astype(numpy.float32), ints(rng, -2, 2, 9, 5)
    x[0, [2, 7]] = x[4] = numpy.nan
    x[1, 3], x[2] = numpy.inf, -numpy.inf
    x[3, :7] = numpy.nan
    n[0, 0] = -(2**63)
    order, whole = ranked(x), ranked(n.T)
    return """
        X[i,j] = "x.npy"
        N[j,i] = "n.npy"
        V[i,r] = topk(X[i,j], k=4)
        P[i,r] = topk_index(X[i,j], k=4)
        Every[r,i] = topk_index(X[i,j], k=100)
        Five[i,r] = topk(X[i,j] * 2, axis=j)
        Column[j,r] = topk_index(-X[i,j], k=2, axis=i)
        Whole[i,r] = topk(N[j,i], k=9, axis=j)
        WholePlace[i,r] = topk_index(N[j,i], k=9, axis=j)
        "v.npy" = V[i,r]
        "p.npy" = P[i,r]
        "all.npy" = Every[r,i]
        "five.npy" = Five[i,r]
        "column.npy" = Column[j,r]
        "whole.npy" = Whole[i,r]
        "whole_place.npy" = WholePlace[i,r]
        "sink.npy" = topk(X[i,j])
    """, {"x": x, "n": n}, {
        "v": F32(numpy.take_along_axis(x, order, 1)[:, :4]), "p": I64(order[:, :4]), "all": I64(order.T),
        "five": F32(2 * numpy.take_along_axis(x, order, 1)[:, :5]), "column": I64(ranked(-x.T)[:, :2]),
        "whole": I64(numpy.take_along_axis(n.T, whole, 1)), "whole_place": I64(whole),
        "sink": F32(numpy.take_along_axis(x, order, 1)[:, :5])}


@program
def running_sums(rng):
    x, n, f = f32(rng, 5, 7), ints(rng, -9, 9, 13, 3), numpy.array([1, numpy.inf, 2, -numpy.inf, 3], numpy.float32)
    return """
        X[i,j] = "x.npy"
        N[i,j] = "n.npy"
        F[i] = "f.npy"
        Last[i,j] = cumsum(X[i,j])
        Dotted[i.,j] = cumsum(N[i,j])
        Axis[j,i] = cumsum(N[i,j], axis=i)
        Both[i,j] = cumsum(N[i,j], axis=[i,j])
        Squares[i,j] = cumsum(N[i,j] ** 2)
        Infinite[i] = cumsum(F[i])
        Counted[i,j] = cumsum(N[i,j] > 0)
        Same[i,j] = cumsum(N[i,j] ** 0)
        Halves[i,j] = cumsum(0.5 X[i,j] ** 0, axis=[i,j])
        Share[i,j] = cumsum(N[i,j]) - cumsum(N[i,j], axis=i) + sum(N[i,k] N[i,k])
        "last.npy" = Last[i,j]
        "dotted.npy" = Dotted[i,j]
        "axis.npy" = Axis[j,i]
        "both.npy" = Both[i,j]
        "squares.npy" = Squares[i,j]
        "infinite.npy" = Infinite[i]
        "counted.npy" = Counted[i,j]
        "same.npy" = Same[i,j]
        "halves.npy" = Halves[i,j]
        "share.npy" = Share[i,j]
        "sink.npy" = cumsum(N[i,j])
    """, {"x": x, "n": n, "f": f}, {
        "last": F32(wide(x).cumsum(1), 7, 10), "dotted": I64(n.cumsum(0)), "axis": I64(n.cumsum(0).T),
        "both": I64(n.cumsum(0).cumsum(1)), "squares": I64((n**2).cumsum(1)),
        "infinite": F32([1, numpy.inf, numpy.inf, numpy.nan, numpy.nan]), "counted": I64((n > 0).cumsum(1)),
        "same": I64((n**0).cumsum(1)), "halves": F32(numpy.outer(numpy.arange(1, 6), numpy.arange(1, 8)) / 2),
        "share": I64(n.cumsum(1) - n.cumsum(0) + (n**2).sum(1, keepdims=True)), "sink": I64(n.cumsum(1))}


def rotated(x, position, base=10000.0):
    half = x.shape[-1] // 2
    angle = position[..., None] * base ** (-2.0 * numpy.arange(half) / x.shape[-1])
    a, b = x[..., :half], x[..., half:]
    return numpy.concatenate([a * numpy.cos(angle) - b * numpy.sin(angle), b * numpy.cos(angle) + a * numpy.sin(angle)], -1)


@program
def rotary_embeddings(rng):
    q, p, w = f32(rng, 5, 3, 8), ints(rng, 0, 200000, 5), f32(rng, 8, 3, 6)
    x = f32(rng, 5, 8)
    projected = numpy.einsum("tc,chd->thd", wide(x), wide(w))
    return """
        Q[t,h,d] = "q.npy"
        P[t] = "p.npy"
        W[c,h,d] = "w.npy"
        X[t,c] = "x.npy"
        A[t,h,d] = rope(Q[t,h,d], P[t])
        B[h,d,t] = rope(Q[t,h,d], iota(t), base=500)
        C[t.,h,d] = rope(W[c,h,d] X[t,c], 2 iota(t))
        "a.npy" = A[t,h,d]
        "b.npy" = B[h,d,t]
        "c.npy" = C[t,h,d]
        "sink.npy" = rope(Q[t,h,d], P[t])
    """, {"q": q, "p": p, "w": w, "x": x}, {
        "a": F32(rotated(wide(q), p[:, None]), 2, 4), "b": F32(rotated(wide(q), numpy.arange(5)[:, None], 500).transpose(1, 2, 0), 2, 4),
        "c": F32(rotated(projected, 2 * numpy.arange(5)[:, None]), 12, 12), "sink": F32(rotated(wide(q), p[:, None]), 2, 4)}


def attend(q, k, v, scale=None, mask=None):
    score = q @ numpy.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        score = numpy.where(mask, score, -numpy.inf)
    with numpy.errstate(invalid="ignore"):
        return numpy.nan_to_num(softmax(score)) @ v


@program
def attention_by_the_call(rng):
    q, k, v, mask = f32(rng, 2, 6, 8), f32(rng, 2, 7, 8), f32(rng, 2, 7, 5), ints(rng, 0, 1, 6, 7)
    mask[2] = 0
    s, d = f32(rng, 7, 4), wide(q)[0]
    causal = numpy.arange(7) <= numpy.arange(6)[:, None]
    return """
        Q[b,p,d] = "q.npy"
        K[b,q,d] = "k.npy"
        V[b,q,e] = "v.npy"
        M[p,q] = "mask.npy"
        S[t,c] = "s.npy"
        Plain[b,p,e] = attention(Q[b,p,d], K[b,q,d], V[b,q,e])
        OtherNames[e,b,p] = attention(Q[b,p,d], K[b,q,f], V[b,u,e])
        Causal[b,p,e] = attention(Q[b,p,d], K[b,q,d], V[b,q,e], causal=true)
        Masked[b,p,e] = attention(Q[b,p,d], K[b,q,d], V[b,q,e], mask=M[p,q], scale=0.3)
        Both[b,p,e] = attention(Q[b,p,d], K[b,q,d], V[b,q,e], mask=M[p,q], causal=true)
        Self[t,c] = attention(S[t,c], S[t,c], S[t,c])
        SelfPast[t,c] = attention(q=S[t,c], k=S[t,c], v=S[t,c], causal=true)
        Vector[b,e] = attention(Q[b,0,d], K[b,q,d], V[b,q,e])
        Scaled[b,p,e] = attention(2 Q[b,p,d] - 1, K[b,q,d], V[b,q,e], scale=1/(1+iota(b)))
        "plain.npy" = Plain[b,p,e]
        "other.npy" = OtherNames[e,b,p]
        "causal.npy" = Causal[b,p,e]
        "masked.npy" = Masked[b,p,e]
        "both.npy" = Both[b,p,e]
        "self.npy" = Self[t,c]
        "self_past.npy" = SelfPast[t,c]
        "vector.npy" = Vector[b,e]
        "scaled.npy" = Scaled[b,p,e]
        "sink.npy" = attention(Q[b,p,d], K[b,q,d], V[b,q,e])
    """, {"q": q, "k": k, "v": v, "mask": mask, "s": s}, {
        "plain": F32(attend(*wide(q, k, v)), 30, 4), "other": F32(attend(*wide(q, k, v)).transpose(2, 0, 1), 30, 4),
        "causal": F32(attend(*wide(q, k, v), mask=causal), 30, 4),
        "masked": F32(attend(*wide(q, k, v), 0.3, mask > 0), 30, 4),
        "both": F32(attend(*wide(q, k, v), mask=(mask > 0) & causal), 30, 4), "self": F32(attend(*wide(s, s, s)), 30, 4),
        "self_past": F32(attend(*wide(s, s, s), mask=numpy.tri(7) > 0), 30, 4),
        "vector": F32(attend(wide(q)[:, :1], *wide(k, v))[:, 0], 30, 4),
        "scaled": F32(attend(2 * wide(q) - 1, *wide(k, v), (1 / numpy.arange(1, 3))[:, None, None]), 60, 8),
        "sink": F32(attend(*wide(q, k, v)), 30, 4)}


@program
def attention_by_equations(rng):
    q, k, v, bias = f32(rng, 21, 2, 8), f32(rng, 33, 2, 8), f32(rng, 33, 2, 5), f32(rng, 21, 33)
    seen = numpy.arange(33) <= numpy.arange(21)[:, None] + 4
    seen[3] = False
    heads = [a.transpose(1, 0, 2) for a in wide(q, k, v)]
    product = heads[0] @ heads[1].transpose(0, 2, 1)
    capped = softmax(5 * numpy.tanh(product / 5)) @ heads[2]
    biased = softmax(product / 3 + wide(bias)) @ heads[2]
    return """
        Q[p,h,d] = "q.npy"
        K[q,h,d] = "k.npy"
        V[q,h,e] = "v.npy"
        B[p,q] = "bias.npy"
        S[h,p,q] = Q[p,h,d] K[q,h,d] / 3
        Biased[h,p,q.] = softmax(S[h,p,q] + B[p,q])
        Seen[p,q] = iota(q) <= iota(p) + 4 && iota(p) != 3
        Masked[h,p,q.] = masked_softmax(Q[p,h,d] K[q,h,d] / 3, Seen[p,q])
        Past[h,p,q.] = masked_softmax(Q[p,h,d] K[q,h,d] / 2, iota(q) <= iota(p))
        Capped[h,p,q.] = softmax(5 * tanh(Q[p,h,d] K[q,h,d] / 5))
        OfBiased[h,p,e] = Biased[h,p,q] V[q,h,e]
        OfMasked[h,p,e] = Masked[h,p,q] V[q,h,e]
        OfPast[h,p,e] = Past[h,p,q] V[q,h,e] + 1
        OfValues[e,p,h] = Capped[h,p,q] V[q,h,e]
        "biased.npy" = OfBiased[h,p,e]
        "masked.npy" = OfMasked[h,p,e]
        "past.npy" = OfPast[h,p,e]
        "capped.npy" = OfValues[e,p,h]
    """, {"q": q, "k": k, "v": v, "bias": bias}, {
        "biased": F32(biased, 60, 4),
        "masked": F32(attend(*heads, 1 / 3, seen), 60, 4),
        "past": F32(attend(*heads, 1 / 2, numpy.tri(21, 33) > 0) + 1, 60, 4),
        "capped": F32(capped.transpose(2, 1, 0), 60, 4)}


def hosvd(x, rank):
    """x projected on the `rank` largest left singular vectors of each unfolding."""
    y = wide(x)
    for axis in range(x.ndim):
        unfolded = numpy.moveaxis(wide(x), axis, 0).reshape(x.shape[axis], -1)
        u = numpy.linalg.svd(unfolded, full_matrices=False)[0][:, :rank]
        y = numpy.moveaxis(numpy.tensordot(u @ u.T, y, (1, axis)), 0, axis)
    return y


@program
def tucker_decompositions(rng):
    x, b, v = f32(rng, 13, 9, 7), ints(rng, 0, 1, 12, 11), f64(rng, 8) * 1e180
    blocks = ints(rng, 0, 1, 17, 3)
    low = (blocks @ blocks.T > 0).astype(numpy.uint8)
    return """
        X[i,j,k] = "x.npy"
        B[i,j] = "b.npy"
        V[i] = "v.npy"
        L[i,j] = "low.npy"
        A[i,j,k] = tucker_dense(X[i,j,k], rank=2)
        C[j,i] = tucker_dense(2 B[i,j] - 1, rank=3, threshold=0.1)
        D[i,j] = tucker_dense(L[i,j], rank=17)
        E[i,j] = tucker_dense(L[i,j], rank=3)
        F[i] = tucker_dense(V[i], rank=1)
        G[i,j] = tucker_dense(B[i,j])
        H[i,j] = tucker_dense(0 * B[i,j], rank=1)
        "a.npy" = A[i,j,k]
        "c.npy" = C[j,i]
        "d.npy" = D[i,j]
        "e.npy" = E[i,j]
        "f.npy" = F[i]
        "g.npy" = G[i,j]
        "h.npy" = H[i,j]
    """, {"x": x, "b": b, "v": v, "low": low}, {
        "a": TRUTH(hosvd(x, 2) > 0.5), "c": TRUTH(hosvd(2 * b - 1, 3).T > 0.1), "d": TRUTH(low > 0),
        "e": TRUTH(hosvd(low, 3) > 0.5), "f": TRUTH(v > 0.5), "g": TRUTH(b > 0), "h": TRUTH(0 * b)}


@program
def large_concat_and_merge(rng):
    a, b, h = ints(rng, -99, 99, 211, 157), ints(rng, -99, 99, 103, 157), ints(rng, -99, 99, 41, 13, 37)
    return """
        A[i,j] = "a.npy"
        B[k,j] = "b.npy"
        H[t,h,d] = "h.npy"
        Rows[i,j] = concat(A[k,j], B[k,j], A[l,j])
        Columns[i,j] = concat(A[i,j], 3 A[i,j] + 1)
        Merged[t,m] = concat(H[t,h,d])
        Flat[n] = concat(Merged[t,m])
        Turned[m,t] = concat(H[t,h,d]) - 2
        Pair[s,i,j] = stack(A[i,j], A[i,j] * A[i,j])
        "rows.npy" = Rows[i,j]
        "columns.npy" = Columns[i,j]
        "merged.npy" = Merged[t,m]
        "flat.npy" = Flat[n]
        "turned.npy" = Turned[m,t]
        "pair.npy" = Pair[s,i,j]
    """, {"a": a, "b": b, "h": h}, {
        "rows": I64(numpy.vstack([a, b, a])), "columns": I64(numpy.hstack([a, 3 * a + 1])),
        "merged": I64(h.reshape(41, -1)), "flat": I64(h.reshape(-1)), "turned": I64(h.reshape(41, -1).T - 2),
        "pair": I64(numpy.stack([a, a * a]))}


@program
def large_running_sums_and_rankings(rng):
    n, x = ints(rng, -99, 99, 10007), ints(rng, -500, 500, 11, 2003).astype(numpy.float32)
    x[3, ::2] = numpy.nan
    vector, order = ranked(n.astype(float)), ranked(x)
    return """
        N[i] = "n.npy"
        X[i,j] = "x.npy"
        Sum[i] = cumsum(N[i])
        Down[i,j] = cumsum(X[i,j], axis=i)
        Top[r] = topk(N[i], k=7)
        Where[r] = topk_index(N[i], k=7)
        Rows[i,r] = topk(X[i,j])
        Places[i,r] = topk_index(X[i,j])
        "sum.npy" = Sum[i]
        "down.npy" = Down[i,j]
        "top.npy" = Top[r]
        "where.npy" = Where[r]
        "rows.npy" = Rows[i,r]
        "places.npy" = Places[i,r]
    """, {"n": n, "x": x}, {
        "sum": I64(n.cumsum()), "down": F32(wide(x).cumsum(0), 11, 500), "top": I64(n[vector[:7]]),
        "where": I64(vector[:7]), "rows": F32(numpy.take_along_axis(x, order, 1)[:, :5]), "places": I64(order[:, :5])}


@program
def large_attention_with_rotary_heads(rng):
    x, w = f32(rng, 61, 24), f32(rng, 24, 3, 3, 8) / 5
    q, k, v = numpy.einsum("tc,cshd->shtd", wide(x), wide(w))
    position = numpy.arange(61)
    heads = attend(rotated(q, position), rotated(k, position), v, mask=numpy.tri(61) > 0)
    return """
        X[t,c] = "x.npy"
        W[c,s,h,d] = "w.npy"
        Q[h,t,d] = X[t,c] W[c,0,h,d]
        K[h,t,d] = X[t,c] W[c,1,h,d]
        V[h,t,d] = X[t,c] W[c,2,h,d]
        H[t,h,d] = attention(rope(Q[h,t,d], iota(t)), rope(K[h,t,d], iota(t)), V[h,t,d], causal=true)
        Y[t,m] = concat(H[t,h,d])
        "h.npy" = H[t,h,d]
        "y.npy" = Y[t,m]
    """, {"x": x, "w": w}, {
        "h": F32(heads.transpose(1, 0, 2), 120, 6), "y": F32(heads.transpose(1, 0, 2).reshape(61, 24), 120, 6)}


@program
def large_causal_attention_by_sequence(rng):
    """One head, so that ranks share the queries, which are dealt in zigzag: 907 of them is a prime."""
    q, k, v = f64(rng, 907, 8), f64(rng, 907, 8), f64(rng, 907, 5)
    mean = attend(wide(q), wide(k), wide(v), mask=numpy.tri(907) > 0)
    return """
        Q[p,d] = "q.npy"
        K[u,d] = "k.npy"
        V[u,e] = "v.npy"
        Y[p,e] = attention(Q[p,d], K[u,d], V[u,e], causal=true)
        Z[e,p] = 2 Y[p,e]
        "y.npy" = Y[p,e]
        "z.npy" = Z[e,p]
    """, {"q": q, "k": k, "v": v}, {"y": F64(mean, 907, 6), "z": F64(2 * mean.T, 907, 6)}
