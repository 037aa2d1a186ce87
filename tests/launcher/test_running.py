#!/usr/bin/env python3
"""What docs/running.md quotes is what is really printed: every trouble in its list is provoked, or looked up where that takes
a cluster; its links, and what the container's recipe copies and calls, exist.

usage: test_running.py --binary FUSE_DIST --source DIR
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

PROGRAM = 'X[i] = const([1.0, 2.0])\n"absent/x.npy" = X[i]\n'
LARGE = 'axis i = 100000\nX[i] = iota(i)\nY[i,j] = X[i] * X[j]\naxis j = 100000\n"y.npy" = Y[i,j]\n'
LONG = 'axis i = 2000\naxis j = 2000\naxis k = 2000\nA[i,k] = uniform(seed=1)\nB[i,j] = A[i,k] A[k,j]\n"b.npy" = B[i,j]\n'


def printed(command, folder, without=(), **extra):
    env = launch.environment(extra)
    for name in without:
        env.pop(name, None)
    result = launch.run(command, folder, 30, env)
    return result.out + result.err


def in_sources(source, pattern):
    """The lines of C in which a string of the program matches."""
    files = glob.glob(os.path.join(source, "src", "*", "*.c")) + glob.glob(os.path.join(source, "launcher", "*.c"))
    return "\n".join(line for path in files for line in open(path, encoding="utf-8") if re.search(pattern, line))


def in_program(name):
    """What a program of the system may say, or None when it is not here."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    return path and open(path, "rb").read().decode("latin-1")


def provoke(number, options, folder):
    """(text, what must stand in it if not the quotation itself), or the reason why it cannot be looked for."""
    binary, source = options.binary, options.source
    cores = os.cpu_count()
    if number == 1:
        if os.geteuid() != 0:
            return "not root"
        return printed(["mpirun", "-n", "1", "true"], folder, ["OMPI_ALLOW_RUN_AS_ROOT"]), None
    if number == 2:
        shown = printed(["mpirun", "-n", str(4 * cores), "true"], folder, ["OMPI_MCA_rmaps_base_oversubscribe"])
        return shown.replace(f"the {4 * cores}", "the 8"), None
    if number == 3:
        return printed([binary, "p.fuse"], folder, SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="4"), None
    if number == 4:
        return printed([binary, "--mem-per-rank", "100M", "--stream-above", "0", "large.fuse"], folder), None
    if number == 5:
        # One second of processor time, then the system kills.
        killed = ["sh", "-c", 'ulimit -t 1; exec "$0" --backend ref long.fuse', binary]
        return printed(["mpirun", "-n", "2", *killed], folder), None
    if number == 6:
        return in_sources(source, "on rank %d of %d, host"), '"on rank %d of %d, host %s"'
    if number == 7:
        shown = printed([binary, "info"], folder, OPENBLAS_CORETYPE="Haswell")
        return (shown, None) if re.search("^processor +AVX-512", shown, re.M) else "no AVX-512 here"
    if number == 8:
        return in_sources(source, "waited %lld seconds"), None
    if number == 9:
        said = in_program("slurmstepd")
        return (said, None) if said else "no Slurm here"
    if number == 10:
        return printed([binary, "p.fuse"], folder), None
    raise AssertionError(f"trouble {number} is new: say how to provoke it")


def check_troubles(options, text, folder):
    troubles = re.findall(r"^### (\d+)\. .*\n\n```\n(.*)\n```\n", text, re.M)
    if [int(number) for number, _ in troubles] != list(range(1, 11)):
        yield f"the troubles are {[number for number, _ in troubles]}, each with the line that shows it"
    for number, quoted in troubles:
        found = provoke(int(number), options, folder)
        if isinstance(found, str):
            print(f"trouble {number} is not looked for: {found}")
            continue
        shown, wanted = found
        if (wanted or quoted) not in shown:
            yield f"trouble {number}: `{wanted or quoted}` is not in:\n{shown[:2000]}"


def check_links(source, text):
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not os.path.exists(os.path.join(source, "docs", link)):
            yield f"docs/running.md links to {link}, which is not there"


def check_container(source):
    with open(os.path.join(source, "scripts", "container", "Containerfile"), encoding="utf-8") as file:
        recipe = file.read()
    for path in re.findall(r"(?:/src/| )(scripts/[\w/.]+)", recipe):
        if not os.path.exists(os.path.join(source, path)):
            yield f"the Containerfile names {path}, which is not there"
    for preset in re.findall(r"build\.sh (\w+)", recipe):
        with open(os.path.join(source, "CMakePresets.json"), encoding="utf-8") as file:
            if f'"name": "{preset}"' not in file.read():
                yield f"the Containerfile builds {preset}, which is no preset"
    with open(os.path.join(source, ".dockerignore"), encoding="utf-8") as file:
        if "build" not in file.read().splitlines():
            yield "the container's build would start from the build folder of this checkout"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=os.path.abspath)
    parser.add_argument("--source", required=True, type=os.path.abspath)
    options = parser.parse_args()
    with open(os.path.join(options.source, "docs", "running.md"), encoding="utf-8") as file:
        text = file.read()
    with tempfile.TemporaryDirectory() as folder:
        for name, program in (("p.fuse", PROGRAM), ("large.fuse", LARGE), ("long.fuse", LONG)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(program)
        problems = [*check_troubles(options, text, folder), *check_links(options.source, text),
                    *check_container(options.source)]
    print("\n".join(problems) or "docs/running.md quotes what is printed")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
