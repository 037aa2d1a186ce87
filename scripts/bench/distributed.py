#!/usr/bin/python3
"""Products and contractions over ranks, beside ScaLAPACK, products without messages and a bare MPI_Alltoallv, in one run.

usage: distributed.py --binary FUSE_DIST [--rounds R] [--only NAME,..] [--ranks 2,4,8] [--json FILE] [--note TEXT]..
       distributed.py --page FILE.json > docs/distributed_performance.md

One thread a rank. What is compared with (scripts/bench/bare_mpi.c) is built here by mpicc, with ScaLAPACK and OpenBLAS of the
system. In every round the peers and fuse-dist run one after the other; medians over the rounds are compared.
  warm      fuse-dist bench, the run phase: median of 5 after one
  cold      the first and only run of a process: mapping and touching of memory, and the run phase
  received  by the busiest rank, as its run counted it; and what Open MPI's monitoring component counted on the wire of the whole
            job, moves between files and layouts and control words included, as a share of what the job's phases received, in a
            run of its own that sends everything (--share-above 0): what ranks read in each other's memory no monitor sees
  resident  high water of the busiest rank's process, from the system
Every result is checked: those of bench by its own loops, those of the cold run against NumPy, those of the peers in
bare_mpi.c. FILE keeps rows of earlier calls that were not measured in this one. Exit status 1 when a check failed.
"""

import argparse
import glob
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                  OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none")
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)

import numpy  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
GIB = 1 << 30


class Row:
    """A contraction; `local`: TIMES M N K of the same work without messages; bars: of (what, ranks)."""

    def __init__(self, name, spec, extents, dtype, local, scalapack, quoted, bars, ranks=(2, 4, 8)):
        self.name, self.spec, self.extents, self.dtype = name, spec, extents, dtype
        self.local, self.scalapack, self.quoted, self.bars, self.ranks = local, scalapack, quoted, bars, ranks

    def letters(self):
        inputs = self.spec.split("->")[0].replace(",", "")
        return {letter: extent for letter, extent in zip(dict.fromkeys(inputs), self.extents)}

    def flops(self):
        return 2.0 * numpy.prod([float(n) for n in self.letters().values()])


def same(value):
    return {2: value, 4: value, 8: value}


SQUARE = (1, 4096, 4096, 4096)
ROWS = [
    Row("product 4096 f32", "ab,bc->ac", (4096,) * 3, "f32", SQUARE, (4096,) * 3,
        "COSMA 424 GFLOP/s and 399 MiB, CTF 332 and 215, ScaLAPACK 323 and 111; two local products 429 to 480",
        {"gflops": {2: 0.97 * 424}, "resident": {2: 150}}, ranks=(2,)),
    Row("product 4096 f64", "ab,bc->ac", (4096,) * 3, "f64", SQUARE, (4096,) * 3,
        "warm GFLOP/s at 2 / 4 / 8: COSMA 187 / 181 / 174, ScaLAPACK 156 / 165 / 118, CTF 148 / 144 / 139; cold seconds: ScaLAPACK"
        " 0.84 / 0.89 / 1.10, CTF 0.92 / 0.94 / 1.15, COSMA 1.19 / 1.84 / 2.40; MiB received: COSMA 64 / 64 / 48, CTF 96 / 96 / 48,"
        " ScaLAPACK 64",
        {"gflops": {2: 0.97 * 187, 4: 0.97 * 181, 8: 0.97 * 174}, "cold": {2: 0.76, 4: 0.80, 8: 0.85},
         "received": {2: 64, 4: 64, 8: 48}}),
    Row("tall and skinny", "ab,bc->ac", (512, 131072, 512), "f64", (8, 512, 512, 16384), (512, 512, 131072),
        "GFLOP/s and MiB received: COSMA 181 / 177 / 173 at 1.0 / 1.5 / 1.75, CTF 184 / 100 / 68 at 3 / 128 / 192",
        {"gflops": {2: 0.97 * 181, 4: 0.97 * 177, 8: 0.97 * 173}, "received": {2: 1.0, 4: 1.5, 8: 1.75}}),
    Row("attention scores", "bhqd,bhkd->bhqk", (8, 8, 1024, 64, 1024), "f32", (64, 1024, 1024, 64), None,
        "CTF 0.195 / 0.175 / 1.60 s, 24 / 16 / 68 MiB", {"warm": same(0.035), "received": same(0)}),
    Row("ladder", "abcd,cdef->abef", (64,) * 6, "f64", SQUARE, None, "CTF 0.93 / 1.12 / 1.44 s",
        {"warm": {2: 0.75, 4: 0.80, 8: 0.85}}),
    Row("MTTKRP", "ijk,ja,ka->ia", (384, 384, 384, 32), "f64", (1, 384 * 384, 32, 384), None,
        "CTF 0.101 / 0.131 / 0.133 s at 27 / 27 / 18 MiB", {"warm": same(0.050), "received": same(0.2)}),
    Row("triples", "abcd,dbea->ace", (72,) * 5, "f64", (72, 72, 72, 72 * 72), None,
        "CTF 0.37 / 0.435 / 0.39 s at 51 / 27 / 40 MiB", {"warm": same(0.12), "received": same(0)}),
]
REDISTRIBUTION = "redistribution 1 GiB"


