"""Kinds of graphs: their edges, and for regular ones how many pairs reach each other."""

import random


def chain(n):
    return [(i, i + 1) for i in range(n - 1)], n * (n - 1) // 2


def cycle(n):
    return [(i, (i + 1) % n) for i in range(n)], n * n


def grid(side):
    """Right and down."""
    edges = [(i * side + j, i * side + j + 1) for i in range(side) for j in range(side - 1)]
    edges += [(i * side + j, (i + 1) * side + j) for i in range(side - 1) for j in range(side)]
    return edges, (side * (side + 1) // 2)**2 - side * side


def tree(arity, depth):
    """Away from the root; a vertex has as many above it as its level says."""
    vertices = sum(arity**level for level in range(depth + 1))
    return [((v - 1) // arity, v) for v in range(1, vertices)], sum(level * arity**level for level in range(depth + 1))


def uniform(n, m):
    rng = random.Random(f"{n} {m}")
    return sorted({(rng.randrange(n), rng.randrange(n)) for _ in range(m)}), None


def rmat(scale, m):
    """Each bit of an edge's ends lands in one of four quarters, with unequal odds (Chakrabarti, Zhan, Faloutsos 2004)."""
    rng = random.Random(f"{scale} {m}")
    edges = set()
    for _ in range(m):
        x = y = 0
        for _ in range(scale):
            quarter = rng.choices(range(4), (0.57, 0.19, 0.19, 0.05))[0]
            x, y = 2 * x + quarter // 2, 2 * y + quarter % 2
        edges.add((x, y))
    return sorted(edges), None


KINDS = {
    "chain": lambda: chain(600),
    "cycle": lambda: cycle(400),
    "grid": lambda: grid(20),
    "tree": lambda: tree(3, 6),
    "random": lambda: uniform(700, 900),
    "rmat": lambda: rmat(9, 1500),
}
