import numpy


def inputs(random):
    shapes = [(5, 2), (2, 5, 3), (3, 5, 2), (2, 5)]
    return {f"core{n + 1}.json": random.normal(size=shape).round(2) for n, shape in enumerate(shapes)} | {
        "place.json": random.integers(0, 5, (6, 4))}


def outputs(core1, core2, core3, core4, place):
    tensor = numpy.einsum("ia,ajb,bkc,cl->ijkl", core1, core2, core3, core4)
    return {"entry.json": tensor[tuple(place.T)], "norm.json": numpy.linalg.norm(tensor), "slice.json": tensor[:, 0, -1]}
