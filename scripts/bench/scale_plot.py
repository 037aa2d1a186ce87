#!/usr/bin/python3
"""Draws what `fuse-dist bench scale --json` measured: efficiency beside the ideal line, and where the time goes.

usage: scale_plot.py --output FILE.svg DOCUMENT.json..

A document is one run, --strong or --weak. `waiting` is time in which a rank could do nothing before others had done their
part, the mean of the ranks; the rest of `run` is its own work. Lines whose check failed are marked.
"""

import argparse
import json
import sys

try:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
except ImportError:
    sys.exit("scale_plot.py: matplotlib is missing: apt-get install python3-matplotlib")

COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#6d597a")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        lines = [line for line in document["lines"] if "efficiency" in line]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        sys.exit(f"scale_plot.py: {path} is no document of 'fuse-dist bench --json': {problem}")
    if not lines:
        sys.exit(f"scale_plot.py: {path} has no line of 'fuse-dist bench scale'")
    grows = len({line["shape"] for line in lines}) > 1
    return {"name": "weak" if grows else "strong", "lines": lines, "host": document.get("host", "")}


def draw_efficiency(axes, runs):
    counts = sorted({line["ranks"] for run in runs for line in run["lines"]})
    axes.axhline(1, color="#888888", linestyle="--", label="ideal")
    for run, colour in zip(runs, COLOURS):
        ranks = [line["ranks"] for line in run["lines"]]
        axes.plot(ranks, [line["efficiency"] for line in run["lines"]], "o-", color=colour, label=run["name"])
        wrong = [line for line in run["lines"] if line["passed"] is False]
        if wrong:
            axes.plot([line["ranks"] for line in wrong], [line["efficiency"] for line in wrong], "rx", markersize=12,
                      label="wrong result")
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ranks")
    axes.set_ylabel("efficiency")
    axes.set_title("against the fewest ranks")
    axes.legend()


def draw_times(axes, run, colour):
    lines = run["lines"]
    places = range(len(lines))
    own = [line["run"] - line["waiting"] for line in lines]
    waiting = [line["waiting"] for line in lines]
    axes.bar(places, own, color=colour, label="own work")
    axes.bar(places, waiting, bottom=own, color="#dddddd", edgecolor=colour, label="waiting for others")
    # What the time would be if it all scaled.
    first = lines[0]
    ideal = [first["run"] * (first["ranks"] / line["ranks"] if run["name"] == "strong" else 1) for line in lines]
    axes.plot(places, ideal, "--", color="#888888", label="ideal")
    axes.set_xticks(places, [str(line["ranks"]) for line in lines])
    axes.set_xlabel("ranks")
    axes.set_ylabel("seconds of run")
    axes.set_title(f"{run['name']}: where the time goes")
    axes.legend()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--output", required=True)
    parser.add_argument("documents", nargs="+")
    options = parser.parse_args()
    runs = [read(path) for path in options.documents]
    if len(runs) > len(COLOURS):
        parser.error(f"at most {len(COLOURS)} documents")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "fuse-dist"  # the same document, the same picture
    figure, panels = pyplot.subplots(1, 1 + len(runs), figsize=(4.5 * (1 + len(runs)), 4), layout="constrained")
    first = runs[0]["lines"][0]
    figure.suptitle(f"{first['what']}  {first['shape']}  {first['dtype']}, {first['threads']} threads a rank, on "
                    f"{runs[0]['host']}")
    draw_efficiency(panels[0], runs)
    for axes, run, colour in zip(panels[1:], runs, COLOURS):
        draw_times(axes, run, colour)
    figure.savefig(options.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
