"""Random programs of rules, as text and as sets: what rules derive from sets of tuples, naively, in Python.

A program has a few relations of random tuples of ids or symbols, some of them empty, and one to three strata of rules: chains of
joins, recursion, mutual too, negation, constants, repeated variables, comparisons and arithmetic, propositions, alternatives, sources
beside rules, counts, sums and bests of what was derived before. Rules are written in different words that mean the same: in any order,
with other names, with a sub-goal twice, with a part that has a name of its own. Half of the programs ask for some of the tuples only.
"""

import random


def lines(rows, separator="\t"):
    return "".join(separator.join(str(field) for field in row) + "\n" for row in rows)


IDS = 7  # every column of a file has the largest one
SYMBOLS = ["ann", "7", "a b", "\u00e9", "x-1", "00", "Bob"]

TESTS = {"!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b,
         ">": lambda a, b: a > b}
ARITHMETIC = {
    "sum": ("{a} + {b} < {k}", lambda a, b, k: a + b < k),
    "twice": ("2 * {a} >= {b} - {k}", lambda a, b, k: 2 * a >= b - k),
    "product": ("{a} * {b} > {k}", lambda a, b, k: a * b > k),
    "between": ("{a} < {b} && {b} < {a} + {k}", lambda a, b, k: a < b < a + k),
    "odd": ("odd({a})", lambda a, b, k: a % 2 == 1),
    "either": ("({a} == {k} || {b} < {a})", lambda a, b, k: a == k or b < a),
}


