import itertools

import numpy


def inputs(random):
    half = numpy.triu(random.normal(size=(4, 4)), 1).round(2)
    return {"state.json": numpy.array(list(itertools.product([1, -1], repeat=4))), "coupling.json": half + half.T,
            "field.json": random.normal(size=4).round(2)}


def outputs(state, coupling, field):
    def energy(s):
        return -0.5 * numpy.einsum("ni,ij,nj->n", s, coupling, s) - s @ field

    start = energy(state)
    flipped = [energy(state * numpy.where(numpy.arange(4) == i, -1, 1)) for i in range(4)]
    p = numpy.exp(-start)
    return {"energy.json": start, "lower.json": energy(numpy.sign(state @ coupling + field)),
            "stable.json": (numpy.array(flipped) >= start).all(axis=0), "boltzmann.json": p / p.sum()}
