import itertools

import numpy


def inputs(random):
    def distributions(*shape):
        p = random.uniform(0.1, 1, shape)
        return (p / p.sum(axis=-1, keepdims=True)).round(3)

    return {"start.json": distributions(3), "move.json": distributions(3, 3), "emit.json": distributions(3, 3),
            "observed.json": random.integers(0, 3, (5, 4))}


def outputs(start, move, emit, observed):
    best, paths = [], []
    for symbols in observed:
        # Every path, by brute force.
        p = {path: start[path[0]] * numpy.prod([move[i, j] for i, j in zip(path, path[1:])])
             * numpy.prod([emit[i, o] for i, o in zip(path, symbols)]) for path in itertools.product(range(3), repeat=4)}
        paths.append(max(p, key=p.get))
        best.append(numpy.log(p[paths[-1]]))
    return {"best.json": numpy.array(best), "path.json": numpy.array(paths)}
