#!/usr/bin/python3
"""Writes docs/performance.md from what bars.py, network.py and contractions.py printed.

usage: performance.py --binary FUSE_DIST --bars FILE --contractions FILE [--network FILE] [--note TEXT].. > docs/performance.md
"""

import argparse
import json
import platform
import re
import subprocess

HEAD = """# Performance

Written by `scripts/bench/performance.py`; what it says was measured by `scripts/bench/bars.py`,
`scripts/bench/network.py` and `scripts/bench/contractions.py` with `fuse-dist bench`. Every line was checked against plain loops in double precision.

"""

BARS = """## Against the library call that bounds it

One thread, f32. The reference and fuse-dist take turns. `ratio` is the reference's median time divided by fuse-dist's, `at best`
the same of the fastest of each, `asked` what the project wants to reach (GFLOP/s for triples, for min-plus the share of what the
processor adds and compares in registers). `extra MiB` is memory for
tensors beyond operands and result.

"""

LIST = """## Contractions of tensor networks, chemistry and machine learning

`ratio` is the best other time divided by fuse-dist's: above 1 fuse-dist is faster. `GFLOP/s` counts 2 * product of all extents, also
where a chain of products needs fewer operations. NumPy is einsum with its optimal path; PyTorch takes the same path, and of each
step the better order of its two operands. All find their operands written and the result's memory cleared just before, and leave
the result there in the order of axes that was asked for. torch.einsum returns many results as views of memory in another order;
`as it lies` is its time up to there, which is not compared.

"""


NETWORK = """## Maps, normalisers, attention

`x torch`, `x comp`, `x numpy` and `x copy` are the time of PyTorch, of PyTorch compiled, of NumPy and of a copy of as many bytes
divided by fuse-dist's: above 1 fuse-dist is faster. `best` is the same of the fastest of each.

"""


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), flags=re.M)
    return found.group(1) if found else platform.machine()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--bars", required=True)
    parser.add_argument("--contractions", required=True)
    parser.add_argument("--network")
    parser.add_argument("--note", action="append", default=[])
    options = parser.parse_args()
    facts = json.loads(subprocess.run([options.binary, "info", "--json"], capture_output=True, text=True, check=True).stdout)
    print(HEAD, end="")
    print(f"- machine: {processor()}, {facts['processors'][1]} processors; {facts['instructions']}")
    print(f"- fuse-dist {facts['version']}, {facts['blas']}")
    for note in options.note:
        print(f"- {note}")
    for title, path in ((BARS, options.bars), (NETWORK, options.network), (LIST, options.contractions)):
        if not path:
            continue
        with open(path, encoding="utf-8") as file:
            print("\n" + title + "```\n" + file.read().rstrip() + "\n```")


if __name__ == "__main__":
    main()
