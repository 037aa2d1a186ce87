#!/usr/bin/env python3
"""Proofs of facts against a checker of their own: usage why.py --binary FUSE_DIST [--ranks 1,2,3] [--random N] [--seed S].

Random programs (those of logic.py) are asked why some of their facts hold, and why some others do not. Here the least height of every
fact is counted by naive rounds, and each answer is looked at: every step is an instance of the rule that it names, with its
guards and negated atoms, leaves are facts of files, heights are the least ones, no fact is proved by itself; what is said to be
missing is missing, and no rule gets farther. Then programs with answers that are known: closures of every form, on bits and not,
distances, widths, long chains, symbols, sources beside rules. All answers are the same bytes on every number of ranks.

What would make it fail: a step that is no rule, a leaf that is no fact, a proof that is too high, a fact without one, one that
differs between numbers of ranks, a rule that is not the best one, an exit status of a question that has no answer.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402
import logic  # noqa: E402

TESTS = {"!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b}


def ask(binary, ranks, folder, questions, extra=(), seconds=250):
    """With and without --explain-all, which must not be seen."""
    command = [binary, "p.fuse"] + list(extra)
    for option, fact in questions:
        command += [option, fact]
    result = launch.run(launch.on_ranks(ranks, command), folder, seconds)
    if questions:
        again = launch.run(launch.on_ranks(ranks, command + ["--explain-all"]), folder, seconds)
        assert (again.status, again.out) == (result.status, result.out), (ranks, questions[:3], result.tail(), again.tail(), again.out[:2000])
        if result.status != 0:
            assert again.err.split("---")[0] == result.err.split("---")[0], (again.err, result.err)
    return result


# ---- random programs ----

def bindings(rule, facts):
    """Ids of variables such that all positive atoms are facts."""
    found = [{}]
    for name, terms in rule[2]:
        found = [new for old in found for fact in facts[name] for new in [dict(old)]
                 if all((new.setdefault(t, i) if isinstance(t, str) else t) == i for t, i in zip(terms, fact))]
    return found


def ground(terms, binding):
    return tuple(binding[t] if isinstance(t, str) else t for t in terms)


def passes(program, rule, binding):
    return (all(TESTS[op](binding[a], binding[b] + k) for a, op, b, k in rule[4])
            and not any(program.holds(name, terms, binding) for name, terms in rule[3]))


def least_heights(program):
    """By rounds: after round h all facts that have a proof of height h are there."""
    rules = [rule for rules in program.strata for rule in rules]
    known = {name: set(program.facts[name]) if name in program.given else set() for name in program.facts}
    height = {(name, fact): 0 for name in program.given for fact in known[name]}
    h = 0
    while True:
        h += 1
        new = {(rule[0], ground(rule[1], b)) for rule in rules for b in bindings(rule, known) if passes(program, rule, b)}
        new = {fact for fact in new if fact not in height}
        if not new:
            return height
        for name, fact in new:
            known[name].add(fact)
            height[name, fact] = h


def question(name, fact):
    return f"{name}({','.join(map(str, fact))})"


def check_proof(program, rule_at, height, answer, asked):
    facts = [(f["relation"], tuple(f["arguments"])) for f in answer["facts"]]
    assert facts[0] == asked and answer["height"] == height[asked], (answer, height[asked])
    assert len(set(facts)) == len(facts), answer
    for fact, step in zip(facts, answer["facts"]):
        assert step["height"] == height[fact], (step, height[fact])
        if step["height"] == 0:
            assert fact[0] in program.given and fact[1] in program.facts[fact[0]], step
            assert step["sources"] == [fact[0] + ".tsv"], step
            continue
        head, terms, body, negated, compared = rule_at[step["rule"]["line"]]
        binding = {name: id for name, id in step["variables"].items()}
        assert head == fact[0] and ground(terms, binding) == fact[1], step
        premises = [facts[p] for p in step["premises"]]
        assert set(premises) == {(name, ground(t, binding)) for name, t in body}, (step, premises, body)
        assert step["height"] == 1 + max(height[p] for p in premises), step
        absent = {(a["relation"], tuple(a["arguments"])) for a in step["absent"]}
        assert absent == {(name, tuple(None if t == "v" else binding[t] for t in ts)) for name, ts in negated}, step
        assert passes(program, (head, terms, body, negated, compared), binding), step
    return len(facts)


def parts_of(text, rule):
    """The sub-goals of a rule in the order in which its text has them: positive atoms, whether it has a guard, negated atoms."""
    right = text.split("=", 1)[1] if " when " not in text else re.split(r"(?<![!<>=])=(?!=)", text.split(" when ", 1)[1], maxsplit=1)[1]
    atoms = [(bang == "!", name, tuple(int(t) if t.isdigit() else t for t in terms.split(",")))
             for bang, name, terms in re.findall(r"(!?)(\w+)\(([^)]*)\)", right)]
    positive = list(dict.fromkeys((name, terms) for bang, name, terms in atoms if not bang))
    negated = [(name, terms) for bang, name, terms in atoms if bang]
    assert {(n, tuple(t)) for n, t in rule[2]} == set(positive), (text, rule)
    return positive, negated


def farthest(program, rule, text, fact):
    """How many sub-goals pass one after the other for some ids; None: the left side does not fit."""
    start = {}
    for t, i in zip(rule[1], fact):
        if (start.setdefault(t, i) if isinstance(t, str) else t) != i:
            return None
    positive, negated = parts_of(text, rule)
    found, passed = [start], 0
    for name, terms in positive:
        found = [new for old in found for other in program.facts[name] for new in [dict(old)]
                 if all((new.setdefault(t, i) if isinstance(t, str) else t) == i for t, i in zip(terms, other))]
        if not found:
            return passed
        passed += 1
    if rule[4]:
        found = [b for b in found if all(TESTS[op](b[a], b[c] + k) for a, op, c, k in rule[4])]
        if not found:
            return passed
        passed += 1
    for name, terms in negated:
        found = [b for b in found if not program.holds(name, terms, b)]
        if not found:
            return passed
        passed += 1
    raise AssertionError("the fact holds")


def matches(program, atom):
    wanted = atom["arguments"]
    return any(all(w is None or w == i for w, i in zip(wanted, fact)) for fact in program.facts[atom["relation"]])


def check_lack(program, rules, answer, asked):
    best = [passed for rule, text in rules if rule[0] == asked[0] for passed in [farthest(program, rule, text, asked[1])]
            if passed is not None]
    if not best:
        assert "rule" not in answer, answer
        return
    assert all(matches(program, atom) for atom in answer["holding"]), answer
    passed = len(answer["holding"])
    text = answer["rule"]["equation"]
    rule = next(rule for rule, t in rules if t == text)
    if "missing" in answer:
        assert not matches(program, answer["missing"]), answer
    elif "present" in answer:
        assert matches(program, answer["present"]) and None not in answer["present"]["arguments"], answer
        _, negated = parts_of(text, rule)
        binding = answer["variables"]
        here = answer["present"]["relation"], answer["present"]["arguments"]
        at = [name == here[0] and all(t == "v" or binding[t] == i for t, i in zip(terms, here[1])) for name, terms in negated]
        passed += bool(rule[4]) + at.index(True)
    else:
        assert not all(TESTS[op](answer["variables"][a], answer["variables"][b] + k) for a, op, b, k in rule[4]), answer
    assert passed == max(best), (answer, best)


def check_random(binary, counts, seed, n):
    rng = random.Random(f"why {seed}")
    programs, text, rule_at, rules = [], [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(n):
            program = logic.Random(rng, f"N{k}")
            program.solve()
            for name, content in program.files().items():
                logic.write(folder, name, content)
            count = len(program.text)
            of_rules = [rule for rs in program.strata for rule in rs]
            first = count - len(of_rules) - len(program.sinks)
            for i, rule in enumerate(of_rules):
                rule_at[len(text) + first + i + 1] = rule
                rules.append((rule, program.text[first + i]))
            text += program.text
            programs.append(program)
        logic.write(folder, "p.fuse", "\n".join(text) + "\n")
        asked = []
        for program in programs:
            height = least_heights(program)
            derived = [(name, fact) for name, fact in height if name not in program.given]
            heads = [name for name in program.facts if name not in program.given]
            assert set(derived) == {(name, f) for name in heads for f in program.facts[name]}
            derived.sort(key=lambda f: (-height[f], rng.random()))
            asked += [("--why", program, height, f) for f in derived[:2] + rng.sample(derived, min(1, len(derived)))]
            for name in heads:
                columns = [sorted(set(column)) for column in zip(*program.facts[name])]  # ids that there are
                fact = tuple(rng.choice(column) for column in columns)
                if columns and fact not in program.facts[name]:
                    asked.append(("--why-not", program, height, (name, fact)))
        questions = [(option, question(*fact)) for option, _, _, fact in asked]
        answers, steps = None, 0
        for ranks in counts:
            lines = []
            for first in range(0, len(questions), 100):
                result = ask(binary, ranks, folder, questions[first:first + 100], ["--why-format", "json"])
                assert result.status == 0, (seed, ranks, result.tail())
                lines += [line for line in result.out.splitlines() if line.startswith('{"why')]
            assert len(lines) == len(asked), (len(lines), len(asked))
            assert answers is None or lines == answers, (ranks, [p for p in zip(lines, answers) if p[0] != p[1]][:1])
            answers = lines
        for (option, program, height, fact), line in zip(asked, answers):
            answer = json.loads(line)
            if option == "--why":
                steps += check_proof(program, rule_at, height, answer, fact)
            else:
                check_lack(program, rules, answer, fact)
    return len(asked), steps


# ---- programs with known answers ----

def check_path(answer, edges, relation, start, end, least):
    """The leaves are edges, each step of the form of its rule, and the height the least one."""
    facts = answer["facts"]
    assert facts[0]["relation"] == relation and facts[0]["arguments"] == [start, end] and answer["height"] == least, (answer, least)
    for fact in facts:
        a, b = fact["arguments"]
        if fact["height"] == 0:
            assert (a, b) in edges, fact
            continue
        below = [facts[p]["arguments"] for p in fact["premises"]]
        names = [facts[p]["relation"] for p in fact["premises"]]
        assert names == re.findall(r"(\w)\(", fact["rule"]["equation"])[1:], (fact, names)
        if len(below) == 1:
            assert below == [[a, b]], fact
        else:
            assert below[0][0] == a and below[0][1] == below[1][0] and below[1][1] == b, fact
        assert fact["height"] == 1 + max(facts[p]["height"] for p in fact["premises"])


def distances(edges, start):
    after = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    far, wave, d = {}, [start], 0
    while wave:
        d += 1
        wave = [b for b in dict.fromkeys(b for a in wave for b in after.get(a, ())) if b not in far]
        far.update((b, d) for b in wave)
    return far


FORMS = {
    "left": ("R(x,z) = R(x,y) E(y,z)", lambda d: d),
    "right": ("R(x,z) = E(x,y) R(y,z)", lambda d: d),
    "square": ("R(x,z) = R(x,y) R(y,z)", lambda d: 1 + (d - 1).bit_length()),
}


def check_closures(binary, ranks, rng, seen):
    edges = sorted({(rng.randrange(120), rng.randrange(120)) for _ in range(170)})
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "e.tsv", logic.lines(edges))
        for form, (rule, height) in FORMS.items():
            logic.write(folder, "p.fuse", f'E(x,y) = "e.tsv"\nR(x,y) = E(x,y)\n{rule}\n"r.tsv" = R(x,y)\n')
            start = max(sorted({a for a, _ in edges}), key=lambda a: max(distances(edges, a).values()))
            far = distances(edges, start)
            ends = sorted(far, key=lambda b: -far[b])[:3] + [b for b in far if far[b] == 1][:1]
            assert far[ends[0]] > 10, far
            result = ask(binary, ranks, folder, [("--why", f"R({start},{b})") for b in ends], ["--why-format", "json"])
            assert result.status == 0, (form, ranks, result.tail())
            for b, line in zip(ends, result.out.splitlines()):
                check_path(json.loads(line), set(edges), "R", start, b, height(far[b]))
            assert seen.setdefault(form, result.out) == result.out, (form, ranks)
            away = next(b for b in range(120) if b not in far)
            result = ask(binary, ranks, folder, [("--why", f"R({start},{away})")])
            assert result.status == 1 and "does not hold" in result.err, (form, result.tail())
            result = ask(binary, ranks, folder, [("--why-not", f"R({start},{away})")])
            assert result.status == 0 and "is missing" in result.out, (form, result.tail())
            result = ask(binary, ranks, folder, [("--why-not", f"R({start},{ends[0]})")])
            assert result.status == 1 and "the fact holds" in result.err, (form, result.tail())


def check_square(binary, ranks, rng, seen):
    """A long path that is cut in two again and again; beside it one that comes into it, for a choice, and facts from two sides."""
    n = 300 if ranks <= 3 else 60
    edges = [(i, i + 1) for i in range(n)] + [(n + 1, 5), (n + 1, 6), (7, n + 2), (n + 2, 9), (n, 0)]
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "e.tsv", logic.lines(edges))
        logic.write(folder, "p.fuse", """E(x,y) = "e.tsv"
