"""Element types: what is kept, what is widened, how files may hold it."""

import numpy

from . import Exact, F32, F64, I64, INTEGER, NUMBER, Raw, Real, TRUTH, f32, f64, ints, program, wide


class Near(Real):
    """A real of any width, with one bound for all elements."""

    def __init__(self, value, bound):
        super().__init__(value)
        self.bound = bound

    def problem(self, got):
        if got.dtype.kind != "f":
            return f"dtype {got.dtype}, expected a real type"
        return super().problem(got.astype(numpy.float32))


@program
def integers_are_exact_beyond_the_reals(rng):
    a, b = ints(rng, -(2**30), 2**30, 13, 7), ints(rng, -(2**29), 2**29, 7, 5)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        D[i,j] = C[i,j] - 4611686018427387904 + 1
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
    """, {"a": a, "b": b}, {"c": I64(a @ b), "d": I64(a @ b - 2**62 + 1)}


@program
def small_integers_do_not_wrap(rng):
    u8, i8, i16, i32 = (ints(rng, low, high, 31, dtype=dtype) for low, high, dtype in (
        (200, 255, "u1"), (-128, -100, "i1"), (-32768, -32000, "i2"), (-(2**31), -(2**31) + 99, "i4")))
    w8, w_8, w16, w32 = wide(u8, i8, i16, i32)
    return """
        U[i] = "u8.npy"
        A[i] = "i8.npy"
        B[i] = "i16.npy"
        C[i] = "i32.npy"
        Sum[i] = U[i] + U[i]
        Difference[i] = A[i] - U[i]
        Product[i] = A[i] A[i] - B[i] B[i]
        Square[i] = C[i] C[i]
        Minus[i] = -U[i]
        Total = U[i]
        Up[i] = U[i] + 1
        "sum.npy" = Sum[i]
        "difference.npy" = Difference[i]
        "product.npy" = Product[i]
        "square.npy" = Square[i]
        "minus.npy" = Minus[i]
        "total.npy" = Total
        "up.npy" = Up[i]
        "mixed.npy" = U[i] A[i] B[i] - C[i]
    """, {"u8": u8, "i8": i8, "i16": i16, "i32": i32}, {
        "sum": I64(2 * w8), "difference": I64(w_8 - w8), "product": I64(w_8**2 - w16**2), "square": I64(w32**2),
        "minus": I64(-w8), "total": I64(w8.sum()),
        "up": I64(w8 + 1), "mixed": I64(w8 * w_8 * w16 - w32)}


@program
def types_of_files_are_kept(rng):
    arrays = {name: ints(rng, 0, 100, 3, 5, dtype=name) for name in ("u1", "i1", "i2", "i4", "i8")}
    arrays.update({name: ints(rng, -9, 9, 3, 5, dtype=name) for name in ("f2", "f4", "f8")})
    names = {"u1": "u8", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "f2": "f16", "f4": "f32", "f8": "f64"}
    text = "".join(f'        {n.upper()}[i,j] = "{n}.npy"\n        "{n}_copy.npy" = {n.upper()}[i,j]\n' for n in arrays)
    return text, arrays, {f"{n}_copy": Exact(array, names[n]) for n, array in arrays.items()}


@program
def wide_unsigned_integers(rng):
    u16, u32 = ints(rng, 0, 65535, 13, dtype="u2"), ints(rng, 0, 2**32 - 1, 13, dtype="u4")
    u64 = ints(rng, 0, 2**40, 13, dtype="u8")
    u16[0], u32[0] = 65535, 2**32 - 1
    return """
        A[i] = "u16.npy"
        B[i] = "u32.npy"
        C[i] = "u64.npy"
        S[i] = A[i] + B[i] - C[i]
        P[i] = A[i] B[i]
        "s.npy" = S[i]
        "p.npy" = P[i]
        "a.npy" = A[i]
    """, {"u16": u16, "u32": u32, "u64": u64}, {
        "s": I64(wide(u16) + wide(u32) - wide(u64)), "p": I64(wide(u16) * wide(u32)), "a": INTEGER(wide(u16))}


@program
def booleans_count(rng):
    m, n, x = rng.random((13, 7)) < 0.5, rng.random((7,)) < 0.5, f32(rng, 7)
    return """
        M[i,j] = "m.npy"
        N[j] = "n.npy"
        X[j] = "x.npy"
        Count[i] = M[i,j]
        Both[i] = M[i,j] N[j]
        Picked[i] = M[i,j] X[j]
        Total = M[i,j] M[i,j] + N[j]
        Share[i] = mean(M[i,j])
        Difference[i,j] = M[i,j] - N[j]
        "count.npy" = Count[i]
        "both.npy" = Both[i]
        "picked.npy" = Picked[i]
        "total.npy" = Total
        "share.npy" = Share[i]
        "difference.npy" = Difference[i,j]
        "copy.npy" = M[i,j]
    """, {"m": m, "n": n, "x": x}, {
        "count": I64(m.sum(1)), "both": I64((m & n).sum(1)), "picked": F32(m @ wide(x), 7, 12),
        "total": I64(m.sum() + n.sum()), "share": F32(m.mean(1), 7), "difference": I64(wide(m) - wide(n)),
        "copy": TRUTH(m)}


@program
def doubles_stay_doubles(rng):
    a, b = f64(rng, 13, 31), f64(rng, 31, 7)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j] + 0.1
        D[i,j] = exp(C[i,j] / 100)
        E[i] = mean(D[i,j])
        F[i,j.] = softmax(C[i,j])
        "c.npy" = C[i,j]
        "d.npy" = D[i,j]
        "e.npy" = E[i]
        "f.npy" = F[i,j]
    """, {"a": a, "b": b}, {
        "c": F64(a @ b + 0.1, 31, 80), "d": F64(numpy.exp((a @ b + 0.1) / 100), 31),
        "e": F64(numpy.exp((a @ b + 0.1) / 100).mean(1), 40),
        "f": F64(numpy.exp(a @ b) / numpy.exp(a @ b).sum(1, keepdims=True), 400)}


