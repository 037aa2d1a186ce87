"""import: name spaces, what comes with a file, axes, folders."""

import numpy

from . import F32, I64, Text, f32, ints, program, wide


@program
def what_comes_with_a_file(rng):
    x, t = ints(rng, -9, 9, 6), ints(rng, -9, 9, 4)
    return """
        import "lib/tools.fuse"
        X[i] = "x.npy"
        Y[i] = double(X[i]) + offset
        Table[k] += 1
        "y.npy" = Y[i]
        "t.npy" = Table[k]
        "z.npy" = X[first]
        "e.npy" = Even[p]
    """, {"x": x, "table": t, "lib/tools.fuse": Text("""
        const first = 2
        param offset = 40
        axis p = 5
        fn double(x[i]) -> y[i] { y[i] = 2 * x[i] }
        Table[i] = "table.npy"
        Even[p] = even(p) ? 1 : 0
        "never.npy" = Table[i]
        export Table
        { let a[i] = Table[i]; "not.npy" = a[i] }
    """)}, {"y": I64(2 * x + 40), "t": I64(t + 1), "z": I64(x[2]), "e": I64([1, 0, 1, 0, 1])}


@program(fixed_order=True)
def name_spaces(rng):
    x, w, v = f32(rng, 5, 3), f32(rng, 3, 4), f32(rng, 4, 2)
    hidden = numpy.maximum(wide(x) @ wide(w) + 1, 0)
    return """
        import "nets/layer.fuse" as a
        import "nets/layer.fuse" as b
        import "nets/deep.fuse" as deep
        X[n,d] = "x.npy"
        const bias = 1
        a::W[i,j] = "w.npy"
        b::W[i,j] = "v.npy"
        H[n,h] = relu(a::linear(X[n,d], a::W[d,h]))
        Y[n,e] = b::linear(H[n,h], b::W[h,e])
        Z = deep::inner::Constant[1] + deep::Sum
        "y.npy" = Y[n,e]
        "z.npy" = Z
    """, {"x": x, "w": w, "v": v, "nets/layer.fuse": Text("""
        fn linear(x[n,d], w[d,h]) -> y[n,h] { y[n,h] = x[n,d] w[d,h] + bias }
    """), "nets/deep.fuse": Text("""
        import "inner.fuse" as inner
        let Constant[i] = 10 * inner::Constant[i]
        Sum = Constant[i] inner::weights(inner::Constant[i])
    """), "nets/inner.fuse": Text("""
        const k = 3
        Constant[i] = [1, 2, k]
        fn weights(x[i]) -> y[i] { y[i] = x[i] + Constant[k-1] }
    """.replace("Constant[k-1]", "Constant[2]"))}, {
        "y": F32(hidden @ wide(v) + 1, 12, 50), "z": I64(2 + 10 * (1 * 4 + 2 * 5 + 3 * 6))}


@program
def a_diamond_is_taken_once(rng):
    x = ints(rng, -9, 9, 7)
    return """
        import "left.fuse"
        import "right.fuse"
        import "base.fuse"
        "y.npy" = Left[i] + Right[i]
        "base.npy" = Base[i]
    """, {"x": x, "left.fuse": Text("""
        import "base.fuse"
        Left[i] = Base[i]
    """), "right.fuse": Text("""
        import "./base.fuse"
        Right[i] = 2 Base[i]
    """), "base.fuse": Text("""
        Base[i] = "x.npy"
        Base[i] += 1
    """)}, {"y": I64(3 * (x + 1)), "base": I64(x + 1)}


@program(arguments=["-I", "one", "-I", "two"])
def folders_for_imports(rng):
    return """
        import "here.fuse"
        import "there.fuse"
        axis i = 3
        "a.npy" = iota(i) + Here[i]
        "b.npy" = There[k]
    """, {"here.fuse": Text("axis i = 9\nHere[j] = [1, 2, 3]"), "one/here.fuse": Text("Here[j] = [7]"),
          "two/there.fuse": Text("There[k] = Local[k]\nimport 'next.fuse'".replace("'", '"')),
          "two/next.fuse": Text("Local[k] = [5, 6]")}, {"a": I64([1, 3, 5]), "b": I64([5, 6])}