R(x,y) = E(x,y)
R(x,z) = R(y,z) R(x,y)
Both(x,y) = R(x,y) R(y,x)
"both.tsv" = Both(x,y)
""")
        asked = [f"R(0,{n})", "R(3,3)", f"R({n + 1},{n + 2})", f"Both(2,{n - 2})"]
        result = ask(binary, ranks, folder, [("--why", fact) for fact in asked], ["--why-format", "json"])
        assert result.status == 0, (ranks, result.tail())
        answers = [json.loads(line) for line in result.out.splitlines()]
        height = lambda d: 1 + (d - 1).bit_length()  # noqa: E731
        assert [a["height"] for a in answers] == [height(n), height(n + 1), height(3), 1 + height(n - 4)], [a["height"] for a in answers]
        for answer in answers:
            for fact in answer["facts"]:
                below = [answer["facts"][p]["arguments"] for p in fact["premises"]] if fact["height"] else []
                if fact["height"] == 0:
                    assert tuple(fact["arguments"]) in edges, fact
                elif fact["rule"]["line"] == 3:
                    assert [below[1][0], below[0][1]] == fact["arguments"] and below[1][1] == below[0][0], (fact, below)
                elif fact["rule"]["line"] == 2:
                    assert below == [fact["arguments"]], fact
        assert seen.setdefault(n, result.out) == result.out, ranks


def check_values(binary, ranks, rng, seen):
    """Distances and widths: each step has the value that its rule gives to those below."""
    weights = {(rng.randrange(60), rng.randrange(60)): rng.randrange(1, 30) / 4 for _ in range(220)}
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "w.tsv", logic.lines((a, b, w) for (a, b), w in weights.items()))
        logic.write(folder, "p.fuse", """W[x,y] = "w.tsv"
