#!/usr/bin/env python3
"""Plants one fault after the other (mutants.py) in a copy of the sources and runs the suite, which must fail.

usage: mutate.py --check                 every fault still applies to the sources
       mutate.py [--table] [NAME...]     run all, or these; --table writes the results into docs/testing.md

The copy and its build live in build/mutants. Tests run in the order of ORDER, the cheap ones first, and a run ends with
the first that fails. Exit status 1 when a fault survives or no longer applies."""

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import time

from mutants import MUTANTS

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TREE = os.path.join(SOURCE, "build", "mutants", "tree")
BUILD = os.path.join(SOURCE, "build", "mutants", "build")
RESULTS = os.path.join(SOURCE, "build", "mutants", "results.txt")
# Labels and names; the last is everything that is left.
ORDER = ["-L ^unit$ -E plan", "-L golden", "-R ^unit.plan", "-R ^mpi[.].*n[14]$", "-R ^run[.]programs[.](n3|slabs.n4)$",
         "-R ^run[.](formats|json_lines|property)$", "-L errors", "-R ^launcher", "-R ^fault", ""]
JOBS = "2"


def original(file):
    with open(os.path.join(SOURCE, file)) as stream:
        return stream.read()


def applies(mutant):
    _, _, file, old, new, _ = mutant
    return os.path.exists(os.path.join(SOURCE, file)) and original(file).count(old) == 1 and old != new


def write(file, text):
    path = os.path.join(TREE, file)
    with open(path) as stream:
        if stream.read() == text:
            return
    with open(path, "w") as stream:
        stream.write(text)


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def prepare():
    """A copy of what git knows or would know, built."""
    os.makedirs(TREE, exist_ok=True)
    names = run("git", "ls-files", "-co", "--exclude-standard", cwd=SOURCE, check=True).stdout.split("\n")
    names = [name for name in names if name and os.path.isfile(os.path.join(SOURCE, name))]
    for name in names:
        copy = os.path.join(TREE, name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if not os.path.exists(copy) or not filecmp.cmp(os.path.join(SOURCE, name), copy, shallow=False):
            shutil.copy(os.path.join(SOURCE, name), copy)
    configure = ["cmake", "-S", TREE, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DFUSE_FAULTS=ON"]
    if shutil.which("ccache"):
        configure.append("-DCMAKE_C_COMPILER_LAUNCHER=ccache")
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", BUILD], check=True, stdout=subprocess.DEVNULL)


def first_failure():
    """The first test that fails, or None."""
    for selection in ORDER:
        result = run("ctest", "--test-dir", BUILD, "-j", JOBS, "--stop-on-failure", "--timeout", "120", "-LE", "repo|cluster",
                     *selection.split())
        failed = re.findall(r"^\s*\d+ - (\S+) \((\w+)\)", result.stdout, flags=re.M)
        if failed:
            name, how = failed[0]
            return name if how == "Failed" else f"{name} ({how})"
        if result.returncode and "No tests were found" not in result.stdout:
            return "ctest: " + result.stdout[-200:]
    return None


def attempt(mutant):
    _, _, file, old, new, _ = mutant
    write(file, original(file).replace(old, new))
    try:
        built = run("ninja", "-C", BUILD)
        if built.returncode:
            sys.exit(f"{mutant[0]} does not compile:\n{built.stdout[-3000:]}")
        return first_failure()
    finally:
        write(file, original(file))


def remember(results):
    with open(RESULTS, "w") as stream:
        for name, caught in results.items():
            stream.write(f"{name}\t{caught or ''}\n")


def recall():
    if not os.path.exists(RESULTS):
        return {}
    with open(RESULTS) as stream:
        return dict(line.rstrip("\n").split("\t") for line in stream)


def write_table(results):
    path = os.path.join(SOURCE, "docs", "testing.md")
    rows = ["| fault | layer | what is wrong | seen by |", "|---|---|---|---|"]
    rows += [f"| {m[0]} | {m[1]} | {m[5]} | {results.get(m[0]) or '**survives**'} |" for m in MUTANTS]
    with open(path) as stream:
        text = stream.read()
    begin, end = "<!-- mutants: begin -->", "<!-- mutants: end -->"
    head, rest = text.split(begin)
    with open(path, "w") as stream:
        stream.write(head + begin + "\n" + "\n".join(rows) + "\n" + end + rest.split(end)[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    stale = [mutant[0] for mutant in MUTANTS if not applies(mutant)]
    for name in stale:
        print(f"{name}: its text does not occur exactly once in {next(m[2] for m in MUTANTS if m[0] == name)}")
    if options.check or stale:
        print(f"{len(MUTANTS)} faults, {len(stale)} do not apply")
        return len(stale) > 0
    unknown = set(options.names) - {mutant[0] for mutant in MUTANTS}
    if unknown:
        sys.exit(f"there is no fault {', '.join(sorted(unknown))}")
    prepare()
    results = recall()
    for mutant in MUTANTS:
        if options.names and mutant[0] not in options.names:
            continue
        started = time.monotonic()
        results[mutant[0]] = attempt(mutant) or ""
        remember(results)
        print(f"{mutant[0]:24} {results[mutant[0]] or 'SURVIVES':40} {time.monotonic() - started:.0f} s", flush=True)
    if options.table:
        write_table(results)
    tried = options.names or [mutant[0] for mutant in MUTANTS]
    survivors = [name for name in tried if not results.get(name)]
    print(f"{len(tried)} faults, {len(survivors)} survive" + (": " + ", ".join(survivors) if survivors else ""))
    return len(survivors) > 0


if __name__ == "__main__":
    sys.exit(main())