class Random:
    """One program of random rules over facts, as text and as sets."""

    def __init__(self, rng, name, plain=True, words=None):
        """plain: every rule is a line of text, in its own words, and compares only ids. words: draws these words."""
        self.rng, self.name, self.text, self.facts, self.arity = rng, name, [], {}, {}
        self.weights, self.numbers, self.parts, self.plain, self.strata = {}, {}, 0, plain, []
        self.words, self.rows, self.symbols = words or rng, {}, None
        if not plain and rng.random() < 0.2:
            self.symbols = rng.sample(SYMBOLS, IDS) + ["nobody"]
            self.add_rows(f"{name}E", f"{name}E", 1, [(i, ) for i in range(IDS)])
        arities = [1, 2, 2, 2, 3] if plain else [1, 2, 2, 2, 2, 3, 3, 4]
        self.given = [self.add_file(f"{name}E{k}", rng.choice(arities)) for k in range(rng.randrange(2, 4))]
        if not plain and rng.random() < 0.5:
            self.add_weights()
        known = list(self.given)
        for s in range(rng.randrange(1, 4)):
            heads = [f"{name}P{s}{k}" for k in range(rng.randrange(1, 3))]
            for head in heads:
                self.arity[head], self.facts[head] = rng.choice([1, 2, 2, 3] if plain else [0, 1, 1, 2, 2, 2, 2, 3, 4]), set()
                if not plain and self.arity[head] > 0 and rng.random() < 0.15:
                    self.add_rows(head, f"{head}_own", self.arity[head], self.draw_rows(self.arity[head], 5))
            rules = [self.rule(head, known, heads, first) for head in heads for first in [True] + [False] * rng.randrange(3)]
            for rule in rules:
                self.text += self.show(rule)
            self.strata.append(rules)
            self.derive_all(rules)
            known += heads
            if not plain and rng.random() < 0.5:
                self.add_numbers(f"{name}N{s}", known)
        self.choose_sinks()
        if self.symbols:  # all columns have the same symbols
            of = [(r, n) for r, n in self.arity.items() if n > 0 and r != f"{name}E"]
            self.text += [f"{name}U{k}(x) = {name}E(x) {r}({','.join('x' * n)})" for k, (r, n) in enumerate(of)]

    def choose_sinks(self):
        """All of every relation, or what some relations have for some ids: then rules explore no more than that."""
        rng = self.rng
        derived = [h for h in self.facts if any(h == rule[0] for rules in self.strata for rule in rules)]
        asking = rng.random() < 0.5
        if asking:
            derived = rng.sample(derived, min(len(derived), rng.choice([1, 1, 1, 2])))
        self.sinks = {head: [None] * self.arity[head] for head in derived}
        for head, terms in self.sinks.items():
            some = rng.choice(sorted(self.facts[head]) or [(0, ) * self.arity[head]])
            for c in range(self.arity[head]):
                if asking and rng.random() < 0.6 and terms.count(None) > 1:
                    terms[c] = some[c] if rng.random() < 0.8 else 0
            columns = ",".join("abcd"[c] if t is None else self.term(t) for c, t in enumerate(terms))
            self.text.append(f'"{self.file_of(head)}" = {head}({columns})')

    def file_of(self, head):
        return f"{head}.tsv" if self.arity[head] > 0 else f"{head}.json"

    def term(self, t):
        return f'"{self.symbols[t]}"' if self.symbols and not isinstance(t, str) else str(t)

    def atom(self, name, terms):
        return f"{name}({','.join(map(self.term, terms))})"

    def named(self, rows):
        """As a file has them."""
        return [[self.symbols[i] if self.symbols else i for i in row] for row in rows]

    def draw_rows(self, arity, most):
        return {tuple(self.rng.randrange(IDS) for _ in range(arity)) for _ in range(self.rng.randrange(1, most))}

    def add_rows(self, name, file, arity, rows):
        self.arity[name] = arity
        self.facts.setdefault(name, set()).update(rows)
        self.rows[file] = rows
        self.text.append(f'{name}({",".join("abcd"[:arity])}) = "{file}.tsv"')

    def add_file(self, name, arity):
        rows = self.draw_rows(arity, 14)
        rows.add((IDS - 1, ) * arity)
        if not self.plain and self.rng.random() < 0.08:
            rows = set()
        self.add_rows(name, name, arity, sorted(rows))
        if not self.plain and self.rng.random() < 0.1:
            self.add_rows(name, f"{name}_too", arity, sorted(self.draw_rows(arity, 6)))
        return name

    def add_weights(self):
        rng = self.rng
        self.weights = {(rng.randrange(IDS), rng.randrange(IDS)): rng.randrange(1, 12) / 2 for _ in range(rng.randrange(3, 20))}
        self.weights[(IDS - 1, IDS - 1)] = 1.5
        self.text.append(f'{self.name}W[a,b] = "{self.name}W.tsv"')

    def add_numbers(self, name, known):
        """A number for each id: how many tuples begin with it, or the sum, the best or the mean of their weights."""
        pairs = [k for k in known if self.arity[k] == 2]
        if not pairs:
            return
        of = self.rng.choice(pairs)
        facts, w = self.facts[of], self.weights
        kind = self.rng.choice(["count", "sum", "max", "min", "avg"] if w else ["count"])
        text = {"count": f"{name}[a] = {of}(a,b)", "sum": f"{name}[a] = {of}(a,b) {self.name}W[a,b]"}
        self.text.append(text.get(kind, f"{name}[a] when {of}(a,b) {kind}= {self.name}W[a,b]"))
        values = {}
        for a, b in facts:
            if kind == "count" or (a, b) in w:
                values.setdefault(a, []).append(w.get((a, b), 0))
        fold = {"count": len, "sum": sum, "max": max, "min": min, "avg": lambda v: sum(v) / len(v)}[kind]
        absent = {"max": float("-inf"), "min": float("inf")}.get(kind, 0)
        self.numbers[name] = (absent, {a: fold(v) for a, v in values.items()})

    def files(self):
        files = {f"{name}.tsv": lines(self.named(rows)) for name, rows in self.rows.items()}
        if self.weights:
            files[f"{self.name}W.tsv"] = lines(self.named([k])[0] + [w] for k, w in self.weights.items())
        return files

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
            compared.append((a, rng.choice(["!=", "<", "<=", "=="]), b, 0 if self.symbols else rng.choice([-1, 0, 0, 1])))
        if len(bound) > 1 and not self.plain and not self.symbols and rng.random() < 0.2:
            compared.append((*rng.sample(bound, 2), rng.randrange(2, 9)))
            compared[-1] = (compared[-1][0], rng.choice(sorted(ARITHMETIC)), *compared[-1][1:])
        if bound and not self.plain and not self.symbols and rng.random() < 0.15:
            compared.append((rng.choice(bound), rng.choice(["!=", "<", "==", "=="]), None, rng.randrange(IDS)))
        if bound and self.numbers and rng.random() < 0.6:
            number = f"{rng.choice(sorted(self.numbers))}[{rng.choice(bound)}]"
            compared.append((number, rng.choice(["<", ">"]), None, rng.choice([0.51, 1.3, 2.72])))
        terms = [rng.choice(bound) if bound and rng.random() < 0.9 else rng.randrange(IDS) for _ in range(self.arity[head])]
        return head, terms, body, negated, compared

    def rewrite(self, rule, text):
        """The same rule in other words; what it needs beside it goes to the text."""
        rng = self.words
        head, terms, body, negated, compared = rule
        if self.plain:
            return rule
        if rng.random() < 0.2:  # a sub-goal that says nothing new
            name, ts = rng.choice(body)
            body = body + [(name, [t if rng.random() < 0.5 else f"u{k}" for k, t in enumerate(ts)])]
        if len(body) > 1 and rng.random() < 0.2:  # two sub-goals as a relation
            rng.shuffle(body := list(body))
            names = sorted({t for _, ts in body[:2] for t in ts if isinstance(t, str)})
            if 0 < len(names) < 5:
                self.parts += 1
                part = f"{self.name}X{self.parts}"
                text.append(f"{part}({','.join(names)}) = " + " ".join(self.atom(n, ts) for n, ts in body[:2]))
                body = [(part, names)] + body[2:]
        if rng.random() < 0.3:
            new = dict(zip(["x", "y", "z", "w", "v"], rng.sample(["p", "q", "r", "s", "t", "k"], 5)))
            rename = lambda ts: [new.get(t, t) for t in ts]  # noqa: E731
            terms, body = rename(terms), [(n, rename(ts)) for n, ts in body]
            negated = [(n, rename(ts)) for n, ts in negated]
            of = lambda a: f"{a[:a.index('[')]}[{new[a[a.index('[') + 1:-1]]}]" if "[" in a else new[a]  # noqa: E731
            compared = [(of(a), op, new.get(b), k) for a, op, b, k in compared]
        return head, terms, body, negated, compared

    def show(self, rule):
        text = []
        head, terms, body, negated, compared = self.rewrite(rule, text)
        atoms = [self.atom(name, t) for name, t in body] + ["!" + self.atom(name, t) for name, t in negated]
        self.words.shuffle(atoms)
        tests = [ARITHMETIC[op][0].format(a=a, b=b, k=k) if op in ARITHMETIC else f"{a} {op} " +
                 (f"{b} {'+' if k >= 0 else '-'} {abs(k)}" if b and (k or self.plain) else b or str(k)) for a, op, b, k in compared]
        left = self.atom(head, terms)
        joint = self.words.choice([" ", " && ", " * "])
        if tests and self.words.random() < 0.5 and joint == " && ":
            return text + [f"{left} = {joint.join(atoms + tests)}"]
        return text + [f"{left}{' when ' + ' && '.join(tests) if tests else ''} = {joint.join(atoms)}"]

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
            if all(ARITHMETIC[op][1](binding[a], binding[b], k) if op in ARITHMETIC else
                   TESTS[op](self.value(a, binding), (binding[b] if b else 0) + k) for a, op, b, k in compared):
                yield tuple(binding[t] if isinstance(t, str) else t for t in terms)

    def value(self, a, binding):
        """Of an index, or of a number for an id."""
        if "[" not in a:
            return binding[a]
        absent, numbers = self.numbers[a[:a.index("[")]]
        return numbers.get(binding[a[a.index("[") + 1:-1]], absent)

    def holds(self, name, terms, binding):
        return any(all(t == "v" or binding[t] == i for t, i in zip(terms, fact)) for fact in self.facts[name])

    def derive_all(self, rules):
        changed = True
        while changed:
            changed = False
            for rule in rules:
                new = set(self.derive(rule)) - self.facts[rule[0]]
                changed |= bool(new)
                self.facts[rule[0]] |= new

    def solve(self):
        wanted = {}
        for head, terms in self.sinks.items():
            found = sorted(tuple(i for i, t in zip(fact, terms) if t is None) for fact in self.facts[head]
                           if all(t in (None, i) for i, t in zip(fact, terms)))
            wanted[self.file_of(head)] = lines(self.named(found)) if self.arity[head] > 0 else str(bool(found)).lower() + "\n"
        return wanted


