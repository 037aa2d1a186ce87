"""Products of any number of tensors, projections, diagonals, transposes, broadcasts, what a sink's axes are."""

import numpy

from . import F32, I64, einsum, f32, ints, positive, program, wide


@program
def matrix_product_of_primes(rng):
    a, b = f32(rng, 13, 31), f32(rng, 31, 7)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = A[i,k] B[k,j]
        "c.npy" = C[i,j]
    """, {"a": a, "b": b}, {"c": F32(wide(a) @ wide(b), 31)}


@program
def matrix_vector_below_ranks(rng):
    a, x = f32(rng, 3, 2), f32(rng, 2)
    return """
        A[i,k] = "a.npy"
        X[k] = "x.npy"
        Y[i] = A[i,k] X[k]
        "y.npy" = Y[i]
    """, {"a": a, "x": x}, {"y": F32(wide(a) @ wide(x), 2)}


@program
def extents_of_one(rng):
    a, b, c = f32(rng, 1, 97), f32(rng, 97, 1), f32(rng, 1, 1)
    value = wide(a) @ wide(b) * wide(c)
    return """
        A[i,k] = "a.npy"
        B[k,j] = "b.npy"
        C[i,j] = "c.npy"
        D[i,j] = A[i,k] B[k,j] C[i,j]
        E[k,l] = A[i,k] B[l,j] C[i,j]
        "d.npy" = D[i,j]
        "e.npy" = E[k,l]
    """, {"a": a, "b": b, "c": c}, {
        "d": F32(value, 97, 97), "e": F32(numpy.outer(wide(a)[0], wide(b)[:, 0]) * wide(c)[0, 0])}


@program
def outer_product_of_primes(rng):
    x, y = f32(rng, 13), f32(rng, 7)
    return """
        X[i] = "x.npy"
        Y[j] = "y.npy"
        Z[j,i] = X[i] Y[j]
        "z.npy" = Z[j,i]
    """, {"x": x, "y": y}, {"z": F32(numpy.outer(wide(y), wide(x)))}


@program
def inner_product_to_rank_0(rng):
    x, y = f32(rng, 97), f32(rng, 97)
    return """
        X[i] = "x.npy"
        Y[i] = "y.npy"
        S = X[i] Y[i]
        T[] = X[i] Y[j]
        "s.npy" = S
        "t.npy" = T[]
    """, {"x": x, "y": y}, {"s": F32(wide(x) @ wide(y), 97, 97), "t": F32(wide(x).sum() * wide(y).sum(), 200, 400)}


@program
def everything_of_rank_0(rng):
    s, t = numpy.float32(1.75), numpy.float32(-3.5)
    return """
        S = "s.npy"
        T = "t.npy"
        U = S T + S / T - 2 S
        V = U U
        "u.npy" = U
        "v.npy" = V
    """, {"s": s, "t": t}, {"u": F32(-10.125), "v": F32(10.125**2)}


@program
def rank_0_times_everything(rng):
    s, x, a = f32(rng), f32(rng, 7), f32(rng, 7, 2)
    return """
        S = "s.npy"
        X[i] = "x.npy"
        A[i,j] = "a.npy"
        Y[i] = S X[i]
        Z[j,i] = X[i] S A[i,j] S
        T = S A[i,j]
        "y.npy" = Y[i]
        "z.npy" = Z[j,i]
        "t.npy" = T
    """, {"s": s, "x": x, "a": a}, {
        "y": F32(wide(s) * wide(x)),
        "z": F32(wide(s) ** 2 * (wide(x)[:, None] * wide(a)).T),
        "t": F32(wide(s) * wide(a).sum(), 14, 30)}


@program
def chain_of_three(rng):
    a, b, c = f32(rng, 5, 31), f32(rng, 2, 31), f32(rng, 2, 13)
    return """
        A[i,j] = "a.npy"
        B[k,j] = "b.npy"
        C[k,l] = "c.npy"
        D[l,i] = A[i,j] B[k,j] C[k,l]
        "d.npy" = D[l,i]
    """, {"a": a, "b": b, "c": c}, {"d": F32((wide(a) @ wide(b).T @ wide(c)).T, 62, 60)}


@program
def product_of_twelve(rng):
    extents = [3, 2, 5, 1, 7, 2, 4, 3, 2, 6, 1, 5, 2]
    parts = [f32(rng, extents[k], extents[k + 1]) for k in range(12)]
    value = wide(parts[0])
    bound = numpy.abs(value)
    for part in parts[1:]:
        value = value @ wide(part)
        bound = bound @ numpy.abs(wide(part))
    sources = "\n".join(f'        T{k}[a,b] = "t{k}.npy"' for k in range(12))
    return sources + """
        R[a,m] = T0[a,b] T1[b,c] T2[c,d] T3[d,e] T4[e,f] T5[f,g] T6[g,h] T7[h,i] T8[i,j] T9[j,k] T10[k,l] T11[l,m]
        "r.npy" = R[a,m]
    """, {f"t{k}": part for k, part in enumerate(parts)}, {"r": F32(value, 45, bound.max())}


@program
def product_of_twelve_around_one_index(rng):
    parts = [ints(rng, -2, 2, 3, 2) for _ in range(12)]
    value = numpy.prod([part.sum(axis=1) for part in parts[:6]], axis=0)
    value = (value[:, None] * numpy.prod([part for part in parts[6:]], axis=0)).sum(axis=0)
    sources = "\n".join(f'        T{k}[a,b] = "t{k}.npy"' for k in range(12))
    return sources + """
        R[z] = T0[a,b] T1[a,c] T2[a,d] T3[a,e] T4[a,f] T5[a,g] T6[a,z] T7[a,z] T8[a,z] T9[a,z] T10[a,z] T11[a,z]
        "r.npy" = R[z]
    """, {f"t{k}": part for k, part in enumerate(parts)}, {"r": I64(value)}


@program
def product_of_fourteen(rng):
    parts = [ints(rng, -1, 2, 2, 2) for _ in range(14)]
    value = parts[0]
    for part in parts[1:]:
        value = value @ part
    sources = "\n".join(f'        T{k}[a,b] = "t{k}.npy"' for k in range(14))
    letters = "abcdefghijklmno"
    chain = " ".join(f"T{k}[{letters[k]},{letters[k + 1]}]" for k in range(14))
    return sources + f"""
        R[a,o] = {chain}
        Trace = {chain.replace("o]", "a]")}
        "r.npy" = R[a,o]
        "trace.npy" = Trace
    """, {f"t{k}": part for k, part in enumerate(parts)}, {"r": I64(value), "trace": I64(numpy.trace(value))}


@program
def star_of_five(rng):
    parts = [f32(rng, 13, n) for n in (2, 3, 1, 5, 7)]
    return """
        A[i,x] = "a.npy"
        B[i,x] = "b.npy"
        C[i,x] = "c.npy"
        D[i,x] = "d.npy"
        E[i,x] = "e.npy"
        R[x,y,z,u,v] = A[i,x] B[i,y] C[i,z] D[i,u] E[i,v]
        "r.npy" = R[x,y,z,u,v]
    """, dict(zip("abcde", parts)), {"r": F32(einsum("ix,iy,iz,iu,iv->xyzuv", *map(wide, parts)), 13, 60)}


@program
def hadamard_of_four(rng):
    a, b, c, d = (f32(rng, 7, 13) for _ in range(4))
    d = d.T.copy()
    return """
        A[i,j] = "a.npy"
        B[i,j] = "b.npy"
        C[i,j] = "c.npy"
        D[j,i] = "d.npy"
        E[i,j] = A[i,j] * B[i,j] C[i,j] * D[j,i]
        "e.npy" = E[i,j]
    """, {"a": a, "b": b, "c": c, "d": d}, {"e": F32(wide(a) * wide(b) * wide(c) * wide(d).T)}


@program
def traces_and_diagonals(rng):
    x, y = f32(rng, 7, 7), f32(rng, 5, 3, 5)
    return """
        X[i,j] = "x.npy"
        Y[i,j,k] = "y.npy"
        Trace = X[i,i]
        Diagonal[i] = X[i,i]
        Partial[j] = Y[i,j,i]
        Strip[j,i] = Y[i,j,i]
        "trace.npy" = Trace
        "diagonal.npy" = Diagonal[i]
        "partial.npy" = Partial[j]
        "strip.npy" = Strip[j,i]
    """, {"x": x, "y": y}, {
        "trace": F32(numpy.trace(wide(x)), 7, 10),
        "diagonal": F32(numpy.diagonal(wide(x))),
        "partial": F32(einsum("iji->j", wide(y)), 5, 10),
        "strip": F32(einsum("iji->ji", wide(y)))}


@program
def diagonal_of_a_cube(rng):
    x = f32(rng, 13, 13, 13)
    return """
        X[i,j,k] = "x.npy"
        A[i] = X[i,i,i]
        B[j,i] = X[i,i,j]
        S = X[i,i,i]
        "a.npy" = A[i]
        "b.npy" = B[j,i]
        "s.npy" = S
    """, {"x": x}, {
        "a": F32(einsum("iii->i", wide(x))),
        "b": F32(einsum("iij->ji", wide(x))),
        "s": F32(einsum("iii->", wide(x)), 13, 20)}


@program
def diagonal_inside_a_product(rng):
    x, y = f32(rng, 7, 7), f32(rng, 7, 3)
    return """
        X[i,j] = "x.npy"
        Y[i,j] = "y.npy"
        A[i] = X[i,i] Y[i,j]
        B[j] = X[i,i] Y[i,j]
        C[i,j] = X[j,i] X[i,i] X[j,j]
        "a.npy" = A[i]
        "b.npy" = B[j]
        "c.npy" = C[i,j]
    """, {"x": x, "y": y}, {
        "a": F32(einsum("ii,ij->i", wide(x), wide(y)), 3, 20),
        "b": F32(einsum("ii,ij->j", wide(x), wide(y)), 7, 20),
        "c": F32(einsum("ji,ii,jj->ij", wide(x), wide(x), wide(x)))}


@program
def transposes_of_rank_4(rng):
    x = ints(rng, -9, 9, 2, 3, 5, 7)
    return """
        X[a,b,c,d] = "x.npy"
        Y[d,b,a,c] = X[a,b,c,d]
        Z[a,b,c,d] = X[a,b,c,d] Y[d,b,a,c]
        "y.npy" = Y[d,b,a,c]
        "z.npy" = Z[d,c,b,a]
    """, {"x": x}, {"y": I64(x.transpose(3, 1, 0, 2)), "z": I64(x * x)}


@program
def alignment_is_by_name(rng):
    # The sink names the axes anew: position 0 of the file is position 0 of the tensor, whatever its index is called.
    x = ints(rng, -9, 9, 3, 5)
    return """
        X[row,column] = "x.npy"
        Y[j,i] = X[i,j]
        Z[i,j] = X[i,j] + Y[j,i]
        "y.npy" = Y[i,j]
        "z.npy" = Z[column,row]
    """, {"x": x}, {"y": I64(x.T), "z": I64(2 * x)}


@program
def bare_references_sum(rng):
    x = f32(rng, 5, 7, 3)
    return """
        X[i,j,k] = "x.npy"
        A[j] = X[i,j,k]
        B[k,i] = X[i,j,k]
        S = X[i,j,k]
        "a.npy" = A[j]
        "b.npy" = B[k,i]
        "s.npy" = S
    """, {"x": x}, {
        "a": F32(wide(x).sum(axis=(0, 2)), 15, 20),
        "b": F32(wide(x).sum(axis=1).T, 7, 10),
        "s": F32(wide(x).sum(), 105, 105)}


@program
def batched_products(rng):
    a, b = f32(rng, 3, 7, 5), f32(rng, 5, 3, 2)
    return """
        A[b,i,k] = "a.npy"
        B[k,b,j] = "b.npy"
        C[b,i,j] = A[b,i,k] B[k,b,j]
        D[i,b,j] = A[b,i,k] B[k,b,j]
        E[j,i,b] = A[b,i,k] B[k,b,j]
        "c.npy" = C[b,i,j]
        "d.npy" = D[i,b,j]
        "e.npy" = E[j,i,b]
    """, {"a": a, "b": b}, {
        "c": F32(einsum("bik,kbj->bij", wide(a), wide(b)), 5, 15),
        "d": F32(einsum("bik,kbj->ibj", wide(a), wide(b)), 5, 15),
        "e": F32(einsum("bik,kbj->jib", wide(a), wide(b)), 5, 15)}


@program
def two_batch_and_two_contracted_indices(rng):
    a, b = f32(rng, 2, 3, 5, 7, 2), f32(rng, 7, 3, 2, 2, 3)
    return """
        A[h,b,i,k,l] = "a.npy"
        B[k,b,h,l,j] = "b.npy"
        C[j,b,i,h] = A[h,b,i,k,l] B[k,b,h,l,j]
        "c.npy" = C[j,b,i,h]
    """, {"a": a, "b": b}, {"c": F32(einsum("hbikl,kbhlj->jbih", wide(a), wide(b)), 14, 30)}


@program
def mttkrp(rng):
    x, b, c = f32(rng, 7, 5, 13), f32(rng, 5, 3), f32(rng, 13, 3)
    return """
        X[i,j,k] = "x.npy"
        B[j,r] = "b.npy"
        C[k,r] = "c.npy"
        M[i,r] = X[i,j,k] B[j,r] C[k,r]
        "m.npy" = M[i,r]
    """, {"x": x, "b": b, "c": c}, {"m": F32(einsum("ijk,jr,kr->ir", wide(x), wide(b), wide(c)), 65, 60)}


@program
def tensor_train(rng):
    g = [f32(rng, 3, 4), f32(rng, 4, 5, 2), f32(rng, 2, 7, 3), f32(rng, 3, 2)]
    return """
        G1[i,r] = "g0.npy"
        G2[r,j,s] = "g1.npy"
        G3[s,k,t] = "g2.npy"
        G4[t,l] = "g3.npy"
        X[i,j,k,l] = G1[i,r] G2[r,j,s] G3[s,k,t] G4[t,l]
        Norm = X[i,j,k,l] X[i,j,k,l]
        "x.npy" = X[i,j,k,l]
        "norm.npy" = Norm
    """, {f"g{k}": part for k, part in enumerate(g)}, {
        "x": F32(einsum("ir,rjs,skt,tl->ijkl", *map(wide, g)), 24, 60),
        "norm": F32((einsum("ir,rjs,skt,tl->ijkl", *map(wide, g)) ** 2).sum(), 250)}


@program
def tucker(rng):
    core, u, v, w = f32(rng, 2, 3, 2), f32(rng, 7, 2), f32(rng, 5, 3), f32(rng, 1, 2)
    return """
        Core[a,b,c] = "core.npy"
        U[i,a] = "u.npy"
        V[j,b] = "v.npy"
        W[k,c] = "w.npy"
        X[i,j,k] = Core[a,b,c] U[i,a] V[j,b] W[k,c]
        "x.npy" = X[i,j,k]
    """, {"core": core, "u": u, "v": v, "w": w}, {
        "x": F32(einsum("abc,ia,jb,kc->ijk", *map(wide, (core, u, v, w))), 12, 40)}


@program
def index_of_one_operand_only(rng):
    x, y = f32(rng, 5, 7), f32(rng, 3, 5)
    return """
        X[i,j] = "x.npy"
        Y[k,i] = "y.npy"
        A[i] = X[i,j] Y[k,i]
        B[j] = X[i,j] Y[k,l]
        S = X[i,j] Y[k,l]
        "a.npy" = A[i]
        "b.npy" = B[j]
        "s.npy" = S
    """, {"x": x, "y": y}, {
        "a": F32(wide(x).sum(1) * wide(y).sum(0), 10, 30),
        "b": F32(wide(x).sum(0) * wide(y).sum(), 20, 100),
        "s": F32(wide(x).sum() * wide(y).sum(), 50, 500)}


@program
def quadratic_form(rng):
    m, x = f32(rng, 31, 31), f32(rng, 31)
    return """
        M[i,j] = "m.npy"
        X[i] = "x.npy"
        Q = X[i] M[i,j] X[j]
        "q.npy" = Q
    """, {"m": m, "x": x}, {"q": F32(wide(x) @ wide(m) @ wide(x), 62, 700)}


@program
def triangles_of_a_graph(rng):
    a = ints(rng, 0, 1, 31, 31)
    return """
        A[i,j] = "a.npy"
        Closed = A[i,j] A[j,k] A[k,i]
        Paths[i,l] = A[i,j] A[j,k] A[k,l]
        "closed.npy" = Closed
        "paths.npy" = Paths[i,l]
    """, {"a": a}, {"closed": I64(numpy.trace(a @ a @ a)), "paths": I64(a @ a @ a)}


@program
def gram_matrix(rng):
    a = f32(rng, 13, 7)
    return """
        A[i,k] = "a.npy"
        G[i,j] = A[i,k] A[j,k]
        H[k,l] = A[i,k] A[i,l]
        "g.npy" = G[i,j]
        "h.npy" = H[k,l]
    """, {"a": a}, {"g": F32(wide(a) @ wide(a).T, 7, 20), "h": F32(wide(a).T @ wide(a), 13, 30)}


@program
def left_index_that_the_right_lacks(rng):
    x, y = f32(rng, 5), f32(rng, 3)
    return """
        X[i] = "x.npy"
        Y[j] = "y.npy"
        A[i,j] = X[i]
        B[i,j] = Y[j]
        C[i,j] = A[i,j] + 10 B[i,j]
        D[j,i] = 2.5
        E[i,j] = C[i,j] D[j,i]
        F[i,j] = X[i] Y[j]
        Z[i,j] = A[i,j] F[i,j]
        "c.npy" = C[i,j]
        "e.npy" = E[i,j]
        "z.npy" = Z[i,j]
    """, {"x": x, "y": y}, {
        "c": F32(wide(x)[:, None] + 10 * wide(y), 1, 40),
        "e": F32(2.5 * (wide(x)[:, None] + 10 * wide(y)), 1, 100),
        "z": F32(numpy.outer(wide(x) ** 2, wide(y)))}


@program
def a_sink_projects_nothing(rng):
    x, y = f32(rng, 3, 5), f32(rng, 5, 2)
    return """
        X[i,j] = "x.npy"
        Y[j,k] = "y.npy"
        "p.npy" = X[i,j] Y[j,k]
        "q.npy" = Y[b,c] X[a,b]
        "r.npy" = X[j,i]
        "d.npy" = X[i,j] - Y[j,k] Y[j,k]
    """, {"x": x, "y": y}, {
        "p": F32(einsum("ij,jk->ijk", wide(x), wide(y))),
        "q": F32(einsum("ab,bc->bca", wide(x), wide(y))),
        "r": F32(wide(x)),
        "d": F32(wide(x)[:, :, None] - (wide(y) ** 2)[None], 1, 10)}


@program
def one_tensor_in_several_sinks(rng):
    x = ints(rng, -5, 5, 7, 3)
    return """
        X[i,j] = "x.npy"
        Y[i,j] = X[i,j] X[i,j]
        "once.npy" = Y[i,j]
        "twice.npy" = Y[p,q]
        "source.npy" = X[i,j]
        "row.npy" = Y[2,j]
        "outer.npy" = Y[2,j] X[i,0]
    """, {"x": x}, {
        "once": I64(x * x), "twice": I64(x * x), "source": I64(x), "row": I64((x * x)[2]),
        "outer": I64(numpy.outer((x * x)[2], x[:, 0]))}


@program
def primed_and_long_index_names(rng):
    w, x = positive(rng, 5, 5), f32(rng, 5)
    return """
        W[p,p'] = "w.npy"
        State[p] = "x.npy"
        Next[p] = W[p,p'] State[p']
        Twice[p] = W[p,p'] W[p',p''] State[p'']
        Long[position_of_query] = W[position_of_query, position_of_key] State[position_of_key]
        "next.npy" = Next[p]
        "twice.npy" = Twice[p]
        "long.npy" = Long[p]
    """, {"w": w, "x": x}, {
        "next": F32(wide(w) @ wide(x), 5, 10),
        "twice": F32(wide(w) @ wide(w) @ wide(x), 10, 60),
        "long": F32(wide(w) @ wide(x), 5, 10)}


@program
def rank_of_ten(rng):
    x = ints(rng, -3, 3, 2, 1, 2, 3, 1, 2, 2, 1, 3, 2)
    return """
        X[a,b,c,d,e,f,g,h,i,j] = "x.npy"
        Y[j,i,h,g,f,e,d,c,b,a] = X[a,b,c,d,e,f,g,h,i,j]
        Z[d,i] = X[a,b,c,d,e,f,g,h,i,j] X[a,b,c,d,e,f,g,h,i,j]
        "y.npy" = Y[a,b,c,d,e,f,g,h,i,j]
        "z.npy" = Z[d,i]
    """, {"x": x}, {"y": I64(x.transpose()), "z": I64(einsum("abcdefghij,abcdefghij->di", x, x))}


@program
def contraction_of_disjoint_parts(rng):
    # Nothing joins the two halves: each is contracted by itself, and the results multiply.
    a, b, c, d = ints(rng, -4, 4, 3, 7), ints(rng, -4, 4, 7), ints(rng, -4, 4, 5, 2), ints(rng, -4, 4, 2)
    return """
        A[i,j] = "a.npy"
        B[j] = "b.npy"
        C[k,l] = "c.npy"
        D[l] = "d.npy"
        R[k,i] = A[i,j] B[j] C[k,l] D[l]
        "r.npy" = R[k,i]
    """, {"a": a, "b": b, "c": c, "d": d}, {"r": I64(numpy.outer(c @ d, a @ b))}