@program
def halves_accumulate_in_singles(rng):
    # Sums in half precision would stop growing at 2,048.
    a, b = numpy.ones((3, 5000), numpy.float16), rng.standard_normal((7, 13)).astype(numpy.float16)
    return """
        A[i,k] = "a.npy"
        B[i,j] = "b.npy"
        Count[i] = A[i,k]
        Square[i] = A[i,k] A[i,k]
        Twice[i,j] = B[i,j] + B[i,j]
        Gram[i,j] = B[i,k] B[j,k]
        "count.npy" = Count[i]
        "square.npy" = Square[i]
        "twice.npy" = Twice[i,j]
        "gram.npy" = Gram[i,j]
    """, {"a": a, "b": b}, {
        "count": Exact([5000.0] * 3, None), "square": Exact([5000.0] * 3, None),
        "twice": Exact(2 * wide(b), None), "gram": Near(wide(b) @ wide(b).T, 2.0**-10 * 16)}


@program
def mixed_types(rng):
    half, single, double = (rng.standard_normal((5, 7)).astype(t) for t in ("f2", "f4", "f8"))
    integer, byte = ints(rng, -9, 9, 7, dtype="i4"), ints(rng, 0, 9, 5, dtype="u1")
    return """
        H[i,j] = "half.npy"
        S[i,j] = "single.npy"
        D[i,j] = "double.npy"
        N[j] = "integer.npy"
        B[i] = "byte.npy"
        HS[i,j] = H[i,j] S[i,j]
        SD[i] = S[i,j] D[i,j]
        HD[i,j] = H[i,j] - D[i,j]
        SN[i] = S[i,j] N[j]
        NB[i,j] = N[j] B[i] + 2
        DN[i,j] = D[i,j] N[j] B[i]
        N2[j] = N[j] * 0.5
        Ratio[i,j] = N[j] / (B[i] + 1)
        "hs.npy" = HS[i,j]
        "sd.npy" = SD[i]
        "hd.npy" = HD[i,j]
        "sn.npy" = SN[i]
        "nb.npy" = NB[i,j]
        "dn.npy" = DN[i,j]
        "n2.npy" = N2[j]
        "ratio.npy" = Ratio[i,j]
    """, {"half": half, "single": single, "double": double, "integer": integer, "byte": byte}, {
        "hs": F32(wide(half) * wide(single)), "sd": F64((wide(single) * double).sum(1), 7, 12),
        "hd": F64(wide(half) - double, 1, 5), "sn": F32(wide(single) @ wide(integer), 7, 80),
        "nb": I64(wide(integer) * wide(byte)[:, None] + 2),
        "dn": F64(double * wide(integer) * wide(byte)[:, None]), "n2": F32(wide(integer) / 2),
        "ratio": F32(wide(integer) / (wide(byte)[:, None] + 1))}


