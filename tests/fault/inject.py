#!/usr/bin/python3
"""The n-th kernel call, message, read or write fails on rank r of 4, for every n that there is and every r: one message,
the right exit status on every rank, nothing left behind, an older output unchanged, no hang.

usage: inject.py --binary FUSE_DIST [--kinds KIND...] [--ranks-of-fault R...] [--jobs N]

FUSE_FAULT=KIND:N@RANK makes the N-th event of a kind fail in builds with fault points. N grows until a run has no N-th
event and succeeds; its values are checked then. FUSE_FAULT=plan perturbs one box of the plan: that run must fail or
write something else than the right values, or else the value tests could not see a wrong plan.
"""

import argparse
import concurrent.futures
import json
import os
import sys
import tempfile

import checked_run

checked_run.launch.require_numpy()

import h5py  # noqa: E402
import numpy  # noqa: E402

RANKS = 4
STATUS = {"open": 66, "kernel": 1, "message": 74, "read": 74, "write": 74}
MOST = 500  # events of one kind: beyond this the fault point does not count
OLD = b"an older output, to be kept\n"

# Large enough to be distributed, to need messages in every equation, and to be read and written by several ranks.
PROGRAM = """\
A[i,k] = "a.npz"
B[k,j] = "b.h5:/deep/b"
C[i,j] = A[i,k] B[k,j]
D[j,i] = relu(C[i,j]) - C[i+1,j]
E[j] = D[j,i] A[i,0]
"d.npz" = D[j,i]
"d.npz:e" = E[j]
"e.npy" = E[j]
"e.h5:/x/e" = E[j]
"e.h5:/x/d" = D[j,i]
"e.json" = E[j]
R[i,k] = "r.tsv"
F[j] = R[j,k]
"f.tsv" = F[j]
"""
M, K, N = 1201, 300, 1103
ROWS = 400  # of the relation


def make_inputs(folder):
    """Writes the program and its inputs; returns the expected values of the sinks."""
    rng = numpy.random.default_rng(4)
    a, b = rng.standard_normal((M, K), numpy.float32), rng.standard_normal((K, N), numpy.float32)
    numpy.savez_compressed(os.path.join(folder, "a.npz"), a)
    with h5py.File(os.path.join(folder, "b.h5"), "w") as file:
        file.create_dataset("deep/b", data=b, chunks=(70, 300), compression="gzip", compression_opts=1)
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    r = numpy.where(rng.random((ROWS, K)) < 0.3, rng.integers(1, 9, (ROWS, K)), 0)
    r[-1, -1] = 1
    with open(os.path.join(folder, "r.tsv"), "w", encoding="utf-8") as file:
        file.writelines(f"{i}\t{k}\t{r[i, k]}\n" for i, k in numpy.argwhere(r))
    c = a.astype(numpy.float64) @ b
    d = (numpy.maximum(c, 0) - numpy.vstack([c[1:], numpy.zeros((1, N))])).T
    e = d @ a[:, 0]
    return {"d.npz": d, "d.npz:e": e, "e.npy": e, "e.json": e, "e.h5:x/e": e, "e.h5:x/d": d, "f.tsv": r.sum(1)}


def load(folder, name):
    file, _, part = name.partition(":")
    path = os.path.join(folder, file)
    if file.endswith(".json"):
        with open(path, encoding="utf-8") as stream:
            return numpy.array(json.load(stream))
    if file.endswith(".tsv"):  # no row is empty
        ids, values = numpy.loadtxt(path, unpack=True)
        return numpy.where(ids == numpy.arange(len(ids)), values, numpy.nan)
    if file.endswith(".h5"):
        with h5py.File(path) as archive:
            return archive[part][()]
    if file.endswith(".npz"):
        with numpy.load(path) as archive:
            return archive[part or "arr_0"]
    return numpy.load(path)


def reset(folder):
    for name in os.listdir(folder):
        if name not in ("a.npz", "b.h5", "r.tsv", "prog.fuse"):
            os.remove(os.path.join(folder, name))
    with open(os.path.join(folder, "e.npy"), "wb") as file:
        file.write(OLD)


