"""Statements: their order, several equations for one tensor, names, spelling, literals, definitions."""

import numpy

from . import F32, I64, NUMBER, f32, ints, program, wide


@program
def statements_in_reverse(rng):
    x = ints(rng, -9, 9, 5, 7)
    return """
        "d.npy" = D
        "c.npy" = C[j]
        D = C[j] B[j,i] A[i,j]
        C[j] = B[j,i] - k
        B[j,i] = A[i,j] A[i,j] + k
        A[i,j] = X[i,j] + k
        X[i,j] = "x.npy"
        const k = 3
    """, {"x": x}, {
        "c": I64((((x + 3) ** 2 + 3).sum(0) - 3)),
        "d": I64(((((x + 3) ** 2 + 3).sum(0) - 3) * ((x + 3) ** 2 + 3) * (x + 3)).sum())}


@program
def equations_for_one_tensor_add(rng):
    x, y = ints(rng, -9, 9, 7), ints(rng, -9, 9, 7, 3)
    return """
        X[i] = "x.npy"
        Y[i,j] = "y.npy"
        A[i] = X[i]
        A[k] += Y[k,j]
        A[i] = X[i]
        A[j] += 2 X[j] X[j]
        A[i] += 1
        "a.npy" = A[i]
    """, {"x": x, "y": y}, {"a": I64(2 * x + y.sum(1) + 2 * x * x + 1)}


@program
def a_source_is_a_contribution(rng):
    x, y, z = ints(rng, -9, 9, 7), ints(rng, -9, 9, 7), ints(rng, -9, 9, 7, 2)
    return """
        A[i] = "x.npy"
        A[i] = "y.npy"
        A[i] += Z[i,j]
        Z[i,j] = "z.npy"
        "a.npy" = A[i]
        "s.npy" = A[i] A[i]
    """, {"x": x, "y": y, "z": z}, {"a": I64(x + y + z.sum(1)), "s": I64((x + y + z.sum(1)) ** 2)}


@program
def one_file_under_two_names(rng):
    x = ints(rng, -9, 9, 7, 7)
    return """
        X[i,j] = "x.npy"
        Y[p,q] = "x.npy"
        S[i,j] = X[i,j] - Y[j,i]
        "s.npy" = S[i,j]
    """, {"x": x}, {"s": I64(x - x.T)}


@program
def accumulation_over_different_indices(rng):
    x, y = f32(rng, 5, 3), f32(rng, 3)
    return """
        X[i,j] = "x.npy"
        Y[j] = "y.npy"
        S += X[i,j]
        S += Y[j] Y[j]
        S += -1
        R[i,j] += X[i,j]
        R[a,b] += Y[b]
        R[i,j] += S
        "s.npy" = S
        "r.npy" = R[i,j]
    """, {"x": x, "y": y}, {
        "s": F32(wide(x).sum() + wide(y) @ wide(y) - 1, 20, 20),
        "r": F32(wide(x) + wide(y) + wide(x).sum() + wide(y) @ wide(y) - 1, 20, 25)}


