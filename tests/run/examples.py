#!/usr/bin/python3
"""Runs the examples as a user would, in a folder that looks like a checkout with this build in build/release.

usage: examples.py --binary PROGRAM --work FOLDER readme NAME [--heavy]
       examples.py --binary PROGRAM --work FOLDER values NAME RANKS...
       examples.py --binary PROGRAM --work FOLDER refuses NAME

readme   executes every block of commands in examples/NAME/README.md, fenced by ``` without a language, as one bash
         script with -euo pipefail. What takes minutes is left to --heavy, which runs nothing else.
values   runs examples/NAME/run.sh at each number of ranks, which compares with NumPy, and checks that what has to be
         the same for every number of ranks is.
refuses  changes an output of the example in one place and in its shape, and checks that reference.py says so.
FOLDER becomes the checkout: it is emptied first.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

import numpy

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The sizes that values runs: in the small ones nearly everything is small enough to be held by every rank.
OPTIONS = {
    "attention": [["--size", "toy"], ["--size", "toy", "--causal"], ["--size", "small", "--causal"]],
    "transformer_block": [["--size", "toy"], ["--size", "small"]],
    "digits": [[], ["--scale", "--rows", "5000"]],
    "debian_deps": [["--index", "/var/lib/dpkg/status"]],
    "shortest_paths": [[]],
    "same_generation": [["--depth", "7"]],
    "points_to": [["--functions", "300"]],
    "graph_kinds": [[]],
}
# Integers, which rounding does not reach.
SAME_EVERYWHERE = {"digits": ["output/predictions.npy", "scale-output/predictions.npy"],
                   "shortest_paths": ["output/distance.tsv", "output/hops.tsv", "output/widest.tsv"],
                   "debian_deps": ["output/circle.tsv", "output/height.tsv", "output/unneeded.tsv"],
                   "same_generation": ["output/kin.tsv"],
                   "points_to": ["output/points.tsv", "output/lost.tsv", "output/shared.tsv"],
                   "graph_kinds": ["output/rmat/circle.tsv", "output/random/level.tsv", "output/grid/level.tsv"]}
OUTPUTS = {"attention": "output/out.npy", "transformer_block": "output/out.npy", "digits": "output/predictions.npy"}
HEAVY = re.compile(r"--size large|--scale(?! --rows)")


def checkout(folder, binary):
    """Makes folder look like a checkout whose release build is binary."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "build", "release"))
    for name in ("examples", "scripts"):
        os.symlink(os.path.join(TOP, name), os.path.join(folder, name))
    os.symlink(binary, os.path.join(folder, "build", "release", "fuse-dist"))


def bash(folder, script):
    """The exit status and all output of a script run in folder."""
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, text=True, check=False,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout


def must(folder, script):
    """Runs a script that has to end well; true when it does."""
    print(f"$ {script}", flush=True)
    status, output = bash(folder, script)
    print(output, end="", flush=True)
    if status != 0:
        print(f"examples: exit status {status}")
    return status == 0


def readme(folder, name, heavy):
    with open(os.path.join(TOP, "examples", name, "README.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```(\S*)\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    commands = [text for language, text in blocks if language == ""]
    chosen = [text for text in commands if bool(HEAVY.search(text)) == heavy]
    if not chosen:
        print("examples: no commands found")
    return bool(chosen) and all([must(folder, text) for text in chosen])


def values(folder, name, ranks):
    good = True
    first = {}
    for count in ranks:
        for options in OPTIONS[name]:
            good &= must(folder, " ".join([f"examples/{name}/run.sh", *options, str(count)]))
        for output in SAME_EVERYWHERE.get(name, []):
            with open(os.path.join(folder, "build", name, output), "rb") as file:
                content = file.read()
            if first.setdefault(output, content) != content:
                print(f"examples: {output} differs between {ranks[0]} and {count} ranks")
                good = False
    return good


def refuses(folder, name):
    if not must(folder, " ".join([f"examples/{name}/run.sh", *OPTIONS[name][0], "1"])):
        return False
    path = os.path.join(folder, "build", name, OUTPUTS[name])
    data = "data" if name == "digits" else OPTIONS[name][0][1]
    check = f"examples/{name}/reference.py build/{name}/{data} build/{name}/output"
    right = numpy.load(path)
    slightly = right.copy()
    slightly.flat[right.size // 2] += 1 if right.dtype.kind == "i" else 1e-3
    wrong = {"one element": slightly, "another shape": right[:-1]}
    if right.dtype.kind == "f":
        wrong["a NaN"] = right.copy()
        wrong["a NaN"].flat[-1] = numpy.nan
    good = must(folder, check)
    for change, values_now in wrong.items():
        numpy.save(path, values_now)
        status, output = bash(folder, check)
        print(f"changed in {change}: exit status {status}\n{output}", end="")
        good &= status == 1 and "FAILED" in output and "Traceback" not in output
    os.remove(path)
    return good & (bash(folder, check)[0] == 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--heavy", action="store_true")
    parser.add_argument("mode", choices=["readme", "values", "refuses"])
    parser.add_argument("name", choices=sorted(OPTIONS))
    parser.add_argument("ranks", type=int, nargs="*")
    options = parser.parse_args()
    folder = os.path.abspath(options.work)
    os.environ["FUSE_DIST"] = os.path.abspath(options.binary)
    checkout(folder, os.path.abspath(options.binary))
    if options.mode == "readme":
        good = readme(folder, options.name, options.heavy)
    elif options.mode == "values":
        good = bool(options.ranks) and values(folder, options.name, options.ranks)
    else:
        good = refuses(folder, options.name)
    if good:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
