import numpy


def inputs(random):
    x = numpy.hstack([random.normal(size=(12, 3)).round(2), numpy.ones((12, 1))])
    return {"x.json": x, "y.json": (x @ [1, -2, 0.5, 0.3] + random.normal(size=12) > 0).astype(int)}


def outputs(x, y):
    weight = numpy.zeros(4)
    for _ in range(3):
        weight = weight - 0.5 * x.T @ (1 / (1 + numpy.exp(-x @ weight)) - y) / 12
    p = 1 / (1 + numpy.exp(-x @ weight))
    return {"weight.json": weight, "loss.json": -(y * numpy.log(p) + (1 - y) * numpy.log(1 - p)).mean(),
            "accuracy.json": ((p > 0.5) == y).mean()}