@program
def common_subexpressions(rng):
    a, b = f32(rng, 7, 5), f32(rng, 5, 3)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        D[x,y] = A[x,z] B[z,y]
        E[i,j] = B[k,j] A[i,k]
        F[i,j] = C[i,j] + D[i,j] - 2 E[i,j]
        G[i,j] = exp(C[i,j] / 8) - exp(D[i,j] / 8) + C[i,j]
        "f.npy" = F[i,j]
        "g.npy" = G[i,j]
    """, {"a": a, "b": b}, {
        "f": F32(numpy.zeros((7, 3)), 10, 40), "g": F32(wide(a) @ wide(b), 10, 40)}


@program
def dead_code_does_not_run(rng):
    # The dead equation would need 4 TB, the dead sum would overflow.
    x = ints(rng, 1, 9, 101)
    return """
        X[i] = "x.npy"
        Big[a,b,c,d,e,f] = X[a] X[b] X[c] X[d] X[e] X[f]
        Over[i] = X[i] * 9223372036854775807 + 9223372036854775807
        S = X[i]
        "s.npy" = S
    """, {"x": x}, {"s": I64(x.sum())}


@program(fixed_order=True)
def spelling_of_statements(rng):
    x, y = ints(rng, -9, 9, 5), ints(rng, -9, 9, 5)
    return """
        # A comment; with a semicolon, "quotes" and ünïcödé
        X[i] = "x.npy"; Y[i] = "y.npy"   # two statements on a line

        A[i] = X[i] +
               Y[i] *   # a comment inside
               2
        B[i] = (X[i]
                + Y[i]
                - 1)
        C[
          i
        ] = X[i] -
            Y[i];;

        D[ i ] =
            X [i] Y [i]
        "a.npy" = A[i]; "b.npy" = B[i]
        "c.npy" = C[i]
        "d.npy" = D[i]
        "\\u0065\\".npy" = X[i]""", {"x": x, "y": y}, {
        "a": I64(x + 2 * y), "b": I64(x + y - 1), "c": I64(x - y), "d": I64(x * y), 'e"': I64(x)}


@program
def spelling_of_numbers(rng):
    x = f32(rng, 7)
    return """
        X[i] = "x.npy"
        A[i] = .5 X[i] + 5. - 1e-3X[i] + 2X[i] - 1.5e+1
        B = 7 + 1e2
        C = 9223372036854775807
        D = -9223372036854775807 - 1
        "a.npy" = A[i]
        "b.npy" = B
        "c.npy" = C
        "d.npy" = D
    """, {"x": x}, {
        "a": F32(2.499 * wide(x) - 10, 4, 30), "b": F32(107), "c": I64(2**63 - 1), "d": I64(-2**63)}


@program
def names_that_look_like_builtins(rng):
    # A tensor hides a builtin of its own spelling only; other spellings are still the builtin.
    x = f32(rng, 5, 7)
    return """
        X[i,j] = "x.npy"
        Mean[i] = mean(X[i,j])
        Sum = SUM(X[i,j])
        exp[i] = Mean[i] + 1
        Y[i] = exp[i] Exp(Mean[i])
        grad[i] = 2 exp[i]
        "mean.npy" = Mean[i]
        "sum.npy" = Sum
        "y.npy" = Y[i]
        "grad.npy" = grad[i]
    """, {"x": x}, {
        "mean": F32(wide(x).mean(1), 7, 2), "sum": F32(wide(x).sum(), 35, 40),
        "y": F32((wide(x).mean(1) + 1) * numpy.exp(wide(x).mean(1)), 7, 8),
        "grad": F32(2 * (wide(x).mean(1) + 1), 7, 6)}


@program
def qualified_and_odd_names(rng):
    x = ints(rng, -9, 9, 5)
    return """
        net::layer1::X[i] = "x.npy"
        _[i] = net::layer1::X[i] + 1
        axis_1[i] = _[i] _[i]
        letter[i] = axis_1[i] - 1
        T_1[reduce_] = letter[reduce_]
        "t.npy" = T_1[i]
    """, {"x": x}, {"t": I64((x + 1) ** 2 - 1)}


@program
def rank_0_spellings(rng):
    x = ints(rng, -9, 9, 5)
    return """
        X[i] = "x.npy"
        S[] = X[i]
        T = S + S[]
        U[ ] = T[] * 2
        "u.npy" = U
        "v.npy" = U[] + S
    """, {"x": x}, {"u": I64(4 * x.sum()), "v": I64(5 * x.sum())}


