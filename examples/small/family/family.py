import numpy

PARENT = [(0, 2), (1, 2), (0, 3), (1, 3), (2, 5), (4, 5), (3, 6), (3, 7), (5, 8)]
SISTER = [(3, 2), (6, 7), (7, 6)]


def inputs(random):
    return {"parent.tsv": random.permutation(PARENT), "sister.tsv": numpy.array(SISTER)}


def outputs(parent, sister):
    parent, sister = set(map(tuple, parent)), set(map(tuple, sister))
    aunt = {(x, z) for x, y in sister for y2, z in parent if y == y2}
    grandparent = {(x, z) for x, y in parent for y2, z in parent if y == y2}
    sibling = {(x, y) for z, x in parent for z2, y in parent if z == z2 and x != y}
    cousin = {(x, y) for z, x in parent for z2, y in parent if (z, z2) in sibling}
    return {name + ".tsv": sorted(facts) for name, facts in (
        ("aunt", aunt), ("grandparent", grandparent), ("cousin", cousin), ("related", parent | grandparent | aunt))} | {
        "root.json": numpy.array([all(y != x for _, y in parent) for x in range(9)]),
        "children.json": numpy.array([sum(z == x for z, _ in parent) for x in range(9)])}
