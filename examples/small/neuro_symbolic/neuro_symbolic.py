import numpy


def inputs(random):
    return {"left.json": random.normal(size=(5, 3)).round(2), "right.json": random.normal(size=(5, 3)).round(2),
            "weight.json": random.normal(size=(4, 3)).round(2), "sum.json": numpy.array([0, 2, 3, 5, 6])}


def outputs(left, right, weight, sum):
    p1, p2 = (numpy.exp(x @ weight.T) / numpy.exp(x @ weight.T).sum(axis=1, keepdims=True) for x in (left, right))
    sums = numpy.array([numpy.convolve(a, b) for a, b in zip(p1, p2)])
    known = sums[range(5), sum]
    posterior = numpy.zeros((5, 4))
    for n in range(5):
        for a in range(4):
            if 0 <= sum[n] - a < 4:
                posterior[n, a] = p1[n, a] * p2[n, sum[n] - a] / known[n]
    return {"sums.json": sums, "left.json": posterior, "loss.json": -numpy.log(known).mean()}