D[5] min= 0
D[y] min= D[x] + W[x,y]
V[5] max= 50
V[y] max= minimum(V[x], W[x,y])
"d.tsv" = D[x]
"v.tsv" = V[x]
""")
        best, wide, heights = {5: 0.0}, {5: 50.0}, {}
        for table, better, join in ((best, min, lambda v, w: v + w), (wide, max, min)):
            changed = True
            while changed:
                changed = False
                for (a, b), w in weights.items():
                    if a in table:
                        new = better(table.get(b, join(table[a], w)), join(table[a], w))
                        changed |= table.get(b) != new
                        table[b] = new
        for name, table, join in (("D", best, lambda v, w: v + w), ("V", wide, min)):
            heights[name], wave, h = {5: 1}, [5], 1
            while wave:
                h += 1
                wave = list(dict.fromkeys(b for a in wave for (p, b), w in weights.items()
                                          if p == a and b not in heights[name] and join(table[a], w) == table[b]))
                heights[name].update((b, h) for b in wave)
        asked = [(name, x) for name, table in (("D", best), ("V", wide)) for x in sorted(table)[::7]]
        result = ask(binary, ranks, folder, [("--why", f"{name}[{x}]") for name, x in asked], ["--why-format", "json"])
        assert result.status == 0, (ranks, result.tail())
        assert seen.setdefault("values", result.out) == result.out, ranks
        for (name, x), line in zip(asked, result.out.splitlines()):
            answer, table, join = json.loads(line), {"D": best, "V": wide}[name], {"D": lambda v, w: v + w, "V": min}[name]
            assert answer["height"] == heights[name][x], (answer, heights[name][x])
            for fact in answer["facts"]:
                if fact["relation"] == "W":
                    assert weights[tuple(fact["arguments"])] == fact["value"] and fact["height"] == 0, fact
                    continue
                assert fact["value"] == table[fact["arguments"][0]], fact
                below = [answer["facts"][p] for p in fact["premises"]]
                if below:
                    assert join(below[0]["value"], below[1]["value"]) == fact["value"], fact
                    assert below[1]["arguments"] == [below[0]["arguments"][0], fact["arguments"][0]], fact
                else:
                    assert fact["arguments"] == [5], fact


def check_bettered(binary, ranks, rng, seen):
    """Random systems of minima and maxima whose values go down in circles: a proof has bettered values where it needs some, each fact
    stands on facts of less height, and the height is the first round in which the cell has its last value."""
    lines, cells, files, start = [], 8, {}, []
    for k in range(6):
        name, low = f"D{k}", k % 2 == 0
        op, other = ("min", "maximum") if low else ("max", "minimum")
        rules = []  # head, cell, constant of the other bound or None, step
        for c in range(2):
            value = rng.randrange(20, 40) * (1 if low else -1)
            lines.append(f"{name}[{c}] {op}= {value}" if value >= 0 else f"{name}[{c}] {op}= 0 - {-value}")
            rules.append((c, None, None, value, len(lines)))
        for _ in range(18):
            head, cell = (rng.randrange(cells) if len(rules) > 2 else cells - 1), rng.randrange(cells)
            if rng.random() < 0.6:
                bound = rng.randrange(-5, 20) * (1 if low else -1)
                text = f"{bound}" if bound >= 0 else f"0 - {-bound}"
                lines.append(f"{name}[{head}] {op}= {other}({name}[{cell}], {text})")
                rules.append((head, cell, bound, 0, len(lines)))
            else:
                step = rng.randrange(1, 5)
                lines.append(f"{name}[{head}] {op}= {other}({name}[{cell}] {'-' if low else '+'} {step}, "
                             f"{'0 - 9' if low else '9'})")
                rules.append((head, cell, -9 if low else 9, -step if low else step, len(lines)))
        lines.append(f'"{name}.tsv" = {name}[x]')
        better = min if low else max
        limit = max if low else min
        def gives(rule, values, limit=limit):
            head, cell, bound, step, _ = rule
            if cell is None:
                return step
            return limit(values[cell] + step, bound) if cell in values else None
        values, rounds = {}, [{}]
        while True:
            new = dict(values)
            for rule in rules:
                v = gives(rule, values)
                if v is not None:
                    new[rule[0]] = better(new.get(rule[0], v), v)
            if new == values:
                break
            values = new
            rounds.append(values)
        # what is proved from last values alone
        proved, heights, h = set(), {}, 0
        while True:
            h += 1
            new = {r[0] for r in rules if r[0] not in proved and (r[1] is None or r[1] in proved) and gives(r, values) == values[r[0]]}
            if not new:
                break
            proved |= new
            heights.update((c, h) for c in new)
        start.append((name, rules, rounds, values, heights, gives))
    asked = [(name, c) for name, _, _, values, _, _ in start for c in sorted(values)]
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "p.fuse", "\n".join(lines) + "\n")
        result = ask(binary, ranks, folder, [("--why", f"{name}[{c}]") for name, c in asked], ["--why-format", "json"])
        assert result.status == 0, (ranks, result.tail())
        assert seen.setdefault("bettered", result.out) == result.out, ranks
        systems = {s[0]: s[1:] for s in start}
        bettered = 0
        for (name, c), line in zip(asked, result.out.splitlines()):
            answer, (rules, rounds, values, heights, gives) = json.loads(line), systems[name]
            least = heights.get(c) or next(h for h, r in enumerate(rounds) if r.get(c) == values[c])
            assert answer["height"] == least and answer["facts"][0]["value"] == values[c], (answer, least)
            bettered += c not in heights
            assert (c in heights) == (not any(f.get("bettered") for f in answer["facts"])), answer
            for fact in answer["facts"]:
                rule = next(r for r in rules if r[4] == fact["rule"]["line"])
                below = [answer["facts"][p] for p in fact["premises"]]
                assert rule[0] == fact["arguments"][0] and len(below) == (rule[1] is not None), fact
                assert fact["height"] == 1 + max([b["height"] for b in below], default=0), fact
                assert gives(rule, {b["arguments"][0]: b["value"] for b in below}) == fact["value"], (fact, below)
                assert fact.get("bettered", False) == (fact["value"] != values[rule[0]]), fact
                assert fact.get("bettered") or c not in heights or fact["height"] == heights[rule[0]], fact
        assert bettered > 0, bettered
    with tempfile.TemporaryDirectory() as folder:  # given values, a circle without length, what rests on a value of another stratum
        logic.write(folder, "d.tsv", "0\t9\n1\t1\n1\t4\n")
        logic.write(folder, "w.tsv", "1\t2\t0\n2\t3\t0\n3\t2\t0\n3\t0\t2\n")
        logic.write(folder, "p.fuse", """D[x] min= "d.tsv"
