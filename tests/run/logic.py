#!/usr/bin/env python3
"""Rules over relations against sets of Python: usage logic.py --binary FUSE_DIST [--ranks 1,2,3] [--random N] [--seed S] [--both].

A few programs with answers that are computed here, on several numbers of ranks, and N random ones (chains of joins, recursion,
mutual too, negation, constants, repeated variables, comparisons, alternatives, min= and max= with values) against the naive
evaluation of the same rules, on all of these numbers of ranks. Random programs are put into one, fifty at a time, with names of their
own; with --both they are evaluated naively, too, and then written in other words and another order.

What would make it fail: a join, a guard or a constant that lets through what it should not, a recursion that stops early or is
cut, a negation that sees a stratum that is not complete, rows that are lost, doubled or not sorted by id, files that differ
between numbers of ranks, a value that is not the best one.
"""

import argparse
import heapq
import json
import math
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402
from random_rules import Random, lines, random_programs  # noqa: E402, F401 (other tests have them from here)

BATCH = 50  # random programs that are put into one


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
        stream.write(text)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as stream:
        return stream.read()


def numbers(text):
    return [tuple(float(f) for f in line.split("\t")) for line in text.splitlines()]


def closure(edges):
    after = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)
    reached = set()
    for start in after:
        seen, wave = set(), [start]
        while wave:
            for b in after.get(wave.pop(), ()):
                if b not in seen:
                    seen.add(b)
                    wave.append(b)
        reached |= {(start, b) for b in seen}
    return reached


# ---- programs with known answers: (text, {sink: content or list of rows of numbers}, arguments, what is printed) ----

def paths(folder, rng):
    edges = {(rng.randrange(60), rng.randrange(60)) for _ in range(90)}
    more = {(rng.randrange(60), rng.randrange(60)) for _ in range(5)}
    write(folder, "e.tsv", lines(sorted(edges)))
    write(folder, "m.tsv", lines(sorted(more)))
    base = edges | more
    reached = closure(base)
    two = {(a, d) for a, b in edges for c, d in edges if b == c and a != d and (a, d) not in edges}
    cycle = sorted({a for a, b in reached if a == b})
    return """
Edge(x,y) = "e.tsv"
Path(x,y) = Edge(x,y)
Path(x,y) = "m.tsv"
Path(x,z) = Path(x,y) Path(y,z)
Two(x,z) when x != z = Edge(x,y) Edge(y,z) !Edge(x,z)
Cycle(x) = Path(x,x)
Degree[x] = Path(x,y)
Leaf(x,y) = Edge(x,y) !Edge(y,z)
"path.tsv" = Path(x,y)
"two.csv" = Two(x,z)
"from.tsv" = Path(3,y)
"cycle.tsv" = Cycle(x)
"degree.tsv" = Degree[x]
"leaf.tsv" = Leaf(x,y)
""", {
        "path.tsv": lines(sorted(reached)),
        "two.csv": lines(sorted(two), ","),
        "from.tsv": lines((b, ) for a, b in sorted(reached) if a == 3),
        "cycle.tsv": lines((a, ) for a in cycle),
        "degree.tsv": lines((a, n) for a in range(60) for n in [sum(1 for p, _ in reached if p == a)] if n),
        "leaf.tsv": lines(sorted((a, b) for a, b in edges if all(b != c for c, _ in edges))),
    }, ["--count", "Path", "--count", "Edge"], [f"Path: {len(reached)} tuples", f"Edge: {len(edges)} tuples"]


