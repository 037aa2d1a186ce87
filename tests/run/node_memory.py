#!/usr/bin/python3
"""Ranks of a node read each other's memory, or say why they do not; values and counted bytes are the same.

usage: node_memory.py --binary FUSE_DIST

Rows of a matrix become columns on 2, 3, 4 and 8 ranks: shared, sent (--share-above 0), between back ends, and where the system does not
let ranks share: the address space or the size of files is limited, or one rank is in a name space of processes of its own, where the
numbers of the others' processes are somebody else's. It fails when memory is shared where that cannot be, when the reason is not
told, when the file that is written differs, when bytes are counted differently, or when a rank's resident memory grows by more than
what it may keep of its peers'.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

MIB = 1 << 20
PROGRAM = 'X[i,j] = "x.npy"\nY[i,j] = X[i,j]\n"y.npy" = Y[i,j]\n'
POLICY = {"mesh": {"all": "*"}, "sharding": {"X": {"i": "all"}, "Y": {"j": "all"}}}
WORDS = ["--policy", "policy.json", "--times=json", "--replicate-below", "0", "p.fuse"]
SHAPE = (2400, 2000)
LIMITED = "own: address space or the size of files is limited (ulimit -v, -f)"
ELSEWHERE = "own: a rank cannot map the memory of another one on its host"


def measure(command, folder, extra=None):
    """What --times=json says of a run, and what was written."""
    path = os.path.join(folder, "y.npy")
    if os.path.exists(path):
        os.unlink(path)
    result = launch.run(command, folder, 60, launch.environment(extra), really=True)
    if result.status != 0:
        return None, f"exit status {result.status}\n{result.tail()}"
    line = next((line for line in (result.out + result.err).splitlines() if line.startswith("{")), None)
    if line is None:
        return None, "no times"
    return json.loads(line), None if numpy.array_equal(numpy.load(path), numpy.load(os.path.join(folder, "x.npy"))) else "wrong values"


def check(name, times, problem, told, bytes_):
    if problem is None and times["node_memory"] != told:
        problem = f"node memory is '{times['node_memory']}', not '{told}'"
    if problem is None and not times["received_bytes_total"] == times["planned_received_bytes_total"] == bytes_:
        problem = f"{times['received_bytes_total']} bytes counted, {times['planned_received_bytes_total']} planned, {bytes_} are due"
    print(f"{'FAIL' if problem else 'ok'} {name}{': ' + problem if problem else ''}")
    return problem is not None


def due(ranks):
    """Bytes of a rank's columns that are not in its rows."""
    rows, columns = ([SHAPE[a] * (r + 1) // ranks - SHAPE[a] * r // ranks for r in range(ranks)] for a in (0, 1))
    return 8 * sum((SHAPE[0] - rows[r]) * columns[r] for r in range(ranks))


def check_ranks(binary, folder, shared):
    failed = 0
    for ranks in (2, 3, 4, 8):
        start = ["mpirun", "-n", str(ranks), binary, *WORDS]
        apart, problem = measure([*start, "--share-above", "0"], folder)
        failed += check(f"{ranks} ranks, sent", apart, problem, "own: the run wants no shared memory", due(ranks))
        together, problem = measure(start, folder)
        if problem is None and apart and together["resident_bytes"] > apart["resident_bytes"] + 6 * MIB:
            problem = f"{together['resident_bytes']} bytes resident instead of {apart['resident_bytes']}"
        failed += check(f"{ranks} ranks", together, problem, shared, due(ranks))
        failed += check(f"{ranks} ranks, large pieces", *measure([*start, "--share-above", "1G"], folder),
                        "own: there is too little to exchange", due(ranks))
    failed += check("on a device", *measure(["mpirun", "-n", "3", binary, *WORDS, "--backend", "fakedev"], folder),
                    "own: tensors live in device memory", due(3))
    failed += check("slowly", *measure(["mpirun", "-n", "3", binary, *WORDS, "--backend", "ref"], folder), shared, due(3))
    return failed


def check_limits(binary, folder):
    failed = 0
    for limit in ("v", "f"):
        words = ["bash", "-c", f'ulimit -{limit} 8000000; exec "$@"', "bash", binary]
        for ranks in (["-n", "2", *words, *WORDS], ["-n", "1", binary, *WORDS, ":", "-n", "1", *words, *WORDS]):
            failed += check(f"ulimit -{limit}", *measure(["mpirun", *ranks], folder), LIMITED, due(2))
    return failed


def check_name_space(binary, folder):
    """Open MPI, too, copies from process to process where it can, and does not notice."""
    apart = ["unshare", "--fork", "--pid", "--mount-proc"]
    if not shutil.which("unshare") or launch.run([*apart, "true"], folder, 10).status != 0:
        print("skipped: a rank in a name space of processes of its own")
        return 0
    command = ["mpirun", "-n", "1", binary, *WORDS, ":", "-n", "1", *apart, binary, *WORDS]
    return check("another name space", *measure(command, folder, {"OMPI_MCA_btl_vader_single_copy_mechanism": "none"}), ELSEWHERE, due(2))


def main():
    parser = argparse.ArgumentParser(description="Ranks of a node read each other's memory, or say why not.")
    parser.add_argument("--binary", required=True)
    binary = os.path.abspath(parser.parse_args().binary)
    with tempfile.TemporaryDirectory(prefix="fuse-node-") as folder:
        numpy.save(os.path.join(folder, "x.npy"), numpy.random.default_rng(3).random(SHAPE))
        for name, text in (("p.fuse", PROGRAM), ("policy.json", json.dumps(POLICY))):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        times, problem = measure(["mpirun", "-n", "2", binary, *WORDS], folder)
        shared = times["node_memory"] if times else problem
        if shared not in ("shared", "own: the system has no huge pages for files in memory"):
            print(f"FAIL: node memory is '{shared}'")
            return 1
        failed = check_ranks(binary, folder, shared)
        if shared == "shared":
            failed += check_limits(binary, folder) + check_name_space(binary, folder)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