@program
def literal_tensors(rng):
    x = ints(rng, -9, 9, 2, 3)
    cube = numpy.arange(12).reshape(2, 3, 2) - 5
    return """
        X[i,j] = "x.npy"
        Scalar = const(4)
        Vector[j] = const([1, -2, 3])
        Matrix[i,j] = const([[1, 2, 3], [4, 5, 6]])
        Cube[i,j,k] = const([[[-5, -4], [-3, -2], [-1, 0]], [[1, 2], [3, 4], [5, 6]]])
        Real[k] = const([0.5, -0.25])
        List[i] = [10, 20]
        Transposed[j,i] = const([[7, 8], [9, 10], [11, 12]])
        A[i,j] = X[i,j] + Vector[j] - Matrix[i,j] + Scalar List[i] + Transposed[j,i]
        B[i,k] = Cube[i,j,k] Vector[j]
        C[i,j] = Cube[i,j,k] Real[k]
        "a.npy" = A[i,j]
        "b.npy" = B[i,k]
        "c.npy" = C[i,j]
        "matrix.npy" = Matrix[i,j]
    """, {"x": x}, {
        "a": I64(x + [1, -2, 3] - numpy.array([[1, 2, 3], [4, 5, 6]]) + 4 * numpy.array([[10], [20]])
                 + numpy.array([[7, 9, 11], [8, 10, 12]])),
        "b": I64(numpy.einsum("ijk,j->ik", cube, [1, -2, 3])),
        "c": F32(cube @ [0.5, -0.25]),
        "matrix": NUMBER([[1, 2, 3], [4, 5, 6]])}


@program
def constants_broadcast_to_the_left_side(rng):
    x = f32(rng, 3, 5)
    return """
        axis n = 4
        X[i,j] = "x.npy"
        Half[i,j] = const(0.5)
        Seven[n] = 7
        Y[i,j] = X[i,j] Half[i,j]
        Wide[n,j] = X[0,j]
        "y.npy" = Y[i,j]
        "seven.npy" = Seven[n]
        "wide.npy" = Wide[n,j]
    """, {"x": x}, {
        "y": F32(wide(x) / 2), "seven": I64(numpy.full(4, 7)), "wide": F32(numpy.tile(wide(x)[0], (4, 1)))}


@program(arguments=["-D", "scale=2.5", "-D", "row=3"])
def parameters(rng):
    x = f32(rng, 5, 7)
    return """
        param scale = 1.0
        param row = 0
        param shift = 2
        const half = 0.5
        X[i,j] = "x.npy"
        Y[j] = scale X[row,j] + half * shift
        "y.npy" = Y[j]
    """, {"x": x}, {"y": F32(2.5 * wide(x)[3] + 1, 2, 12)}


@program
def sized_axes(rng):
    x = ints(rng, -9, 9, 3)
    return """
        axis p = 5
        axis q = 2
        X[i] = "x.npy"
        A[p,q,i] = X[i]
        B[p] = 1
        C = A[p,q,i] B[p]
        D[q,p] = B[p] 3
        "a.npy" = A[p,q,i]
        "c.npy" = C
        "d.npy" = D[q,p]
    """, {"x": x}, {
        "a": I64(numpy.broadcast_to(x, (5, 2, 3))), "c": I64(10 * x.sum()), "d": I64(numpy.full((2, 5), 3))}


@program
def extents_travel_through_equations(rng):
    # k of G has an extent only because G meets X in H.
    x = ints(rng, -9, 9, 5, 7)
    return """
        H[i] = X[i,k] G[k]
        G[k] = F[k] + 1
        F[k] = 4
        X[i,k] = "x.npy"
        "h.npy" = H[i]
        "g.npy" = G[k]
    """, {"x": x}, {"h": I64(5 * x.sum(1)), "g": I64(numpy.full(7, 5))}


@program
def a_long_line_of_tensors(rng):
    x = f32(rng, 7, 7)
    value = wide(x)
    lines = []
    for k in range(60):
        lines.append(f"T{k + 1}[i,j] = 0.5 T{k}[j,i] + 0.25 T{k}[i,j] + 0.125")
        value = 0.5 * value.T + 0.25 * value + 0.125
    body = "\n        ".join(lines)
    return f"""
        T0[i,j] = "x.npy"
        {body}
        "t.npy" = T60[i,j]
    """, {"x": x}, {"t": F32(value, 120, 3)}