def symbols(folder, rng):
    names = [f"p{i}" for i in range(50)]
    parents = [(rng.choice(names), rng.choice(names)) for _ in range(70)]
    write(folder, "parent.tsv", lines(parents))
    order = {}
    for row in parents:
        for name in row:
            order.setdefault(name, len(order))
    known = closure(set(parents))
    first = parents[0][0]
    key = lambda row: [order[name] for name in row]  # noqa: E731
    ancestors = sorted(known, key=key)
    return f"""
Parent(x,y) = "parent.tsv"
Ancestor(x,y) = Parent(x,y)
Ancestor(x,z) = Parent(x,y) Ancestor(y,z)
Unrelated(x,y) = Parent(x,z) Parent(y,z) !Ancestor(x,y) !Ancestor(y,x)
"ancestor.tsv" = Ancestor(x,y)
"of.tsv" = Ancestor("{first}", y)
"unrelated.tsv" = Unrelated(x,y)
""", {
        "ancestor.tsv": lines(ancestors),
        "of.tsv": lines((b, ) for a, b in ancestors if a == first),
        "unrelated.tsv": lines(sorted({(a, b) for a, c in parents for b, d in parents
                                       if c == d and (a, b) not in known and (b, a) not in known}, key=key)),
    }, [], []


def distances(folder, rng):
    weights = {(rng.randrange(80), rng.randrange(80)): rng.randrange(1, 40) / 4 for _ in range(240)}
    write(folder, "w.tsv", lines((a, b, w) for (a, b), w in weights.items()))
    best, wave = {}, [(0.0, 5)]
    while wave:
        d, a = heapq.heappop(wave)
        if a not in best:
            best[a] = d
            for (p, q), w in weights.items():
                if p == a:
                    heapq.heappush(wave, (d + w, q))
    wide = {5: 100.0}
    changed = True
    while changed:
        changed = False
        for (a, b), w in weights.items():
            if a in wide and min(wide[a], w) > wide.get(b, -1):
                wide[b] = min(wide[a], w)
                changed = True
    return """
W[x,y] = "w.tsv"
D[5] min= 0
D[y] min= D[x] + W[x,y]
Wide[5] max= 100
Wide[y] max= minimum(Wide[x], W[x,y])
Far(x) = D[x] > 3 && W(x,y)
Twice[x] = 2 D[x]
"d.tsv" = D[x]
"wide.tsv" = Wide[x]
"far.tsv" = Far(x)
"twice.npy" = Twice[x]
""", {
        "d.tsv": sorted((float(a), d) for a, d in best.items()),
        "wide.tsv": sorted((float(a), w) for a, w in wide.items()),
        "far.tsv": lines(sorted((a, ) for a in {p for p, _ in weights} if best.get(a, 9e9) > 3)),
    }, [], []


def long_chain(folder, rng):
    """300 witnesses of a fact are true, and 400 turns are not cut."""
    write(folder, "c.tsv", lines((i, i + 1) for i in range(400)))
    write(folder, "star.tsv", lines([(0, i) for i in range(1, 301)] + [(i, 301) for i in range(1, 301)]))
    return """
C(x,y) = "c.tsv"
From(0) = true
From(y) = From(x) C(x,y)
Level[0] max= 0
Level[y] when C(x,y) max= Level[x] + 1
Star(x,y) = "star.tsv"
Hop(x,z) = Star(x,y) Star(y,z)
"from.tsv" = From(x)
"level.tsv" = Level[x]
"hop.tsv" = Hop(x,z)
""", {
        "from.tsv": lines((i, ) for i in range(401)),
        "level.tsv": [(float(i), float(i)) for i in range(401)],
        "hop.tsv": "0\t301\n",
    }, [], []