@program
def byte_orders(rng):
    big32, big64 = f32(rng, 5, 7).astype(">f4"), f64(rng, 7, 5).astype(">f8")
    short, long = ints(rng, -999, 999, 5, dtype=">i2"), ints(rng, -(2**40), 2**40, 7, dtype=">i8")
    return """
        A[i,j] = "big32.npy"
        B[j,i] = "big64.npy"
        C[i] = "short.npy"
        D[j] = "long.npy"
        E[i,j] = A[i,j] + B[j,i]
        F[i,j] = C[i] D[j]
        "e.npy" = E[i,j]
        "f.npy" = F[i,j]
        "copy.npy" = A[i,j]
        "copy16.npy" = C[i]
    """, {"big32": big32, "big64": big64, "short": short, "long": long}, {
        "e": F64(wide(big32) + wide(big64).T, 1, 8), "f": I64(numpy.outer(wide(short), wide(long))),
        "copy": Exact(wide(big32), "f32"), "copy16": Exact(wide(short), "i16")}


@program
def fortran_order(rng):
    a, b = numpy.asfortranarray(f32(rng, 13, 7)), numpy.asfortranarray(f32(rng, 3, 7, 5).astype(">f4"))
    c = numpy.asfortranarray(ints(rng, -9, 9, 5, 3, 2, 7))
    return """
        A[i,j] = "a.npy"
        B[k,j,l] = "b.npy"
        C[l,k,m,j] = "c.npy"
        D[i,k,l] = A[i,j] B[k,j,l]
        E[j,m] = C[l,k,m,j]
        F[i,j] = A[i,j]
        "d.npy" = D[i,k,l]
        "e.npy" = E[j,m]
        "f.npy" = F[i,j]
        "g.npy" = C[l,k,m,j]
    """, {"a": a, "b": b, "c": c}, {
        "d": F32(numpy.einsum("ij,kjl->ikl", wide(a), wide(b)), 7, 20), "e": I64(c.sum((0, 1)).T),
        "f": Exact(wide(a), "f32"), "g": I64(c)}


@program
def header_versions(rng):
    x = ints(rng, -9, 9, 5, 3)
    return """
        A[i,j] = "one.npy"
        B[i,j] = "two.npy"
        C[i,j] = "three.npy"
        D[i,j] = A[i,j] + 10 B[i,j] + 100 C[i,j]
        "d.npy" = D[i,j]
    """, {"one": Raw(x, (1, 0)), "two": Raw(x, (2, 0)), "three": Raw(numpy.asfortranarray(x), (3, 0))}, {
        "d": I64(111 * x)}


@program
def integer_functions(rng):
    x, y = ints(rng, -9, 9, 5, 7), ints(rng, -9, 9, 5, 7, dtype="i4")
    return """
        X[i,j] = "x.npy"
        Y[i,j] = "y.npy"
        Abs[i,j] = abs(X[i,j])
        Max[i] = max(X[i,j])
        Min[j] = min(Y[i,j])
        Sum[i] = sum(X[i,j] Y[i,j])
        Power[i,j] = X[i,j] ** 5
        Root[i,j] = sqrt(X[i,j] X[i,j])
        Mean = mean(Y[i,j])
        Relu[i,j] = relu(Y[i,j])
        Bigger[i,j] = maximum(X[i,j], Y[i,j])
        "abs.npy" = Abs[i,j]
        "max.npy" = Max[i]
        "min.npy" = Min[j]
        "sum.npy" = Sum[i]
        "power.npy" = Power[i,j]
        "root.npy" = Root[i,j]
        "mean.npy" = Mean
        "relu.npy" = Relu[i,j]
        "bigger.npy" = Bigger[i,j]
    """, {"x": x, "y": y}, {
        "abs": I64(abs(x)), "max": I64(x.max(1)), "min": INTEGER(y.min(0)), "sum": I64((x * y).sum(1)),
        "power": I64(x**5), "root": F32(abs(x)), "mean": F32(y.mean(), 35, 9), "relu": NUMBER(numpy.maximum(y, 0)),
        "bigger": I64(numpy.maximum(x, y))}


