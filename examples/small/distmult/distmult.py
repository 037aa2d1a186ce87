import numpy


def inputs(random):
    return {"entity.json": random.normal(size=(6, 4)).round(2), "relation.json": random.normal(size=(2, 4)).round(2),
            "fact.tsv": numpy.array([(0, 0, 1), (1, 0, 2), (2, 1, 5), (3, 1, 0), (4, 0, 5)])}


def outputs(entity, relation, fact):
    p = 1 / (1 + numpy.exp(-numpy.einsum("sd,rd,od->sro", entity, relation, entity)))
    truth = numpy.zeros(p.shape)
    truth[tuple(fact.T)] = 1
    return {"p.json": p, "loss.json": -(truth * numpy.log(p) + (1 - truth) * numpy.log(1 - p)).mean()}
