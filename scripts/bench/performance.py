#!/usr/bin/python3
"""Measures one rank's work beside what bounds it and beside NumPy and PyTorch, and writes the page of it with its pictures.

usage: performance.py --binary FUSE_DIST --work DIR [--torch-python PYTHON] [--rounds N] [--note TEXT].. [--output PAGE.md]

bars.py, network.py and contractions.py (on one and two threads) leave what they print and their documents in DIR. What is there
already is not measured again: a run can be continued, and the page written again with other notes. --torch-python is the Python
that has NumPy and PyTorch; without it the columns of PyTorch are empty. Nothing else should run meanwhile. The pictures lie
beside PAGE.md (docs/performance.md), named after it.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys

import network

try:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
except ImportError:
    sys.exit("performance.py: matplotlib is missing: apt-get install python3-matplotlib")

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "..", "docs", "performance.md")

HEAD = """# Performance

Written by `scripts/bench/performance.py`, which runs `scripts/bench/bars.py`, `scripts/bench/network.py` and
`scripts/bench/contractions.py`; all measure with `fuse-dist bench`. Every line was checked against plain loops in double precision.
Several ranks, beside ScaLAPACK and MPI: [distributed_performance.md](distributed_performance.md).

"""

BARS = """Against the library call that bounds it

One thread, f32. The reference and fuse-dist take turns. `ratio` is the reference's median time divided by fuse-dist's, `at best`
the same of the fastest of each, `asked` what the project wants to reach (GFLOP/s for triples, for min-plus the share of what the
processor adds and compares in registers). `extra MiB` is memory for
tensors beyond operands and result.
"""

NETWORK = """Maps, normalisers, attention

`x torch`, `x comp`, `x numpy` and `x copy` are the time of PyTorch, of PyTorch compiled, of NumPy and of a copy of as many bytes
divided by fuse-dist's: above 1 fuse-dist is faster. `best` is the same of the fastest of each.
"""

LIST = """Contractions of tensor networks, chemistry and machine learning

`ratio` is the best other time divided by fuse-dist's: above 1 fuse-dist is faster. `GFLOP/s` counts 2 * product of all extents, also
where a chain of products needs fewer operations. NumPy is einsum with its optimal path; PyTorch takes the same path, and of each
step the better order of its two operands. All find their operands written and the result's memory cleared just before, and leave
the result there in the order of axes that was asked for. torch.einsum returns many results as views of memory in another order;
`as it lies` is its time up to there, which is not compared. One thread:
"""

LIST_2 = "The same contractions on two threads\n"

COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#6d597a")


def measured(options, name, script, *words, python=sys.executable):
    """What the script printed, and its document; it runs unless DIR has both."""
    text, document = (os.path.join(options.work, name + suffix) for suffix in (".txt", ".json"))
    if not (os.path.exists(text) and os.path.exists(document)):
        command = [python, "-B", os.path.join(HERE, script), "--binary", options.binary, "--rounds", str(options.rounds), "--json",
                   document, *words]
        print(f"performance.py: {' '.join(command)}", file=sys.stderr)
        with open(text, "w", encoding="utf-8") as file:
            # A result that is wrong is a line of the table that says so.
            if subprocess.run(command, stdout=file, check=False).returncode not in (0, 1):
                sys.exit(f"performance.py: {script} failed")
    with open(text, encoding="utf-8") as printed, open(document, encoding="utf-8") as file:
        return printed.read().rstrip(), json.load(file)["rows"]


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), flags=re.M)
    return found.group(1) if found else platform.machine()


def draw(path, title, names, series, asked=None):
    """One line a name, one mark a series on it: how many times as fast as something else, on a logarithmic axis."""
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.19 * len(names)), layout="constrained")
    places = range(len(names))
    axes.axvline(1, color="#888888", linestyle="--")
    for (label, values), colour in zip(series.items(), COLOURS):
        known = [(x, y) for x, y in zip(values, places) if x is not None]
        axes.plot([x for x, _ in known], [y for _, y in known], "o", color=colour, markersize=4, label=label)
    if asked:
        axes.plot(asked, places, "|", color="black", markersize=9, label="asked")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.set_xticks([x for x in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 40)
                     if axes.get_xlim()[0] <= x <= axes.get_xlim()[1]])
    axes.minorticks_off()
    axes.grid(axis="x", color="#eeeeee")
    axes.set_yticks(places, names, fontsize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("times as fast")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def draw_bars(path, rows):
    rows = [row for row in rows if row["reference"] not in ("GFLOP/s", "share of the peak")]
    draw(path, "one thread, f32, against the library call that bounds it",
         [f"{row['name']} ({row['reference']})" for row in rows], {"fuse-dist": [row["ratio"] for row in rows]},
         [row["bar"] for row in rows])


def draw_maps(path, rows):
    rows = [row for row in rows if row["threads"] == 1]
    series = {}
    for peer, label in (("torch", "than PyTorch"), ("compiled", "than PyTorch compiled"), ("numpy", "than NumPy"), ("copy", "than a copy")):
        values = [network.times_as_fast(row, peer) for row in rows]
        if any(values):
            series[label] = values
    draw(path, "one thread", [row["name"] for row in rows], series)


def draw_contractions(path, one, two):
    ratio = {row["name"]: row["ratio"] for row in two}
    one = sorted(one, key=lambda row: row["ratio"])
    draw(path, "against the better of NumPy and PyTorch", [row["name"] for row in one],
         {"one thread": [row["ratio"] for row in one], "two threads": [ratio.get(row["name"]) for row in one]})


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--note", action="append", default=[])
    parser.add_argument("--output", default=PAGE)
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    os.makedirs(options.work, exist_ok=True)
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "fuse-dist"  # the same document, the same picture
    facts = json.loads(subprocess.run([options.binary, "info", "--json"], capture_output=True, text=True, check=True).stdout)
    python = options.torch_python
    lists = [measured(options, f"contractions_{n}", "contractions.py", "--threads", str(n), python=python) for n in (1, 2)]
    bars = measured(options, "bars", "bars.py")
    maps = measured(options, "network", "network.py", "--torch-python", python)

    stem = os.path.splitext(options.output)[0]
    name = os.path.basename(stem)
    draw_bars(stem + "_bars.svg", bars[1])
    draw_maps(stem + "_maps.svg", maps[1])
    draw_contractions(stem + "_contractions.svg", lists[0][1], lists[1][1])
    with open(options.output, "w", encoding="utf-8") as page:
        page.write(HEAD)
        page.write(f"- machine: {processor()}, {facts['processors'][1]} processors; {facts['instructions']}\n")
        page.write(f"- fuse-dist {facts['version']}, {facts['blas']}\n")
        for note in options.note:
            page.write(f"- {note}\n")
        for title, text, picture in ((BARS, bars[0], "bars"), (NETWORK, maps[0], "maps"), (LIST, lists[0][0], "contractions"),
                                     (LIST_2, lists[1][0], None)):
            page.write(f"\n## {title}\n" + (f"![{picture}]({name}_{picture}.svg)\n\n" if picture else "") + f"```\n{text}\n```\n")


if __name__ == "__main__":
    main()
