import numpy


def inputs(random):
    y, x = numpy.mgrid[:9, :11]
    return {"image.json": numpy.clip((((y - 4) ** 2 + (x - 5) ** 2 < 14) + 0.3 * random.normal(size=y.shape)), 0, 1).round(2)}


def filtered(image, mask):
    padded, mask = numpy.pad(image, 1), numpy.array(mask)
    windows = numpy.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return (windows * mask).sum(axis=(2, 3))


def outputs(image):
    across = filtered(image, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    down = filtered(image, [[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    return {"blur.json": filtered(image, [[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, "edge.json": numpy.hypot(across, down),
            "core.json": filtered(image > 0.5, [[0, 1, 0], [1, 1, 1], [0, 1, 0]]) == 5}