def dense_parts(folder, rng):
    """Relations and dense tensors together: masks, weights, comparisons; recursion from a dense source."""
    edges = {(rng.randrange(12), rng.randrange(12)) for _ in range(25)} | {(11, 11)}
    write(folder, "e.tsv", lines(sorted(edges)))
    rows = [[1 if (a, b) in edges else 0 for b in range(12)] for a in range(12)]
    score = [rng.random() for _ in range(12)]
    write(folder, "a.json", str(rows))
    write(folder, "s.json", str(score))
    good = {a for a in range(12) if score[a] > 0.3}
    inner = closure({(a, b) for a, b in edges if a in good and b in good})
    triples = {(a, b, d) for a, b in edges for c, d in edges if b == c}
    return """
E(x,y) = "e.tsv"
A[x,y] = "a.json"
S[x] = "s.json"
Good(x) = S[x] > 0.3
Step(x,y) = A[x,y]
Inner(x,y) = Step(x,y) Good(x) Good(y)
Inner(x,z) = Inner(x,y) Step(y,z) Good(z)
Loop(x) = Step(x,x)
Into(x,y) = E(x,y) Loop(y)
High(x,y) = E(x,y) && S[x] > 0.3
Three(x,y,z) = E(x,y) E(y,z)
Back(x) = Three(x,y,x)
"inner.tsv" = Inner(x,y)
"into.tsv" = Into(x,y)
"high.tsv" = High(x,y)
"three.tsv" = Three(x,y,z)
"back.tsv" = Back(x)
""", {
        "inner.tsv": lines(sorted(inner)),
        "into.tsv": lines(sorted((a, b) for a, b in edges if (b, b) in edges)),
        "high.tsv": lines(sorted((a, b) for a, b in edges if a in good)),
        "three.tsv": lines(sorted(triples)),
        "back.tsv": lines(sorted({(a, ) for a, _, d in triples if a == d})),
    }, [], []


def two_numberings(folder, rng):
    """A relation that two operations read, whose indices have other numbers: they share its tuples."""
    write(folder, "e.tsv", "0\t1\t2\n3\t2\t4\n4\t5\t5\n")
    write(folder, "f.tsv", "5\t5\t5\t5\n1\t1\t1\t1\n0\t5\t5\t0\n")
    text = """
E(a,b,c) = "e.tsv"
F(a,b,c,d) = "f.tsv"
X(w,x,z) = F(w,x,w,w) E(z,w,x)
Flag() = X(w,x,z)
P(1) = Flag()
P(r) = P(r) && P(k)
Y(x,y,z) = E(y,z,x) Flag()
V(w,x,y) = F(y,w,x,x) E(w,x,3)
S(w) = V(w,x,y)
H(y) = Y(x,y,z) P(z)
H(w) = !E(v,w,w) * S(w)
H(w) = P(w)
"h.tsv" = H(a)
"""
    return text, {"h.tsv": "0\n1\n"}, [], []


def asked(folder, rng):
    """A chain with 450 million pairs, of which little is asked for, by recursions of all kinds. All of it would not fit in memory, nor
    be there in time, and is not computed naively either."""
    n = 30000
    write(folder, "c.tsv", lines((i, i + 1) for i in range(n)))
    write(folder, "w.tsv", lines((i, i + 1, 0.5) for i in range(n)))
    write(folder, "start.tsv", lines([(n - 30, ), (n - 60, ), (n, )]))
    return f"""
C(x,y) = "c.tsv"
W[x,y] = "w.tsv"
Start(x) = "start.tsv"
Left(x,y) = C(x,y)
Left(x,z) = Left(x,y) C(y,z)
Right(x,y) when y > 20 = C(x,y)
Right(x,z) = C(x,y) Right(y,z)
Both(x,y) = C(x,y)
Both(x,z) = Both(x,y) Both(y,z)
Guarded(x,y) = C(x,y)
Guarded(x,z) when x != z = C(x,y) Guarded(y,z)
Same(x,x) = C(x,y)
Same(x,y) = C(x,u) Same(u,v) C(y,v)
Near(x,y) = C(x,y)
Near(x,z) when z - x < 10 = Near(x,y) C(y,z)
Cost[x,y] min= W[x,y]
Cost[x,z] min= W[x,y] + Cost[y,z]
Far(y) = Start(x) Guarded(x,y) !Near(x,y)
"left.tsv" = Left(7,y)
"right.tsv" = Right(x,{n})
"both.tsv" = Both({n - 1},y)
"same.tsv" = Same({n - 100},y)
"far.tsv" = Far(y)
"cost.tsv" = Cost[{n - 40},y]
""", {
        "left.tsv": lines((i, ) for i in range(8, n + 1)),
        "right.tsv": lines((i, ) for i in range(n)),
        "both.tsv": f"{n}\n",
        "same.tsv": f"{n - 100}\n",
        "far.tsv": lines((i, ) for i in range(n - 60 + 10, n + 1)),
        "cost.tsv": [(float(i), (i - n + 40) / 2) for i in range(n - 39, n + 1)],
    }, ["--mem-per-rank", "300M"], []