def values_problem(folder, expected):
    for name, value in expected.items():
        try:
            got = load(folder, name)
        except (OSError, ValueError, KeyError) as error:
            return f"{name}: {error}"
        if got.shape != value.shape:
            return f"{name} has shape {got.shape}"
        # Sums of K, then of M terms.
        bound = 2.0**-23 * (K + (0 if name == "d.npz" else M)) * numpy.abs(value).max()
        if not numpy.abs(got - value).max() <= bound:
            return f"{name} differs by up to {numpy.abs(got - value).max()}"
    return None


def inject(binary, kind, rank):
    """Returns (events, problems)."""
    with tempfile.TemporaryDirectory(prefix="fuse-inject-") as folder:
        return inject_in(folder, binary, kind, rank, make_inputs(folder))


def inject_in(folder, binary, kind, rank, expected):
    problems = []
    for n in range(1, MOST):
        fault = f"{kind}:{n}@{rank}"
        reset(folder)
        before = checked_run.digests(folder)
        outcome = checked_run.run(binary, folder, RANKS, ["prog.fuse"], {"FUSE_FAULT": fault})
        if outcome.status == 0 and not outcome.timed_out:
            if outcome.errors:
                problems.append(f"{fault}: exit status 0 with {outcome.errors[0]}")
            wrong = values_problem(folder, expected)
            if wrong:
                problems.append(f"{fault}: exit status 0, but {wrong}")
            return n - 1, problems
        found = outcome.problems(STATUS[kind])
        after = checked_run.digests(folder)
        found += [f"{path} left behind" for path in after.keys() - before.keys()]
        found += [f"{path} changed" for path in before if after.get(path) != before[path]]
        if found:
            problems.append(f"{fault}: " + "; ".join(found) + "\n    " + outcome.tail.replace("\n", "\n    "))
            if len(problems) >= 5:
                return n, problems + [f"{kind}@{rank}: given up after 5 failures"]
    return MOST, problems + [f"{kind}@{rank}: still failing at the {MOST}th event"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--kinds", nargs="+", default=[*STATUS, "plan"])
    parser.add_argument("--ranks-of-fault", type=int, nargs="+", default=list(range(RANKS)))
    parser.add_argument("--jobs", type=int, default=1, help="ranks of fault at a time; mpirun mostly waits after one")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    problems = []
    with tempfile.TemporaryDirectory(prefix="fuse-inject-") as folder:
        expected = make_inputs(folder)
        reset(folder)
        outcome = checked_run.run(binary, folder, RANKS, ["prog.fuse"])
        wrong = f"exit status {outcome.status}\n{outcome.tail}" if outcome.status else values_problem(folder, expected)
        if wrong:
            print(f"FAIL without a fault: {wrong}")
            return 1
        for kind in options.kinds:
            if kind == "plan":
                reset(folder)
                outcome = checked_run.run(binary, folder, RANKS, ["prog.fuse"], {"FUSE_FAULT": "plan"})
                if outcome.timed_out or (outcome.status == 0 and values_problem(folder, expected) is None):
                    problems.append(f"plan: a perturbed plan {'hangs' if outcome.timed_out else 'goes unnoticed'}")
                print(f"plan: exit status {outcome.status}", flush=True)
                continue
            events = {}
            with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
                results = pool.map(lambda rank: inject(binary, kind, rank), options.ranks_of_fault)
                for rank, (count, found) in zip(options.ranks_of_fault, results):
                    events[rank] = count
                    problems += found
                    for problem in found:
                        print(f"FAIL {problem}", flush=True)
            print(f"{kind}: events per rank {events}", flush=True)
            # Every rank computes, and every rank receives something; files may be read by fewer.
            least = len(events) if kind in ("kernel", "message") else 1
            if sum(count > 0 for count in events.values()) < least:
                problems.append(f"{kind}: the fault points count nothing on some rank: {events}")
                print(f"FAIL {problems[-1]}", flush=True)
    print(f"{len(problems)} failures")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
