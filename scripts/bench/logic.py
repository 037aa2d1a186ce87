#!/usr/bin/python3
"""Rules over facts against their bars, fuse-dist on one and more ranks beside GraphBLAS, in one run.

usage: logic.py --binary FUSE_DIST --peer BARE_GRAPHBLAS --hello MPI_HELLO [--ranks N..] [--repeats K] [--only TEXT..] [--no-bars]
                [--no-peer] [--json FILE]

Each case is a program and facts that are made here, as text. In each repeat fuse-dist runs once on each number of ranks, one
thread each, and what is compared are medians of its run phase: facts resident, the result kept and counted (--count). GraphBLAS
(tests/run/bare_graphblas.c, semi-naive, one thread) computes the same fixpoint once, its facts resident too; it is left out where it
would take minutes. Counts are compared with closed forms, with what SciPy finds, or with GraphBLAS. Exit status 1 when one is
wrong or a bar is missed, 77 when NumPy or SciPy is missing.
"""

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import scipy.sparse
    import scipy.sparse.csgraph
    import scipy.spatial
except ImportError:
    sys.exit(77)

# ---- facts: pairs of ids, as arrays of two columns


def grid(side):
    """Edges to the right and down, ids row by row."""
    v = numpy.arange(side * side).reshape(side, side)
    return numpy.concatenate([numpy.stack([v[:, :-1].ravel(), v[:, 1:].ravel()], 1),
                              numpy.stack([v[:-1].ravel(), v[1:].ravel()], 1)])


