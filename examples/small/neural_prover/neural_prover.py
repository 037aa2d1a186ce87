import numpy


def inputs(random):
    return {"vector.json": (random.normal(size=(5, 3)) / 2).round(2),
            "fact.json": (random.random((5, 6, 6)) < 0.12).astype(int)}


def outputs(vector, fact):
    like = numpy.exp(-((vector[:, None] - vector) ** 2).sum(axis=2))
    best = [numpy.minimum(like[a][:, None, None], fact).max(axis=0) for a in range(3)]
    chained = numpy.minimum(best[1][:, :, None], best[2][None]).max(axis=1)
    return {"like.json": like, "proof.json": numpy.maximum(best[0], chained)}
