#!/usr/bin/python3
"""usage: make_data.py [--functions N] FOLDER

Writes the statements of a made-up program as facts: address.tsv, assign.tsv, load.tsv, store.tsv. It has N functions (400) of 20
variables each, f<function>.v<variable>. A function assigns, takes addresses, reads and writes through pointers among its own
variables; some of its variables get values from functions that it calls, mostly the next ones. The same for every N each time."""

import argparse
import os
import random

VARIABLES = 20


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--functions", type=int, default=400)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    n = arguments.functions
    if not 2 <= n <= 10**6:
        parser.error("--functions is a number from 2 to 1000000")
    rng = random.Random(20240607)
    name = lambda f, v: f"f{f}.v{v}"  # noqa: E731
    facts = {"address": set(), "assign": set(), "load": set(), "store": set()}
    for f in range(n):
        own = lambda: name(f, rng.randrange(VARIABLES))  # noqa: E731
        for kind, most in (("address", 6), ("assign", 8), ("load", 2), ("store", 2)):
            facts[kind].update((own(), own()) for _ in range(rng.randrange(1, most + 1)))
        for _ in range(rng.randrange(3)):
            called = (f + 1 + min(rng.randrange(n), rng.randrange(30))) % n
            facts["assign"].add((own(), name(called, 0)))
    for kind, rows in facts.items():
        with open(os.path.join(arguments.folder, kind + ".tsv"), "w", encoding="utf-8") as stream:
            stream.writelines(f"{a}\t{b}\n" for a, b in sorted(rows))


main()
