import numpy


def inputs(random):
    return {"x.json": random.normal(size=(4, 5)).round(2), "w1.json": random.normal(size=(6, 5)).round(2),
            "b1.json": random.normal(size=6).round(2), "w2.json": random.normal(size=(3, 6)).round(2)}


def outputs(x, w1, b1, w2):
    def answer(x, c):
        return w2[c] @ numpy.maximum(w1 @ x + b1, 0)

    gradient, drop = numpy.zeros((4, 5)), numpy.zeros((4, 5))
    for n in range(4):
        c = (w2 @ numpy.maximum(w1 @ x[n] + b1, 0)).argmax()
        for d, unit in enumerate(numpy.eye(5)):
            # The network is piecewise linear: a central difference is exact between kinks.
            gradient[n, d] = (answer(x[n] + 1e-6 * unit, c) - answer(x[n] - 1e-6 * unit, c)) / 2e-6
            drop[n, d] = answer(x[n], c) - answer(x[n] * (1 - unit), c)
    return {"attribution.json": x * gradient, "occlusion.json": drop}