W[x,y] = "w.tsv"
D[y] min= D[x] + W[x,y]
F[0] min= 7
F[1] min= maximum(F[0], 5)
F[0] min= F[1] - 3
M[y] min= F[x] + W[x,y]
M[y] min= M[x] + W[x,y]
"out.tsv" = D[x]
"m.tsv" = M[x]
""")
        result = ask(binary, ranks, folder, [("--why", "D[0]"), ("--why", "D[1]"), ("--why", "M[2]"), ("--why", "D[2]")])
        assert result.status == 0 and result.out == """D[0] = 3.0  by p.fuse:3: D[y] min= D[x] + W[x,y]
  D[3] = 1.0  by p.fuse:3: D[y] min= D[x] + W[x,y]
    D[2] = 1.0  by p.fuse:3: D[y] min= D[x] + W[x,y]
      D[1] = 1.0  from "d.tsv"
      W[1, 2] = 0.0  from "w.tsv"
    W[2, 3] = 0.0  from "w.tsv"
  W[3, 0] = 2.0  from "w.tsv"
D[1] = 1.0  from "d.tsv"
M[2] = 5.0  by p.fuse:7: M[y] min= F[x] + W[x,y]
  F[1] = 5.0  by p.fuse:5: F[1] min= maximum(F[0], 5)
    F[0] = 4.0, bettered later  by p.fuse:6: F[0] min= F[1] - 3
      F[1] = 7.0, bettered later  by p.fuse:5: F[1] min= maximum(F[0], 5)
        F[0] = 7.0, bettered later  by p.fuse:4: F[0] min= 7
  W[1, 2] = 0.0  from "w.tsv"
