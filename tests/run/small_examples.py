#!/usr/bin/python3
"""Runs every example of examples/small and compares with NumPy.

usage: small_examples.py --binary FUSE_DIST --ranks N     runs all; 1 rank without mpirun
       small_examples.py --binary FUSE_DIST --self-check  the inputs and expected files are what their scripts make, the
           README describes every example, the comparison sees a wrong output, and run.sh runs
"""

import argparse
import concurrent.futures
import os
import shutil
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

SMALL = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "examples", "small")
sys.path.insert(0, SMALL)
sys.dont_write_bytecode = True

import compare  # noqa: E402


def run_all(binary, ranks):
    """Two at a time: mpirun mostly waits."""
    def run(name, folder):
        command = [binary, "--root", os.path.join(SMALL, name), "--output-root", folder,
                   os.path.join(SMALL, name, name + ".fuse")]
        return launch.run(launch.on_ranks(0 if ranks == 1 else ranks, command), folder, 60)

    failed = []
    names = compare.names()
    with tempfile.TemporaryDirectory() as top, concurrent.futures.ThreadPoolExecutor(2) as pool:
        folders = [os.path.join(top, name) for name in names]
        for folder in folders:
            os.mkdir(folder)
        for name, folder, result in zip(names, folders, pool.map(run, names, folders)):
            print(result.tail())
            good = result.status == 0 and not result.tail()  # neither warnings nor notes
            expected = sorted(os.listdir(os.path.join(SMALL, name, "expected")))
            if not good or not compare.compare(name, folder) or sorted(launch.files_below(folder)) != expected:
                failed.append(name)
    print(f"{len(names)} examples, failed: {' '.join(failed) or 'none'}")
    return not failed


def same_data(name, folder):
    """The files of an example are the ones that its script makes, but for the rounding of another libm."""
    made = os.path.join(folder, name)
    shutil.copytree(os.path.join(SMALL, name), made)
    before = launch.files_below(made)
    compare.make(name, made)
    good = launch.files_below(made) == before
    for file in before:
        if file.endswith((".json", ".tsv")):
            new, old = compare.read(os.path.join(made, file)), compare.read(os.path.join(SMALL, name, file))
            good &= new.shape == old.shape and numpy.allclose(new, old, rtol=1e-6, atol=1e-7)
    print(f"{name}: {'the files are what the script makes' if good else 'other files than the script makes'}")
    return good


def sees_wrong_output(name, folder):
    """The comparison refuses every file with one value changed, cut short, or missing."""
    good = True
    expected = os.path.join(SMALL, name, "expected")
    for file in os.listdir(expected):
        path = os.path.join(folder, file)
        right = compare.read(os.path.join(expected, file))
        wrong = right.copy()
        wrong.flat[right.size // 2] = {"b": lambda x: not x, "f": lambda x: x + 1e-3 * numpy.abs(right).max()}.get(
            right.dtype.kind, lambda x: x + 1)(wrong.flat[right.size // 2])
        for content in (wrong, right[:-1] if right.ndim else right[None]):
            shutil.copytree(expected, folder, dirs_exist_ok=True)
            good &= compare.compare(name, folder)
            compare.write(path, content)
            good &= not compare.compare(name, folder)
        os.remove(path)
        good &= not compare.compare(name, folder)
    if not good:
        print(f"{name}: the comparison does not tell right from wrong")
    return good


def described(name, readme):
    return f"[{name}]({name}/{name}.fuse)" in readme or print(f"{name}: not in README.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--ranks", type=int)
    what.add_argument("--self-check", action="store_true")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    if options.ranks:
        return 0 if run_all(binary, options.ranks) else 1
    with open(os.path.join(SMALL, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    good = True
    for name in compare.names():
        with tempfile.TemporaryDirectory() as folder:
            good &= same_data(name, folder)
        with tempfile.TemporaryDirectory() as folder:
            good &= sees_wrong_output(name, folder)
        good &= bool(described(name, readme))
    # As a user starts it: in a checkout, whose build folder takes the results.
    with tempfile.TemporaryDirectory() as folder:
        for part in ("examples", "scripts"):
            os.symlink(os.path.join(os.path.dirname(os.path.dirname(SMALL)), part), os.path.join(folder, part))
        for command, status in (["family", "2"], 0), (["family", "0"], 2), (["no_such"], 2), ([], 2):
            result = launch.run(["examples/small/run.sh", *command], folder, 60, launch.environment({"FUSE_DIST": binary}))
            print(result.tail())
            good &= result.status == status
        result = launch.run(["examples/small/run.sh", "--help"], folder, 60)
        good &= result.status == 0 and "usage" in result.out
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