def bests(folder, rng, largest=0):
    """Bests, means and products of tuples, 0 and negative ones among them: what no tuple reaches is in no list, however many cells
    there are."""
    weights = {(rng.randrange(9), rng.randrange(9)): float(rng.randrange(-2, 3)) for _ in range(30)}
    if largest:
        weights[largest, largest] = 1.0
    write(folder, "w.tsv", lines((a, b, w) for (a, b), w in sorted(weights.items())))
    pairs, products, least, most, rows = {}, {}, {}, {}, {}
    for (a, b), v in weights.items():
        rows.setdefault(a, []).append(v)
        least[a] = min(v, least.get(a, math.inf))
        most[b] = max(v, most.get(b, -math.inf))
        for (c, d), w in weights.items():
            if b == c:
                pairs[a, d] = min(v + w, pairs.get((a, d), math.inf))
                products[a, d] = (v + w) * products.get((a, d), 1)
    return """
W[x,y] = "w.tsv"
Pairs[x,z] min= W[x,y] + W[y,z]
Least[x] min= W[x,y]
Most[y] max= W[x,y]
"pairs.tsv" = Pairs[x,z]
"least.tsv" = Least[x]
"most.tsv" = Most[y]
"shifted.tsv" = Least[x + 2000]
"row.tsv" = Pairs[0,z]
Usual[x] avg= W[x,y]
Products[x,z] prod= W[x,y] + W[y,z]
"usual.tsv" = Usual[x]
Twice[x] avg= 2 W[x,y]
"twice.tsv" = Twice[x]
"products.tsv" = Products[x,z]
"products_row.tsv" = Products[0,z]
Number[x] = W[x,y]
""", {
        "usual.tsv": [(float(a), sum(v) / len(v)) for a, v in sorted(rows.items())],
        "twice.tsv": [(float(a), 2 * sum(v) / len(v)) for a, v in sorted(rows.items())],
        "products.tsv": [(float(a), float(b), v) for (a, b), v in sorted(products.items())],
        "products_row.tsv": [(float(b), v) for (a, b), v in sorted(products.items()) if a == 0],
        "shifted.tsv": "",
        "row.tsv": [(float(b), v) for (a, b), v in sorted(pairs.items()) if a == 0],
        "pairs.tsv": [(float(a), float(b), v) for (a, b), v in sorted(pairs.items())],
        "least.tsv": [(float(a), v) for a, v in sorted(least.items())],
        "most.tsv": [(float(b), v) for b, v in sorted(most.items())],
    }, ["--count", "Pairs", "--count", "Least", "--count", "Usual", "--count", "Number"], [
        f"Pairs: {len(pairs)} tuples", f"Least: {len(least)} tuples", f"Usual: {len(rows)} tuples",
        f"Number: {sum(sum(v) != 0 for v in rows.values())} tuples"]


def bests_of_many(folder, rng):
    return bests(folder, rng, 1500)


def nothing(folder, rng):
    """Relations without rows beside others: their indices have no positions, and the others' rows are there all the same."""
    write(folder, "z.tsv", "4\t1\n0\t3\n")
    write(folder, "empty.tsv", "")
    return """
Z[a] = "z.tsv"
V[a,b] = "empty.tsv"
D[a] = const([1, 2, 3, 4, 5])
First[z] = Z[z]
Second[y] = V[y,z] D[y]
Third[y] max= Z[y] + V[y,z]
Fourth[y] = Z[y] V[y,z]
"first.tsv" = First[z]
"second.tsv" = Second[y]
"third.tsv" = Third[y]
"fourth.tsv" = Fourth[y]
export Second
export Fourth
""", {"first.tsv": [(0.0, 3.0), (4.0, 1.0)], "second.tsv": "", "third.tsv": "", "fourth.tsv": ""}, [], [
        "Second = [0, 0, 0, 0, 0]", "Fourth = [0, 0, 0, 0, 0]"]