D[2] = 1.0  by p.fuse:3: D[y] min= D[x] + W[x,y]
  D[1] = 1.0  from "d.tsv"
  W[1, 2] = 0.0  from "w.tsv"
""", (ranks, result.status, result.out, result.tail())


FAMILY = """Parent(x,y) = "parent.tsv"
Parent(x,y) = "more.tsv"
Ancestor(x,y) = Parent(x,y)   # directly
Ancestor(x,z) = Parent(x,y) &&   # or further
                Ancestor(y,z)
Ancestor(x,y) = "told.tsv"
Childless(x) = Parent(y,x) !Parent(x,z)
Eldest(x) = Ancestor(x,y) !Ancestor(z,x)
Deep[x] = Ancestor(x,y)
"ancestor.tsv" = Ancestor(x,y)
export Deep
"""

FAMILY_ANSWERS = [
    ("--why", 'Ancestor("ann", "dora")', """Ancestor("ann", "dora")  by p.fuse:4: Ancestor(x,z) = Parent(x,y) && Ancestor(y,z)
  Parent("ann", "bob")  from "parent.tsv" or "more.tsv"
  Ancestor("bob", "dora")  by p.fuse:4: Ancestor(x,z) = Parent(x,y) && Ancestor(y,z)
    Parent("bob", "carl")  from "parent.tsv" or "more.tsv"
    Ancestor("carl", "dora")  by p.fuse:3: Ancestor(x,y) = Parent(x,y)
      Parent("carl", "dora")  from "parent.tsv" or "more.tsv"
