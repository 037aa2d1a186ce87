import numpy


def inputs(random):
    cells = numpy.unique(numpy.vstack([random.integers(0, (6, 5, 4), (25, 3)), [5, 4, 3]]), axis=0)
    return {"tensor.tsv": numpy.hstack([cells, random.normal(size=(len(cells), 1)).round(2)]),
            "b.json": random.normal(size=(5, 2)).round(2), "c.json": random.normal(size=(4, 2)).round(2)}


def outputs(tensor, b, c):
    x = numpy.zeros((6, 5, 4))
    x[tuple(tensor[:, :3].astype(int).T)] = tensor[:, 3]
    # Least squares for the rows of A, without the normal equations.
    design = numpy.einsum("jr,kr->jkr", b, c).reshape(20, 2)
    return {"m.json": x.reshape(6, 20) @ design, "a.json": numpy.linalg.lstsq(design, x.reshape(6, 20).T, rcond=None)[0].T}
