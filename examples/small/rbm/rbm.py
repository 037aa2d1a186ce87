import numpy


def inputs(random):
    return {"visible.json": random.integers(0, 2, (5, 6)), "uniform.json": random.uniform(size=(5, 3)).round(2),
            "weight.json": random.normal(size=(6, 3)).round(2), "visible_bias.json": random.normal(size=6).round(2),
            "hidden_bias.json": random.normal(size=3).round(2)}


def outputs(visible, uniform, weight, visible_bias, hidden_bias):
    def sigmoid(x):
        return 1 / (1 + numpy.exp(-x))

    h0 = sigmoid(visible @ weight + hidden_bias)
    v1 = sigmoid((h0 > uniform) @ weight.T + visible_bias)
    h1 = sigmoid(v1 @ weight + hidden_bias)
    return {"weight.json": weight + 0.1 * (visible.T @ h0 - v1.T @ h1) / 5, "error.json": ((visible - v1) ** 2).mean()}