def guarded(folder, rng):
    """Files beside equations of min=, and guards that look at values: what is absent makes no contribution."""
    size = 12
    w = {(rng.randrange(size), rng.randrange(size)): float(rng.randrange(-3, 4)) for _ in range(40)}
    v = {(rng.randrange(size), rng.randrange(size)): float(rng.randrange(-3, 4)) for _ in range(15)}
    z = {x: float(rng.randrange(-2, 3)) for x in rng.sample(range(size), 6)}
    w[size - 1, size - 1] = v[size - 1, 0] = 1.0
    for name, rows in (("w.tsv", w), ("v.tsv", v)):
        write(folder, name, lines((a, b, x) for (a, b), x in sorted(rows.items())))
    write(folder, "z.tsv", lines(sorted(z.items())))
    write(folder, "pairs.tsv", "ann\tcid\ncid\tbob\nbob\tbob\ndora\tann\n")
    both = {at: min(rows[at] for rows in (w, v) if at in rows) for at in sorted({*w, *v})}
    near = {}
    for (a, b), x in w.items():
        if b in z and z[b] < 2:
            near[a] = max(near.get(a, -math.inf), x)
    mean = {}
    for (a, b), x in w.items():
        if x + z.get(a, math.nan) < 2:
            mean.setdefault(a, []).append(x)
    return """
W[x,y] = "w.tsv"
V[x,y] = "v.tsv"
Z[x] = "z.tsv"
Both[x,y] min= W[x,y]
Both[x,y] min= "v.tsv"
Large[x,y] when W[x,y] > 0 max= W[x,y]
Near[x] when Z[y] < 2 max= W[x,y]
Mean[x] when W[x,y] + Z[x] < 2 avg= W[x,y]
Either[x,y] when W(x,y) || V(y,x) max= 3.0
Pairs(x,y) = "pairs.tsv"
Apart(x,y) when x != y = Pairs(x,y)
Alone(x) when x == y = Pairs(x,y)
"both.tsv" = Both[x,y]
"large.tsv" = Large[x,y]
"near.tsv" = Near[x]
"mean.tsv" = Mean[x]
"either.tsv" = Either[x,y]
"apart.tsv" = Apart(x,y)
"alone.tsv" = Alone(x)
""", {
        "both.tsv": [(float(a), float(b), x) for (a, b), x in both.items()],
        "large.tsv": [(float(a), float(b), x) for (a, b), x in sorted(w.items()) if x > 0],
        "near.tsv": [(float(a), x) for a, x in sorted(near.items())],
        "mean.tsv": [(float(a), sum(x) / len(x)) for a, x in sorted(mean.items())],
        "either.tsv": [(float(a), float(b), 3.0) for a, b in sorted({*w, *((b, a) for a, b in v)})],
        "apart.tsv": "ann\tcid\ncid\tbob\ndora\tann\n",
        "alone.tsv": "bob\n",
    }, ["--count", "Both", "--count", "Mean"], [f"Both: {len(both)} tuples", f"Mean: {len(mean)} tuples"]


def asked_row(folder, rng):
    """A row of a recursion that a question is about is read from what it was computed as."""
    write(folder, "e.tsv", lines((i, i + 1) for i in range(60)))
    return """
E(x,y) = "e.tsv"
Path(x,y) = E(x,y)
Path(x,z) = Path(x,y) E(y,z)
"row.tsv" = Path(40,y)
"column.tsv" = Path(x,9)
""", {"row.tsv": "".join(f"{k}\n" for k in range(41, 61)), "column.tsv": "".join(f"{k}\n" for k in range(9))}, [
        "--why", "Path(0,60)"], []


PROGRAMS = [nothing, guarded, asked_row, paths, symbols, distances, long_chain, dense_parts, asked, two_numberings, bests, bests_of_many]
ONLY_SEMI_NAIVE = [asked, asked_row]


# ---- comparison ----

