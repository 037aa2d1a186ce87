"""Which indices of an equation are free where, and which of them functions and reductions take."""

from library import FUNCTIONS
from trees import children, index_name, walk
from values import NORMALISE, REDUCE, Fragile, ProgramError


class Taken:
    """A part of meaning.Equation: .expr, .left and .dotted are the equation's; .taken becomes path -> names."""

    def free(self, node, path):
        """Names that stand in the node and are not taken in it, in order of first appearance."""
        names = [index_name(i) for i in node[2]] if node[0] == "ref" else [node[2]] if node[0] == "index" else []
        names = [n for n in names if n is not None]
        for k, child in children(node):
            names += self.free(child, path + (k,))
        gone = self.taken.get(path, ()) if self.takes_away(node) else ()
        return [n for n in dict.fromkeys(names) if n not in gone]

    def named_right(self, node, path):
        """The same without the guard, which is not on the right side."""
        if node[0] == "guard":
            return []
        if not any(n[0] == "guard" for _, n in walk(node, path)):
            return self.free(node, path)
        return [n for k, child in children(node) for n in self.named_right(child, path + (k,))]

    def takes_away(self, node):
        return node[0] in ("reduce", "fn") or (node[0] == "call" and node[1] in REDUCE)

    def axis_names(self, node, path, axis):
        argument = node[2][0]
        names = self.free(argument, path + (0,))
        result = []
        for a in axis:
            if isinstance(a, int):
                order = [index_name(i) for i in argument[2]] if argument[0] == "ref" else names
                if not -len(order) <= a < len(order) or order[a] is None:
                    raise ProgramError("axis position")
                a = order[a]
            elif a not in names:
                self.refuse_unsettled(argument)
                raise ProgramError("axis name")
            result.append(a)
        return set(result)

    def refuse_unsettled(self, argument):
        """A reduction in it without axis= takes what its surroundings leave, which is not known yet."""
        if any(n[0] == "call" and n[1] in REDUCE and n[3] is None for _, n in walk(argument, ())):
            raise Fragile()

    def refuse_made(self, node):
        """The contract does not say what the axes of a function's result are called in a reduction or a guard."""
        if any(n[0] == "fn" and FUNCTIONS[n[1]].result[1] for _, n in walk(node, ())):
            raise Fragile()

    def find_taken(self):
        """axis= and reduce() say what is taken; without, what nothing else has: found from above."""
        defaults = {}

        def visit(node, path):
            for k, child in children(node):
                visit(child, path + (k,))
            if node[0] == "reduce" or node[0] == "call" and node[1] in (*REDUCE, *NORMALISE):
                self.refuse_made(node)
            if node[0] == "reduce":
                names = self.free(node[3], path + (3,))
                if self.left and set(node[2]) & self.left:
                    raise ProgramError("reduce on the left")
                if not set(node[2]) <= set(names):
                    self.refuse_unsettled(node[3])
                    raise ProgramError("reduce lacks")
                self.taken[path] = set(node[2])
            elif node[0] == "call" and node[1] in REDUCE and node[3] is not None:
                self.taken[path] = self.axis_names(node, path, node[3])
            elif node[0] == "fn":
                self.taken[path] = self.bound_names(node, path)
            elif node[0] == "call" and node[1] in REDUCE and self.dotted in self.free(node[2][0], path + (0,)):
                self.taken[path] = {self.dotted}
            elif node[0] == "call" and node[1] in REDUCE:
                defaults[path] = node
                self.taken[path] = set(self.free(node[2][0], path + (0,))) - (self.left or set())

        def outside(node, path, target, above):
            if path == target:
                return above
            for k, child in children(node):
                if target[:len(path) + 1] == path + (k,):
                    for other, sibling in children(node):
                        if other != k:
                            above = above | set(self.free(sibling, path + (other,)))
                    return outside(child, path + (k,), target, above)
            raise AssertionError

        visit(self.expr, ())
        changed = True
        while changed:
            changed = False
            for path in defaults:
                rest = outside(self.expr, (), path, set())
                if self.taken[path] & rest:
                    self.taken[path] -= rest
                    changed = True
        for path, node in defaults.items():
            if not self.taken[path]:
                raise ProgramError("nothing to reduce")
            if node[1] != "sum" and self.shared_in_product(node[2][0], path + (0,), self.taken[path]):
                raise ProgramError("say axis")
        for path, node in walk(self.expr, ()):
            if node[0] == "call" and node[1] in ("argmax", "argmin") and len(self.taken[path]) != 1:
                raise ProgramError("one index")

    def bound_names(self, call, path):
        """The last axes of each actual are the formal's; a name is bound, or it leads, in the whole call."""
        bound, leading = set(), set()
        for k, ((_, formal), actual) in enumerate(zip(FUNCTIONS[call[1]].formals, call[2])):
            free = self.free(actual, path + (k,))
            at = len(free) - len(formal)
            if at < 0:
                raise ProgramError("rank of an argument")
            bound.update(free[at:])
            leading.update(free[:at])
        if bound & leading:
            raise Fragile()
        return bound

    def shared_in_product(self, node, path, names):
        parts = [(child, path + (k,)) for k, child in children(node)]
        if node[0] in ("mul", "div") and names.intersection(*(self.free(*p) for p in parts)):
            return True
        return any(self.shared_in_product(*p, names) for p in parts)
