"""Syntax trees of expressions; sample.py describes them."""


def index_name(index):
    """The name of the axis that an index of a reference makes, or None."""
    return {"n": index[1], "o": index[1], "f": None, "s": index[-1] or index[1]}[index[0]]


def children(node):
    """(number, child) pairs in the order of the text."""
    kind = node[0]
    if kind in ("add", "sub", "mul", "div", "pow", "and", "or"):
        return [(1, node[1]), (2, node[2])]
    if kind in ("neg", "not", "guard", "hot"):
        return [(1, node[1])]
    if kind == "cmp":
        return [(2, node[2]), (3, node[3])]
    if kind == "choose":  # ("choose", style, (c1, v1, .., d))
        return list(enumerate(node[2]))
    if kind in ("call", "fn"):
        return list(enumerate(node[2]))
    if kind == "reduce":
        return [(3, node[3])]
    return []


def with_child(node, number, child):
    node = list(node)
    if node[0] in ("choose", "call", "fn"):
        node[2] = tuple(child if k == number else c for k, c in enumerate(node[2]))
    else:
        node[number] = child
    return tuple(node)


def is_relation(expr):
    """Boolean tensors under products, + and ! && ||: a sink of them is Boolean."""
    if expr[0] == "ref":
        return expr[1].endswith("_t")
    return expr[0] in ("mul", "add", "and", "or", "not") and all(is_relation(child) for _, child in children(expr))


def walk(node, path=()):
    """The node and all below it, with their paths from it."""
    yield path, node
    for k, child in children(node):
        yield from walk(child, path + (k,))
