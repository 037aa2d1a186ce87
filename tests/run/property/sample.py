"""Random programs: syntax trees, their text, and what they mean.

Expressions are tuples: ("num", v) ("list", nested) ("index", "iota", i) ("ref", tensor, indices) ("neg", a) ("not", a)
("add"|"sub"|"mul"|"div"|"pow"|"and"|"or", a, b) ("cmp", op, a, b) ("choose", style, (c1, v1, .., d))
("call", name, arguments, axis or None) ("reduce", op, names, body) ("hot", x, n) ("fn", name, arguments), and
("guard", c) inside meaning.py.
Indices: ("n", i), ("n", i, ".") with a dot, ("o", i, offset), ("f", position) or ("f", position, text),
("s", text, start, stop, step, name or None).
"""

import random

import numpy

from library import FUNCTIONS
from meaning import Equation
from trees import children, index_name
from values import ELEMENT, JOINT, KINDS, NORMALISE, REDUCE, Fragile, ProgramError, Value, join, store

EXTENTS = {"i": 3, "i'": 3, "k": 3, "j": 2, "q'": 2, "l": 1, "m": 5, "n": 5, "z": 0}
NAMED = {0: "first", 1: "second", -1: "last", -2: "before"}  # constants and parameters of every program

# ---- text

LEVEL = {"choose": 0, "or": 1, "and": 2, "cmp": 3, "add": 4, "sub": 4, "mul": 5, "div": 5, "reduce": 5, "neg": 6,
         "not": 6, "pow": 7}
SIGN = {"add": "+", "sub": "-", "div": "/", "and": "&&", "or": "||"}


def index_text(index):
    if index[0] == "o":
        return f"{index[1]}{index[2]:+d}"
    if index[0] == "s" and index[5]:
        return f"{index[5]}={index[1]}"
    return "".join(str(part) for part in index[1:]) if index[0] == "n" else str(index[-1 if index[0] == "f" else 1])


def reference(name, indices):
    """Boolean tensors are called .._t and written with parentheses."""
    text = ",".join(index_text(i) for i in indices)
    return f"{name}({text})" if name.endswith("_t") else f"{name}[{text}]" if indices else name


class Printer:
    def __init__(self, rng):
        self.rng = rng  # chooses among spellings

    def text(self, node, level=0):
        kind = node[0]
        own = LEVEL.get(kind, 8)
        if kind == "choose" and node[1] != "?:":
            own = 8
        result = self.bare(node)
        if own < level or (own < 8 and level > 0 and self.rng.random() < 0.1):
            return f"({result})"
        return result

    def bare(self, node):
        kind = node[0]
        if kind == "num":
            return str(node[1]).lower()
        if kind == "list":
            return str(node[1])
        if kind == "index":
            return f"{node[1]}({node[2]})"
        if kind == "ref":
            return reference(node[1], node[2])
        if kind in ("neg", "not"):
            return ("-" if kind == "neg" else "!") + self.text(node[1], 6)
        if kind == "pow":
            return f"{self.text(node[1], 8)} ** {self.text(node[2], 6)}"
        if kind == "cmp":
            return f"{self.text(node[2], 4)} {node[1]} {self.text(node[3], 4)}"
        if kind in ("add", "sub"):
            return f"{self.text(node[1], 4)} {SIGN[kind]} {self.text(node[2], 5)}"
        if kind in ("and", "or"):
            return f"{self.text(node[1], LEVEL[kind])} {SIGN[kind]} {self.text(node[2], LEVEL[kind] + 1)}"
        if kind in ("mul", "div"):
            left, right = self.text(node[1], 6 if node[1][0] == "reduce" else 5), self.text(node[2], 6)
            if kind == "div":
                return f"{left} / {right}"
            close = left[-1] in ")]" and right[0] != "-" or left[-1].isdigit() and right[0].isalpha()
            if node[1][0] == "ref" and not node[1][2] or node[1][0] == "list" or right[0] == "[":
                close = False
            return f"{left} {right}" if close and self.rng.random() < 0.6 else f"{left} * {right}"
        if kind == "choose":
            return self.choice(node)
        if kind == "call":
            arguments = [self.text(a) for a in node[2]]
            if node[1] == "clip":
                arguments[1:] = [f"min={arguments[1]}", f"max={arguments[2]}"]
            if node[3] is not None:
                axis = [str(a) for a in node[3]]
                arguments.append("axis=" + (axis[0] if len(axis) == 1 else f"[{', '.join(axis)}]"))
            return f"{node[1]}({', '.join(arguments)})"
        if kind == "reduce":
            return f"reduce({node[1]}, {', '.join(node[2])}) {self.text(node[3], 5)}"
        if kind == "fn":
            return f"{node[1]}({', '.join(self.text(a) for a in node[2])})"
        if kind == "hot":
            return f"one_hot({self.text(node[1])}, {node[2]})"
        raise AssertionError(kind)

    def choice(self, node):
        style, parts = node[1], node[2]
        if style == "?:":
            return f"{self.text(parts[0], 1)} ? {self.text(parts[1])} : {self.text(parts[2])}"
        if style == "case{}":
            entries = [f"{self.text(c)} -> {self.text(v)}" for c, v in zip(parts[:-1:2], parts[1::2])]
            if len(parts) % 2:
                entries.append(f"default -> {self.text(parts[-1])}")
            return "case { " + "; ".join(entries) + " }"
        return f"{style}({', '.join(self.text(p) for p in parts)})"


