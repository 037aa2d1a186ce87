import numpy
from sklearn.metrics.pairwise import rbf_kernel


def inputs(random):
    x = random.normal(size=(9, 2)).round(2)
    return {"x.json": x, "y.json": numpy.where(x[:, 0] * x[:, 1] > 0, 1, -1),
            "new.json": random.normal(size=(4, 2)).round(2), "alpha.json": random.uniform(0, 1, 9).round(2)}


def outputs(x, y, new, alpha):
    step = numpy.clip(alpha + 1 - y * (rbf_kernel(x, x, gamma=0.5) @ (alpha * y)), 0, 1) - alpha
    best = numpy.abs(step).argmax()
    alpha = alpha.copy()
    alpha[best] += step[best]
    return {"alpha.json": alpha, "decision.json": rbf_kernel(new, x, gamma=0.5) @ (alpha * y)}
