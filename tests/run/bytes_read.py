#!/usr/bin/python3
"""What each rank reads of a source: its share of the bytes and at most 1 MiB more, in reads of at least 64 KiB, but for
headers. Rows, columns and two-dimensional blocks, in every format whose elements lie packed.

usage: bytes_read.py --binary FUSE_DIST --shim IO_SHIM

Two witnesses: the calls that IO_SHIM (tests/fault/io_shim.c, preloaded) sees, and rchar of /proc/self/io at the end of each
rank, less what a run that reads a small file takes.
"""

import argparse
import os
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

RANKS = 4
ROWS, COLUMNS = 256, 65536  # f32: a column block of 4 ranks has rows of 64 KiB
SIZE = ROWS * COLUMNS * 4
HEADER = 64 << 10  # reads before this offset, or that end in the last HEADER bytes of the file, may be short
SMALL = 64 << 10
EXTRA = 1 << 20
LAYOUTS = {"row": '"row"', "column": '"column"', "blocks": '{"i": "a", "j": "b"}'}


def make_sources(folder):
    array = numpy.random.default_rng(2).random((ROWS, COLUMNS), numpy.float32)
    small = array[:8, :8]
    join = lambda name: os.path.join(folder, name)
    numpy.save(join("x.npy"), array)
    numpy.save(join("f.npy"), numpy.asfortranarray(array))
    numpy.savez(join("x.npz"), x=array)
    numpy.save(join("small.npy"), small)
    import h5py
    with h5py.File(join("x.h5"), "w") as file:
        file["x"] = array
    return array.sum(dtype=numpy.float64)


SOURCES = {"x.npy": "", "f.npy": "", "x.npz": "", "x.h5": ":/x"}


def run(options, folder, source, policy):
    """Returns rank -> (its reads of the source, its rchar)."""
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(f'X[i,j] = "{source}{SOURCES.get(source, "")}"\nS = X[i,j]\n"s.npy" = S\n')
    with open(os.path.join(folder, "policy"), "w", encoding="utf-8") as file:
        file.write(policy)
    with tempfile.TemporaryDirectory() as log:
        # What a shell has read includes what its children had read that it waited for.
        script = (f"LD_PRELOAD={options.shim} IO_SHIM_FOLDER={folder} IO_SHIM_LOG={log} {options.binary} --policy policy "
                  f"--replicate-below 0 prog.fuse; status=$?; "
                  f"grep rchar /proc/$$/io > {log}/io.$OMPI_COMM_WORLD_RANK; exit $status")
        result = launch.run(launch.on_ranks(RANKS, ["sh", "-c", script]), folder, 60)
        if result.status:
            sys.exit(f"FAIL {source} {policy}: exit status {result.status}\n{result.tail()}")
        found = {}
        for rank in range(RANKS):
            with open(os.path.join(log, f"rank.{rank}"), encoding="utf-8") as file:
                lines = [line.split() for line in file]
            with open(os.path.join(log, f"io.{rank}"), encoding="utf-8") as file:
                total = int(file.read().split()[1])
            reads = [(int(line[3]), int(line[4])) for line in lines if line[0] == "read" and line[2] == source]
            found[rank] = reads, total
        return found


def problems_of(found, size, base):
    problems = []
    share = SIZE // RANKS
    for rank, (reads, total) in found.items():
        inner = [(n, at) for n, at in reads if at >= HEADER and at + n <= size - HEADER]
        short = [(n, at) for n, at in inner if n < SMALL]
        if short:
            problems.append(f"rank {rank}: {len(short)} reads of less than 64 KiB, such as {short[0][0]} bytes at {short[0][1]}")
        read = sum(n for n, _ in reads)
        if read > share + EXTRA:
            problems.append(f"rank {rank} read {read} bytes of its {share}")
        if total - base[rank][1] > share + EXTRA:
            problems.append(f"rank {rank}: rchar rose by {total - base[rank][1]} for its {share} bytes")
        if read < share // 2:
            problems.append(f"rank {rank} read {read} bytes: the calls are not seen")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", required=True)
    options = parser.parse_args()
    options.binary, options.shim = os.path.abspath(options.binary), os.path.abspath(options.shim)
    failures = 0
    with tempfile.TemporaryDirectory(prefix="fuse-bytes-") as folder:
        expected = make_sources(folder)
        for layout, sharding in LAYOUTS.items():
            policy = f'{{"mesh": {{"a": 2, "b": 2}}, "sharding": {{"X": {sharding}}}}}\n'
            base = run(options, folder, "small.npy", policy)
            for source in SOURCES:
                found = run(options, folder, source, policy)
                problems = problems_of(found, os.path.getsize(os.path.join(folder, source)), base)
                got = float(numpy.load(os.path.join(folder, "s.npy")))
                if abs(got - expected) > 1e-3 * expected:
                    problems.append(f"the sum is {got}, expected {expected}")
                failures += bool(problems)
                most = max(sum(n for n, _ in reads) for reads, _ in found.values())
                print(f"{'FAIL' if problems else 'ok'}: {source} by {layout}: at most {most - SIZE // RANKS} bytes beyond a share; "
                      + "; ".join(problems), flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
