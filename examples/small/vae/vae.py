import numpy


def inputs(random):
    shapes = {"noise": (6, 2), "w_hidden": (5, 8), "b_hidden": (5,), "w_mean": (2, 5), "w_log": (2, 5),
              "w_out": (8, 2), "b_out": (8,)}
    return {"x.json": random.integers(0, 2, (6, 8))} | {
        name + ".json": random.normal(size=shape).round(2) for name, shape in shapes.items()}


def outputs(x, noise, w_hidden, b_hidden, w_mean, w_log, w_out, b_out):
    hidden = numpy.tanh(x @ w_hidden.T + b_hidden)
    mean, log_variance = hidden @ w_mean.T, hidden @ w_log.T
    z = mean + numpy.exp(log_variance / 2) * noise
    out = 1 / (1 + numpy.exp(-(z @ w_out.T + b_out)))
    entropy = (x * numpy.log(out) + (1 - x) * numpy.log(1 - out)).sum(axis=1)
    kl = (mean ** 2 + numpy.exp(log_variance) - log_variance - 1).sum(axis=1) / 2
    return {"reconstruction.json": out, "kl.json": kl, "loss.json": (kl - entropy).mean()}
