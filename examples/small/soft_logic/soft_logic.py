import numpy


def inputs(random):
    return {"friend.json": random.uniform(size=(5, 5)).round(2), "votes.json": random.uniform(size=(5, 2)).round(2)}


def outputs(friend, votes):
    body = numpy.maximum(friend[:, :, None] + votes[None] - 1, 0)
    return {"broken.json": numpy.maximum(body - votes[:, None], 0).max(axis=1),
            "raised.json": numpy.maximum(votes, body.max(axis=1)),
            "noisy.json": 1 - (1 - friend[:, :, None] * votes[None]).prod(axis=1)}