"""),
    ("--why", 'Ancestor("ann", "finn")', """Ancestor("ann", "finn")  from "told.tsv"
"""),
    ("--why", 'Childless("dora")', """Childless("dora")  by p.fuse:7: Childless(x) = Parent(y,x) !Parent(x,z)
  Parent("carl", "dora")  from "parent.tsv" or "more.tsv"
  no Parent("dora", _)
"""),
    ("--why-not", 'Ancestor("dora", "ann")', """Ancestor("dora", "ann") does not hold; it is not in "told.tsv"; the best rule:
  p.fuse:3: Ancestor(x,y) = Parent(x,y)
    Parent("dora", "ann") is missing
"""),
    ("--why-not", 'Ancestor("bob", "ann")', """Ancestor("bob", "ann") does not hold; it is not in "told.tsv"; the best rule:
  p.fuse:4: Ancestor(x,z) = Parent(x,y) && Ancestor(y,z)
    Parent("bob", "carl") holds
    Ancestor("carl", "ann") is missing
"""),
    ("--why-not", 'Childless("carl")', """Childless("carl") does not hold; the best rule:
  p.fuse:7: Childless(x) = Parent(y,x) !Parent(x,z)
    Parent("bob", "carl") holds
    Parent("carl", "dora") holds, and must not
"""),
    ("--why", 'Parent("bob", "carl")', """Parent("bob", "carl")  from "parent.tsv" or "more.tsv"
"""),
    ("--why-not", 'Parent("bob", "bob")', """Parent("bob", "bob") does not hold; it is not in "parent.tsv" or "more.tsv"
"""),
]

FAMILY_ERRORS = [
    ("--why", 'Ancestor("ann", "carll")', 2, 'there is no symbol "carll"', 'did you mean "carl"?'),
    ("--why", 'Ancestor("ann", "zebedee")', 2, 'there is no symbol "zebedee"', "hint: symbols are"),
    ("--why", 'Ancester("ann", "carl")', 2, "there is no relation 'Ancester'", "did you mean 'Ancestor'?"),
    ("--why", 'Ancestor("ann")', 2, "'Ancestor' has 1 argument here and 2 in the program", "note: here"),
    ("--why-not", 'Ancestor("ann", 3)', 2, "is a symbol, and 3 is a number", 'written "3"'),
    ("--why", 'Ancestor("ann", y)', 2, "an argument of a fact is an id or a symbol", "hint:"),
    ("--why", 'Deep["ann"]', 2, "'Deep' is no relation", "hint: relations are"),
    ("--why", '"ann"', 2, "expected the name of a tensor", "hint: a fact is"),
    ("--why", 'Ancestor("ann","carl") Parent("a","b")', 2, "expected the end of the fact", "hint: a fact is"),
    ("--why", 'Ancestor("carl", "ann")', 1, "the fact does not hold", "--why-not"),
    ("--why-not", 'Ancestor("ann", "carl")', 1, "the fact holds", "hint: --why"),
]


def check_family(binary, ranks, rng, seen):
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "parent.tsv", "ann\tbob\nbob\tcarl\n")
        logic.write(folder, "more.tsv", "carl\tdora\n")
        logic.write(folder, "told.tsv", "ann\tfinn\n")
        logic.write(folder, "p.fuse", FAMILY)
        result = ask(binary, ranks, folder, [(option, fact) for option, fact, _ in FAMILY_ANSWERS], ["-o", "deep.npy"])
        assert result.status == 0, result.tail()
        assert result.out == "".join(text for _, _, text in FAMILY_ANSWERS), (ranks, result.out)
        assert logic.read(folder, "ancestor.tsv").startswith("ann\tbob\n")
        for option, fact, status, message, hint in FAMILY_ERRORS if ranks in (1, 3) else ():
            os.remove(os.path.join(folder, "ancestor.tsv"))
            logic.write(folder, "ancestor.tsv", "old\n")
            result = ask(binary, ranks, folder, [(option, fact)])
            assert result.status == status and message in result.err and hint in result.err, (fact, result.status, result.err)
            assert result.err.count("error:") == 1 and logic.read(folder, "ancestor.tsv") == "old\n", (fact, result.err)


GUARDS_ANSWERS = [
    ("--why-not", "S(3)", """S(3) does not hold; the best rule:
  p.fuse:3: S(x) = E(x+1,x+1)
    E(4, 4) is missing