# ---- running


class Failed(Exception):
    pass


def run(ranks, command, folder, mca=()):
    words = ["mpirun", "-n", str(ranks), *mca, *command]
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600)
    if result.returncode not in (0, 77):
        raise Failed(f"{' '.join(words)}: exit status {result.returncode}\n{result.stderr[-2000:]}")
    return result.stdout


def build_peers(folder):
    out = os.path.join(folder, "bare_mpi")
    subprocess.run(["mpicc", "-O2", os.path.join(HERE, "bare_mpi.c"), "-o", out, "-lscalapack-openmpi", "-lopenblas", "-lm"],
                   check=True)
    return out


def bare(ranks, folder, *words):
    return json.loads(run(ranks, [os.path.join(folder, "bare_mpi"), *[str(word) for word in words]], folder))


def bench(binary, ranks, folder, words, dtype):
    out = run(ranks, [binary, "bench", *words, "--json", "--repeat", "5", "--warmup", "1", "--threads", "1", "--precision",
                      "fp64" if dtype == "f64" else "fp32"], folder)
    return json.loads(out)["lines"][0]


def write_program(row, folder):
    """Operands by NumPy, and the program that reads them."""
    inputs, out = row.spec.split("->")
    extent, lines = row.letters(), []
    kind = numpy.float64 if row.dtype == "f64" else numpy.float32
    random = numpy.random.default_rng(6)
    for number, axes in enumerate(inputs.split(",")):
        lines.append(f"X{number}[{','.join(axes)}] = \"x{number}.npy\"")
        shape = tuple(extent[a] for a in axes)
        file = numpy.lib.format.open_memmap(os.path.join(folder, f"x{number}.npy"), "w+", kind, shape)
        for start in range(0, shape[0], max(1, shape[0] // 16)):
            part = file[start:start + max(1, shape[0] // 16)]
            part[...] = random.uniform(-1, 1, part.shape)
        file.flush()
    product = " ".join(f"X{number}[{','.join(axes)}]" for number, axes in enumerate(inputs.split(",")))
    lines += [f"Out[{','.join(out)}] = {product}", f"\"out.npy\" = Out[{','.join(out)}]"]
    with open(os.path.join(folder, "p.fuse"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def check_program(row, folder):
    """Elements of out.npy against sums in double precision; the largest error as a share of what is allowed."""
    inputs, out = row.spec.split("->")
    extent = row.letters()
    operands = [numpy.load(os.path.join(folder, f"x{n}.npy"), mmap_mode="r") for n in range(inputs.count(",") + 1)]
    result = numpy.load(os.path.join(folder, "out.npy"), mmap_mode="r")
    if result.shape != tuple(extent[a] for a in out):
        return float("inf")
    summed = numpy.prod([extent[a] for a in extent if a not in out])
    allowed = float(summed) * numpy.finfo(operands[0].dtype).eps
    random, worst = numpy.random.default_rng(7), 0.0
    for sample in range(24):
        place = {a: (0 if sample == 0 else extent[a] - 1 if sample == 1 else int(random.integers(extent[a]))) for a in out}
        parts, terms = [], []
        for axes, operand in zip(inputs.split(","), operands):
            parts.append(numpy.asarray(operand[tuple(place.get(a, slice(None)) for a in axes)], numpy.float64))
            terms.append("".join(a for a in axes if a not in place))
        expected = numpy.einsum(",".join(terms) + "->", *parts, optimize=True)
        error = abs(float(result[tuple(place[a] for a in out)]) - float(expected)) / allowed
        worst = max(worst, float(error) if error == error else float("inf"))
    return float(worst)


def wire_bytes(ranks, command, folder):
    """Bytes that Open MPI's monitoring component saw on their way between ranks, in messages of the program or of its collectives."""
    for old in glob.glob(os.path.join(folder, "wire.*")):
        os.remove(old)
    mca = ["--mca", "pml", "^cm,ucx", "--mca", "pml_monitoring_enable", "2", "--mca", "pml_monitoring_enable_output", "3",
           "--mca", "pml_monitoring_filename", os.path.join(folder, "wire")]
    out = run(ranks, command, folder, mca)
    files = glob.glob(os.path.join(folder, "wire.*.prof"))
    if len(files) != ranks:
        raise Failed(f"the monitoring component wrote {len(files)} files of {ranks}")
    total = 0
    for name in files:
        with open(name, encoding="utf-8") as file:
            total += sum(int(n) for n in re.findall(r"^[EI]\t\d+\t\d+\t(\d+) bytes", file.read(), flags=re.M))
    return total, out


# ---- rows


def measure_cold(options, row, ranks, folder):
    command = [options.binary, "--threads", "1", "--times=json", "p.fuse"]
    if not os.path.exists(os.path.join(folder, "p.fuse")):
        write_program(row, folder)
    times = json.loads(run(ranks, command, folder))
    return times, check_program(row, folder)


def measure_row(options, row, ranks, folder, program_folder):
    words = ["einsum", row.spec, *[str(n) for n in row.extents]]
    lines, cold, peers, local, errors = [], [], [], [], []
    for _ in range(options.rounds):
        local.append(bare(ranks, folder, "local", row.dtype, *row.local, 5))
        if row.scalapack:
            peers.append(min((bare(ranks, folder, "scalapack", row.dtype, *row.scalapack, block, 5) for block in (128, 512)),
                             key=lambda line: line["median"]))
        lines.append(bench(options.binary, ranks, folder, words, row.dtype))
        times, error = measure_cold(options, row, ranks, program_folder)
        cold.append(times)
        errors.append(error)
    wire, out = wire_bytes(ranks, [options.binary, "--threads", "1", "--share-above", "0", "--times=json", "p.fuse"], program_folder)
    counted = json.loads(out)
    counted = sum(counted[key] for key in ("received_bytes_total", "load_received_bytes_total", "store_received_bytes_total"))
    middle = statistics.median
    result = {
        "name": row.name, "spec": row.spec, "extents": row.extents, "dtype": row.dtype, "ranks": ranks, "flops": row.flops(),
        "warm": middle(line["median"] for line in lines), "best": min(line["min"] for line in lines),
        "cpu": middle(line["cpu"] for line in lines),
        "cold": middle(times["memory"] + times["run"] for times in cold), "cold_run": middle(times["run"] for times in cold),
        "cold_best": min(times["memory"] + times["run"] for times in cold),
        "received": times["received_bytes_max"], "planned": times["planned_received_bytes_max"],
        "wire": wire, "counted": counted, "resident": max(times["resident_bytes"] for times in cold),
        "local": middle(line["median"] for line in local), "local_cpu": middle(line["cpu"] for line in local), "local_best": min(line["min"] for line in local),
        "error": max(errors), "passed": all(line["passed"] for line in lines) and max(errors) <= 1,
        "bars": {what: bar[ranks] for what, bar in row.bars.items() if ranks in bar}, "quoted": row.quoted,
        "load": os.getloadavg()[0]}
    if peers:
        result.update(peer_cpu=middle(line["cpu"] for line in peers), peer=middle(line["median"] for line in peers), peer_cold=middle(line["cold"] for line in peers),
                      peer_resident=max(line["resident_bytes"] for line in peers))
    return result


def measure_redistribution(options, ranks, folder):
    peers, copies, lines = [], [], []
    for _ in range(options.rounds):
        peers.append(bare(ranks, folder, "alltoallv", GIB, 5))
        copies.append(bare(ranks, folder, "copy", GIB, 5))
        lines.append(bench(options.binary, ranks, folder, ["coll", "all_to_all", "1G"], "f32"))
    warm, peer, copy = (statistics.median(line["median"] for line in which) for which in (lines, peers, copies))
    return {"name": REDISTRIBUTION, "ranks": ranks, "warm": warm, "best": min(line["min"] for line in lines), "alltoallv": peer,
            "copy": copy, "ratio": peer / warm, "ratio_copy": copy / warm, "received": lines[0]["received_bytes_max"],
            "passed": all(line["passed"] for line in lines), "load": os.getloadavg()[0]}


# ---- judging and printing


def values(row):
    return {"gflops": row["flops"] * 1e-9 / row["warm"], "warm": row["warm"], "cold": row["cold"], "received": row["received"] / MIB,
            "resident": row["resident"] / MIB}


def missed(row):
    """Which bars a row misses, in words."""
    value, out = values(row), []
    for what, bar in row["bars"].items():
        good = value[what] >= bar if what == "gflops" else value[what] <= bar * (1 + 1e-9)
        if not good:
            out.append(f"{what} {value[what]:.4g} (bar {bar:.4g})")
    if row["received"] != row["planned"]:
        out.append(f"received {row['received']} where {row['planned']} were planned")
    if row["counted"] > 1e6 and row["wire"] > 1.10 * row["counted"]:
        out.append(f"wire {row['wire'] / row['counted']:.3f} (bar 1.10)")
    return out


def table(rows):
    out = [f"{'case':<18}{'P':>2}{'warm s':>9}{'best s':>9}{'GFLOP/s':>9}{'limit s':>9}{'x limit':>8}{'cpu s':>8}{'x limit':>8}{'peer s':>9}{'x peer':>8}"
           f"{'cold s':>8}{'run s':>8}{'peer':>7}{'MiB in':>8}{'wire':>7}{'MiB':>6}{'peer':>6}  check   bars"]
    for row in rows:
        if row["name"] == REDISTRIBUTION:
            continue
        peer = row.get("peer")
        wire = f"{row['wire'] / row['counted']:.3f}" if row["counted"] > 1e6 else "-"
        bars = missed(row)
        out.append(
            f"{row['name']:<18}{row['ranks']:>2}{row['warm']:>9.4f}{row['best']:>9.4f}{row['flops'] * 1e-9 / row['warm']:>9.1f}"
            f"{row['local']:>9.4f}{row['local'] / row['warm']:>8.2f}{row['cpu']:>8.3f}{row['local_cpu'] / row['cpu']:>8.2f}"
            + (f"{peer:>9.4f}{peer / row['warm']:>8.2f}" if peer else f"{'-':>9}{'-':>8}")
            + f"{row['cold']:>8.3f}{row['cold_run']:>8.3f}" + (f"{row['peer_cold']:>7.2f}" if peer else f"{'-':>7}")
            + f"{row['received'] / MIB:>8.3f}{wire:>7}{row['resident'] / MIB:>6.0f}"
            + (f"{row['peer_resident'] / MIB:>6.0f}" if peer else f"{'-':>6}")
            + f"  {'PASSED' if row['passed'] else 'FAILED'}  {'; '.join(bars) if bars else 'met' if row['bars'] else '-'}")
    return "\n".join(out)


def redistribution_table(rows):
    out = [f"{'P':>2}{'fuse-dist s':>13}{'best s':>9}{'Alltoallv s':>13}{'copy s':>9}{'x Alltoallv':>13}{'x copy':>8}{'MiB in':>9}  check"]
    for row in rows:
        if row["name"] == REDISTRIBUTION:
            out.append(f"{row['ranks']:>2}{row['warm']:>13.4f}{row['best']:>9.4f}{row['alltoallv']:>13.4f}{row['copy']:>9.4f}"
                       f"{row['ratio']:>13.2f}{row['ratio_copy']:>8.2f}{row['received'] / MIB:>9.1f}"
                       f"  {'PASSED' if row['passed'] else 'FAILED'}")
    return "\n".join(out)


def spread_of_ranks(rows):
    """Time at the most ranks over that at the fewest."""
    out = []
    for name in dict.fromkeys(row["name"] for row in rows if row["name"] != REDISTRIBUTION):
        found = {row["ranks"]: row for row in rows if row["name"] == name}
        if 2 in found and 8 in found:
            ratio = found[8]["warm"] / found[2]["warm"]
            cold = found[8]["cold"] / found[2]["cold"]
            out.append(f"{name:<18}{ratio:>8.3f}{cold:>8.3f}   {'met' if ratio <= 1.15 else 'missed (bar 1.15)'}")
    return "\n".join([f"{'case':<18}{'warm':>8}{'cold':>8}"] + out)


def facts_of(options, rows):
    info = json.loads(subprocess.run([options.binary, "info", "--json"], capture_output=True, text=True, check=True).stdout)
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), flags=re.M)
    packages = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${Version}\n", "libopenmpi3", "libscalapack-openmpi2.2",
                               "libopenblas0-serial", "libopenblas0-openmp"], capture_output=True, text=True).stdout.split("\n")
    return {"rows": rows, "rounds": options.rounds, "notes": options.note, "numpy": numpy.__version__,
            "machine": found.group(1) if found else platform.machine(), "processors": info["processors"][1],
            "instructions": info["instructions"], "version": info["version"], "blas": info["blas"],
            "packages": [line for line in packages if " " in line]}


def save(options, rows):
    """Rows that FILE has already and that were not measured now stay."""
    facts = facts_of(options, rows)
    if os.path.exists(options.json):
        with open(options.json, encoding="utf-8") as file:
            known = {(row["name"], row["ranks"]): row for row in json.load(file)["rows"]}
        known.update({(row["name"], row["ranks"]): row for row in rows})
        order = [row.name for row in ROWS] + [REDISTRIBUTION]
        facts["rows"] = sorted(known.values(), key=lambda row: (order.index(row["name"]), row["ranks"]))
    with open(options.json, "w", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)


PAGE = """# Performance over ranks

Written by `scripts/bench/distributed.py --page`; what it says was measured by `scripts/bench/distributed.py`, which says how.

- machine: {machine}, {processors} processors; {instructions}; one thread a rank, so that 4 and 8 ranks share them
- fuse-dist {version}, {blas}
- peers of Debian 12: {packages}; ScaLAPACK with blocks of 128 and of 512, whichever was faster
- COSMA and CTF are not in Debian, and this machine reaches no other source: what they did on a machine of this kind is quoted below,
  and the bars come from those figures
- {rounds} round{s} of each; every result was checked
{notes}
## Contractions

`limit` is the same work without messages: each rank multiplies its share by OpenBLAS. `peer` is ScaLAPACK. `x limit` and `x peer`:
their time divided by fuse-dist's; above 1 fuse-dist is faster. `cpu s` is what the busiest rank took of a processor, waiting in calls of MPI
included, which other work on the machine disturbs less, and the `x limit` behind it compares that. `cold` is the first product of a process: mapping and touching the memory and the
`run`; ScaLAPACK's is its first call on matrices that are there. `MiB in`: received by the busiest rank, as planned and counted;
`wire`: what Open MPI's monitoring component saw of the whole job, as a share of what its phases counted, in a run in which ranks read
nothing in each other's memory. `MiB`: resident high water of
the busiest rank's process, that of ScaLAPACK beside it. `bars`: which of those that the project sets itself are missed.

```
{table}
```

Known of the others, at 2 / 4 / 8 ranks:

{quoted}

## Eight ranks beside two

Time at 8 ranks over time at 2, of the same two processors:

```
{spread}
```

## Redistribution

1 GiB over all ranks, from rows to columns: `fuse-dist bench coll all_to_all 1G`, a bare `MPI_Alltoallv` of as many bytes, which neither
packs nor unpacks, and a copy of as many bytes by `memcpy`, each rank its share. Above 1 fuse-dist is faster.

```
{redistribution}
```
"""


def page(path):
    with open(path, encoding="utf-8") as file:
        facts = json.load(file)
    rows = facts["rows"]
    quoted = dict((row["name"], row["quoted"]) for row in rows if "quoted" in row)
    print(PAGE.format(machine=facts["machine"], processors=facts["processors"], instructions=facts["instructions"],
                      version=facts["version"], blas=facts["blas"], packages=", ".join(facts["packages"]), rounds=facts["rounds"], s="s" if facts["rounds"] > 1 else "",
                      notes="".join(f"- {note}\n" for note in facts["notes"]), table=table(rows),
                      quoted="\n".join(f"- {name}: {text}" for name, text in quoted.items()), spread=spread_of_ranks(rows),
                      redistribution=redistribution_table(rows)), end="")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only")
    parser.add_argument("--ranks", default="2,4,8")
    parser.add_argument("--json")
    parser.add_argument("--page")
    parser.add_argument("--note", action="append", default=[])
    options = parser.parse_args()
    if options.page:
        page(options.page)
        return 0
    if not options.binary:
        parser.error("--binary or --page")
    options.binary = os.path.abspath(options.binary)
    wanted = options.only.split(",") if options.only else None
    ranks = [int(n) for n in options.ranks.split(",")]
    rows = []
    with tempfile.TemporaryDirectory(prefix="fuse-distributed-") as folder:
        build_peers(folder)
        for row in ROWS:
            if wanted and row.name not in wanted:
                continue
            with tempfile.TemporaryDirectory(dir=folder) as program_folder:
                for n in (n for n in ranks if n in row.ranks):
                    rows.append(measure_row(options, row, n, folder, program_folder))
                    print(table(rows[-1:]) if len(rows) == 1 else table(rows[-1:]).split("\n")[1], flush=True)
        if not wanted or REDISTRIBUTION in wanted:
            rows += [measure_redistribution(options, n, folder) for n in ranks]
            print("\n" + redistribution_table(rows))
    print("\n" + spread_of_ranks(rows))
    if options.json:
        save(options, rows)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
