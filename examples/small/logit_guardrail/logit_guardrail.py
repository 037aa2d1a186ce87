import numpy


def inputs(random):
    used = numpy.unique(numpy.stack([random.integers(0, 4, 8), random.integers(0, 10, 8)], axis=1), axis=0)
    return {"logit.json": (2 * random.normal(size=(4, 10))).round(2), "banned.tsv": numpy.array([[2], [7]]),
            "adult.tsv": numpy.array([[1], [4], [9]]), "minor.tsv": numpy.array([[0], [3]]), "used.tsv": used}


def outputs(logit, banned, adult, minor, used):
    allowed = numpy.ones((4, 10), bool)
    allowed[:, banned.ravel()] = False
    for n in minor.ravel():
        allowed[n, adult.ravel()] = False
    allowed[tuple(used.T)] = False
    p = numpy.exp(logit) / numpy.exp(logit).sum(axis=1, keepdims=True)
    kept = numpy.where(allowed, p, 0)
    return {"p.json": kept / kept.sum(axis=1, keepdims=True), "lost.json": 1 - kept.sum(axis=1),
            "best.json": (-kept).argsort(axis=1, kind="stable")[:, :3],
            "top.json": numpy.where(allowed, logit, -numpy.inf).max(axis=1)}