def function_text(name, printer):
    function = FUNCTIONS[name]
    body = [f"{reference(n, [('n', i) for i in left])} {assign} {printer.text(expr)}"
            for n, left, assign, expr in function.body]
    formals, result = (", ".join(reference(n, [("n", i) for i in axes]) for n, axes in tensors)
                       for tensors in (function.formals, [function.result]))
    return f"fn {name}({formals}) -> {result} {{ {'; '.join(body)} }}"


# ---- statements and programs


class Statement:
    """name None: a sink into `path`. left: index forms. assign: as in meaning.Equation."""

    def __init__(self, name, left, expr, guard=None, path=None, spelling=0, assign="="):
        self.assign = assign
        self.name, self.left, self.expr, self.guard, self.path, self.spelling = name, left, expr, guard, path, spelling

    def text(self):
        printer = Printer(random.Random(self.spelling))
        if self.name is None:
            return f'"{self.path}.npy" = {printer.text(self.expr)}'
        guard = f" when {printer.text(self.guard)}" if self.guard else ""
        operator = "=" if self.spelling % 3 else "+="
        if self.assign == "()" and self.spelling % 5 == 0:
            operator = "max="
        elif self.assign in JOINT:
            operator = self.assign
        return f"{reference(self.name, self.left)}{guard} {operator} {printer.text(self.expr)}"


class Meaning:
    """declared: the program declares its axes; if not, something in an equation has to fix each extent."""

    def __init__(self, tensors, extents, declared=True):
        self.tensors, self.extents, self.declared = dict(tensors), extents, declared

    def define(self, name, statements, shape):
        """The tensor that all its contributions make together."""
        parts = []
        for s in statements:
            left = list(dict.fromkeys(index_name(i) for i in s.left if index_name(i)))
            dotted = [i[1] for i in s.left if i[0] == "n" and len(i) > 2]
            equation = Equation(s.expr, left, self.tensors, self.extents, s.guard, s.assign, *dotted)
            value = equation.evaluate()
            if not self.declared and equation.loose - equation.fixed:
                raise Fragile()
            extents = {**self.extents, **equation.slices}
            parts.append((value, store(s.left, value, shape, extents, s.assign)))
        value, array = parts[0]
        kind, exact = value.kind, value.exact
        for other, more in parts[1:]:
            kind = "b" if s.assign == "()" else join(kind, other.kind)
            exact = exact and other.exact
            combine = numpy.logical_or if kind == "b" else JOINT[s.assign][0] if s.assign in JOINT else numpy.add
            array = combine(array.astype(KINDS[kind]), more.astype(KINDS[kind]))
        self.tensors[name] = self.rounded(Value(range(len(shape)), array, kind, exact))

    def rounded(self, value):
        """Real literals alone, and f32, are computed and stored in f32."""
        if value.kind in "ws":
            value.kind = "s"
            exact = value.exact and (value.array == value.array.astype(numpy.float32)).all()
            value.exact = bool(exact)
        return value

    def sink(self, statement):
        equation = Equation(statement.expr, None, self.tensors, self.extents)
        value = self.rounded(equation.evaluate())
        order = equation.sink_order(value)
        return value.array.transpose([value.names.index(n) for n in order]), value.kind, value.exact


