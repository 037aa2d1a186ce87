"""Builtins: element-wise functions, reductions, normalisers, their default axes, masks, one_hot."""

import math

import numpy

from . import F32, F64, I64, INTEGER, NUMBER, TRUTH, f32, f64, ints, positive, program, wide


def softmax(x, axis=-1):
    e = numpy.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def standardised(x, axis=-1, eps=1e-5):
    return (x - x.mean(axis=axis, keepdims=True)) / numpy.sqrt(x.var(axis=axis, keepdims=True) + eps)


ERF = numpy.vectorize(math.erf, otypes=[float])

# name, the call, the value; P is positive, X any real of moderate size
ELEMENTWISE = [
    ("step", "step(X[i,j])", lambda x, p: x > 0),
    ("relu", "relu(X[i,j])", lambda x, p: numpy.maximum(x, 0)),
    ("sigmoid", "sigmoid(X[i,j])", lambda x, p: 1 / (1 + numpy.exp(-x))),
    ("sig", "sig(X[i,j], T=0.5)", lambda x, p: 1 / (1 + numpy.exp(-x / 0.5))),
    ("tanh", "tanh(X[i,j])", lambda x, p: numpy.tanh(x)),
    ("gelu", "gelu(X[i,j])", lambda x, p: 0.5 * x * (1 + numpy.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    ("gelu_erf", "gelu_erf(X[i,j])", lambda x, p: 0.5 * x * (1 + ERF(x / math.sqrt(2)))),
    ("silu", "silu(X[i,j])", lambda x, p: x / (1 + numpy.exp(-x))),
    ("exp", "exp(X[i,j])", lambda x, p: numpy.exp(x)),
    ("log", "log(P[i,j])", lambda x, p: numpy.log(p)),
    ("log1p", "log1p(P[i,j])", lambda x, p: numpy.log1p(p)),
    ("sqrt", "sqrt(P[i,j])", lambda x, p: numpy.sqrt(p)),
    ("rsqrt", "rsqrt(P[i,j])", lambda x, p: 1 / numpy.sqrt(p)),
    ("abs", "abs(X[i,j])", lambda x, p: abs(x)),
    ("sign", "sign(X[i,j])", lambda x, p: numpy.sign(x)),
    ("floor", "floor(X[i,j])", lambda x, p: numpy.floor(x)),
    ("ceil", "ceil(X[i,j])", lambda x, p: numpy.ceil(x)),
    ("round", "round(X[i,j])", lambda x, p: numpy.round(x)),
    ("sin", "sin(X[i,j])", lambda x, p: numpy.sin(x)),
    ("cos", "cos(X[i,j])", lambda x, p: numpy.cos(x)),
    ("pow", "pow(P[i,j], X[i,j])", lambda x, p: p**x),
    ("minimum", "minimum(X[i,j], P[i,j])", lambda x, p: numpy.minimum(x, p)),
    ("maximum", "maximum(X[i,j], -P[i,j])", lambda x, p: numpy.maximum(x, -p)),
    ("clip", "clip(X[i,j], min=-0.5, max=1.5)", lambda x, p: numpy.clip(x, -0.5, 1.5)),
]


def all_elementwise(x, p, expect):
    text = '\n        X[i,j] = "x.npy"\n        P[i,j] = "p.npy"\n'
    expected = {}
    for name, call, function in ELEMENTWISE:
        text += f'        F_{name}[i,j] = {call}\n        "{name}.npy" = F_{name}[i,j]\n'
        value = function(wide(x), wide(p))
        expected[name] = TRUTH(value) if name == "step" else expect(value)
    return text, {"x": x, "p": p}, expected


@program
def elementwise_functions(rng):
    x, p = 2 * f32(rng, 13, 7), positive(rng, 13, 7)
    # Halves round to even, the step of 0 is 0.
    x[0] = [0, 0.5, 1.5, 2.5, -0.5, -1.5, -0.0]
    return all_elementwise(x, p, F32)


@program
def elementwise_functions_of_doubles(rng):
    x, p = 2 * f64(rng, 7, 5), positive(rng, 7, 5).astype(numpy.float64)
    x[0] = [0, 0.5, 2.5, -0.5, -1.5]
    return all_elementwise(x, p, F64)


@program
def saturated_functions(rng):
    # Functions that overflow when they are written down carelessly.
    x = numpy.array([-1e4, -200, -80, -30, 0, 30, 89, 200, 1e4], numpy.float32)
    return """
        X[i] = "x.npy"
        A[i] = sigmoid(X[i])
        B[i] = tanh(X[i])
        C[i] = gelu(X[i])
        D[i] = softmax(X[i])
        E[i] = sig(X[i])
        F[i] = exp(X[i])
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F[i]
    """, {"x": x}, {
        "a": F32([0, 0, 0, math.exp(-30), 0.5, 1, 1, 1, 1], 1, 1), "b": F32([-1, -1, -1, -1, 0, 1, 1, 1, 1]),
        "c": F32([0, 0, 0, 0, 0, 30, 89, 200, 1e4], 1, 1), "d": F32([0] * 8 + [1]),
        "e": TRUTH([0, 0, 0, 0, 0, 1, 1, 1, 1]), "f": Relative(numpy.float32(numpy.exp(wide(x)[:6])), numpy.inf)}


class Relative:
    """The first elements to 1e-5 of each, the rest beyond the type's range; exp(89) is the first that overflows f32."""

    exact = False

    def __init__(self, first, rest):
        self.first = first
        self.rest = rest

    def problem(self, got):
        n = len(self.first)
        close = numpy.abs(got[:n] - self.first) <= 1e-5 * self.first
        return None if close.all() and (got[n:] == self.rest).all() else f"got {got}"


@program
def softmax_over_its_default_axis(rng):
    x, y = f32(rng, 5, 7), f32(rng, 7)
    w = wide(x)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        Last[i,j] = softmax(X[i,j])
        Transposed[i,j] = softmax(X[j,i])
        LastOfLeft[j,i] = softmax(2 X[i,j])
        Dotted[i.,j] = softmax(X[i,j])
        DottedExpression[i.,j] = softmax(X[i,j] + Y[j])
        OnlyThere[i.,j] = X[i,j] softmax(Y[j])
        Axis[i,j] = softmax(X[i,j], axis=i)
        Position[i,j] = softmax(X[i,j], axis=0)
        AxisOverDot[i.,j] = softmax(X[i,j] / 2, axis=j)
        Both[i,j] = softmax(X[i,j], axis=[i,j])
        Macro[i,j] = @softmax(X[i,j])
        "last.npy" = Last[i,j]
        "transposed.npy" = Transposed[i,j]
        "last_of_left.npy" = LastOfLeft[j,i]
        "dotted.npy" = Dotted[i,j]
        "dotted_expression.npy" = DottedExpression[i,j]
        "only_there.npy" = OnlyThere[i,j]
        "axis.npy" = Axis[i,j]
        "position.npy" = Position[i,j]
        "axis_over_dot.npy" = AxisOverDot[i,j]
        "both.npy" = Both[i,j]
        "macro.npy" = Macro[i,j]
    """, {"x": x, "y": y}, {
        "last": F32(softmax(w, 1), 7, 1), "transposed": F32(softmax(w, 1).T, 7, 1),
        "last_of_left": F32(softmax(2 * w, 0).T, 7, 1), "dotted": F32(softmax(w, 0), 7, 1),
        "dotted_expression": F32(softmax(w + wide(y), 0), 7, 1), "only_there": F32(w * softmax(wide(y)), 7, 3),
        "axis": F32(softmax(w, 0), 7, 1), "position": F32(softmax(w, 0), 7, 1),
        "axis_over_dot": F32(softmax(w / 2, 1), 7, 1),
        "both": F32(softmax(w.reshape(-1)).reshape(w.shape), 35, 1), "macro": F32(softmax(w, 1), 7, 1)}


@program
def softmax_inside_expressions(rng):
    x, v, q, k = f32(rng, 5, 7), f32(rng, 7, 3), f32(rng, 5, 4), f32(rng, 7, 4)
    s = wide(q) @ wide(k).T / 2
    return """
        X[i,j] = "x.npy"
        V[j,e] = "v.npy"
        Q[i,d] = "q.npy"
        K[j,d] = "k.npy"
        A[i,e] = softmax(X[i,j], axis=j) V[j,e]
        B[i,e] = softmax(Q[i,d] K[j,d] / sqrt(4.0), axis=j) V[j,e]
        C[i,j] = 1 - softmax(-X[i,j]) * 2
        D[i,j.] = log(softmax(X[i,j] + softmax(X[i,j], axis=i)))
        "a.npy" = A[i,e]
        "b.npy" = B[i,e]
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
    """, {"x": x, "v": v, "q": q, "k": k}, {
        "a": F32(softmax(wide(x)) @ wide(v), 14, 4), "b": F32(softmax(s) @ wide(v), 20, 10),
        # The argument of C is no single reference: the last left index that it has is j.
        "c": F32(1 - 2 * softmax(-wide(x)), 7, 2),
        "d": F32(numpy.log(softmax(wide(x) + softmax(wide(x), 0))), 14, 8)}


@program
def softmax_of_rank_3(rng):
    x = f32(rng, 3, 5, 7)
    w = wide(x)
    return """
        X[a,b,c] = "x.npy"
        Middle[a,b.,c] = softmax(X[a,b,c])
        Turned[c,a,b] = softmax(X[a,b,c])
        First[c,b,a] = softmax(X[a,b,c] * 1.5)
        Pair[a,b,c] = softmax(X[a,b,c], axis=[a,c])
        Slice[b,c] = softmax(X[1,b,c])
        "middle.npy" = Middle[a,b,c]
        "turned.npy" = Turned[c,a,b]
        "first.npy" = First[c,b,a]
        "pair.npy" = Pair[a,b,c]
        "slice.npy" = Slice[b,c]
    """, {"x": x}, {
        "middle": F32(softmax(w, 1), 7, 1), "turned": F32(softmax(w, 2).transpose(2, 0, 1), 7, 1),
        "first": F32(softmax(1.5 * w, 0).transpose(2, 1, 0), 7, 1), "pair": F32(softmax(w, (0, 2)), 21, 1),
        "slice": F32(softmax(w[1]), 7, 1)}


@program
def layer_norms(rng):
    x = f32(rng, 5, 31) * 3 + 7
    w = wide(x)
    return """
        X[i,j] = "x.npy"
        A[i,j] = lnorm(X[i,j])
        B[i.,j] = layernorm(X[i,j])
        C[i,j] = layer_norm(X[i,j], axis=i, eps=0.5)
        D[i,j] = lnorm(X[i,j], axis=[i,j])
        E[j,i] = layernorm(X[i,j])
        F[i,j] = lnorm(X[i,j] + 1)
        "a.npy" = A[i,j]
        "b.npy" = B[i,j]
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
        "e.npy" = E[j,i]
        "f.npy" = F[i,j]
    """, {"x": x}, {
        "a": F32(standardised(w, 1), 31, 20), "b": F32(standardised(w, 0), 31, 20),
        "c": F32(standardised(w, 0, 0.5), 31, 20), "d": F32(standardised(w, (0, 1)), 155, 20),
        "e": F32(standardised(w, 1).T, 31, 20), "f": F32(standardised(w, 1), 31, 20)}


@program
def reductions_over_their_default_axes(rng):
    x, y = f32(rng, 5, 7), f32(rng, 7)
    w, v = wide(x), wide(y)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        Mean[i] = mean(X[i,j])
        Max[j] = max(X[i,j])
        Min = min(X[i,j])
        Sum[i] = sum(X[i,j] Y[j])
        Range[i] = max(X[i,j]) - min(X[i,j])
        Centred[i,j.] = X[i,j] - mean(X[i,j])
        CentredColumns[i.,j] = X[i,j] - mean(X[i,j])
        Axis[i,j] = X[i,j] / sum(X[i,k] X[i,k])
        Position[j] = mean(X[i,j], axis=0)
        List = mean(X[i,j], axis=[i,j])
        Squares[i] = mean(X[i,j] ** 2)
        Ratio[i] = sum(X[i,j]) / sum(X[i,j] X[i,j])
        Nested[i] = max(X[i,j] - mean(X[i,k]))
        Outer = max(mean(X[i,j], axis=j), axis=i)
        "mean.npy" = Mean[i]
        "max.npy" = Max[j]
        "min.npy" = Min
        "sum.npy" = Sum[i]
        "range.npy" = Range[i]
        "centred.npy" = Centred[i,j]
        "centred_columns.npy" = CentredColumns[i,j]
        "axis.npy" = Axis[i,j]
        "position.npy" = Position[j]
        "list.npy" = List
        "squares.npy" = Squares[i]
        "ratio.npy" = Ratio[i]
        "nested.npy" = Nested[i]
        "outer.npy" = Outer
    """, {"x": x, "y": y}, {
        "mean": F32(w.mean(1), 7, 3), "max": F32(w.max(0)), "min": F32(w.min()), "sum": F32(w @ v, 7, 10),
        "range": F32(w.max(1) - w.min(1)), "centred": F32(w - w.mean(1, keepdims=True), 7, 4),
        "centred_columns": F32(w - w.mean(0), 7, 4), "axis": F32(w / (w**2).sum(1, keepdims=True), 7, 2),
        "position": F32(w.mean(0), 7, 3), "list": F32(w.mean(), 35, 3), "squares": F32((w**2).mean(1), 7),
        "ratio": F32(w.sum(1) / (w**2).sum(1), 14, 3),
        "nested": F32((w - w.mean(1, keepdims=True)).max(1), 7, 4), "outer": F32(w.mean(1).max(), 7, 3)}


@program
def a_reduction_keeps_its_index_to_itself(rng):
    # The j that sum takes has nothing to do with the j outside.
    x, y = ints(rng, -9, 9, 5, 7), ints(rng, -9, 9, 7)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        A[i] = X[i,j] sum(Y[j], axis=j)
        B[i,j] = X[i,j] - max(X[i,j], axis=j)
        C[j] = Y[j] max(X[i,j] Y[j], axis=i)
        D = max(X[i,j], axis=j) max(X[i,j], axis=j)
        "a.npy" = A[i]
        "b.npy" = B[i,j]
        "c.npy" = C[j]
        "d.npy" = D
    """, {"x": x, "y": y}, {
        "a": I64(x.sum(1) * y.sum()), "b": I64(x - x.max(1, keepdims=True)), "c": I64(y * (x * y).max(0)),
        "d": I64((x.max(1) ** 2).sum())}


@program
def arg_max_and_min(rng):
    x = ints(rng, -2, 2, 13, 31)
    f = f32(rng, 7, 13)
    return """
        X[i,j] = "x.npy"
        F[i,j] = "f.npy"
        A[i] = argmax(X[i,j])
        B[j] = argmin(X[i,j])
        C[i] = argmax(F[i,j] - 2 F[i,0], axis=j)
        D[j] = argmax(F[i,j], axis=i)
        E[i] = argmin(-F[i,j] F[i,j], axis=j)
        G[i] = argmax(X[i,j] == 2)
        "a.npy" = A[i]
        "b.npy" = B[j]
        "c.npy" = C[i]
        "d.npy" = D[j]
        "e.npy" = E[i]
        "g.npy" = G[i]
    """, {"x": x, "f": f}, {
        # Ties go to the first.
        "a": I64(x.argmax(1)), "b": I64(x.argmin(0)), "c": I64(f.argmax(1)), "d": I64(f.argmax(0)),
        "e": I64((f * f).argmax(1)), "g": I64((x == 2).argmax(1))}


@program
def one_hot_rows(rng):
    label, v = ints(rng, 0, 6, 13), f32(rng, 7, 3)
    small = ints(rng, 0, 1, 3, 2, dtype="u1")
    return """
        L[n] = "label.npy"
        V[c,e] = "v.npy"
        S[a,b] = "small.npy"
        H[n,c] = one_hot(L[n], 7)
        T[c,n] = one_hot(L[n], 7)
        Count[c] = H[n,c]
        Taken[n,e] = H[n,c] V[c,e]
        Wide[a,k,b] = one_hot(S[a,b], 2)
        Class[n] = argmax(H[n,c])
        "h.npy" = H[n,c]
        "t.npy" = T[c,n]
        "count.npy" = Count[c]
        "taken.npy" = Taken[n,e]
        "wide.npy" = Wide[a,k,b]
        "class.npy" = Class[n]
        "sink.npy" = one_hot(S[a,b], 3)
    """, {"label": label, "v": v, "small": small}, {
        "h": NUMBER(numpy.eye(7, dtype=int)[label]), "t": NUMBER(numpy.eye(7, dtype=int)[label].T),
        "count": NUMBER(numpy.bincount(label, minlength=7)), "taken": F32(wide(v)[label], 7),
        "wide": NUMBER(numpy.eye(2, dtype=int)[small].transpose(0, 2, 1)), "class": I64(label),
        "sink": NUMBER(numpy.eye(3, dtype=int)[small])}


@program
def causal_masks(rng):
    x, v = f32(rng, 7, 7), f32(rng, 7, 3)
    mask = numpy.tril(numpy.ones((7, 7)))
    return """
        X[p,q] = "x.npy"
        V[q,e] = "v.npy"
        M[p,q] = causal_mask(7)
        Kept[p,q] = X[p,q] M[p,q]
        Inline[p,q] = X[p,q] causal_mask(7)
        Prefix[p,e] = M[p,q] V[q,e]
        Other[q,p] = M[p,q]
        Score[p,q] = X[p,q] - 1000 (1 - M[p,q])
        Weight[p,q.] = softmax(Score[p,q])
        "m.npy" = M[p,q]
        "kept.npy" = Kept[p,q]
        "inline.npy" = Inline[p,q]
        "prefix.npy" = Prefix[p,e]
        "other.npy" = Other[q,p]
        "weight.npy" = Weight[p,q]
    """, {"x": x, "v": v}, {
        "m": NUMBER(mask.astype(int)), "kept": F32(wide(x) * mask), "inline": F32(wide(x) * mask),
        "prefix": F32(mask @ wide(v), 7, 10), "other": NUMBER(mask.T.astype(int)),
        "weight": F32(softmax(numpy.where(mask > 0, wide(x), -1000)), 7, 1)}


@program
def reductions_of_products(rng):
    x, y = f32(rng, 13, 7), f32(rng, 7, 5)
    return """
        X[i,j] = "x.npy"
        Y[j,k] = "y.npy"
        A[i] = max(X[i,j] Y[j,k], axis=k)
        B[i] = sum(X[i,j] Y[j,k])
        C[i,k] = max(X[i,j] Y[j,k], axis=j)
        D[k] = mean(X[i,j] Y[j,k], axis=[i,j])
        E[i] = exp(sum(X[i,j] Y[j,k]) / 20)
        F = sum(tanh(X[i,j] Y[j,k]), axis=[i,k])
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i,k]
        "d.npy" = D[k]
        "e.npy" = E[i]
        "f.npy" = F
    """, {"x": x, "y": y}, {
        # In A the j is contracted inside the argument, in C it is the axis itself; in F it is no axis, so tanh closes over it.
        "a": F32((wide(x) @ wide(y)).max(1), 7, 20), "b": F32((wide(x) @ wide(y)).sum(1), 35, 60),
        "c": F32((wide(x)[:, :, None] * wide(y)).max(1)), "d": F32((wide(x)[:, :, None] * wide(y)).mean((0, 1)), 91, 4),
        "e": F32(numpy.exp((wide(x) @ wide(y)).sum(1) / 20), 60), "f": F32(numpy.tanh(wide(x) @ wide(y)).sum(), 70, 70)}
