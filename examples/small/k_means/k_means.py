import numpy


def inputs(random):
    home = numpy.array([[-2, 0], [2, 1], [0, -2]])
    return {"x.json": (home[random.integers(0, 3, 14)] + 0.8 * random.normal(size=(14, 2))).round(2)}


def outputs(x):
    centre = numpy.array([[-1.0, 0], [1, 1], [0, -1]])
    for _ in range(2):
        cluster = ((x[:, None] - centre) ** 2).sum(axis=2).argmin(axis=1)
        centre = numpy.array([x[cluster == k].mean(axis=0) for k in range(3)])
    distance = ((x[:, None] - centre) ** 2).sum(axis=2)
    return {"centre.json": centre, "cluster.json": distance.argmin(axis=1), "spread.json": distance.min(axis=1).sum()}
