import numpy
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

TOLERANCE = 1e-4  # the condition number of K is about 20


def inputs(random):
    x = random.uniform(-2, 2, 8).round(2)
    return {"x.json": x, "y.json": (numpy.sin(2 * x) + 0.1 * random.normal(size=8)).round(2),
            "x_new.json": numpy.array([-2.0, -1.2, 0.3, 0.9, 1.7])}


def outputs(x, y, x_new):
    model = GaussianProcessRegressor(RBF(0.5), alpha=0.2, optimizer=None).fit(x[:, None], y)
    mean, deviation = model.predict(x_new[:, None], return_std=True)
    return {"mean.json": mean, "variance.json": deviation ** 2}