def compare(folder, wanted, where):
    for name, content in wanted.items():
        got = read(folder, name)
        if isinstance(content, list):
            rows = numbers(got)
            assert len(rows) == len(content) and all(
                all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(*pair)) for pair in zip(rows, content)), (where, name, got[:300], content[:20])
        else:
            assert got == content, (where, name, got[:300], content[:300])


def check_program(binary, ranks, program):
    with tempfile.TemporaryDirectory() as folder:
        text, wanted, arguments, printed = program(folder, random.Random(program.__name__))
        write(folder, "p.fuse", text)
        for fixpoint in ["semi_naive"] + (["naive"] if ranks in (1, 3) and program not in ONLY_SEMI_NAIVE else []):
            result = launch.run(launch.on_ranks(ranks, [binary, "p.fuse", "--fixpoint", fixpoint] + arguments), folder, 100)
            assert result.status == 0, (program.__name__, ranks, result.tail())
            compare(folder, wanted, (program.__name__, ranks, fixpoint))
            for line in printed:
                assert line in result.out.splitlines(), (program.__name__, ranks, line, result.out)


def check_random(binary, counts, seed, n, both):
    """Semi-naive and naive evaluation, in different words, on each number of ranks."""
    for words, fixpoint in enumerate(["semi_naive", "naive"] if both else ["semi_naive"]):
        with tempfile.TemporaryDirectory() as folder:
            text, files, wanted = random_programs(seed, n, words)
            for name, content in files.items():
                write(folder, name, content)
            write(folder, "p.fuse", text)
            for ranks in counts:
                for name in wanted:
                    if os.path.exists(os.path.join(folder, name)):
                        os.remove(os.path.join(folder, name))
                result = launch.run(launch.on_ranks(ranks, [binary, "p.fuse", "--fixpoint", fixpoint]), folder, 250)
                assert result.status == 0, (seed, ranks, fixpoint, result.tail())
                compare(folder, wanted, (seed, ranks, fixpoint))


def check_endless(binary, ranks):
    """On a cycle of negative length values get better for ever: that ends with a message, at any limit of turns. They do not where they
    become infinite, or where no way leads to the cycle."""
    endless = 'W[x,y] = "w.tsv"\nD[0] min= 0\nD[y] min= D[x] + W[x,y]\n"d.tsv" = D[x]\n'
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "w.tsv", "0\t1\t1\n1\t2\t-3\n2\t0\t1\n2\t3\t5\n")
        limit = [] if ranks < 3 else ["--max-iters", "40"]
        launch.run_text(binary, folder, endless, ranks, 76, ["'D' has not converged", "cycle of negative length"], limit)
        launch.run_text(binary, folder, endless, ranks, 0, [], ["--max-iters", "40", "--allow-nonconverged"])
        assert read(folder, "d.tsv").count("\n") == 4, read(folder, "d.tsv")
        write(folder, "w.tsv", "4\t4\t-1\n0\t1\t0\n1\t0\t0\n1\t2\t-3e38\n2\t3\t-3e38\n3\t3\t-inf\n")
        launch.run_text(binary, folder, endless, ranks, 0)
        assert numbers(read(folder, "d.tsv")) == [(0, 0), (1, 0), (2, -3e38), (3, -math.inf)], read(folder, "d.tsv")


LIMITED = """
E(x,y) = "e.tsv"
Path(x,y) = E(x,y)
Path(x,z) = Path(x,y) E(y,z)
Turned(x,y) when x != y = Path(x,y) E(y,x)
Degree[x] = Path(x,y)
"degree.npy" = Degree[x]
"turned.tsv" = Turned(x,y)
"""
MIB = 1 << 20


def check_limits(binary):
    """What rules hold and what joins make of it count together against the limit: a run ends within it, or with status 71."""
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "e.tsv", lines((i, i + 1) for i in range(4500)))
        write(folder, "p.fuse", LIMITED)
        statuses = []
        for limit in (80, 165, 190, 230, 320):
            command = [binary, "p.fuse", "--times=json", "--mem-per-rank", f"{limit}M"]
            result = launch.run(launch.on_ranks(1, command), folder, 100)
            statuses.append(result.status)
            assert result.status in (0, 71), (limit, result.tail())
            if result.status == 0:
                resident = json.loads(result.out)["resident_bytes"]
                assert resident < (limit + 48) * MIB, (limit, resident)  # libraries are resident in part
        assert statuses[0] == 71 and statuses[-1] == 0, statuses