"""),
    ("--why-not", "H(0,1)", """H(0, 1) does not hold; the best rule:
  p.fuse:4: H(x,y) when W[x,y] > 6 = E(x,y)
    E(0, 1) holds
    W[0, 1] = 5.0 holds
    its guard does not hold
"""),
    ("--why-not", "B(1,2)", """B(1, 2) does not hold; the best rule:
  p.fuse:5: B(x,y) when x > y + 1 = E(x,y)
    E(1, 2) holds
    its guard does not hold for x = 1, y = 2
"""),
    ("--why-not", "N(3)", """N(3) does not hold; the best rule:
  p.fuse:6: N(x) = E(x,y) !E(y,x+1) !E(x,v)
    E(3, 3) holds
    E(3, 3) holds, and must not
"""),
    ("--why-not", "D[3]", """D[3] does not hold; the best rule:
  p.fuse:8: D[y] min= D[x] + W[x,y]
    D[0] = 0.0 holds
    W[0, 3] is missing
"""),
    ("--why-not", "K(0)", """K(0) does not hold; the best rule:
  p.fuse:10: K(x) when C[x] > 1 = E(x,y)
    E(0, 1) holds
    computed in p.fuse:10 (0) is missing
"""),
    ("--why", "K(1)", """K(1)  by p.fuse:10: K(x) when C[x] > 1 = E(x,y)
  E(1, 2)  from "e.tsv"
  computed in p.fuse:10 (1)
"""),
    ("--why-not", "E(0,0)", """E(0, 0) does not hold; it is not in "e.tsv"
"""),
    ("--why-not", "T(0,1)", """T(0, 1) does not hold; no rule's left side fits
"""),
]


def check_guards(binary, ranks, rng, seen):
    """What lacks where there are guards, offsets beyond the ids, values, conditions on dense tensors, constants on the left."""
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "e.tsv", "0\t1\n1\t2\n1\t3\n3\t3\n")
        logic.write(folder, "w.tsv", "0\t1\t5\n1\t2\t7\n")
        logic.write(folder, "p.fuse", """E(x,y) = "e.tsv"
W[x,y] = "w.tsv"
S(x) = E(x+1,x+1)
H(x,y) when W[x,y] > 6 = E(x,y)
B(x,y) when x > y + 1 = E(x,y)
N(x) = E(x,y) !E(y,x+1) !E(x,v)
D[0] min= 0
D[y] min= D[x] + W[x,y]
C[x] = E(x,y)
K(x) when C[x] > 1 = E(x,y)
T(1,y) = E(0,y)
"s.tsv" = S(x)
"h.tsv" = H(x,y)
"b.tsv" = B(x,y)
"n.tsv" = N(x)
"d.tsv" = D[x]
"k.tsv" = K(x)
"t.tsv" = T(x,y)
""")
        result = ask(binary, ranks, folder, [(option, fact) for option, fact, _ in GUARDS_ANSWERS])
        assert result.status == 0, (ranks, result.tail())
        assert result.out == "".join(text for _, _, text in GUARDS_ANSWERS), (ranks, result.out)


def check_printed(binary, ranks, rng, seen):
    """An exported relation is printed with its symbols; a number beside them stays one."""
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "parent.tsv", "ann\tbob\nbob\tc \"d\"\n")
        logic.write(folder, "age.tsv", "bob\t40\nann\t61\n")
        logic.write(folder, "p.fuse", """Parent(x,y) = "parent.tsv"
Age(x,n) = "age.tsv"
Ancestor(x,y) = Parent(x,y)
Ancestor(x,z) = Parent(x,y) Ancestor(y,z)
Above(x,n) = Age(x,n) Ancestor(x,y) && n > 50
Steps["bob"] min= 0
Steps[y] when Parent(x,y) min= Steps[x] + 1
export Ancestor, Above, Steps
""")
        result = ask(binary, ranks, folder, [])
        assert result.status == 0, result.tail()
        assert result.out == """Ancestor = relation [3, 3], 3 tuples
  ("ann", "bob")
  ("ann", "c \\"d\\"")
  ("bob", "c \\"d\\"")
Above = relation [3, 62], 1 tuple
  ("ann", 61)
Steps = relation [3], 2 tuples
  ("bob") 0
  ("c \\"d\\"") 1
""", (ranks, result.out)


def check_far(binary, ranks, rng, seen):
    """More ways to derive facts than the search backwards looks at: triangles of a dense graph, a value that rests on them, what was
    given beside the rules, and a negation. Heights are counted here by rounds."""
    n = 85
    if ranks not in (1, 3):
        return
    edges = {(i, (i + d) % n) for i in range(n) for d in (1, 5, 23)}
    told = {(3, 77), (10, 4)}
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "e.tsv", logic.lines(sorted(edges)))
        logic.write(folder, "t.tsv", logic.lines(sorted(told)))
        logic.write(folder, "p.fuse", """E(x,y) = "e.tsv"
