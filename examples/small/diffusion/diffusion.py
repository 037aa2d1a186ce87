import numpy


def inputs(random):
    shapes = {"x": (4, 3), "noise": (3, 4, 3), "w1": (5, 3), "time": (3, 5), "w2": (3, 5)}
    return {name + ".json": random.normal(size=shape).round(2) for name, shape in shapes.items()}


def outputs(x, noise, w1, time, w2):
    beta = numpy.array([0.1, 0.2, 0.3])
    abar = numpy.cumprod(1 - beta)
    for t in (2, 1, 0):
        eps = numpy.tanh(x @ w1.T + time[t]) @ w2.T
        x = (x - beta[t] / numpy.sqrt(1 - abar[t]) * eps) / numpy.sqrt(1 - beta[t])
        if t > 0:
            x = x + numpy.sqrt(beta[t]) * noise[t]
    return {"abar.json": abar, "sample.json": x}
