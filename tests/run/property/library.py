"""Functions of the language that random programs call, as syntax trees (sample.py describes them)."""

import collections

# formals: (name, axes) each; result: (name, axes); body: (name, left axes, operator, expression) each, in order.
Function = collections.namedtuple("Function", "formals result body")


def ref(name, *indices):
    return ("ref", name, tuple(i if isinstance(i, tuple) else ("n", i) for i in indices))


FUNCTIONS = {
    "dot": Function([("U", ("a",)), ("W", ("a",))], ("R", ()),
                    [("R", (), "=", ("mul", ref("U", "a"), ref("W", "a")))]),
    "square": Function([("U", ())], ("R", ()), [("R", (), "=", ("pow", ref("U"), ("num", 2)))]),
    "affine": Function([("W", ("a", "b")), ("U", ("b",)), ("S", ())], ("R", ("a",)),
                       [("Q", ("a",), "=", ("mul", ref("W", "a", "b"), ref("U", "b"))),
                        ("R", ("a",), "=", ("add", ref("Q", "a"), ref("S")))]),
    "turn": Function([("W", ("a", "b"))], ("R", ("b", "a")), [("R", ("b", "a"), "=", ref("W", "a", "b"))]),
    "outer": Function([("U", ("a",)), ("W", ("b",))], ("R", ("a", "b")),
                      [("R", ("a", "b"), "=", ("mul", ref("U", "a"), ref("W", "b")))]),
    "highest": Function([("W", ("a", "b"))], ("R", ("a",)), [("R", ("a",), "max=", ref("W", "a", "b"))]),
    "centred": Function([("U", ("a",))], ("R", ("a",)),
                        [("Q", (), "=", ("call", "max", (ref("U", "a"),), None)),
                         ("R", ("a",), "=", ("sub", ref("U", "a"), ref("Q")))]),
    "rise": Function([("U", ("a",))], ("R", ("a",)),
                     [("R", ("a",), "=", ("sub", ref("U", ("o", "a", 1)), ref("U", "a")))]),
    "energy": Function([("U", ("a",))], ("R", ()), [("R", (), "=", ("fn", "dot", (ref("U", "a"), ref("U", "a"))))]),
}