class Values:
    """Values that get better: sums and bests along the edges of random graphs, from several places, linear or not, under guards. Some
    ids are never reached; some weights are negative, and some cycles weigh nothing, but none makes values better for ever."""

    KINDS = {"shortest": ("min=", "{a} + {b}"), "longest": ("max=", "{a} + {b}"), "widest": ("max=", "minimum({a}, {b})"),
             "lowest": ("min=", "maximum({a}, {b})")}

    def __init__(self, rng, name):
        self.name, self.kind = name, rng.choice(sorted(self.KINDS))
        op, of = self.KINDS[self.kind]
        self.least = op == "min="
        height = [rng.randrange(-9, 9) for _ in range(IDS)] if rng.random() < 0.6 else [0] * IDS
        # Steps that are 0 or worse for the value, on top of differences of heights, which vanish around a cycle.
        step = lambda: (1 if self.least else -1) * rng.choice([0, 0, rng.randrange(1, 30)]) / 2  # noqa: E731
        weight = lambda a, b: step() + height[b] - height[a]  # noqa: E731
        pairs = [(rng.randrange(IDS), rng.randrange(IDS)) for _ in range(rng.randrange(1, 16))] + [(IDS - 1, IDS - 1)]
        self.weights = {pair: weight(*pair) for pair in pairs}
        self.start = {rng.randrange(IDS): rng.randrange(0, 9) for _ in range(rng.randrange(1, 3))}
        self.pairs, self.apart = rng.random() < 0.4, rng.random() < 0.4
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
        join = {"widest": min, "lowest": max}.get(self.kind, lambda a, b: a + b)
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


