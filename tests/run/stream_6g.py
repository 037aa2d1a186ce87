#!/usr/bin/python3
"""A 6 GiB source under --mem-per-rank 512M, on one rank and on two.

usage: stream_6g.py --binary FUSE_DIST [--gib 6] [--ranks N]... [--folder DIR]

Y[i] = X[i,j] V[j] and S[j] = X[i,j], whose values are known in closed form: X[i,j] = (i % 251) + (j % 7). No rank's resident
memory (anonymous and shared; page cache is not counted) may pass the limit while it runs. Prints the run's seconds beside
those of processes that read the same ranges with pread, 4 MiB at a time, in the same run. Needs the disk for it.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time

import launch

launch.require_numpy()

import numpy  # noqa: E402

LIMIT = 512 << 20
COLUMNS = 4096
PROGRAM = 'X[i,j] = "x.npy"\nV[j] = "v.npy"\nY[i] = X[i,j] V[j]\nS[j] = X[i,j]\n"y.npy" = Y[i]\n"s.npy" = S[j]\n'


def make_source(path, rows):
    block = numpy.arange(COLUMNS, dtype="f4") % 7
    out = numpy.lib.format.open_memmap(path, "w+", numpy.float32, (rows, COLUMNS))
    for start in range(0, rows, 4096):
        i = numpy.arange(start, min(start + 4096, rows), dtype="f4") % 251
        out[start:start + len(i)] = i[:, None] + block[None, :]
        if start % (1 << 16) == 0:
            out.flush()
    del out


def read_range(path, begin, end):
    buffer = bytearray(4 << 20)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while begin < end:
            begin += os.preadv(file.fileno(), [view[:min(len(buffer), end - begin)]], begin)


def bare_seconds(path, ranks):
    size = os.path.getsize(path)
    start = time.monotonic()
    processes = [multiprocessing.Process(target=read_range, args=(path, size * k // ranks, size * (k + 1) // ranks))
                 for k in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.monotonic() - start


def own_bytes(pid):
    """What a process holds itself: anonymous and shared memory."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(m.group(1)) << 10 for m in re.finditer(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", text, re.M))


def pids_of(binary):
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/exe") == binary:
                yield int(entry)
        except OSError:
            continue


def run(binary, folder, ranks):
    """Exit status, output, seconds, the most that a rank held."""
    command = launch.on_ranks(ranks, [binary, "p.fuse", "--mem-per-rank", str(LIMIT), "--explain"])
    before = set(pids_of(binary))
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=launch.environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    most = 0
    while process.poll() is None and time.monotonic() - start < 600:
        most = max([most] + [own_bytes(pid) for pid in pids_of(binary) if pid not in before])
        time.sleep(0.05)
    out = process.communicate(timeout=60)[0]
    return process.returncode, out, time.monotonic() - start, most


def check_values(folder, rows):
    i, j = numpy.arange(rows, dtype="f8") % 251, numpy.arange(COLUMNS, dtype="f8") % 7
    v = numpy.load(os.path.join(folder, "v.npy")).astype("f8")
    y, s = numpy.load(os.path.join(folder, "y.npy")), numpy.load(os.path.join(folder, "s.npy"))
    wanted_y, wanted_s = i * v.sum() + (j * v).sum(), i.sum() + rows * j
    return max(numpy.abs(y / numpy.maximum(wanted_y, 1) - wanted_y / numpy.maximum(wanted_y, 1)).max(),
               numpy.abs(s / wanted_s - 1).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--gib", type=float, default=6)
    parser.add_argument("--ranks", type=int, action="append")
    parser.add_argument("--folder", help="where the file is made; else in the folder for temporary files")
    options = parser.parse_args()
    binary, rows, failures = os.path.realpath(options.binary), int(options.gib * (1 << 30)) // (4 * COLUMNS), 0
    with tempfile.TemporaryDirectory(prefix="fuse-stream-", dir=options.folder) as folder:
        make_source(os.path.join(folder, "x.npy"), rows)
        numpy.save(os.path.join(folder, "v.npy"), (numpy.arange(COLUMNS) % 3 + 1).astype("f4"))
        with open(os.path.join(folder, "p.fuse"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        for ranks in options.ranks or [1, 2]:
            bare = bare_seconds(os.path.join(folder, "x.npy"), ranks)
            status, out, seconds, most = run(binary, folder, ranks)
            again = bare_seconds(os.path.join(folder, "x.npy"), ranks)
            error = check_values(folder, rows) if status == 0 else None
            plan = re.search(r"^  stream .*", out, re.M)
            phase = re.search(r"^  run +([\d.]+)", out, re.M)
            print(f"{ranks} ranks: status {status}, {seconds:.2f} s (run {phase.group(1) if phase else '?'} s), bare pread "
                  f"{bare:.2f} and {again:.2f} s, a rank held at most {most >> 20} MiB, error {error}, "
                  f"{plan.group(0).strip() if plan else 'no stream'}")
            if status != 0 or not plan or most > LIMIT or most == 0 or not error < 1e-4:
                failures += 1
                print(out)
    print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