@program
def largest_and_smallest_integers(rng):
    x = numpy.array([2**63 - 1, -(2**63), 0, -1, 2**53 + 1], numpy.int64)
    return """
        X[i] = "x.npy"
        A[i] = X[i]
        High = max(X[i])
        Low = min(X[i])
        Same[i,j] = X[i] == X[j]
        Less[i,j] = X[i] < X[j]
        Near[i] = X[i] == 9007199254740992
        "a.npy" = A[i]
        "high.npy" = High
        "low.npy" = Low
        "same.npy" = Same[i,j]
        "less.npy" = Less[i,j]
        "near.npy" = Near[i]
    """, {"x": x}, {
        "a": I64(x), "high": I64(x.max()), "low": I64(x.min()), "same": TRUTH(numpy.eye(5)),
        "less": TRUTH(x[:, None] < x), "near": TRUTH(numpy.zeros(5))}


@program
def infinities_and_nan(rng):
    x = numpy.array([0, -0.0, 1, -1, numpy.inf, -numpy.inf, numpy.nan], numpy.float32)
    with numpy.errstate(all="ignore"):
        inverse, logarithm, root = 1 / wide(x), numpy.log(wide(x)), numpy.sqrt(wide(x))
    return """
        X[i] = "x.npy"
        Inverse[i] = 1 / X[i]
        Log[i] = log(X[i])
        Root[i] = sqrt(X[i])
        Exp[i] = exp(X[i])
        Less[i] = X[i] < 1
        Differs[i] = X[i] != X[i]
        Nan[i] = isnan(X[i])
        Difference[i] = X[i] - X[i]
        "inverse.npy" = Inverse[i]
        "log.npy" = Log[i]
        "root.npy" = Root[i]
        "exp.npy" = Exp[i]
        "less.npy" = Less[i]
        "differs.npy" = Differs[i]
        "nan.npy" = Nan[i]
        "difference.npy" = Difference[i]
    """, {"x": x}, {
        "inverse": F32(inverse), "log": F32(logarithm), "root": F32(root), "exp": F32(numpy.exp(wide(x))),
        "less": TRUTH([1, 1, 0, 1, 0, 1, 0]), "differs": TRUTH([0, 0, 0, 0, 0, 0, 1]),
        "nan": TRUTH([0, 0, 0, 0, 0, 0, 1]),
        "difference": F32([0, 0, 0, 0, numpy.nan, numpy.nan, numpy.nan])}


@program
def extent_0(rng):
    x, y = numpy.zeros((0, 5), numpy.float32), ints(rng, -9, 9, 5, 0)
    return """
        X[i,j] = "x.npy"
        Y[j,k] = "y.npy"
        Column[j] = X[i,j]
        Row[i] = X[i,j]
        Product[j,l] = X[i,j] X[i,l]
        Integers[j] = Y[j,k] + 1
        Out[i,k] = X[i,j] Y[j,k]
        "column.npy" = Column[j]
        "row.npy" = Row[i]
        "product.npy" = Product[j,l]
        "integers.npy" = Integers[j]
        "out.npy" = Out[i,k]
        "copy.npy" = X[i,j]
    """, {"x": x, "y": y}, {
        "column": F32(numpy.zeros(5)), "row": F32(numpy.zeros(0)), "product": F32(numpy.zeros((5, 5))),
        "integers": I64(numpy.ones(5, int)), "out": F32(numpy.zeros((0, 0))), "copy": F32(x)}


@program
def extent_1_everywhere(rng):
    x, y = ints(rng, 1, 9, 1, 1, 1), f32(rng, 1)
    return """
        X[i,j,k] = "x.npy"
        Y[i] = "y.npy"
        A[k,i] = X[i,j,k] X[i,i,i]
        B[i,j] = Y[i] Y[j] X[i,j,0]
        C = X[i,j,k]
        D[i] = X[i,i+1,i-1] + X[i,i,i]
        E[i] = softmax(Y[i])
        "a.npy" = A[k,i]
        "b.npy" = B[i,j]
        "c.npy" = C
        "d.npy" = D[i]
        "e.npy" = E[i]
    """, {"x": x, "y": y}, {
        "a": I64((x * x)[0]), "b": F32(wide(y) ** 2 * wide(x)[0]), "c": I64(x.sum()), "d": I64(x[0, 0]),
        "e": F32([1.0])}


