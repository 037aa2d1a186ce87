import numpy
from sklearn.naive_bayes import BernoulliNB


def dense(pairs, rows):
    table = numpy.zeros((rows, 7), int)
    table[tuple(pairs.T)] = 1
    return table


def inputs(random):
    label = numpy.array([0, 1, 0, 1, 1, 0, 1, 0, 1, 1])
    rate = numpy.array([[0.8, 0.2, 0.5, 0.1, 0.6, 0.3, 0.7], [0.2, 0.7, 0.5, 0.6, 0.3, 0.8, 0.2]])
    train, new = random.random((10, 7)) < rate[label], random.random((5, 7)) < 0.5
    train[-1, -1] = new[-1, -1] = True  # the number of texts and of words is the largest id + 1
    return {"train.tsv": numpy.argwhere(train), "label.json": label, "new.tsv": numpy.argwhere(new)}


def outputs(train, label, new):
    model = BernoulliNB(alpha=1.0).fit(dense(train, 10), label)
    posterior = model.predict_proba(dense(new, 5))
    return {"uses.json": model.feature_count_.astype(int), "posterior.json": posterior,
            "guess.json": posterior.argmax(axis=1)}