class Program:
    """tensors: name -> (statements, shape), in an order in which they can be computed; sinks: statements."""

    def __init__(self, tensors, sinks):
        self.tensors, self.sinks = tensors, sinks

    def statements(self):
        return [s for statements, _ in self.tensors.values() for s in statements] + list(self.sinks)

    def expect(self, inputs, declared=True):
        """path -> (array, kind, exact, loose)"""
        meaning, Value.loose = Meaning(inputs, EXTENTS, declared), False
        for name, (statements, shape) in self.tensors.items():
            meaning.define(name, statements, shape)
        results = {}
        for s in self.sinks:
            array, kind, exact = meaning.sink(s)
            results[s.path] = (array, kind, exact)
        return {path: (*r, Value.loose) for path, r in results.items()}


# ---- generating


class Generator:
    def __init__(self, rng, tensors):
        self.rng = rng
        self.shapes = {name: value.array.shape for name, value in tensors.items()}
        self.kinds = {name: value.kind for name, value in tensors.items()}
        self.slices = {}

    def pick(self, *options):
        return self.rng.choice(options)

    def index(self, n, used):
        rng = self.rng
        names = [name for name, extent in EXTENTS.items() if extent == n]
        draw = rng.random()
        if draw < 0.10 and n > 0:
            position = rng.randrange(-n, n)
            named = position in NAMED and rng.random() < 0.4
            return ("f", position, NAMED[position]) if named else ("f", position)
        if draw < 0.20 and n > 1 and names:
            return ("o", rng.choice(names), rng.choice([-2, -1, 1, 2, -n]))
        if draw < 0.34 or not names:
            for _ in range(5):
                start, stop = (rng.choice([None, None, *range(-n - 1, n + 2)]) for _ in range(2))
                step = rng.choice([None, None, None, 1, 2, -1, -2])
                text = ":".join("" if b is None else NAMED[b] if b in NAMED and rng.random() < 0.3 else str(b)
                                for b in (start, stop))
                text += "" if step is None else f":{step}"
                count = len(range(n)[slice(start, stop, step)])
                fit = [name for name, extent in EXTENTS.items() if extent == count and count > 0]
                if fit and rng.random() < 0.7:
                    return ("s", text, start, stop, step, rng.choice(fit))
                if text not in used and self.slices.setdefault(text, count) == count and count > 0:
                    return ("s", text, start, stop, step, None)
            return ("f", 0) if n else ("s", ":", None, None, None, "z")
        return ("n", rng.choice(names))

    def ref(self):
        name = self.rng.choice(list(self.shapes))
        indices, used = [], set()
        for n in self.shapes[name]:
            index = self.index(n, used)
            indices.append(index)
            used.add(index_name(index))
        return ("ref", name, tuple(indices))

    def number(self):
        return ("num", self.pick(0, 1, 2, 3, 4, 0.5, 1.5, 0.25, 2.0, True))

    def call(self):
        """A function of tensors with, often, more axes than it has."""
        function, arguments, extents = FUNCTIONS[name := self.rng.choice(list(FUNCTIONS))], [], {}
        for _, axes in function.formals:
            for _ in range(40):
                argument = self.ref()
                if self.rng.random() < 0.2:
                    argument = ("mul", argument, self.ref())
                elif self.rng.random() < 0.2:
                    argument = ("call", "relu", (argument,), None)
                names = self.names_in(argument)
                bound = dict(zip(axes, (EXTENTS.get(n) for n in names[len(names) - len(axes):])))
                if len(bound) == len(axes) and all(extents.get(a, e) == e for a, e in bound.items()):
                    extents.update(bound)
                    break
            arguments.append(argument)
        return ("fn", name, tuple(arguments))

    def leaf(self):
        draw = self.rng.random()
        if draw < 0.82:
            return self.ref()
        if draw < 0.95:
            return self.number()
        return ("index", self.pick("iota", "even", "odd"), self.pick("i", "j", "k", "m"))

    def names_in(self, node):
        names = [index_name(i) for i in node[2] if index_name(i)] if node[0] == "ref" else []
        names += [node[2]] if node[0] == "index" else []
        for _, child in children(node):
            names += self.names_in(child)
        return list(dict.fromkeys(names))

    def axis(self, body, most):
        names = [n for n in self.names_in(body) if ":" not in n]
        if not names or self.rng.random() < 0.4:
            return None
        if body[0] == "ref" and self.rng.random() < 0.3:
            places = [k for k, i in enumerate(body[2]) if index_name(i) and ":" not in index_name(i)]
            return tuple(self.rng.choice([k, k - len(body[2])]) for k in places[:1])
        return tuple(self.rng.sample(names, self.rng.randint(1, min(most, len(names)))))

    def expr(self, depth):
        rng, sub = self.rng, lambda: self.expr(depth - 1)
        if depth <= 0:
            return self.leaf()
        draw = rng.random()
        if draw < 0.28:
            return ("mul", sub(), sub())
        if draw < 0.42:
            return (self.pick("add", "sub"), sub(), sub())
        if draw < 0.47:
            return ("div", sub(), sub())
        if draw < 0.52:
            return ("neg", sub())
        if draw < 0.57:
            return ("pow", sub(), self.pick(("num", 2), ("num", 3), ("num", 0), ("num", 2), ("neg", ("num", 1)),
                                            ("num", 0.5), sub()))
        if draw < 0.62:
            return ("cmp", self.pick("<", "<=", ">", ">=", "==", "!="), sub(), sub())
        if draw < 0.65:
            return ("not", sub()) if rng.random() < 0.4 else (self.pick("and", "or"), sub(), sub())
        if draw < 0.69:
            style = self.pick("?:", "select", "where", "case", "case{}")
            count = 3 if style in ("?:", "select", "where") else rng.randint(2, 5)
            return ("choose", style, tuple(self.expr(depth - 2) for _ in range(count)))
        if draw < 0.80:
            name = rng.choice(list(ELEMENT))
            if name == "clip":
                return ("call", name, (sub(), ("neg", ("num", 1)), ("num", 1.5)), None)
            return ("call", name, (sub(), sub()) if name in ("minimum", "maximum") else (sub(),), None)
        if draw < 0.88:
            body = self.ref() if rng.random() < 0.3 else sub()
            name = rng.choice(list(REDUCE))
            return ("call", name, (body,), self.axis(body, 1 if name.startswith("arg") else 3))
        if draw < 0.92:
            body = sub()
            names = [n for n in self.names_in(body) if ":" not in n]
            if names:
                names = rng.sample(names, rng.randint(1, min(2, len(names))))
                return ("reduce", self.pick("sum", "max", "min", "prod", "mean", "any", "all"), tuple(names), body)
            return body
        if draw < 0.95:
            body = self.ref() if rng.random() < 0.6 else sub()
            return ("call", rng.choice(sorted(NORMALISE)), (body,), self.axis(body, 2))
        return self.call()

    def truth(self, depth):
        """A term or factor of a Boolean equation."""
        rng, sub = self.rng, lambda: self.truth(depth - 1)
        draw = rng.random()
        if depth <= 0 or draw < 0.12:
            return self.leaf()
        if draw < 0.45:
            return ("mul", sub(), sub())
        if draw < 0.60:
            return ("add", sub(), sub())
        if draw < 0.72:
            return ("not", sub())
        if draw < 0.82:
            return (self.pick("and", "or"), sub(), sub())
        if draw < 0.92:
            return ("cmp", self.pick("<", "<=", ">", ">=", "==", "!="), self.expr(depth - 1), self.expr(depth - 1))
        if draw < 0.96:
            return ("choose", self.pick("?:", "select", "case"), (self.expr(1), sub(), sub()))
        return ("call", "relu", (self.expr(depth - 1),), None)


