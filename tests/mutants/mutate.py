#!/usr/bin/env python3
"""Plants one fault after the other (mutants.py) in a copy of the sources and runs the suite, which must fail.

usage: mutate.py --check                            every fault still applies to the sources
       mutate.py [--left] [--jobs N] [NAME...]      run all, or these, or those that nothing has seen yet
       mutate.py --table                            write the results so far into docs/testing.md

The copy, its build and the results live in build/mutants. The tests of the layer run first, then all in the order of
ORDER, the cheap ones first, up to the first that fails; at the end the tests that failed must pass on the unchanged copy. Exit
status 1 when a fault survives, does not compile or no longer applies."""

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
ORDER = ["-L ^unit$ -LE heavy", "-L golden", "-R ^mpi[.].*n[14]$", "-R ^run[.]programs[.](spread[.]n3|slabs[.]n4|minmem[.]n3)$",
         "-R ^run[.](formats|json_lines|property)$", "-L errors", "-L launcher", "-R ^mpi", "-R ^run[.]programs[.]n[38]$",
         "-R ^run[.]programs", "-L ^run$", "-L fault", ""]
# Where a fault of a layer is most likely seen.
FIRST = {"core": "-R ^unit[.]core", "lang": "-R ^unit[.](lower|parser|diagnostics)$|^golden", "ir": "-R ^unit[.]ir_",
         "plan": "-R ^unit[.]plan", "comm": "-R ^mpi[.]comm[.]n[34]", "backend": "-R ^unit[.]backend",
         "exec": "-R ^mpi[.]execute[.]n[34]", "io": "-R ^unit[.](npy|npz|zip|crc|json|tsv)|^mpi[.]npy_sink[.]n3",
         "launcher": "-R ^unit[.]options"}
LEFT_OUT = "repo|cluster"
FAILED = r"^\s*\d+ - (\S+) \((\w+)\)"


def read(root, file):
    with open(os.path.join(root, file)) as stream:
        return stream.read()


def applies(mutant):
    _, _, file, old, new, _ = mutant
    return os.path.exists(os.path.join(SOURCE, file)) and read(SOURCE, file).count(old) == 1 and old != new


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)


def prepare():
    """A copy of what git knows or would know, built. The sources may change while the faults run."""
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


def first_failure(layer, jobs):
    """The first test that fails, or None."""
    for selection in [FIRST[layer], *ORDER]:
        left_out = [] if "-LE" in selection else ["-LE", LEFT_OUT]
        result = run("ctest", "--test-dir", BUILD, "-j", str(jobs), "--stop-on-failure", *left_out, *selection.split())
        failed = re.findall(FAILED, result.stdout, flags=re.M)
        if failed:
            name, how = failed[0]
            return name if how == "Failed" else f"{name} ({how})"
        if result.returncode and "No tests were found" not in result.stdout:
            return "ctest: " + result.stdout[-200:]
    return None


def attempt(mutant, jobs):
    """What saw the fault; empty when nothing did."""
    file, old, new = mutant[2:5]
    path = os.path.join(TREE, file)
    text = read(TREE, file)
    try:
        with open(path, "w") as stream:
            stream.write(text.replace(old, new))
        built = run("ninja", "-C", BUILD)
        if built.returncode:
            print(f"{mutant[0]} does not compile:\n{built.stdout[-3000:]}")
            return ""
        return first_failure(mutant[1], jobs) or ""
    finally:
        with open(path, "w") as stream:
            stream.write(text)


def unreliable(tests, jobs):
    """Those of the tests that fail on the unchanged copy, too."""
    run("ninja", "-C", BUILD, check=True)
    names = {re.escape(test.split()[0]) for test in tests}
    result = run("ctest", "--test-dir", BUILD, "-j", str(jobs), "-R", f"^({'|'.join(sorted(names))})$")
    return {name for name, _ in re.findall(FAILED, result.stdout, flags=re.M)}


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
    rows += [f"| {m[0]} | {m[1]} | {m[5]} | {results.get(m[0], 'not tried yet') or '**survives**'} |" for m in MUTANTS]
    with open(path) as stream:
        text = stream.read()
    begin, end = "<!-- mutants: begin -->", "<!-- mutants: end -->"
    head, rest = text.split(begin)
    with open(path, "w") as stream:
        stream.write(head + begin + "\n" + "\n".join(rows) + "\n" + end + rest.split(end)[1])


def choose(options, results):
    unknown = set(options.names) - {mutant[0] for mutant in MUTANTS}
    if unknown:
        sys.exit(f"there is no fault {', '.join(sorted(unknown))}")
    chosen = [mutant for mutant in MUTANTS if not options.names or mutant[0] in options.names]
    return [mutant for mutant in chosen if not options.left or not results.get(mutant[0])]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--left", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.table:
        write_table(recall())
        return 0
    stale = [mutant[0] for mutant in MUTANTS if not applies(mutant)]
    for name in stale:
        print(f"{name}: its text does not occur exactly once in {next(m[2] for m in MUTANTS if m[0] == name)}")
    if options.check or stale:
        print(f"{len(MUTANTS)} faults, {len(stale)} do not apply")
        return len(stale) > 0
    results = recall()
    chosen = choose(options, results)
    prepare()
    for mutant in chosen:
        started = time.monotonic()
        results[mutant[0]] = attempt(mutant, options.jobs)
        remember(results)
        print(f"{mutant[0]:24} {results[mutant[0]] or 'SURVIVES':40} {time.monotonic() - started:.0f} s", flush=True)
    wrong = unreliable(filter(None, results.values()), options.jobs)
    for name, test in results.items():
        if test and test.split()[0] in wrong:
            print(f"{name}: {test} also fails without it")
            results[name] = ""
    remember(results)
    survivors = [mutant[0] for mutant in chosen if not results[mutant[0]]]
    print(f"{len(chosen)} faults, {len(survivors)} survive" + (": " + ", ".join(survivors) if survivors else ""))
    return len(survivors) > 0


if __name__ == "__main__":
    sys.exit(main())
