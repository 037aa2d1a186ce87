"""What an equation means, densely and slowly, with NumPy: an interpreter of the language that shares nothing with
fuse-dist. It works on the syntax trees of sample.py, whose head describes them.

An expression is evaluated for a set `keep` of index names: those of the left side, and those that stand elsewhere in
the equation. Whatever else it has is summed in it, as deep as all uses of the name allow.
"""

import itertools
import math

import numpy

from library import FUNCTIONS
from taken import Taken
from trees import children, index_name, is_relation
from values import (ELEMENT, JOINT, JUMPS, KINDS, NORMALISE, REDUCE, Fragile, ProgramError, Value, join, number_kind,
                    real_kind, refuse_large, shifted, spread, sum_over, together)


class Equation(Taken):
    """One right side with its guard. left: index names of the left side, or None for a sink. assign: "=" or "+=", an
    operator of a joint equation, or "()" for a Boolean tensor. dotted: the left index with a dot, or None."""

    def __init__(self, expr, left, tensors, extents, guard=None, assign="=", dotted=None):
        self.dotted = dotted
        self.joint, self.assign = assign in JOINT, assign
        self.logical = assign == "()" or left is None and is_relation(expr)
        self.guard = guard
        self.left = set(left) if left is not None else None
        self.left_order = list(left) if left is not None else []
        self.tensors, self.extents = tensors, extents
        self.expr = expr
        if guard is not None:
            self.expr = ("mul", expr, ("guard", guard)) if self.joint else self.guarded(expr, guard)
        self.fresh = itertools.count()
        self.slices = {}
        self.taken = {}
        self.makers = 0
        self.fixed, self.loose = set(), set(self.left or ())  # indices whose extent something fixes, or must fix
        if guard is not None:
            self.refuse_made(guard)
        self.find_taken()
        self.named = set(self.named_right(self.expr, ()))
        if any(":" in n for n in (self.left or set()) - set(self.free(self.expr, ()))):
            raise Fragile()  # only an operand that takes it has that slice: its extent is not known

    def guarded(self, expr, guard):
        """The guard is a factor of every top-level term."""
        if expr[0] in ("add", "sub"):
            return (expr[0], self.guarded(expr[1], guard), self.guarded(expr[2], guard))
        if expr[0] == "neg":
            return ("neg", self.guarded(expr[1], guard))
        return ("mul", expr, ("guard", guard))

    # ---- values

    def evaluate(self):
        if self.joint:
            return self.projected()
        keep = self.left if self.left is not None else None
        value = self.value(self.expr, (), keep, {}, "truth" if self.logical else None)
        return self.truth(value) if self.logical else value

    def projected(self):
        """One expression over all its axes, projected at the end; cells where the guard is false are left out."""
        if self.guard is None:
            value, true = self.value(self.expr, (), self.left, {}, None), Value((), True, "b")
        else:
            value = self.value(self.expr[1], (1,), self.left | self.uses(self.expr[2], (2,), {}), {}, None)
            true = self.value(self.expr[2], (2,), None, {}, None)
        kind = real_kind(value.kind) if self.assign == "avg=" else number_kind(value.kind)
        names, arrays = together([Value(value.names, value.array, kind, value.exact), true])
        array, true = numpy.broadcast_arrays(*arrays)
        axes = tuple(k for k, n in enumerate(names) if n not in self.left)
        if self.assign == "avg=":
            count = true.sum(axis=axes)
            result = numpy.where(count > 0, numpy.where(true, array, 0).sum(axis=axes) / numpy.maximum(count, 1), 0)
        elif self.assign == "prod=":
            array = numpy.where(true, array, 1)
            if array.dtype.kind == "f" and (numpy.abs(array) > 1e9).any():
                raise Fragile()
            refuse_large(array, axes)
            result = array.prod(axis=axes)
        else:
            array = numpy.where(true, array, JOINT[self.assign][1])
            result = JOINT[self.assign][2](array, axis=axes, initial=JOINT[self.assign][1])
        return Value([n for n in names if n in self.left], result, kind, value.exact and self.assign != "avg=")

    def sink_order(self, value):
        order = [n for n in self.free(self.expr, ())]
        return [n for n in order if n in value.names] + [n for n in value.names if n not in order]

    def uses(self, node, path, names):
        return {names.get(n, n) for n in self.free(node, path)}

    def value(self, node, path, keep, names, region):
        """names: the scopes of reductions; region: None, "closing", "logical", or "truth": a term or factor of a
        Boolean equation. In a joint equation nothing is summed but in `!`."""
        outer = self.logical
        if region == "closing" or node[0] == "guard":  # computed as numbers
            self.logical = False
        try:
            return getattr(self, "do_" + node[0])(node, path, keep, names, region)
        finally:
            self.logical = outer

    def land(self, value, keep, region, is_product=False):
        """Sums what is not kept."""
        extra = [n for n in value.names if keep is not None and n not in keep]
        if not extra or self.joint:
            return value
        return self.take_away(value, extra, region, is_product)

    def take_away(self, value, extra, region, is_product=False):
        if region in ("logical", "truth"):
            axes = tuple(value.names.index(n) for n in extra)
            truth = self.truth(value)
            return Value([n for n in value.names if n not in extra], truth.array.any(axis=axes), "b")
        if region == "closing" and not is_product:
            raise ProgramError("implied sum", [n if isinstance(n, str) else n[0] for n in extra])
        return sum_over(value, extra)

    def arguments(self, node, path, keep, names, regions, more=()):
        """The children's values; each keeps what the others use."""
        pairs = children(node)
        used = [self.uses(child, path + (k,), names) for k, child in pairs]
        values = []
        for at, (k, child) in enumerate(pairs):
            others = set(more).union(*(u for o, u in enumerate(used) if o != at))
            values.append(self.value(child, path + (k,), None if keep is None else keep | others, names, regions[at]))
        return values

    def truth(self, value):
        if not value.exact and value.array.size and (numpy.abs(value.array) < 1e-6).any():
            raise Fragile()
        return Value(value.names, value.array > 0, "b")

    def combine(self, values, function, kind, exact=None):
        order, arrays = together(values)
        with numpy.errstate(all="ignore"):
            result = function(*[a.astype(KINDS[kind]) if kind != "b" else a for a in arrays])
        return Value(order, result, kind, all(v.exact for v in values) if exact is None else exact)

    # ---- leaves

    def do_num(self, node, path, keep, names, region):
        return Value((), node[1], "b" if isinstance(node[1], bool) else "i" if isinstance(node[1], int) else "w")

    def do_list(self, node, path, keep, names, region):
        array = numpy.array(node[1])
        return self.land(Value(self.left_order, array, "i" if array.dtype.kind == "i" else "w"), keep, region)

    def do_index(self, node, path, keep, names, region):
        place = numpy.arange(self.extents[node[2]])
        self.loose.add(names.get(node[2], node[2]))
        value = {"iota": place, "even": place % 2 == 0, "odd": place % 2 == 1}[node[1]]
        return self.land(Value((names.get(node[2], node[2]),), value, "i" if node[1] == "iota" else "b"), keep, region)

    def do_ref(self, node, path, keep, names, region):
        tensor = self.tensors[node[1]]
        array, axes, axis = tensor.array, [], 0
        for index in node[2]:
            n = array.shape[axis]
            if index[0] == "f":
                if not -n <= index[1] < n:
                    raise ProgramError("position outside")
                array = array.take(index[1], axis=axis)
                continue
            if index[0] == "o":
                array = shifted(array, axis, index[2])
            if index[0] == "s":
                array = array[(slice(None),) * axis + (slice(*index[2:5]),)]
                name = index_name(index)
                if self.slices.setdefault(name, array.shape[axis]) != array.shape[axis]:
                    raise Fragile()
            name = names.get(index_name(index), index_name(index))
            if name in axes:  # the diagonal
                first = axes.index(name)
                array = numpy.moveaxis(numpy.diagonal(array, axis1=first, axis2=axis), -1, first)
                continue
            axes.append(name)
            axis += 1
        self.fixed.update(axes)
        return self.land(Value(axes, array, tensor.kind, tensor.exact), keep, region)

    # ---- operators

    def is_truth(self, region):
        return self.logical and region in ("logical", "truth")

    def do_add(self, node, path, keep, names, region, sign=1):
        if self.joint:
            pair = self.arguments(node, path, keep, names, [region, region])
        else:
            pair = [self.value(child, path + (k,), keep, names, region) for k, child in children(node)]
        if self.is_truth(region):
            return self.combine([self.truth(v) for v in pair], numpy.logical_or, "b", True)
        kind = join(pair[0].kind, pair[1].kind)
        return self.combine(pair, lambda a, b: a + sign * b, kind)

    def do_sub(self, node, path, keep, names, region):
        return self.do_add(node, path, keep, names, region, -1)

    def do_neg(self, node, path, keep, names, region):
        value = self.value(node[1], path + (1,), keep, names, region)
        return Value(value.names, -value.array.astype(KINDS[number_kind(value.kind)]), number_kind(value.kind),
                     value.exact)

    def factors(self, node, path):
        """The factors of a chain of products and quotients."""
        for k, child in children(node):
            if child[0] in ("mul", "div") and (node[0], k) != ("div", 2):
                yield from self.factors(child, path + (k,))
            else:
                yield child, path + (k,)

    def kept_in_chain(self, node, path, keep, names, region):
        """An OR over what several factors of a chain share is taken around the whole chain: the factors' order does not
        matter. For sums that is the same."""
        if region != "logical" or keep is None:
            return keep
        used = [n for child, at in self.factors(node, path) for n in self.uses(child, at, names)]
        return keep | {n for n in used if used.count(n) > 1}

    def do_mul(self, node, path, keep, names, region):
        pair = self.arguments(node, path, self.kept_in_chain(node, path, keep, names, region), names, [region, region])
        if self.is_truth(region):
            value = self.combine([self.truth(v) for v in pair], numpy.logical_and, "b", True)
            return self.land(value, keep, region, True)
        value = self.combine(pair, lambda a, b: a * b, join(pair[0].kind, pair[1].kind))
        return self.land(value, keep, region, True)

    def do_div(self, node, path, keep, names, region):
        pair = self.arguments(node, path, self.kept_in_chain(node, path, keep, names, region), names,
                              [region, "closing"])
        if pair[1].array.size and numpy.abs(pair[1].array).min() < 1e-3:
            raise Fragile()
        kind = real_kind(join(pair[0].kind, pair[1].kind))
        return self.land(self.combine(pair, lambda a, b: a / b, kind, False), keep, region, True)

    def do_pow(self, node, path, keep, names, region):
        base, exponent = self.arguments(node, path, keep, names, ["closing", "closing"])
        literal = node[2] if node[2][0] == "num" else node[2][1] if node[2][0] == "neg" else None
        whole = literal is not None and literal[0] == "num" and isinstance(literal[1], int)
        if whole:
            kind = number_kind(base.kind) if exponent.array >= 0 else real_kind(base.kind)
        else:
            kind = real_kind(join(base.kind, exponent.kind))
        exact = base.exact and whole and bool(exponent.array >= 0)
        if not whole and (base.array.astype(float) < 1e-3).any() or (
                whole and exponent.array < 0 and (numpy.abs(base.array.astype(float)) < 1e-3).any()):
            raise Fragile()
        return self.land(self.combine([base, exponent], lambda a, b: a ** b, kind, exact), keep, region)

    def do_cmp(self, node, path, keep, names, region):
        pair = self.arguments(node, path, keep, names, ["closing", "closing"])
        _, arrays = together([Value(v.names, v.array.astype(float), "d") for v in pair])
        if not all(v.exact for v in pair) and (numpy.abs(arrays[0] - arrays[1]) < 1e-6).any():
            raise Fragile()
        operate = {"<": numpy.less, "<=": numpy.less_equal, ">": numpy.greater, ">=": numpy.greater_equal,
                   "==": numpy.equal, "!=": numpy.not_equal}[node[1]]
        return self.land(self.combine(pair, operate, "b", True), keep, region)

    def do_and(self, node, path, keep, names, region):
        pair = [self.truth(v) for v in self.arguments(node, path, keep, names, ["logical", "logical"])]
        value = self.combine(pair, numpy.logical_and if node[0] == "and" else numpy.logical_or, "b")
        return self.land(value, keep, region)

    do_or = do_and

    def do_not(self, node, path, keep, names, region):
        value = self.truth(self.arguments(node, path, keep, names, ["logical"])[0])
        extra = [n for n in value.names if self.joint and keep is not None and n not in keep]
        if extra:
            value = self.take_away(value, extra, "logical")
        return self.land(Value(value.names, ~value.array, "b"), keep, region)

    def do_guard(self, node, path, keep, names, region):
        return self.truth(self.value(node[1], path + (1,), None, names, None))

    def do_choose(self, node, path, keep, names, region):
        n = len(node[2])
        regions = ["closing" if k % 2 == 0 and k != n - 1 else region for k in range(n)]
        values = self.arguments(node, path, keep, names, regions)
        if n % 2 == 0:
            values.append(Value((), 0, "i"))
            regions.append(region)
        picked = [values[-1]] + values[1:-1:2]
        kind = picked[0].kind
        for v in picked[1:]:
            kind = kind if kind == v.kind else join(kind, v.kind)
        conditions = [self.truth(v) for v in values[:-1:2]]
        order, arrays = together(conditions + picked)
        arrays = numpy.broadcast_arrays(*arrays) if arrays else arrays
        result = arrays[len(conditions)].astype(KINDS[kind])
        for k in reversed(range(len(conditions))):
            result = numpy.where(arrays[k], arrays[len(conditions) + 1 + k].astype(KINDS[kind]), result)
        return self.land(Value(order, result, kind, all(v.exact for v in picked)), keep, region)

    # ---- calls

    def do_call(self, node, path, keep, names, region):
        name = node[1]
        if name in REDUCE:
            return self.reduction(REDUCE[name], name, node[2][0], path + (0,), self.taken[path], keep, names, region)
        if name in NORMALISE:
            return self.normaliser(node, path, keep, names, region)
        function, kind = ELEMENT[name]
        values = self.arguments(node, path, keep, names, ["closing"] * len(node[2]))
        exact = all(v.exact for v in values)
        if name in JUMPS and not exact:
            scaled = 2 * values[0].array
            if (numpy.abs(scaled - numpy.round(scaled)) < 1e-5).any():
                raise Fragile()
        common = "i"
        for v in values:
            common = join(common, v.kind)
        result = {"number": common, "real": real_kind(common), "truth": "b"}[kind]
        if name in ("floor", "ceil", "round") and common == "i":
            return self.land(self.combine(values, lambda x: x, "i"), keep, region)
        return self.land(self.combine(values, function, result, kind != "real" and exact or name == "step"), keep,
                         region)

    def do_reduce(self, node, path, keep, names, region):
        return self.reduction(REDUCE[node[1]], node[1], node[3], path + (3,), set(node[2]), keep, names, region)

    def reduction(self, row, name, body, path, taken, keep, names, region):
        inner = dict(names)
        number = next(self.fresh)
        inner.update({n: (n, number) for n in taken})
        mine = {inner[n] for n in taken}
        value = self.value(body, path, None if keep is None else keep | mine, inner, "closing")
        for n in taken:
            if inner[n] not in value.names:
                extent = self.slices.get(n, self.extents.get(n))
                value = Value((*value.names, inner[n]), numpy.broadcast_to(value.array[..., None],
                                                                          (*value.array.shape, extent)), value.kind)
        axes = tuple(value.names.index(n) for n in value.names if n in mine)
        function, kind = row
        if name == "prod":
            refuse_large(value.array, axes)
        if name in ("max", "amax", "min", "amin", "mean", "avg", "argmax", "argmin", "logsumexp") and any(
                value.array.shape[a] == 0 for a in axes):
            raise Fragile()
        array, exact = value.array, value.exact
        if kind == "truth":
            array = self.truth(value).array
        elif kind == "place":
            axes = axes[0]
            if not exact and array.size:
                ends = numpy.sort(array, axis=axes)
                if ends.shape[axes] > 1 and (numpy.abs(numpy.diff(ends, axis=axes)) < 1e-6).any():
                    raise Fragile()
        result = {"number": number_kind(value.kind), "real": real_kind(value.kind), "truth": "b", "place": "i"}[kind]
        array = array if result == "b" else array.astype(KINDS[number_kind(value.kind)])
        out = Value([n for n in value.names if n not in mine], function(array, axis=axes), result,
                    exact and kind != "real" or kind in ("truth", "place"))
        return self.land(out, keep, region)

    def normaliser(self, node, path, keep, names, region):
        argument, axis = node[2][0], node[3]
        free = self.free(argument, path + (0,))
        if axis is not None:
            over = self.axis_names(node, path, axis)
        elif self.dotted in free:
            over = {self.dotted}
        elif argument[0] == "ref" and free:
            over = {[index_name(i) for i in argument[2] if index_name(i)][-1]}
        else:
            candidates = [n for n in (self.left_order if self.left is not None else self.free(self.expr, ()))
                          if n in free]
            if not candidates:
                raise ProgramError("no axis")
            over = {candidates[-1]}
        over = {names.get(n, n) for n in over}
        value = self.arguments(node, path, keep, names, ["closing"], over)[0]
        axes = tuple(value.names.index(n) for n in over)
        if node[1] == "cumsum":
            kind = number_kind(value.kind)
            array = value.array.astype(KINDS[kind])
            for axis in axes:
                array = array.cumsum(axis=axis)
            return self.land(Value(value.names, array, kind, value.exact), keep, region)
        x = value.array.astype(float)
        if x.size == 0:
            raise Fragile()
        top = x - x.max(axis=axes, keepdims=True)
        mean = x.mean(axis=axes, keepdims=True)
        total = numpy.exp(top).sum(axis=axes, keepdims=True)
        result = {"softmax": numpy.exp(top) / total, "log_softmax": top - numpy.log(total),
                  "rmsnorm": x / numpy.sqrt((x * x).mean(axis=axes, keepdims=True) + 1e-5)}.get(node[1])
        if result is None:
            spread_ = ((x - mean) ** 2).mean(axis=axes, keepdims=True)
            if not value.exact and (spread_ < 1e-2).any():
                raise Fragile()
            result = (x - mean) / numpy.sqrt(spread_ + 1e-5)
        return self.land(Value(value.names, result, real_kind(value.kind), False), keep, region)

    def made_axis(self, extent):
        """The name of an axis that a call makes: in order, the left indices that nothing on the right names."""
        if self.left is None:
            return ("made", next(self.fresh))
        new = [n for n in self.left_order if n not in self.named]
        if self.makers >= len(new):
            raise ProgramError("no place for an axis", [n for n, e in self.extents.items() if e == extent])
        name = new[self.makers]
        self.fixed.add(name)
        self.makers += 1
        if self.extents.get(name) != extent:  # a slice that only the guard names has none here
            raise Fragile()
        return name

    def do_hot(self, node, path, keep, names, region):
        name = self.made_axis(node[2])
        value = self.arguments(node, path, keep, names, ["closing"])[0]
        if not value.exact:
            raise Fragile()
        array = value.array[..., None] == numpy.arange(node[2])
        return self.land(Value((*value.names, name), array, "b"), keep, region)

    def do_fn(self, node, path, keep, names, region):
        """The body for every point of the leading axes of the actuals."""
        function, number, inner, actuals, leading = FUNCTIONS[node[1]], next(self.fresh), dict(names), [], {}
        inner.update({n: (n, number) for n in self.taken[path]})
        used = [self.uses(actual, path + (k,), inner) for k, actual in children(node)]
        for k, actual in children(node):
            others = set().union(*(u for o, u in enumerate(used) if o != k))
            gone = set()
            if keep is not None:
                gone = {n for n in self.free(actual, path + (k,)) if inner.get(n, n) not in keep | others
                        and n not in self.taken[path] and self.shared_in_product(actual, path + (k,), {n})}
            if any(self.shared_in_product(actual, path + (k,), {n}) for n in (used[k] if keep is None else names)):
                raise Fragile()  # contracted there, or an axis of the sink or of an enclosing reduction
            value = self.value(actual, path + (k,), used[k] - gone, inner, "closing")
            order = [inner.get(n, n) for n in self.free(actual, path + (k,)) if n not in gone]
            if set(order) != set(value.names):
                raise Fragile()
            rank = len(function.formals[k][1])
            leading.update(dict(zip(order[:len(order) - rank], spread(value, order).shape)))
            actuals.append((order[:len(order) - rank], spread(value, order), value))
        if not 0 < math.prod(leading.values()) <= 400:
            raise Fragile()
        results = []
        for point in numpy.ndindex(*leading.values()):
            at = dict(zip(leading, point))
            parts = [Value(range(a.ndim - len(lead)), a[tuple(at[n] for n in lead)], v.kind, v.exact)
                     for lead, a, v in actuals]
            results.append(self.call_body(function, parts))
        array = numpy.reshape([r.array for r in results], (*leading.values(), *results[0].array.shape))
        made = [self.made_axis(extent) for extent in results[0].array.shape]
        return self.land(Value((*leading, *made), array, results[0].kind, all(r.exact for r in results)), keep, region)

    def call_body(self, function, parts):
        extents = {}
        for (_, axes), part in zip(function.formals, parts):
            for name, extent in zip(axes, part.array.shape):
                if extent == 0 or extents.setdefault(name, extent) != extent:
                    raise Fragile()
        tensors = {formal: part for (formal, _), part in zip(function.formals, parts)}
        for name, left, assign, expr in function.body:
            value = Equation(expr, list(left), tensors, extents, None, assign).evaluate()
            array = numpy.broadcast_to(spread(value, left), [extents[n] for n in left])
            tensors[name] = Value(range(len(left)), array, value.kind, value.exact)
        return tensors[function.result[0]]