def choose_left(generator, expr, guard, tensors, more, declared, assign):
    """Left names with which the equation is right, if some can be found; else the error."""
    rng = generator.rng
    names = generator.names_in(expr) + (generator.names_in(guard) if guard else [])
    left = [n for n in dict.fromkeys(names) if rng.random() < 0.45] + [n for n in more if n not in names]
    patient = rng.random() < 0.85
    for _ in range(8):
        try:
            equation = Equation(expr, left, tensors, EXTENTS, guard, assign)
            equation.evaluate()
            if not declared and equation.loose - equation.fixed:
                raise Fragile()
            return left, None, equation.slices
        except ProgramError as error:
            if not patient or error.kind not in ("implied sum", "nothing to reduce", "reduce on the left",
                                                     "no place for an axis"):
                return left, error, {}
            if error.kind == "no place for an axis":
                fit = [n for n in error.names if n not in names and n not in left]
                if not fit:
                    raise Fragile() from None
                left.append(rng.choice(fit))
            elif error.kind == "implied sum":
                left += [n for n in error.names if n not in left]
            else:
                left = [n for n in left if rng.random() < 0.6]
    raise Fragile()


def choose_dot(rng, left, *rest):
    """A left index to put a dot on, or None."""
    if left and rng.random() < 0.25:
        dotted = rng.choice([n for n in left if ":" not in n] or [None])
        try:
            Equation(rest[0], left, *rest[1:], dotted).evaluate()
            return dotted
        except ProgramError:
            pass
    return None


