import numpy


def inputs(random):
    link = numpy.unique(random.integers(0, 8, (16, 2)), axis=0)
    return {"link.tsv": link[(link[:, 0] != 3) & (link[:, 0] != link[:, 1])]}  # page 3 links nowhere


def outputs(link):
    move = numpy.zeros((8, 8))
    move[tuple(link.T)] = 1
    move[move.sum(axis=1) == 0] = 1
    move /= move.sum(axis=1, keepdims=True)
    rank = numpy.full(8, 1 / 8)
    for _ in range(3):
        rank = 0.15 / 8 + 0.85 * rank @ move
    return {"rank.json": rank, "best.json": (-rank).argsort(kind="stable")[:3]}
