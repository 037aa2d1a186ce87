#!/usr/bin/env python3
"""Writes docs/builtins.md from the tables that the checker uses.

usage: builtins-doc.py [--check]

The rows are src/lang/builtins.def and src/lang/builtin_groups.def. --check compares instead of writing: exit status 1
when the document is not what the tables say.
"""

import argparse
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join(ROOT, "docs", "builtins.md")
ROW = re.compile(r"^FUSE_(BUILTIN|BUILTIN_GROUP|BUILTIN_TYPE)\((.*)\)$")
FIELD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^,"]+)\s*(?:,|$)')

INTRODUCTION = """# Builtin functions

Written by `scripts/builtins-doc.py` from `src/lang/builtins.def`; change the rows there.

`=` in a signature marks an argument that may be left out, with what it then is; `..` stands for any number of arguments.
Arguments are given in order or by name. `axis=` is always named: an index name, for reductions and functions along an
axis also a list of names, or an integer, a position in the first argument. Letter case of the function's name does not
matter, and a tensor that the program defines under the same spelling hides the function.
"""


def rows(name):
    """(kind, fields) of the rows of a table, strings without quotes."""
    with open(os.path.join(ROOT, "src", "lang", name), encoding="utf-8") as table:
        for line in table:
            match = ROW.match(line.strip())
            if match:
                fields = [field.strip() for field in FIELD.findall(match.group(2))]
                yield match.group(1), [re.sub(r"\\(.)", r"\1", f[1:-1]) if f.startswith('"') else f for f in fields]


def document():
    groups, types, lines = {}, {}, [INTRODUCTION]
    for kind, fields in rows("builtin_groups.def"):
        if kind == "BUILTIN_GROUP":
            groups[fields[0]] = fields[1:]
        else:
            types[fields[0]] = fields[1]
    current = None
    for _, (_, name, group, kind, _, runs, differentiable, signature, doc) in rows("builtins.def"):
        if group != current:
            current = group
            title, axes = groups[group]
            lines += [f"## {title}", "", f"Axes of the result: {axes}.", "",
                      "| function | meaning | type of the result | `grad` goes through it |", "|---|---|---|---|"]
            lines += [""]
        later = "" if runs == "true" else " (cannot be run yet)"
        row = [f"`{name}({signature})`", doc + later, types[kind], "yes" if differentiable == "true" else "no"]
        lines.insert(-1, "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with docs/builtins.md instead of writing it")
    options = parser.parse_args()
    text = document()
    if not options.check:
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    with open(DOCUMENT, encoding="utf-8") as file:
        if file.read() == text:
            return 0
    print("docs/builtins.md is not what src/lang/builtins.def says: run scripts/builtins-doc.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