def statement(rng, tensors, name, declared, spelling, assign="="):
    """A random equation: (statement, shape, error or None). Raises Fragile when values would not be comparable."""
    generator = Generator(rng, tensors)
    expr = (generator.truth if assign == "()" else generator.expr)(rng.choice([1, 2, 2, 3, 3, 4]))
    guard = generator.expr(2) if rng.random() < 0.08 else None
    more = []
    if declared and rng.random() < 0.12:
        more = [rng.choice(["i", "j", "k", "m", "i'"])]
        if rng.random() < 0.4 and more[0] not in generator.names_in(expr):
            hot = ("hot", ("ref", "V", (("n", "k"),)), EXTENTS[more[0]])
            expr = rng.choice([hot, ("mul", expr, hot)])
    left, error, slices = choose_left(generator, expr, guard, tensors, more, declared, assign)
    rng.shuffle(left)
    if error is None and rng.random() < 0.5:  # the order of left names decides default axes
        try:
            Equation(expr, left, tensors, EXTENTS, guard, assign).evaluate()
        except ProgramError as late:
            error = late
    if len(left) > 6:
        raise Fragile()
    dotted = None if error else choose_dot(rng, left, expr, tensors, EXTENTS, guard, assign)
    forms, shape = [], []
    for n in left:
        forms.append(("n", n, ".") if n == dotted else ("s", n, None, None, None, None) if ":" in n else
                     ("o", n, rng.choice([-2, -1, 1, 2])) if rng.random() < 0.08 else ("n", n))
        shape.append(slices.get(n, EXTENTS.get(n, 0)))
    if forms and rng.random() < 0.06:  # a diagonal
        at = rng.randrange(len(forms))
        n = left[at]
        forms.append(forms[at] if ":" in n else rng.choice([("n", n), ("n", n), ("o", n, 1)]))
        shape.append(shape[at])
    if not error and rng.random() < 0.05:  # one place of a new axis, whose extent it fixes
        at, place = rng.randrange(len(forms) + 1), rng.randrange(4)
        forms.insert(at, ("f", place, NAMED[place]) if place in NAMED and rng.random() < 0.4 else ("f", place))
        shape.insert(at, place + 1)
    return Statement(name, tuple(forms), expr, guard, spelling=spelling, assign=assign), tuple(shape), error