R(x,y) = E(x,y)
R(x,z) when x != z = R(x,y) R(y,z) !Bad(x,z)
R(x,y) = "t.tsv"
Bad(x,y) = E(y,x)
Top(x) when x > 3 = R(x,y) R(y,x)
"top.tsv" = Top(x)
""")
        height = {**{fact: 1 for fact in edges}, **{fact: 0 for fact in told}}
        rows = [0] * n  # of bits: what is known after a round
        columns = [0] * n
        def add(a, b):
            rows[a] |= 1 << b
            columns[b] |= 1 << a
        for a, b in told:
            add(a, b)
        for a, b in edges:
            add(a, b)
        h, known = 1, set(edges | told)
        while True:
            h += 1
            new = [(a, b) for a in range(n) for b in range(n) if a != b and (a, b) not in known and (b, a) not in edges
                   and rows[a] & columns[b]]
            if not new:
                break
            for a, b in new:
                add(a, b)
                known.add((a, b))
                height[a, b] = h
        rules = {2: "edge", 3: "join"}
        asked = [max(sorted(height), key=lambda f: height[f]), (3, 77), sorted(edges)[7], min(f for f in height if height[f] == 3)]
        top = 1 + min(max(height[40, y], height[y, 40]) for y in range(n) if (40, y) in height and (y, 40) in height)
        result = ask(binary, ranks, folder, [("--why", f"R({a},{b})") for a, b in asked] + [("--why", "Top(40)")],
                     ["--why-format", "json"])
        assert result.status == 0, (ranks, result.tail())
        assert seen.setdefault("far", result.out) == result.out, ranks
        answers = [json.loads(line) for line in result.out.splitlines()]
        assert [a["height"] for a in answers] == [height[f] for f in asked] + [top], (answers, top)
        for answer in answers:
            for fact in answer["facts"]:
                below = [tuple(answer["facts"][p]["arguments"]) for p in fact.get("premises", ())]
                if fact["relation"] == "E":
                    assert tuple(fact["arguments"]) in edges, fact
                elif fact["relation"] == "R" and fact["height"] == 0:
                    assert tuple(fact["arguments"]) in told, fact
                elif fact["relation"] == "R":
                    a, b = fact["arguments"]
                    assert fact["height"] == height[a, b], (fact, height[a, b])
                    # the first rule, and for it the first ids
                    ys = [y for y in range(n) if max(height.get((a, y), 99), height.get((y, b), 99)) < height[a, b]]
                    expected = [(a, b)] if (a, b) in edges else [(a, ys[0]), (ys[0], b)]
                    assert rules[fact["rule"]["line"]] == ("edge" if (a, b) in edges else "join") and below == expected, (fact, below)


def check_depth(binary, ranks, rng, seen):
    """A chain of 250, and facts on both sides of a level that is dense: proofs go through several groups of rules."""
    n = 250 if ranks <= 3 else 40
    with tempfile.TemporaryDirectory() as folder:
        logic.write(folder, "c.tsv", logic.lines((i, i + 1) for i in range(n)))
        logic.write(folder, "s.json", str([0.5] * (n + 1)))
        logic.write(folder, "p.fuse", """C(x,y) = "c.tsv"
S[x] = "s.json"
From(0) = true
From(y) = From(x) C(x,y)
Degree[x] = From(x)
Good(x) = S[x] > 0.25
Deep(x) = From(x) Good(x) && Degree[x] > 0
Pair(x,y) = C(x,y) Deep(y)
"pair.tsv" = Pair(x,y)
""")
        result = ask(binary, ranks, folder, [("--why", f"Pair({n - 1},{n})")], ["--why-format", "json"])
        assert result.status == 0, (ranks, result.tail())
        answer = json.loads(result.out)
        facts = answer["facts"]
        assert answer["height"] == n + 3 and facts[0]["relation"] == "Pair", answer["height"]
        assert sum(f["relation"] == "From" for f in facts) == n + 1 and sum(f["relation"] == "C" for f in facts) == n, len(facts)
        text = ask(binary, ranks, folder, [("--why", f"Pair({n - 1},{n})")]).out
        assert f"[{n + 2}] From(0)" in text and len(text) < 300 * n, text[-300:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,4,8")
    parser.add_argument("--random", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    counts = [int(n) for n in arguments.ranks.split(",")]
    seen = {}
    for check in (check_family, check_guards, check_printed, check_closures, check_square, check_values, check_bettered, check_far, check_depth):
        for ranks in counts:
            check(binary, ranks, random.Random(f"{check.__name__} {arguments.seed}"), seen)
    asked = steps = 0
    for k in range(0, arguments.random, 30):
        a, s = check_random(binary, counts, f"{arguments.seed}.{k}", min(30, arguments.random - k))
        asked, steps = asked + a, steps + s
    print(f"{asked} questions about {arguments.random} random programs on {counts} ranks, {steps} steps of proofs")


if __name__ == "__main__":
    main()
