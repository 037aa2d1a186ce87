#!/usr/bin/python3
"""Random programs against an interpreter of the language: README.md.

usage: run_property.py --binary PATH [--programs N] [--ranks K...] [--seed S] [--backend NAME] [--scale N]
"""

import argparse
import os
import random
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

import sample  # noqa: E402
import trees  # noqa: E402
from values import Fragile, ProgramError  # noqa: E402

NARROW = [numpy.dtype(t) for t in sample.DTYPES.values()]
TYPES = {"b": "bool", "i": "int64", "d": "float64", "s": "float32"}
# reduce cannot name the axis of a slice by its text: there the hint says how to give it a name.
SPELLINGS = (r"`.*reduce\(.*\).*` or `.*reduce\(.*\).*`|say where the sum is taken|"
             r"the axis of a slice is named by its text; to align it with others name it: i=\S*:")
# Programs so small are held by every rank unless told otherwise: two thirds of the files are cut into blocks of uneven
# extents, and half of those are computed slab by slab as well.
SPREAD = ["--replicate-below", "0", "--file-unit", "64", "--workspace", "512"]
HOW = [SPREAD, [], [*SPREAD, "--slabs-above", "64"]]
# What else may be said first about an equation with an implied sum.
OTHERS = "summed here|axis|to work over|of reduce|has no index|as many left indices"


def preamble(inputs, axes, text):
    lines = [f"axis {n} = {e}" for n, e in sample.EXTENTS.items() if "'" not in n and n != "z"] if axes else []
    if axes:
        lines += [f"axis q' = {sample.EXTENTS['j']}", "axis z = 0"]
    for position, name in sample.NAMED.items():
        lines.append(f"{'const' if position % 2 else 'param'} {name} = {position}")
    lines += [sample.function_text(name, sample.Printer(random.Random(1))) for name in sample.FUNCTIONS]
    for name, value in inputs.items():
        if not re.search(rf"\b{name}\b", text):
            continue
        left = sample.reference(name, [("n", "abcdefgh"[a]) for a in range(value.array.ndim)])
        if name in ("J", "V"):
            lines.append(f"{left} = const({value.array.tolist()})")
        else:
            lines.append(f'{left} = "{name}.npy"')
    return lines


def compare(got, want, narrow):
    """narrow: integers may have the type of a file."""
    array, kind, exact, loose = want
    if got.shape != array.shape:
        return f"shape {got.shape}, expected {array.shape}"
    if got.dtype.name != TYPES[kind] and not (kind == "i" and narrow and got.dtype in NARROW):
        return f"type {got.dtype.name}, expected {TYPES[kind]}"
    if array.size == 0:
        return None
    scale = max(1.0, float(numpy.abs(array.astype(float)).max()))
    bound = 0 if kind in "bi" else (1e-12 if exact and not loose else 1e-3 if loose or kind == "s" else 1e-8) * scale
    worst = numpy.abs(got.astype(float) - array.astype(float))
    if not (worst <= bound).all():
        at = numpy.unravel_index(numpy.argmax(worst), worst.shape)
        return f"at {tuple(int(a) for a in at)}: {got[at]}, expected {array[at]}"
    return None


