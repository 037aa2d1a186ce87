import numpy
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra


def inputs(random):
    road = numpy.unique(numpy.vstack([random.integers(0, 7, (13, 2)), [6, 2]]), axis=0)
    road = road[road[:, 0] != road[:, 1]]
    return {"road.tsv": numpy.hstack([road, random.uniform(1, 9, (len(road), 1)).round(1)])}


def outputs(road):
    distance = dijkstra(csr_array((road[:, 2], road[:, :2].astype(int).T), shape=(7, 7)))
    reached = numpy.isfinite(distance)
    return {"distance.json": numpy.where(reached, distance, -1), "reached.json": reached,
            "far.json": numpy.where(reached, distance, 0).max(axis=1)}
