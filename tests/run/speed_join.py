#!/usr/bin/python3
"""Sparse times dense, `H[x,d] = Edge[x,y] X[y,d]` in f32, against scipy.sparse on one core, for two graphs: the packages
of the Debian release that this machine uses with what they depend on (from the lists of apt; left out when there are
none), and a random graph. By hand, on an idle machine:

usage: speed_join.py --binary FUSE_DIST [--nodes N] [--edges N] [--width D..] [--hops K] [--repeats K] [--only GRAPH..]

Every program reads the graph and walks --hops times: H1 = Edge X, H2 = Edge H1, .. What is printed is the time of the run
phase divided by the hops, the median of the repeats; on several ranks it holds the exchange of the dense operand too. `tuples`
is the load phase: reading, exchanging and sorting the tuples, and reading X. scipy's (CSR of 32-bit indices, f32, which uses
one core) is the product alone. The last hop is compared with scipy's. Exit status 1 when it is wrong, 77 when NumPy or SciPy is
missing.
"""

import argparse
import glob
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import launch

launch.require_numpy()

import numpy  # noqa: E402

try:
    import scipy
    import scipy.sparse
except ImportError:
    sys.exit(77)


# ---- graphs: (nodes, unique pairs of ids)


def packages():
    """Debian packages and their Depends and Pre-Depends, alternatives included; None without lists."""
    names, depends = {}, []
    for path in sorted(glob.glob("/var/lib/apt/lists/*_Packages*")):
        reader = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"]
        if path.endswith(".lz4"):
            reader = ["/usr/lib/apt/apt-helper", "cat-file"]
        text = subprocess.run([*reader, path], capture_output=True, text=True, check=True).stdout
        for stanza in text.split("\n\n"):
            name = re.search(r"^Package: (\S+)", stanza, re.M)
            if name:
                source = names.setdefault(name[1], len(names))
                for line in re.findall(r"^(?:Pre-)?Depends: (.*)", stanza, re.M):
                    depends += [(source, target) for target in re.findall(r"(?:^|[,|]\s*)([a-z0-9][a-z0-9.+-]*)", line)]
    if not names:
        return None
    edges = {(source, names.setdefault(target, len(names))) for source, target in depends}
    return len(names), numpy.array(sorted(edges))


def random_graph(rng, nodes, edges):
    pairs = numpy.unique(rng.integers(0, nodes * nodes, edges))
    return nodes, numpy.stack([pairs // nodes, pairs % nodes], axis=1)


# ---- runs


def write_edges(path, edges, weights):
    order = numpy.random.default_rng(3).permutation(len(edges))
    with open(path, "w", encoding="ascii") as file:
        for (x, y), w in zip(edges[order].tolist(), weights[order].tolist()):
            file.write(f"{x}\t{y}\t{w}\n")


def program(nodes, hops):
    lines = [f"axis x = {nodes}", f"axis y = {nodes}", 'Edge[x,y] = "edges.tsv"', 'H0[y,d] = "x.npy"']
    lines += [f"H{k + 1}[x,d] = Edge[x,y] H{k}[y,d]" for k in range(hops)]
    return "\n".join(lines) + f'\n"h.npy" = H{hops}[x,d]\n'


def times_of(binary, folder, ranks, threads, name):
    command = [binary, "--threads", str(threads), "--times=json", name]
    result = launch.run(launch.on_ranks(ranks, command) if ranks > 1 else command, folder, 600)
    if result.status != 0:
        sys.exit(f"speed_join: {' '.join(command)}: exit status {result.status}\n{result.tail()}")
    for line in result.out.splitlines():
        if line.startswith("{"):
            return json.loads(line)
    sys.exit(f"speed_join: no JSON line in the output:\n{result.out}")


def walk(matrix, dense, hops):
    for _ in range(hops):
        dense = matrix @ dense
    return dense


def compare(folder, matrix, dense, hops):
    got, expected = numpy.load(os.path.join(folder, "h.npy")), walk(matrix.astype("f8"), dense.astype("f8"), hops)
    longest = int(numpy.diff(matrix.indptr).max())
    bound = 2.0**-23 * hops * (longest + 16) * walk(abs(matrix).astype("f8"), abs(dense).astype("f8"), hops).max()
    if not numpy.abs(got - expected).max() <= bound:
        sys.exit("FAIL: the result is wrong")


def measure(name, graph, width, options):
    nodes, edges = graph
    rng = numpy.random.default_rng(1)
    degree = numpy.bincount(edges[:, 0], minlength=nodes)
    weights = (rng.uniform(0.5, 1.5, len(edges)) / degree[edges[:, 0]]).astype("f4")
    dense = rng.standard_normal((nodes, width), dtype="f4")
    matrix = scipy.sparse.csr_matrix((weights, (edges[:, 0], edges[:, 1])), (nodes, nodes), dtype="f4")
    with tempfile.TemporaryDirectory(prefix="fuse-speed-") as folder:
        write_edges(os.path.join(folder, "edges.tsv"), edges, weights)
        numpy.save(os.path.join(folder, "x.npy"), dense)
        with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write(program(nodes, options.hops))
        settings = [(1, 1), (1, 2), (2, 1), (4, 1)]
        run, load, scipys = {s: [] for s in settings}, {s: [] for s in settings}, []
        for _ in range(options.repeats):
            start = time.perf_counter()
            walk(matrix, dense, options.hops)
            scipys.append((time.perf_counter() - start) / options.hops)
            for setting in settings:
                times = times_of(options.binary, folder, *setting, "prog.fuse")
                run[setting].append(times["run"] / options.hops)
                load[setting].append(times["load"])
        compare(folder, matrix, dense, options.hops)
    base = statistics.median(scipys)
    print(f"{name}: {nodes} nodes, {len(edges)} edges, width {width}; scipy {1e3 * base:.2f} ms a product")
    for setting in settings:
        taken = statistics.median(run[setting])
        print(f"  {setting[0]} ranks x {setting[1]} threads: {1e3 * taken:.2f} ms ({base / taken:.2f} x scipy's speed), "
              f"tuples {statistics.median(load[setting]):.2f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--nodes", type=int, default=200000)
    parser.add_argument("--edges", type=int, default=5000000)
    parser.add_argument("--width", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--hops", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["debian", "random"], default=["debian", "random"])
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    graphs = {"debian": packages, "random": lambda: random_graph(numpy.random.default_rng(2), options.nodes, options.edges)}
    print(f"scipy {scipy.__version__}, {os.cpu_count()} cores, medians of {options.repeats} interleaved repeats")
    for name in options.only:
        graph = graphs[name]()
        if graph is None:
            print(f"{name}: no lists of packages here")
            continue
        for width in options.width:
            measure(name, graph, width, options)


main()