class Tester:
    """how: expert options, which must not change what is computed."""

    def __init__(self, options, folder, inputs, how=()):
        self.options, self.folder, self.inputs, self.how = options, folder, inputs, how
        for name, value in inputs.items():
            dtype = sample.DTYPES.get(name, {"d": "f8", "s": "f4", "i": "i8", "b": "?"}[value.kind])
            numpy.save(os.path.join(folder, f"{name}.npy"), value.array.astype(dtype))
        self.known = {}

    def expected(self, p):
        if p not in self.known:
            self.known[p] = p.expect(self.inputs)
        return self.known[p]

    def run(self, lines, ranks):
        for name in os.listdir(self.folder):
            if name.startswith("P"):
                os.unlink(os.path.join(self.folder, name))
        with open(os.path.join(self.folder, "prog.fuse"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        command = [self.options.binary, "--backend", self.options.backend, *self.how, "prog.fuse"]
        return launch.run(launch.on_ranks(ranks if ranks > 1 else 0, command), self.folder, 120)

    def failures(self, programs, ranks, axes, order):
        """program -> what is wrong with it; None for what concerns all."""
        lines = [s.text() for p in programs for s in p.statements()]
        lines = preamble(self.inputs, axes, "\n".join(lines)) + lines
        if order is not None:
            random.Random(order).shuffle(lines)
        result = self.run(lines, ranks)
        if result.status != 0:
            return {None: f"status {result.status}\n{result.tail()}"}
        found = {}
        for p in programs:
            narrow = any(re.search(rf"\b{t}\[", s.text()) for s in p.statements() for t in sample.DTYPES)
            for path, want in self.expected(p).items():
                file = os.path.join(self.folder, path + ".npy")
                wrong = compare(numpy.load(file), want, narrow) if os.path.exists(file) else "no output"
                if wrong:
                    found[p] = f"{path}: {wrong}"
        return found


# ---- smaller programs that fail in the same way


def smaller_expressions(node):
    for _, child in trees.children(node):
        yield child
    if node[0] not in ("num", "ref"):
        yield ("num", 2)
    for k, child in trees.children(node):
        for smaller in smaller_expressions(child):
            yield trees.with_child(node, k, smaller)


def smaller_programs(p):
    def copy(s, **changes):
        return sample.Statement(*[changes.get(k, getattr(s, k))
                                  for k in ("name", "left", "expr", "guard", "path", "spelling", "assign")])

    if len(p.sinks) > 1:
        for s in p.sinks:
            yield sample.Program(p.tensors, [s])
    for name in p.tensors:
        yield sample.Program({n: t for n, t in p.tensors.items() if n != name}, p.sinks)
    for at, s in enumerate(p.sinks):
        for e in smaller_expressions(s.expr):
            yield sample.Program(p.tensors, [*p.sinks[:at], copy(s, expr=e), *p.sinks[at + 1:]])
    for name, (statements, shape) in p.tensors.items():
        for at, s in enumerate(statements):
            options = [copy(s, expr=e) for e in smaller_expressions(s.expr)]
            options += [copy(s, guard=None)] if s.guard else []
            for smaller in options:
                yield sample.Program({**p.tensors, name: ([*statements[:at], smaller, *statements[at + 1:]], shape)},
                                     p.sinks)
            if len(statements) > 1:
                yield sample.Program({**p.tensors, name: (statements[:at] + statements[at + 1:], shape)}, p.sinks)


def shrink(tester, p, ranks, axes, message, tries=150):
    def kind(text):
        said = re.search(r"error: (.*)", text)
        return re.sub(r"\d+|'.*?'", "", said.group(1) if said else text)[:20]

    progress = True
    while progress and tries > 0:
        progress = False
        for smaller in smaller_programs(p):
            try:
                smaller.expect(tester.inputs, axes)
            except (Fragile, ProgramError, KeyError, ValueError, IndexError):
                continue
            tries -= 1
            found = tester.failures([smaller], ranks, axes, None)
            if found and ("status" in message) == (None in found) and kind(next(iter(found.values()))) == kind(message):
                p, message, progress = smaller, next(iter(found.values())), True
                break
            if tries <= 0:
                break
    return p, message


# ---- the two kinds of files


def check_right(tester, rng, count, all_ranks, serial):
    """One file of `count` programs, run at several numbers of ranks; returns the failures as text."""
    axes = rng.random() < 0.5
    programs = []
    while len(programs) < count:
        p = sample.program(rng, tester.inputs, f"P{len(programs)}", axes)
        if p:
            programs.append(p)
    reports = []
    for ranks in all_ranks:
        found = tester.failures(programs, ranks, axes, serial)
        suspects = list(found) if None not in found else programs
        before = len(reports)
        for p in suspects:
            alone = tester.failures([p], ranks, axes, None)
            if alone:
                p, message = shrink(tester, p, ranks, axes, next(iter(alone.values())))
                reports.append("\n".join(s.text() for s in p.statements())
                               + f"\n  {' '.join(tester.how)} ranks {ranks}, axes {axes}, {sample.EXTENTS}: {message}")
                if len(reports) >= before + 3:
                    break
        if found and len(reports) == before:
            reports.append(f"only together, ranks {ranks}: {next(iter(found.values()))}")
        if reports:
            break
    return reports


def check_wrong(tester, rng, count):
    """One file of `count` equations that are errors: each must be reported, once, in its line, and nothing else."""
    lines, errors = [], []
    for k in range(count):
        statement, error = sample.wrong_statement(rng, tester.inputs, f"P{k}")
        lines.append(statement.text())
        errors.append(error)
    head = preamble(tester.inputs, True, "\n".join(lines))
    result = tester.run(head + lines, 1)
    said = {}
    for line, text in re.findall(r"^prog\.fuse:(\d+):\d+: error: (.*)$", result.err, re.MULTILINE):
        said.setdefault(int(line) - len(head) - 1, []).append(text)
    blocks = re.split(r"^(?=prog\.fuse:\d+:\d+: )", result.err, flags=re.MULTILINE)
    reports = [] if result.status == 65 else [f"status {result.status}\n{result.tail()}"]
    for k, error in enumerate(errors):
        texts = said.pop(k, [])
        block = "".join(b for b in blocks if b.startswith(f"prog.fuse:{k + len(head) + 1}:"))
        if not texts:
            reports.append(f"{lines[k]}\n  is wrong ({error.kind} {error.names}), but that is not said")
        elif error.kind == "implied sum" and not any(re.search(OTHERS, t) for t in texts):
            reports.append(f"{lines[k]}\n  has an implied sum over {error.names}, but it is said: {texts[0]}")
        elif block.count("summed here") != len(re.findall(SPELLINGS, block)):
            reports.append(f"{lines[k]}\n  the two spellings are missing:\n{block}")
    for k, texts in said.items():
        if k < 0 and "no contribution reaches" in texts[0]:
            continue  # the maximum of no integers, in the body of a function
        reports.append(f"line {k}: {texts}")
    return count, reports


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--programs", type=int, default=150)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--most-failures", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1, help="multiplies the extents")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    failures, right, wrong, serial = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        while right < options.programs and len(failures) < options.most_failures:
            rng = random.Random(f"{options.seed} {serial}")
            sample.draw_extents(rng, options.scale)
            inputs = sample.make_inputs(numpy.random.default_rng(rng.randrange(1 << 30)))
            tester = Tester(options, folder, inputs, HOW[serial % len(HOW)])
            failures += check_right(tester, rng, options.batch, options.ranks, serial)
            right += options.batch
            if serial % 3 == 0:
                count, reports = check_wrong(tester, rng, options.batch)
                wrong += count
                failures += reports
            serial += 1
            if right % 500 == 0 or right >= options.programs:
                print(f"{right} programs, each on {options.ranks} ranks, {wrong} wrong equations, "
                      f"{len(failures)} failures", flush=True)
    for report in failures:
        print("----\n" + report)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