def grid_count(side):
    """Pairs of points of which one lies below and right of the other, or in its row or column."""
    return (side * (side + 1) // 2) ** 2 - side * side


def tree(depth):
    child = numpy.arange(1, 2 ** (depth + 1) - 1)
    return numpy.stack([(child - 1) // 2, child], 1)


def chain(n):
    return numpy.stack([numpy.arange(n - 1), numpy.arange(1, n)], 1)


def cycle(n):
    return numpy.stack([numpy.arange(n), numpy.roll(numpy.arange(n), -1)], 1)


def uniform(n, edges):
    return numpy.random.default_rng(1).integers(0, n, (edges, 2))


def rmat(scale, edges):
    """Quadrants of probability 0.57, 0.19, 0.19 and 0.05."""
    quadrant = numpy.searchsorted([0.57, 0.76, 0.95], numpy.random.default_rng(1).random((scale, edges)), side="right")
    weights = 2 ** numpy.arange(scale)[:, None]
    return numpy.stack([((quadrant // 2) * weights).sum(0), ((quadrant % 2) * weights).sum(0)], 1)


def geometric(n, degree):
    """Points of the unit square, linked both ways when they are closer than what gives the degree."""
    points = numpy.random.default_rng(1).random((n, 2))
    pairs = scipy.spatial.cKDTree(points).query_pairs((degree / (numpy.pi * n)) ** 0.5, output_type="ndarray")
    return numpy.concatenate([pairs, pairs[:, ::-1]])


def shuffled(edges, n):
    return numpy.random.default_rng(7).permutation(n)[edges]


def by_breadth(edges, n):
    """Ids in the order of breadth-first searches, each from the first point that is left."""
    graph = scipy.sparse.csr_matrix((numpy.ones(len(edges), bool), edges.T), (n, n))
    number, order = numpy.full(n, -1), 0
    for start in range(n):
        if number[start] >= 0:
            continue
        number[start] = order
        order += 1
        queue = collections.deque([start])
        while queue:
            at = queue.popleft()
            for to in graph.indices[graph.indptr[at]:graph.indptr[at + 1]]:
                if number[to] < 0:
                    number[to] = order
                    order += 1
                    queue.append(to)
    return number[edges]


def linked_count(edges, n):
    """Pairs of points of one component, of those that have an edge; edges go both ways."""
    graph = scipy.sparse.csr_matrix((numpy.ones(len(edges), bool), edges.T), (n, n))
    sizes = numpy.bincount(scipy.sparse.csgraph.connected_components(graph, directed=False)[1]).astype(int)
    return int((sizes[sizes > 1] ** 2).sum())


def andersen(n, assign, load, store):
    """Address-of, assign, load and store facts for so many variables, mostly local, as in real programs."""
    state = 88172645463325252

    def draw(below):
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        return (state >> 33) % below

    def near(v):
        return (v + 1 + draw(50)) % n if draw(10) else draw(n)

    facts = {}
    for name, per_hundred in (("addressOf", 30), ("assign", assign), ("load", load), ("store", store)):
        facts[name] = numpy.array(sorted({(v, near(v)) for v in range(n) if draw(100) < per_hundred}))
    return facts


def weighted(n, edges):
    rng = numpy.random.default_rng(1)
    pairs = rng.integers(0, n, (edges, 2))
    return numpy.concatenate([pairs, rng.integers(1, 1001, (edges, 1))], 1)


def reached_count(edges, n):
    graph = scipy.sparse.csr_matrix((numpy.ones(len(edges), bool), edges[:, :2].T), (n, n))
    return len(scipy.sparse.csgraph.breadth_first_order(graph, 0, return_predecessors=False))


# ---- programs

CLOSURE = 'Edge(x,y) = "edge.tsv"\nPath(x,z) = Edge(x,z)\nPath(x,z) = Path(x,y) Edge(y,z)\n'
RIGHT = CLOSURE.replace("Path(x,y) Edge(y,z)", "Edge(x,y) Path(y,z)")
TWICE = CLOSURE.replace("Path(x,y) Edge(y,z)", "Path(x,y) Path(y,z)")
GENERATION = """Parent(x,y) = "edge.tsv"
Path(x,y) when x != y = Parent(p,x) Parent(p,y)
Path(x,y) = Parent(p,x) Path(p,q) Parent(q,y)
"""
POINTS_TO = """AddressOf(y,x) = "addressOf.tsv"
Assign(y,x) = "assign.tsv"
Load(y,x) = "load.tsv"
Store(y,x) = "store.tsv"
Path(y,x) = AddressOf(y,x)
Path(y,x) = Assign(y,z) Path(z,x)
Path(y,w) = Load(y,x) Path(x,z) Path(z,w)
Path(z,w) = Store(y,x) Path(y,z) Path(x,w)
"""
SHORTEST = """Edge[x,y] = "edge.tsv"
Far[x] when x == 0 min= 0
Far[y] min= Far[x] + Edge[x,y]
Path(x) = Far[x] < 1000000000
"""


class Case:
    """A program, its facts, and what is asked of it. bar: seconds on one rank. gain: how much faster two ranks must be. truth: the
    number of tuples, None: what GraphBLAS counts. peer: what GraphBLAS is asked, None: nothing."""

    def __init__(self, name, program, n, facts, *, bar=None, truth=None, peer=None, gain=None, memory=None, whole=None, than=None,
                 reference="", ranks=None, all_memory=None):
        self.name, self.program, self.n, self.facts, self.truth, self.peer = name, program, n, facts, truth, peer
        self.bar, self.gain, self.memory, self.whole, self.than = bar, gain, memory, whole, than
        self.reference, self.ranks, self.all_memory = reference, ranks, all_memory


def cases():
    def closure(name, n, facts, **more):
        return Case(name, CLOSURE, n, facts, **more)

    tree_count = 16 * 2**18 + 2
    million = 1000000
    road = shuffled(geometric(130000, 2.5), 130000)
    return [
        closure("closure: grid 100", 10000, lambda: grid(100), bar=0.15, truth=grid_count(100), peer="closure",
                whole=18.5 / 15, reference="Souffle 18.5"),
        closure("closure: grid 100, shuffled", 10000, lambda: shuffled(grid(100), 10000), bar=0.20, truth=grid_count(100)),
        Case("the same, right-linear", RIGHT, 10000, lambda: grid(100), truth=grid_count(100)),
        Case("the same, not linear", TWICE, 10000, lambda: grid(100), truth=grid_count(100)),
        closure("closure: G(20k, 24k)", 20000, lambda: uniform(20000, 24000), bar=0.35, peer="closure", whole=22.5 / 15,
                reference="Souffle 22.5"),
        closure("closure: G(4k, 32k)", 4000, lambda: uniform(4000, 32000), bar=3.1 / 60, peer="closure",
                reference="Souffle 16.5, brie 3.1"),
        closure("closure: binary tree, depth 17", 2**18 - 1, lambda: tree(17), bar=0.2, truth=tree_count, peer="closure",
                memory=120, reference="Souffle 0.55"),
        closure("the same, shuffled", 2**18 - 1, lambda: shuffled(tree(17), 2**18 - 1), truth=tree_count),
        Case("same generation: binary tree, depth 11", GENERATION, 2**12 - 1, lambda: tree(11), bar=0.06,
             truth=(4**12 - 1) // 3 - (2**12 - 1), peer="generation", reference="Souffle 0.64"),
        closure("closure: grid 250", 62500, lambda: grid(250), bar=10, truth=grid_count(250), gain=1.7),
        closure("closure: grid 250, shuffled", 62500, lambda: shuffled(grid(250), 62500), bar=14, truth=grid_count(250),
                gain=1.7),
        closure("closure: road-like, breadth-first ids", 130000, lambda: by_breadth(road, 130000),
                truth=linked_count(road, 130000), peer="closure"),
        closure("closure: road-like, shuffled", 130000, lambda: road, truth=linked_count(road, 130000),
                than=("closure: road-like, breadth-first ids", 2)),
        closure("closure: chain 20k", 20000, lambda: chain(20000), truth=20000 * 19999 // 2),
        closure("closure: cycle 20k", 20000, lambda: cycle(20000), truth=20000 * 20000),
        closure("closure: R-MAT 2^14, 32k", 2**14, lambda: rmat(14, 32768), peer="closure"),
        Case("shortest paths: 1M nodes, 4M edges", SHORTEST, million, lambda: weighted(million, 4000000),
             truth=lambda facts: reached_count(facts, million), ranks=[1, 2, 8], all_memory=2000),
        Case("points-to: N = 1M, sparse", POINTS_TO, million, lambda: andersen(million, 45, 6, 6), bar=1.0, truth=657657,
             peer="points_to", reference="Souffle 1.33"),
        Case("points-to: N = 20k, 60 8 8", POINTS_TO, 20000, lambda: andersen(20000, 60, 8, 8), bar=3, truth=3529858,
             peer="points_to", reference="Souffle 7.0"),
        Case("points-to: N = 100k, 52 7 7", POINTS_TO, 100000, lambda: andersen(100000, 52, 7, 7), bar=7, truth=5331539,
             peer="points_to", reference="Souffle 16.5"),
    ]


# ---- runs


def environment():
    env = dict(os.environ)
    env.update({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
                "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none", "OMP_NUM_THREADS": "1"})
    return env


def run(command, folder):
    """What a command prints, the seconds it took, and those of processors."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        sys.exit(f"logic: {' '.join(command)}: exit status {process.returncode}\n{text}")
    return text, time.monotonic() - start, usage.ru_utime + usage.ru_stime


def measure(options, folder, ranks):
    """Seconds of the run phase, tuples, seconds of the job, of its processors, and MB of the largest rank."""
    program = [options.binary, "--threads", "1", "--count", "Path", "--times=json", "--progress=off", "program.fuse"]
    text, wall, cpu = run(program if ranks == 1 else ["mpirun", "-n", str(ranks), *program], folder)
    lines = text.splitlines()
    times = json.loads(next(line for line in lines if line.startswith("{")))
    tuples = int(next(line for line in lines if line.startswith("Path: ")).split()[1])
    return times["run"], tuples, wall, cpu, times["resident_bytes"] / 1e6


def write_facts(folder, facts):
    for name, rows in (facts if isinstance(facts, dict) else {"edge": facts}).items():
        numpy.savetxt(os.path.join(folder, name + ".tsv"), rows, fmt="%d", delimiter="\t")


def judge(case, options, found, medians):
    """What of a case is not as it must be."""
    faults = []
    one, two = found["seconds"].get(1), found["seconds"].get(2)
    if len(found["counts"]) > 1 or (found["truth"] is not None and found["counts"] != {found["truth"]}):
        faults.append("WRONG COUNT")
    if options.no_bars:
        return faults
    if case.bar and one and one > case.bar:
        faults.append("TOO SLOW")
    if case.gain and one and two and one / two < case.gain:
        faults.append("TOO LITTLE GAIN")
    if case.memory and 1 in found["mb"] and found["mb"][1] > case.memory:
        faults.append("TOO LARGE")
    if case.all_memory and any(ranks * mb > case.all_memory for ranks, mb in found["mb"].items()):
        faults.append("TOO LARGE")
    if case.whole and found["whole"] and found["whole"] > case.whole:
        faults.append("START TOO SLOW")
    if case.than and one and case.than[0] in medians and one > case.than[1] * medians[case.than[0]]:
        faults.append("DEPENDS ON IDS")
    return faults


def run_case(case, options, medians):
    found = {"name": case.name, "seconds": {}, "cpu": {}, "mb": {}, "counts": set(), "peer": None, "truth": None, "whole": None}
    with tempfile.TemporaryDirectory(prefix="fuse-logic-") as folder:
        facts = case.facts()
        write_facts(folder, facts)
        found["truth"] = case.truth(facts) if callable(case.truth) else case.truth
        with open(os.path.join(folder, "program.fuse"), "w", encoding="utf-8") as file:
            file.write(case.program)
        if case.peer and not options.no_peer:
            source = folder if case.peer == "points_to" else os.path.join(folder, "edge.tsv")
            seconds, count = run([options.peer, case.peer, str(case.n), source], folder)[0].split()
            found["peer"] = float(seconds)
            if found["truth"] is None:
                found["truth"] = int(count)
            found["counts"].add(int(count))
        seconds, processor, whole, hello = collections.defaultdict(list), collections.defaultdict(list), [], []
        for _ in range(options.repeats):
            for ranks in case.ranks or options.ranks:
                taken, count, wall, cpu, mb = measure(options, folder, ranks)
                seconds[ranks].append(taken)
                processor[ranks].append(cpu)
                found["counts"].add(count)
                found["mb"][ranks] = max(mb, found["mb"].get(ranks, 0))
                if ranks == 1 and case.whole:
                    whole.append(wall)
                    hello.append(run([options.hello], folder)[1])
        found["seconds"] = {ranks: statistics.median(taken) for ranks, taken in seconds.items()}
        found["cpu"] = {ranks: statistics.median(taken) for ranks, taken in processor.items()}
        if whole:
            found["whole"] = statistics.median(whole) - statistics.median(hello)
    if 1 in found["seconds"]:
        medians[case.name] = found["seconds"][1]
    found["faults"] = judge(case, options, found, medians)
    return found


def line(case, found):
    def number(value, digits=3):
        return "-" if value is None else f"{value:.{digits}f}"

    ranks = sorted(found["seconds"])
    one, two = found["seconds"].get(1), found["seconds"].get(2)
    asked = [f"{case.bar:.3g} s"] if case.bar else []
    asked += [f"{case.gain:g} x on 2"] if case.gain else []
    asked += [f"{case.memory} MB"] if case.memory else []
    asked += [f"{case.all_memory} MB in all"] if case.all_memory else []
    asked += [f"whole {case.whole:.2f} s"] if case.whole else []
    asked += [f"{case.than[1]} x the line above"] if case.than else []
    more = [f"{r} ranks {found['seconds'][r]:.3f}" for r in ranks if r > 2]
    more += [f"whole {found['whole']:.3f}"] if found["whole"] is not None else []
    return (f"{case.name:<40} {max(found['counts']):>11} {number(one):>8} {number(found['cpu'].get(1), 2):>6} {number(two):>8} "
            f"{number(one / two if one and two else None, 2):>6} {number(found['mb'].get(1), 0):>7} {number(found['peer'], 2):>9}  "
            + "; ".join(filter(None, [", ".join(asked), ", ".join(more), case.reference, ", ".join(found["faults"])])))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--hello", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--no-bars", action="store_true")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.binary, options.peer, options.hello = map(os.path.abspath, (options.binary, options.peer, options.hello))
    medians, results = {}, []
    print(f"{'':<40} {'tuples':>11} {'1 rank s':>8} {'cpu s':>6} {'2 ranks':>8} {'gain':>6} {'MB':>7} {'GraphBLAS':>9}  asked; more")
    for case in cases():
        if options.only and not any(text in case.name for text in options.only):
            continue
        results.append(run_case(case, options, medians))
        print(line(case, results[-1]), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump([dict(found, counts=sorted(found["counts"])) for found in results], file, indent=1)
    return 1 if any(found["faults"] for found in results) else 0


if __name__ == "__main__":
    sys.exit(main())