class Sums:
    """Counts, sums, bests and means over joined relations with more cells than are ever made, and rules and sums of those."""

    FORMS = [  # of what, as text and as contributions ((ids), number) from bindings of x, y, z
        ("C[x,z] = E(x,y) F(y,z)", sum, lambda s: [((x, z), 1) for x, y in s.e for b, z in s.f if b == y]),
        ("S[x,z] = W[x,y] V[y,z] - 2 E(x,z)", sum,
         lambda s: [((x, z), a * b) for (x, y), a in s.w.items() for (c, z), b in s.v.items() if c == y] + [(k, -2) for k in s.e]),
        ("G[z,x] when x != z && !F(x,z) = W[x,y] E(y,z) / 2", sum,
         lambda s: [((z, x), a / 2) for (x, y), a in s.w.items() for c, z in s.e if c == y and x != z and (x, z) not in s.f]),
        ("M[x,z] min= W[x,y] + V[y,z]", min,
         lambda s: [((x, z), a + b) for (x, y), a in s.w.items() for (c, z), b in s.v.items() if c == y]),
        ("X[x,z] when E(x,y) && x <= z max= 2 V[y,z]", max,
         lambda s: [((x, z), 2 * b) for x, y in s.e for (c, z), b in s.v.items() if c == y and x <= z]),
        ("A[x,z] when E(x,y) && F(y,z) avg= V[y,z] + 1", lambda v: sum(v) / len(v),
         lambda s: [((x, z), b + 1) for x, y in s.e for (c, z), b in s.v.items() if c == y and (y, z) in s.f]),
        ("B[x,z] when E(x,y) prod= V[y,z]", lambda v: __import__("math").prod(v),
         lambda s: [((x, z), b) for x, y in s.e for (c, z), b in s.v.items() if c == y]),
        ("T[x] = E(x,y) F(y,z) E(z,x)", sum,
         lambda s: [((x, ), 1) for x, y in s.e for b, z in s.f if b == y and (z, x) in s.e]),
    ]
    ZERO_IS_ABSENT = "CSGT"

    def __init__(self, rng, name):
        pairs = lambda: {(rng.randrange(9), rng.randrange(9)) for _ in range(rng.randrange(1, 20))} | {(2000, 2000)}  # noqa: E731
        self.name, self.e, self.f = name, pairs(), pairs()
        self.w, self.v = ({k: rng.randrange(-4, 7) / 2 for k in pairs()} for _ in range(2))
        self.text = [f'{name}{r}{i} = "{name}{r}.tsv"' for r, i in [("E", "(a,b)"), ("F", "(a,b)"), ("W", "[a,b]"), ("V", "[a,b]")]]
        self.wanted = {}
        for text, fold, contributions in rng.sample(self.FORMS, 3):
            head, values = text[0], {}
            for key, value in contributions(self):
                values.setdefault(key, []).append(value)
            values = {key: fold(v) for key, v in values.items()}
            if head in self.ZERO_IS_ABSENT:
                values = {key: v for key, v in values.items() if v != 0}
            self.add(text, head, values)
            if head in "CSG":
                self.add(f"D[x,z] = {head}[x,y] W[y,z]", "D" + head, self.join(values))
                self.add(f"H[x] = {head}[x,z]", "H" + head, self.rows(values))
                self.wanted[f"{name}Q{head}.tsv"] = sorted(tuple(map(float, k)) for k, v in values.items() if v > 1 and k in self.e)
                self.put(f"Q{head}(x,z) = E(x,z) && {head}[x,z] > 1", f'"Q{head}.tsv" = Q{head}(x,z)')

    def put(self, *texts):
        for text in texts:
            out, quoted = "", False
            for i, c in enumerate(text):  # names of tensors are this program's own
                quoted ^= c == '"'
                starts = c.isupper() and not text[i - 1:i].isalpha()
                out += self.name + c if starts else c
            self.text.append(out)

    def add(self, text, head, values):
        text = head + text[1:] if len(head) > 1 else text
        columns = text[1 + len(head):text.index("]")]
        self.put(text, f'"{head}.tsv" = {head}[{columns}]')
        self.wanted[f"{self.name}{head}.tsv"] = sorted(tuple(map(float, key)) + (v, ) for key, v in values.items())

    def join(self, values):
        found = {}
        for (x, y), a in values.items():
            for (b, z), c in self.w.items():
                if b == y:
                    found[x, z] = found.get((x, z), 0) + a * c
        return {key: v for key, v in found.items() if v != 0}

    @staticmethod
    def rows(values):
        found = {}
        for (x, _), a in values.items():
            found[x, ] = found.get((x, ), 0) + a
        return {key: v for key, v in found.items() if v != 0}

    def files(self):
        facts = {f"{self.name}{r}.tsv": lines(sorted(rows)) for r, rows in [("E", self.e), ("F", self.f)]}
        values = {f"{self.name}{r}.tsv": lines(k + (v, ) for k, v in rows.items()) for r, rows in [("W", self.w), ("V", self.v)]}
        return facts | values

    def solve(self):
        return self.wanted


def in_another_order(text, rng):
    """The same statements. Sources stay in the order in which their symbols are numbered."""
    sources = [line for line in text if line.endswith('.tsv"')]
    others = [line for line in text if line not in sources]
    rng.shuffle(others)
    return [some.pop(0) for some in rng.sample([sources] * len(sources) + [others] * len(others), len(text))]


def random_programs(seed, n, words=0):
    """n programs as one, with names of their own: its text, its files, and what its sinks must hold. What differs with `words` is only how
    the same rules are written."""
    text, files, wanted = [], {}, {}
    for k in range(n):
        rng, saying = random.Random(f"{seed} {k}"), random.Random(f"{seed} {k} {words}")
        name = f"Q{k}"
        one = Values(rng, name) if k % 5 == 4 else Sums(rng, name) if k % 10 == 8 else Random(rng, name, False, saying)
        text += in_another_order(one.text, saying) if words else one.text
        files.update(one.files())
        wanted.update(one.solve())
    return "\n".join(text) + "\n", files, wanted
