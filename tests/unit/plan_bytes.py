#!/usr/bin/python3
"""Compiles the planner with gcc -O0, gcc -O3 and clang -O2, and compares the bytes of the plans of 500 random programs.

usage: plan_bytes.py SOURCE_FOLDER
"""

import concurrent.futures
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

COMPILERS = ["gcc", "-O0"], ["gcc", "-O3"], ["clang", "-O2"]


def output_of(source, folder, number):
    files = [file for layer in ("core", "ir", "plan") for file in sorted(glob.glob(f"{source}/src/{layer}/*.c"))]
    files += [f"{source}/tests/unit/{name}.c" for name in ("plan_bytes", "random_ir")]
    here = os.path.join(folder, str(number))
    os.mkdir(here)
    command = [*COMPILERS[number], "-std=c11", "-D_GNU_SOURCE", f"-I{source}/src", f"-I{source}", "-c", *files]
    subprocess.run(command, cwd=here, check=True)
    objects = glob.glob(os.path.join(here, "*.o"))
    subprocess.run([COMPILERS[number][0], *objects, "-lm", "-o", "plan_bytes"], cwd=here, check=True)
    return subprocess.run([os.path.join(here, "plan_bytes")], check=True, stdout=subprocess.PIPE).stdout


def main():
    source = os.path.abspath(sys.argv[1])
    if any(shutil.which(compiler[0]) is None for compiler in COMPILERS):
        print("gcc or clang is missing")
        return 77
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda number: output_of(source, folder, number), range(len(COMPILERS))))
    for compiler, output in zip(COMPILERS, outputs):
        print(" ".join(compiler), hashlib.sha256(output).hexdigest(), len(output), "bytes")
    same = len(set(outputs)) == 1 and outputs[0].count(b"plan for ") > 300
    print("the same plans" if same else "FAILED: the plans differ")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
