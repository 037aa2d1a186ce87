#!/usr/bin/env python3
"""Planning takes no time: programs of 1,000 equations, from text to plan, for 8 to 4,096 ranks.

usage: plan_time.py --binary FUSE_DIST [--limit SECONDS] [--ranks N...]

Prints the processor seconds of each; fails above the limit (1 by default; 0.3 is what a quiet machine needs at most, and what is
asked for). Processor time, so that other work on the machine counts little.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile

EQUATIONS = 1000


def layers():
    yield "axis b = 4096\naxis d = 1024\naxis e = 1024\nX0[b,d] = uniform(seed=1)"
    for n in range(EQUATIONS // 2):
        into, out = ("d", "e") if n % 2 == 0 else ("e", "d")
        yield f"W{n}[{into},{out}] = uniform(seed={n + 2})"
        yield f"X{n + 1}[b,{out}] = relu(X{n}[b,{into}] W{n}[{into},{out}])"
    yield f'"x.npy" = X{EQUATIONS // 2}[b,d]'


def maps():
    yield "axis i = 4096\naxis j = 4096\nA0[i,j] = uniform(seed=1)\nB[i,j] = uniform(seed=2)"
    for n in range(EQUATIONS):
        yield f"A{n + 1}[i,j] = A{n}[j,i] * 2 + B[i,j]"
    yield f'"a.npy" = A{EQUATIONS}[i,j]'


def products(shapes):
    """Of earlier results; with as many extents as `shapes`, few operations are alike."""
    draw = random.Random(3)
    names = []
    for n in range(10):
        yield f"axis i{n} = {2048 if shapes == 1 else 1000 + 37 * n}"
    for n in range(10):
        r, c = draw.randrange(shapes), draw.randrange(shapes)
        yield f"S{n}[i{r},i{c}'] = uniform(seed={n + 1})"
        names.append((f"S{n}", r, c))
    for n in range(EQUATIONS):
        a = draw.choice(names[-40:])
        b = draw.choice([x for x in names if x[1] == a[2]][-40:] or [(f"S{n % 10}", None, None)])
        if b[1] is None:
            yield f"T{n}[i{a[2]},i{a[1]}'] = {a[0]}[i{a[1]}',i{a[2]}] * 2"
            names.append((f"T{n}", a[2], a[1]))
            continue
        yield f"T{n}[i{a[1]},i{b[2]}'] = {a[0]}[i{a[1]},k] {b[0]}[k,i{b[2]}']"
        names.append((f"T{n}", a[1], b[2]))
    for n, (name, _, _) in enumerate(names[-40:]):
        yield f'"o{n}.npy" = {name}[i,j]'


def stencil():
    yield "axis i = 8192\naxis j = 8192\nA0[i,j] = uniform(seed=1)"
    for n in range(EQUATIONS):
        yield f"A{n + 1}[i,j] = A{n}[i-1,j] + A{n}[i+1,j] + A{n}[i,j-1] + A{n}[i,j+1] - 4 * A{n}[i,j]"
    yield f'"a.npy" = A{EQUATIONS}[i,j]'


def normalised():
    yield "axis i = 100\nA0[i] = uniform(seed=1)"
    for n in range(EQUATIONS):
        yield f"A{n + 1}[i] = exp(A{n}[i]) / sum(A{n}[j], axis=j)"
    yield f'"a.npy" = A{EQUATIONS}[i]'


def attention(tokens):
    yield f"axis p = {tokens}\naxis d = 512\nX0[p,d] = uniform(seed=1)"
    for n in range(EQUATIONS // 4):
        yield f"S{n}[p,q] = X{n}[p,d] X{n}[q,d]"
        yield f"P{n}[p,q.] = softmax(S{n}[p,q])"
        yield f"O{n}[p,d] = P{n}[p,q] X{n}[q,d]"
        yield f"X{n + 1}[p,d] = O{n}[p,d] + X{n}[p,d]"
    yield f'"x.npy" = X{EQUATIONS // 4}[p,d]'


PROGRAMS = {"layers": layers, "maps": maps, "products of one shape": lambda: products(1),
            "products of many shapes": lambda: products(10), "stencil": stencil, "normalised": normalised,
            "attention": lambda: attention(4096), "attention in slabs": lambda: attention(32768)}


def seconds(binary, ranks, path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([binary, "plan", "--ranks", str(ranks), path], stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode != 0:
        sys.exit(f"{path}, {ranks} ranks: status {result.returncode}\n{result.stderr.decode()[-1000:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--limit", type=float, default=1.0)
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 64, 1000, 4096])
    options = parser.parse_args()
    slow = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, program in PROGRAMS.items():
            path = os.path.join(folder, name.replace(" ", "_") + ".fuse")
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join(program()) + "\n")
            took = [seconds(options.binary, ranks, path) for ranks in options.ranks]
            slow += any(s > options.limit for s in took)
            print(f"{name:24}" + "".join(f"  {r}: {s:.2f} s" for r, s in zip(options.ranks, took)))
    return slow > 0


if __name__ == "__main__":
    sys.exit(main())
