import numpy


def some(random, count, *extents):
    rows = [random.integers(0, extent, count) for extent in extents]
    return numpy.unique(numpy.stack([*rows], axis=1), axis=0)


def inputs(random):
    return {"has_role.tsv": some(random, 12, 6, 4), "grants.tsv": numpy.array([(0, 0), (0, 1), (1, 2), (2, 1), (2, 3), (3, 4)]),
            "denied.tsv": some(random, 5, 6, 5), "risky.tsv": numpy.array([[1], [3]]),
            "approved.tsv": some(random, 25, 6, 5, 6)}


def outputs(has_role, grants, denied, risky, approved):
    ways = numpy.zeros((6, 5), int)
    for u, r in has_role:
        for r2, a in grants:
            ways[u, a] += r == r2
    denied, risky = set(map(tuple, denied)), set(risky.ravel())
    second = {(u, a) for u, a, by in approved if u != by}
    granted = [(u, a) for u in range(6) for a in range(5) if ways[u, a]]
    allow = [(u, a) for u, a in granted if (u, a) not in denied and (a not in risky or (u, a) in second)]
    return {"allow.tsv": allow, "useless.tsv": [right for right in granted if right not in allow], "ways.json": ways}
