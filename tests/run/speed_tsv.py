#!/usr/bin/env python3
"""Speed of reading rows: a TSV file of two symbol columns with a million distinct symbols, and one of two integer columns,
beside pandas' C reader on the same files, interleaved, medians. Wants an idle machine; not part of the suite.

    tests/run/speed_tsv.py --binary build/release/fuse-dist [--megabytes 500] [--ranks 2] [--repeats 5] [--folder DIR]

A rank's speed is its share of the file over the seconds of `scan` and `load`: from the first look at the file to where ids are
final and rows lie where the plan wants them. pandas reads the whole file with one process (its C reader has no more), factorises
its columns together where they are symbols, and its speed is the file over those seconds. Bars: symbols 120 MB/s a rank,
integers 250, and both 4 times pandas. Exit 1 when a bar is missed, 77 without pandas.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402

READ = """
import sys, time, pandas
start = time.perf_counter()
frame = pandas.read_csv(sys.argv[1], sep="\\t", header=None, engine="c", quoting=3, na_filter=False)
if sys.argv[2] == "symbols":
    codes, names = pandas.factorize(frame.to_numpy().reshape(-1))
print(time.perf_counter() - start)
"""

# Of the symbols of both columns there is one table, as pandas has one.
PROGRAMS = {
    "symbols": """
Edge(x,y) = "edges.tsv"
Seed(x) = "seeds.tsv"
Degree[x] = Edge(x,y) Seed(x) Seed(y)
Total = Degree[x]
export Total
""",
    "integers": """
Edge(x,y) = "edges.tsv"
Degree[x] = Edge(x,y)
Total = Degree[x]
export Total
"""}


def write_files(folder, megabytes):
    import numpy
    random = numpy.random.default_rng(11)
    names = numpy.array([b"user%09dx%d" % (random.integers(10**9), i) for i in range(1000000)])
    for name, draw in [("symbols", lambda n: names[random.integers(0, len(names), n)]),
                       ("integers", lambda n: random.integers(0, 1000000, n).astype("S"))]:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        with open(os.path.join(folder, name, "edges.tsv"), "wb") as stream:
            while stream.tell() < megabytes * 1000000:
                rows = zip(draw(100000).tolist(), draw(100000).tolist())
                stream.write(b"".join(b"%s\t%s\n" % row for row in rows))
        with open(os.path.join(folder, name, "p.fuse"), "w") as stream:
            stream.write(PROGRAMS[name])
    with open(os.path.join(folder, "symbols", "seeds.tsv"), "wb") as stream:
        stream.write(b"\n".join(names[:100].tolist()))


def read_pandas(folder, name):
    done = subprocess.run([sys.executable, "-c", READ, os.path.join(folder, name, "edges.tsv"), name], check=True,
                          stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def read_ours(binary, folder, name, ranks):
    command = launch.on_ranks(ranks, [binary, "p.fuse", "--times=json"])
    result = launch.run(command, os.path.join(folder, name), 600)
    assert result.status == 0, result.tail()
    times = next(json.loads(line) for line in result.out.splitlines() + result.err.splitlines() if line.startswith("{"))
    return times["scan"] + times["load"], times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    try:
        import pandas
    except ImportError:
        print("skipped: this Python has no pandas")
        sys.exit(launch.SKIP)
    binary = os.path.abspath(arguments.binary)
    missed = False
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write_files(folder, arguments.megabytes)
        for name, bar in ("symbols", 120), ("integers", 250):
            bytes_ = os.path.getsize(os.path.join(folder, name, "edges.tsv"))
            ours, theirs, last = [], [], {}
            for _ in range(arguments.repeats):
                seconds, last = read_ours(binary, folder, name, arguments.ranks)
                ours.append(seconds)
                theirs.append(read_pandas(folder, name))
            speed = bytes_ / statistics.median(ours) / arguments.ranks / 1e6
            other = bytes_ / statistics.median(theirs) / 1e6
            good = speed >= bar and speed * arguments.ranks >= 4 * other
            missed |= not good
            print(f"{name}: {speed:.0f} MB/s a rank on {arguments.ranks} ranks ({' '.join(f'{s:.2f}' for s in ours)} s), "
                  f"pandas {pandas.__version__} {other:.0f} MB/s, {speed * arguments.ranks / other:.1f} times its; "
                  f"scan {last['scan']:.2f} s, load {last['load']:.2f} s, resident {last['resident_bytes'] / 1e6:.0f} MB: "
                  f"{'good' if good else 'below the bar'}")
    sys.exit(missed)


main()
