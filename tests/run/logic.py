#!/usr/bin/env python3
"""Rules over relations against sets of Python: usage logic.py --binary FUSE_DIST [--ranks 1,2,3] [--random N] [--seed S].

A few programs with answers that are computed here, on several numbers of ranks, and N random ones (chains of joins, recursion,
mutual too, negation, constants, repeated variables, comparisons, alternatives, min= and max= with values) against the naive
evaluation of the same rules. Random programs are put into one program by the hundred, with names of their own.

What would make it fail: a join, a guard or a constant that lets through what it should not, a recursion that stops early or is
cut, a negation that sees a stratum that is not complete, rows that are lost, doubled or not sorted by id, files that differ
between numbers of ranks, a value that is not the best one.
"""

import argparse
import heapq
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402


def lines(rows, separator="\t"):
    return "".join(separator.join(str(field) for field in row) + "\n" for row in rows)


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


PROGRAMS = [paths, symbols, distances, long_chain, dense_parts, asked]
ONLY_SEMI_NAIVE = [asked]


# ---- random programs ----

IDS = 7  # every column of a file has the largest one


class Random:
    """One program of random rules over facts, as text and as sets."""

    def __init__(self, rng, name):
        self.rng, self.name, self.text, self.facts, self.arity = rng, name, [], {}, {}
        self.given = [self.add_file(f"{name}E{k}", rng.choice([1, 2, 2, 2, 3])) for k in range(rng.randrange(2, 4))]
        self.strata = []
        known = list(self.given)
        for s in range(rng.randrange(1, 4)):
            heads = [f"{name}P{s}{k}" for k in range(rng.randrange(1, 3))]
            for head in heads:
                self.arity[head], self.facts[head] = rng.choice([1, 2, 2, 3]), set()
            rules = [self.rule(head, known, heads, first) for head in heads for first in [True] + [False] * rng.randrange(3)]
            self.strata.append(rules)
            for rule in rules:
                self.text.append(self.show(rule))
            known += heads
        # All of every relation, or what some relations have for some ids: then rules explore no more than that.
        derived = [h for h in self.facts if h not in self.given]
        asking = rng.random() < 0.5
        self.derive_all()
        if asking:
            derived = rng.sample(derived, min(len(derived), rng.choice([1, 1, 1, 2])))
        self.sinks = {head: [None] * self.arity[head] for head in derived}
        for head, terms in self.sinks.items():
            some = rng.choice(sorted(self.facts[head]) or [(0, ) * self.arity[head]])
            for c in range(self.arity[head]):
                if asking and rng.random() < 0.6 and terms.count(None) > 1:
                    terms[c] = some[c] if rng.random() < 0.8 else 0
            columns = ",".join("abc"[c] if t is None else str(t) for c, t in enumerate(terms))
            self.text.append(f'"{head}.tsv" = {head}({columns})')

    def add_file(self, name, arity):
        rows = {tuple(self.rng.randrange(IDS) for _ in range(arity)) for _ in range(self.rng.randrange(1, 14))}
        rows.add((IDS - 1, ) * arity)
        self.facts[name], self.arity[name] = rows, arity
        self.text.append(f'{name}({",".join("abc"[:arity])}) = "{name}.tsv"')
        return name

    def files(self):
        return {f"{name}.tsv": lines(sorted(self.facts[name])) for name in self.given}

    def rule(self, head, known, same, plain):
        rng, variables = self.rng, ["x", "y", "z", "w"]
        body = []
        for _ in range(rng.randrange(1, 4)):
            name = rng.choice(known if plain or rng.random() < 0.4 else known + same * 3)
            terms = [rng.choice(variables) for _ in range(self.arity[name])]
            if name in self.given and rng.random() < 0.15:
                terms[rng.randrange(len(terms))] = rng.randrange(IDS + 1)
            body.append((name, terms))
        bound = sorted({t for _, terms in body for t in terms if isinstance(t, str)})
        negated, compared = [], []
        if bound and rng.random() < 0.35:
            name = rng.choice(known)
            terms = [rng.choice(bound) for _ in range(self.arity[name])]
            if len(terms) > 1 and rng.random() < 0.3:
                terms[0] = "v"  # there is none
            negated.append((name, terms))
        if len(bound) > 1 and rng.random() < 0.35:
            a, b = rng.sample(bound, 2)
            compared.append((a, rng.choice(["!=", "<", "<=", "=="]), b, rng.randrange(-1, 2)))
        terms = [rng.choice(bound) if bound and rng.random() < 0.9 else rng.randrange(IDS) for _ in range(self.arity[head])]
        return head, terms, body, negated, compared

    def show(self, rule):
        head, terms, body, negated, compared = rule
        atoms = [f"{name}({','.join(map(str, t))})" for name, t in body]
        atoms += [f"!{name}({','.join(map(str, t))})" for name, t in negated]
        self.rng.shuffle(atoms)
        tests = [f"{a} {op} {b} {'+' if k >= 0 else '-'} {abs(k)}" for a, op, b, k in compared]
        left = f"{head}({','.join(map(str, terms))})"
        joint = self.rng.choice([" ", " && ", " * "])
        if tests and self.rng.random() < 0.5 and joint == " && ":
            return f"{left} = {joint.join(atoms + tests)}"
        return f"{left}{' when ' + ' && '.join(tests) if tests else ''} = {joint.join(atoms)}"

    def derive(self, rule):
        head, terms, body, negated, compared = rule
        found = [{}]
        for name, ts in body:
            longer = []
            for binding in found:
                for fact in self.facts[name]:
                    new = dict(binding)
                    if all((new.setdefault(t, i) if isinstance(t, str) else t) == i for t, i in zip(ts, fact)):
                        longer.append(new)
            found = longer
        for binding in found:
            if any(self.holds(name, ts, binding) for name, ts in negated):
                continue
            tests = {"!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b}
            if all(tests[op](binding[a], binding[b] + k) for a, op, b, k in compared):
                yield tuple(binding[t] if isinstance(t, str) else t for t in terms)

    def holds(self, name, terms, binding):
        return any(all(t == "v" or binding[t] == i for t, i in zip(terms, fact)) for fact in self.facts[name])

    def derive_all(self):
        for rules in self.strata:
            changed = True
            while changed:
                changed = False
                for rule in rules:
                    new = set(self.derive(rule)) - self.facts[rule[0]]
                    changed |= bool(new)
                    self.facts[rule[0]] |= new

    def solve(self):
        return {f"{head}.tsv": lines(sorted(tuple(i for i, t in zip(fact, terms) if t is None) for fact in self.facts[head]
                                            if all(t in (None, i) for i, t in zip(fact, terms))))
                for head, terms in self.sinks.items()}


class Values:
    """Values that get better: distances and widths over random weights, from several places, linear or not, under guards."""

    def __init__(self, rng, name):
        self.name, self.least = name, rng.random() < 0.5
        self.weights = {(rng.randrange(IDS), rng.randrange(IDS)): rng.randrange(1, 30) / 2 for _ in range(rng.randrange(4, 16))}
        self.weights[(IDS - 1, IDS - 1)] = 1.0
        self.start = {rng.randrange(IDS): rng.randrange(0, 9) for _ in range(rng.randrange(1, 3))}
        self.pairs, self.apart = rng.random() < 0.4, rng.random() < 0.4
        op, of = ("min=", "{a} + {b}") if self.least else ("max=", "minimum({a}, {b})")
        self.text = [f'{name}W[a,b] = "{name}W.tsv"']
        guard = " when x != y" if self.apart else ""
        if self.pairs:
            self.text += [f"{name}V[x,y]{guard} {op} {name}W[x,y]",
                          f"{name}V[x,z] {op} " + of.format(a=f"{name}V[x,y]", b=f"{name}V[y,z]"), f'"{name}V.tsv" = {name}V[x,y]']
        else:
            self.text += [f"{name}V[{a}] {op} {v}" for a, v in self.start.items()]
            self.text += [f"{name}V[y]{guard} {op} " + of.format(a=f"{name}V[x]", b=f"{name}W[x,y]"), f'"{name}V.tsv" = {name}V[x]']

    def files(self):
        return {f"{self.name}W.tsv": lines((a, b, w) for (a, b), w in self.weights.items())}

    def solve(self):
        better = (lambda a, b: a < b) if self.least else (lambda a, b: a > b)
        join = (lambda a, b: a + b) if self.least else min
        edges = {k: w for k, w in self.weights.items() if not self.apart or k[0] != k[1]}
        best = dict(edges) if self.pairs else {(a, ): float(v) for a, v in self.start.items()}
        changed = True
        while changed:
            changed = False
            if self.pairs:
                offers = [((a, d), join(v, w)) for (a, b), v in best.items() for (c, d), w in best.items() if b == c]
            else:
                offers = [((b, ), join(best[a, ], w)) for (a, b), w in edges.items() if (a, ) in best]
            for key, value in offers:
                if key not in best or better(value, best[key]):
                    best[key] = value
                    changed = True
        return {f"{self.name}V.tsv": sorted(tuple(map(float, key)) + (value, ) for key, value in best.items())}


def random_programs(folder, seed, n):
    text, wanted = [], {}
    for k in range(n):
        rng = random.Random(f"{seed} {k}")
        one = (Values if k % 5 == 4 else Random)(rng, f"Q{k}")
        text += one.text
        for name, content in one.files().items():
            write(folder, name, content)
        wanted.update(one.solve())
    return "\n".join(text) + "\n", wanted


# ---- comparison ----

def compare(folder, wanted, where):
    for name, content in wanted.items():
        got = read(folder, name)
        if isinstance(content, list):
            assert numbers(got) == content, (where, name, got[:300], content[:20])
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


def check_random(binary, ranks, seed, n):
    with tempfile.TemporaryDirectory() as folder:
        text, wanted = random_programs(folder, seed, n)
        write(folder, "p.fuse", text)
        result = launch.run(launch.on_ranks(ranks, [binary, "p.fuse"]), folder, 250)
        assert result.status == 0, (seed, ranks, result.tail())
        compare(folder, wanted, (seed, ranks))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,4,8")
    parser.add_argument("--random", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    counts = [int(n) for n in arguments.ranks.split(",")]
    for ranks in counts:
        for program in PROGRAMS:
            check_program(binary, ranks, program)
    batch = 100
    for k in range(0, arguments.random, batch):
        check_random(binary, counts[k // batch % len(counts)], f"{arguments.seed}.{k}", min(batch, arguments.random - k))
    print(f"{len(PROGRAMS)} programs on {counts} ranks, {arguments.random} random programs")


main()