PLANNED = """
E(x,y) = "e.tsv"
F(x,y) = "f.tsv"
Path(x,y) = E(x,y)
Path(x,z) = E(x,y) Path(y,z)
Big(x,w) when y != z && x == 4 = E(x,y) F(y,z) E(z,w) !F(x,w)
"from.tsv" = Path(3,y)
"big.tsv" = Big(x,w)
"""


def check_plan(binary):
    """The plan says how atoms are joined, what is asked, and how large relations can become; what cannot fit is refused before it is
    read, with numbers that are enough."""
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "e.tsv", lines((i, i + 1) for i in range(1999)))
        write(folder, "f.tsv", lines((i, i + 2) for i in range(30)))
        write(folder, "p.fuse", PLANNED)
        plan = launch.run([binary, "plan", "--ranks", "3", "--mem-per-rank", "100M", "p.fuse"], folder, 60)
        for said in ["Path is explored only where its column 0 is in 'asked Path'", "joins E(x, y), then asked Path by (x)",
                     "joins new Path(x, y), then E by (y)", "on blocks of bits while they fit: Path(x, z) = Path(x, y) E(y, z)",
                     "joins E(4, y), then F by (y), then E by (z), then no F by (4, w)", "asked Path has at most 1 tuple, 8 B",
                     "Path has at most 1999 tuples, 15.6 KiB",
                     "Big has at most 1999 tuples", "at most 68.0 MiB a rank"]:
            assert said in plan.out, (said, plan.tail())
        told = launch.run([binary, "plan", "--format", "json", "--ranks", "3", "--mem-per-rank", "100M", "p.fuse"], folder, 60)
        rules = [step["rules"] for step in json.loads(told.out)["steps"] if step["kind"] == "rules"]
        assert len(rules) == 1 and rules[0]["budget_bytes"] == 68 << 20, rules
        relations = {r["name"]: r for r in rules[0]["relations"]}
        assert relations["Path"]["tuples_max"] == 1999 and relations["Path"]["bytes_max"] == 8 * 1999, relations
        assert relations["asked Path"]["asks"] == "Path" and relations["asked Path"]["asked_columns"] == [0], relations
        assert any(r["joins"] == ["new Path(x, y), then E by (y)"] for r in rules[0]["rules"]), rules
        # 2,000,000 tuples of 8 bytes do not fit beside the 48 MiB that a rank needs anyway.
        write(folder, "e.tsv", lines((i % 3000, i // 700) for i in range(2000000)))
        refused = launch.run([binary, "run", "--mem-per-rank", "56M", "p.fuse"], folder, 60)
        assert refused.status == 71 and "it needs at least 63.3 MiB" in refused.tail(), refused.tail()
        more = launch.run(launch.on_ranks(3, [binary, "run", "--mem-per-rank", "64M", "p.fuse"]), folder, 60)
        assert more.status in (0, 71) and "does not fit" not in more.tail(), more.tail()
        if more.status == 71:
            assert "not enough memory for relation" in more.tail() and "in use" in more.tail(), more.tail()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,5,8")
    parser.add_argument("--random", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--both", action="store_true", help="evaluate random programs naively, too")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    counts = [int(n) for n in arguments.ranks.split(",")]
    check_plan(binary)
    check_limits(binary)
    for ranks in counts:
        check_endless(binary, ranks)
        for program in PROGRAMS:
            check_program(binary, ranks, program)
    for k in range(0, arguments.random, BATCH):
        check_random(binary, counts, f"{arguments.seed}.{k}", min(BATCH, arguments.random - k), arguments.both or k == 0)
    print(f"{len(PROGRAMS)} programs on {counts} ranks, {arguments.random} random programs")


if __name__ == "__main__":
    main()
