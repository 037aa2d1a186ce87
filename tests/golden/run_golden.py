#!/usr/bin/env python3
"""Compares what the tools print about each NAME.fuse with the files beside it: NAME.ast, NAME.err, NAME.ir, ...

usage: run_golden.py --tool EXTENSION=COMMAND [--tool ...] [--folder FOLDER] [--update] [NAME | NAME.EXTENSION ...]

The extension picks the tool; {file} in its command stands for the program. Expected files of extensions without a tool
are passed over. A tool exits with 0, and with 65 for `err`. --update writes what was printed instead of comparing; a new
expected file is made by naming it: run_golden.py --update ... slices.ast
"""

import argparse
import difflib
import os
import shlex
import subprocess
import sys


def run(command, file, folder):
    words = [word.replace("{file}", file) for word in shlex.split(command)]
    result = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=50)
    return result.returncode, result.stdout


def find_cases(folder, tools, wanted):
    """(program, expected file, extension) of everything that the tools can check."""
    cases, without = [], []
    for program in sorted(name for name in os.listdir(folder) if name.endswith(".fuse")):
        name = program[: -len(".fuse")]
        known = [f for f in os.listdir(folder) if f.startswith(name + ".") and f != program]
        if not known:
            without.append(program)
        for extension in tools:
            expected = f"{name}.{extension}"
            if wanted and name not in wanted and expected not in wanted:
                continue
            if expected in known or expected in wanted:
                cases.append((program, expected, extension))
    return cases, without


def check(folder, case, command, update):
    program, expected, extension = case
    path = os.path.join(folder, expected)
    status, output = run(command, program, folder)
    wanted_status = 65 if extension == "err" else 0
    if status != wanted_status:
        return f"{expected}: exit status {status}, expected {wanted_status}\n{output.decode(errors='replace')}"
    if update:
        with open(path, "wb") as stream:
            stream.write(output)
        return None
    with open(path, "rb") as stream:
        known = stream.read()
    if known == output:
        return None
    lines = [text.decode(errors="replace").splitlines(keepends=True) for text in (known, output)]
    return "".join(difflib.unified_diff(*lines, fromfile=expected, tofile="printed now"))


def main():
    parser = argparse.ArgumentParser(description="Golden tests: programs beside what the tools print about them.")
    parser.add_argument("--tool", action="append", required=True, metavar="EXTENSION=COMMAND")
    parser.add_argument("--folder", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--update", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    tools = dict(tool.split("=", 1) for tool in options.tool)

    cases, without = find_cases(options.folder, tools, options.names)
    failures = [f"{program}: nothing is expected of it" for program in without if not options.names]
    failures += filter(None, (check(options.folder, case, tools[case[2]], options.update) for case in cases))
    for failure in failures:
        print(failure)
    print(f"run_golden: {len(cases)} compared, {len(failures)} failures")
    return 1 if failures or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
