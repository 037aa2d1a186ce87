"""Instructions of ten fixed kernel calls, counted by callgrind with the AVX2 kernels, and the exact counters beside them.

usage: count_kernels.py BINARY COUNTS [--update]

COUNTS is a JSON document: for each case `counters` (kernel calls, BLAS calls, bytes packed, arithmetic operations), which must be
equal, and `instructions`, of which a build by the compiler that is named there may need 3 % more or less. A count that has
become lower for a good reason is updated like one that has become higher. Status 77: no callgrind, or another compiler; the
counters have been compared then.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

BAND = 0.03
ENVIRONMENT = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT, **more).stdout


def parse(text):
    counters, compiler = {}, ""
    for line in text.splitlines():
        name, rest = line.split(" ", 1)
        if name == "compiler":
            compiler = rest
        else:
            counters[name] = [int(n) for n in rest.split()]
    return counters, compiler


def count_instructions(binary, names):
    with tempfile.TemporaryDirectory() as folder:
        run(["valgrind", "--tool=callgrind", "--toggle-collect=fuse_counted_case", "--dump-after=fuse_counted_case",
             f"--callgrind-out-file={folder}/out", binary, "avx2"])
        files = sorted(glob.glob(f"{folder}/out.*"), key=lambda path: int(path.rsplit(".", 1)[1]))
        if len(files) < len(names):
            raise SystemExit(f"callgrind wrote {len(files)} files for {len(names)} cases")
        counts = {}
        for name, path in zip(names, files):
            with open(path, encoding="utf-8", errors="replace") as file:
                counts[name] = int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.M).group(1))
        return counts


def main():
    binary, path = sys.argv[1:3]
    counters, compiler = parse(run([binary, "avx2"]))
    instructions = count_instructions(binary, list(counters)) if shutil.which("valgrind") else None
    if "--update" in sys.argv:
        if instructions is None:
            raise SystemExit("no valgrind")
        with open(path, "w", encoding="utf-8") as file:
            cases = [f'  "{name}": {{"instructions": {instructions[name]}, "counters": {counters[name]}}}' for name in counters]
            file.write('{\n "compiler": ' + json.dumps(compiler) + ',\n "cases": {\n' + ",\n".join(cases) + "\n }\n}\n")
        return 0
    with open(path, encoding="utf-8") as file:
        known = json.load(file)
    failures = [f"{name}: counters {counters.get(name)}, not {case['counters']}"
                for name, case in known["cases"].items() if counters.get(name) != case["counters"]]
    failures += [f"{name}: not in {path}" for name in counters if name not in known["cases"]]
    comparable = instructions is not None and compiler == known["compiler"]
    for name, case in known["cases"].items() if comparable else ():
        share = instructions[name] / case["instructions"]
        print(f"{name:<20}{instructions[name]:>12} instructions, {share:.4f} of what is known")
        if abs(share - 1) > BAND:
            failures.append(f"{name}: {instructions[name]} instructions, {share:.3f} of what is known")
    print("\n".join(failures) if failures else "as known" + ("" if comparable else ", without instructions"))
    if failures:
        print(f"when this is meant: {sys.argv[0]} {binary} {path} --update")
        return 1
    return 0 if comparable else 77


if __name__ == "__main__":
    sys.exit(main())