def program(rng, inputs, prefix, declared):
    """A program of one to three tensors that are right, and its sinks."""
    meaning, tensors, sinks = Meaning(inputs, EXTENTS, declared), {}, []
    for k in range(rng.choice([1, 1, 2, 3])):
        assign = rng.choice(["="] * 6 + ["()"] * 3 + list(JOINT))
        name = f"{prefix}T{k}" + ("_t" if assign == "()" else "")
        for _ in range(200):
            try:
                first, shape, error = statement(rng, meaning.tensors, name, declared, rng.randrange(1 << 30), assign)
                if error:
                    continue
                statements = [first]
                several = assign != "avg=" and rng.random() < (0.15 if assign == "=" else 0.4)
                for _ in range(2 if several else 0):  # contributions with the same left side, and cells
                    more, other, error = statement(rng, meaning.tensors, name, declared, rng.randrange(1 << 30), assign)
                    at = [a for a in range(len(shape)) if other == shape[:a] + shape[a + 1:] and shape[a] > 0]
                    if not error and other == shape and rng.random() < 0.8:
                        statements.append(more)
                    elif not error and at:  # it writes one place of an axis that the first fixes
                        more.left = (*more.left[:at[0]], ("f", rng.randrange(-shape[at[0]], shape[at[0]])),
                                     *more.left[at[0]:])
                        statements.append(more)
                if shape and 0 not in shape and assign != "avg=" and rng.random() < 0.08:
                    cell = tuple(("f", rng.randrange(-n, n)) for n in shape)
                    statements.append(Statement(name, cell, ("num", 3), spelling=1, assign=assign))
                meaning.define(name, statements, shape)
                break
            except Fragile:
                continue
        else:
            continue
        tensors[name] = (statements, shape)
        path = f"{prefix}S{k}"
        plain = tuple(("n", "abcdefgh"[a]) for a in range(len(shape)))
        sinks.append(Statement(None, (), ("ref", name, plain), path=path, spelling=1))
    for k in range(rng.choice([0, 1])):
        for _ in range(50):
            generator = Generator(rng, meaning.tensors)
            expr = generator.expr(rng.choice([1, 2, 3])) if rng.random() < 0.7 else generator.truth(2)
            sink = Statement(None, (), expr, path=f"{prefix}X{k}", spelling=rng.randrange(1 << 30))
            try:
                meaning.sink(sink)
                equation = Equation(expr, None, meaning.tensors, EXTENTS)
                equation.evaluate()
                if not declared and equation.loose - equation.fixed:
                    continue
                sinks.append(sink)
                break
            except (Fragile, ProgramError):
                continue
    return Program(tensors, sinks) if sinks else None


def wrong_statement(rng, inputs, name):
    """An equation that is an error: (statement, error)."""
    while True:
        try:
            result, _, error = statement(rng, inputs, name, True, rng.randrange(1 << 30))
        except Fragile:
            continue
        # With too few names for its result, a function's actuals lend theirs: more than the contract grants.
        if error and not (error.kind == "no place for an axis" and "fn" in str((result.expr, result.guard))):
            return result, error


def make_inputs(rng):
    """Tensors that come from files and from literals: name -> Value. DTYPES has the files' types."""
    def quarters(*shape):
        return numpy.round(rng.uniform(-8, 8, shape)) / 4

    def real(*shape):
        return Value(range(len(shape)), quarters(*shape), "d")

    def whole(*shape):
        return Value(range(len(shape)), rng.integers(-3, 4, shape), "i")

    b, a, c = EXTENTS["j"], EXTENTS["i"], EXTENTS["m"]
    return {"A": real(a, b), "B": real(b, a), "C": real(a, a), "D": real(c), "E": whole(a, c),
            "F": Value((0, 1), quarters(b, b), "s"), "G": real(b, a, c), "H": whole(1), "I": real(), "J": whole(a),
            "K": real(1, a), "L": whole(b, 1, a), "M": real(a, a, a), "N": real(0), "O": whole(b, 0),
            "U": Value((0, 1), rng.integers(0, 4, (a, b)), "i"), "V": Value((0,), rng.permutation(a), "i"),
            "X": Value((0, 1), rng.random((a, a)) < 0.4, "b")}


DTYPES = {"E": "i4", "L": "i2", "O": "i1", "U": "u1"}


def draw_extents(rng, scale):
    """Extents up to 9, most of which no number of ranks divides; times `scale`, to be cut into parts."""
    sizes = [1, 2, 2, 3, 3, 3, 4, 5, 5] + ([6, 7, 8, 9] if scale == 1 else [])
    three, two, five = (rng.choice(sizes) for _ in range(3))
    for names, extent in ((("i", "i'", "k"), three), (("j", "q'"), two), (("m", "n"), five)):
        EXTENTS.update({name: extent * scale if extent > 1 else extent for name in names})