@program
def real_results_of_integers(rng):
    x, y = ints(rng, 1, 9, 7), ints(rng, 1, 9, 7)
    return """
        X[i] = "x.npy"
        Y[i] = "y.npy"
        A[i] = X[i] / Y[i]
        B = X[i] / 2
        C[i] = exp(X[i] - Y[i])
        D[i] = X[i] * 0.25 + Y[i]
        E[i] = (X[i] / Y[i] > 1) 10
        F[i] = sigmoid(X[i]) - tanh(Y[i])
        "a.npy" = A[i]
        "b.npy" = B
        "c.npy" = C[i]
        "d.npy" = D[i]
        "e.npy" = E[i]
        "f.npy" = F[i]
    """, {"x": x, "y": y}, {
        "a": F32(x / y), "b": F32(x.sum() / 2, 7), "c": F32(numpy.exp(x - y)), "d": F32(x / 4 + y),
        "e": I64(10 * (x > y)), "f": F32(1 / (1 + numpy.exp(-x)) - numpy.tanh(y), 1, 1)}


@program(arguments=["--precision", "fp64"])
def precision_of_all_reals_fp64(rng):
    x, y, n = f32(rng, 6, 5), f64(rng, 5), ints(rng, -9, 9, 6)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        N[i] = "n.npy"
        A[i] = X[i,j] * 0.1
        B[i] = exp(X[i,j] Y[j])
        C[i] avg= N[i] + X[i,j]
        "a.npy" = A[i]
        "b.npy" = B[i]
        "c.npy" = C[i]
        "n.npy" = N[i]
        "x2.npy" = X[i,j] / 3
    """.replace('"n.npy" = N', '"m.npy" = N'), {"x": x, "y": y, "n": n}, {
        "a": F64(wide(x).sum(1) * 0.1, 5, 5), "b": F64(numpy.exp(wide(x) @ y), 6, 50),
        "c": F64(n + wide(x).mean(1), 6, 12), "m": I64(n), "x2": F64(wide(x) / 3)}


@program(arguments=["--precision", "fp32"])
def precision_of_all_reals_fp32(rng):
    x, h = f64(rng, 40), rng.standard_normal(40).astype("f2")
    return """
        X[i] = "x.npy"
        H[i] = "h.npy"
        S = X[i] H[i]
        "s.npy" = S
        "x32.npy" = X[i]
        "h32.npy" = 2 * H[i]
    """, {"x": x, "h": h}, {"s": F32(x @ wide(h), 40, 40), "x32": F32(x), "h32": F32(2 * wide(h))}


@program(arguments=["--precision", "fp16"])
def precision_of_all_reals_fp16(rng):
    x = f32(rng, 30, 50)
    half = x.astype("f2").astype(float)
    return """
        X[i,j] = "x.npy"
        S[i] = X[i,j]
        Y[i] = S[i] * 0.5
        "s.npy" = S[i]
        "y.npy" = Y[i]
    """, {"x": x}, {"s": Real(half.sum(1), 1, "f16", 20), "y": Real(half.sum(1) / 2, 2, "f16", 20)}


@program(arguments=["--precision", "bf16"])
def precision_of_all_reals_bf16(rng):
    """Stored in bf16, accumulated in fp32, written as fp32."""
    x = ints(rng, -100, 100, 30, 7).astype("f4")
    return """
        X[i,j] = "x.npy"
        S[i] = X[i,j]
        Third[i] = S[i] / 3
        "s.npy" = S[i]
        "third.npy" = Third[i]
    """, {"x": x}, {"s": Near(x.sum(1), 2.0**-8 * 400), "third": Near(x.sum(1) / 3, 2.0**-7 * 200)}


@program(arguments=["--validate=finite"])
def finite_values_pass_validation(rng):
    x, n = f32(rng, 12, 9), ints(rng, -9, 9, 12)
    return """
        X[i,j] = "x.npy"
        N[i] = "n.npy"
        Y[i] = exp(X[i,j]) N[i]
        Scalar = Y[i]
        "y.npy" = Y[i]
        "s.npy" = Scalar / 2
        "t.npy" = X[i,j] N[i]
        "m.npy" = N[i]
    """.replace("exp(X[i,j]) N[i]", "reduce(sum, j) exp(X[i,j]) + N[i]"), {"x": x, "n": n}, {
        "y": F32(numpy.exp(wide(x)).sum(1) + n, 12, 80), "s": F32((numpy.exp(wide(x)).sum() + n.sum()) / 2, 130, 300),
        "t": F32(wide(x) * n[:, None], 2), "m": I64(n)}