@program
def many_sinks(rng):
    x = ints(rng, -9, 9, 13)
    sinks = "\n        ".join(f'"s{k}.npy" = X[i] * {k} + X[j] X[j]' for k in range(23))
    return f"""
        X[i] = "x.npy"
        {sinks}
    """, {"x": x}, {f"s{k}": I64((x[:, None] * k + x * x)) for k in range(23)}


@program
def sources_with_guards_and_positions(rng):
    x, row, d, m = ints(rng, -9, 9, 4, 5), ints(rng, -9, 9, 5), ints(rng, -9, 9, 4), ints(rng, -9, 9, 4, 4)
    two = numpy.zeros((4, 5), int)
    two[0] = row
    two[3, 1:] += row[:4]
    square = numpy.diag(d)
    square[[0, 1, 2, 3], [0, 1, 2, 3]] += m.diagonal()
    return """
        X[i,j] = "x.npy"
        G[i,j] when X[i,j] > 2 = "x.npy"
        T[i,j] = 0 X[i,j]
        T[0,j] = "row.npy"
        T[-1,j+1] += "row.npy"
        D[i,i] = "d.npy"
        D[i,i] = "m.npy"
        B[i,j] when X[i,j] != 0 max= "x.npy"
        B[i,j] max= -5
        Only(j) when X[0,j] > 0 = "row.npy"
        "g.npy" = G[i,j]
        "t.npy" = T[i,j]
        "dd.npy" = D[i,k]
        "b.npy" = B[i,j]
        "only.npy" = Only(j)
    """, {"x": x, "row": row, "d": d, "m": m}, {
        "g": I64(x * (x > 2)), "t": I64(two), "dd": I64(square), "b": I64(numpy.where(x != 0, numpy.maximum(x, -5), -5)),
        "only": NUMBER((row > 0) & (x[0] > 0))}


@program
def constants_that_are_lists(rng):
    x = ints(rng, -9, 9, 3)
    return """
        const list = [1, 2, 3]
        const grid = [[1, 0], [0, 1]]
        X[i] = "x.npy"
        Y[i] = X[i] * list
        Z[i,j] = grid
        W[i] = list
        "y.npy" = Y[i]
        "z.npy" = Z[i,j]
        "w.npy" = W[i]
    """, {"x": x}, {"y": I64(x * [1, 2, 3]), "z": I64(numpy.eye(2, dtype=int)), "w": I64([1, 2, 3])}


@program
def bare_names_of_tensors_as_arguments(rng):
    x, y = f32(rng, 7, 5), f32(rng, 5)
    return """
        Score[i,j] = "x.npy"
        Bias[j] = "y.npy"
        Temp = 2.0
        A[i,j] = sig(Score, Temp)
        B[j,i] = maximum(Score, Bias)
        C[i] = sum(Score)
        D[i,j] = abs(Score) + tanh(Bias)
        "a.npy" = A[i,j]
        "b.npy" = B[j,i]
        "c.npy" = C[i]
        "d.npy" = D[i,j]
    """, {"x": x, "y": y}, {
        "a": F32(1 / (1 + numpy.exp(-wide(x) / 2)), 8), "b": F32(numpy.maximum(wide(x), wide(y)).T),
        "c": F32(wide(x).sum(1), 5, 20),
        "d": F32(abs(wide(x)) + numpy.tanh(wide(y)), 8, 8)}


@program
def the_only_row_of_a_literal_or_file_at_a_position(rng):
    x = ints(rng, -9, 9, 1, 3)
    return """
        W[1,h] = const([[1, 2, 3]])
        W[2,h] = [4, 5, 6]
        F[2,h] = "x.npy"
        F[-1,h] = "x.npy"
        Y[h] = W[1,h] F[2,h]
        "w.npy" = W[r,h]
        "f.npy" = F[r,h]
        "y.npy" = Y[h]
    """, {"x": x}, {
        "w": I64(numpy.array([[0, 0, 0], [1, 2, 3], [4, 5, 6]])), "f": I64(numpy.vstack([0 * x, 0 * x, 2 * x])),
        "y": I64(numpy.array([1, 2, 3]) * 2 * x[0])}
