import numpy


def inputs(random):
    return {"x.json": random.normal(size=(8, 5)).round(2), "label.json": random.integers(0, 3, 8),
            "w1.json": random.normal(size=(6, 5)).round(2), "b1.json": random.normal(size=6).round(2),
            "w2.json": random.normal(size=(3, 6)).round(2), "b2.json": random.normal(size=3).round(2)}


def outputs(x, label, w1, b1, w2, b2):
    logit = numpy.maximum(x @ w1.T + b1, 0) @ w2.T + b2
    p = numpy.exp(logit)
    p /= p.sum(axis=1, keepdims=True)
    return {"probability.json": p, "guess.json": p.argmax(axis=1), "loss.json": -numpy.log(p[range(8), label]).mean(),
            "accuracy.json": (p.argmax(axis=1) == label).mean()}
