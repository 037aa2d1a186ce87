#!/usr/bin/python3
"""`load` and `store` times of a large file against two processes that pread (pwrite) the same halves, 4 MiB at a time,
from (to) touched huge pages in the same run: >= 0.85 x their speed for row layouts, >= 0.5 x for column layouts. HDF5 in
chunks packed by gzip (h5gz), an eighth as large, against h5py, one process that reads and writes the same chunks: >= 1.5 x
its speed. Page cache warm, two ranks, medians of interleaved repeats.

usage: speed_io.py --binary FUSE_DIST --bare BARE_IO [--gib N] [--repeats K] [--formats npy h5 h5gz] [--folder FOLDER]

Memory that a virtual machine has not used for a while is slow at first: before each measurement as much as it will use is
touched and given back.
"""

import argparse
import json
import mmap
import os
import statistics
import sys
import tempfile

import launch
from speed_gemm import output_of, times_of

launch.require_numpy()

import numpy  # noqa: E402

RANKS = 2
LEAST = {"row": 0.85, "column": 0.5}
COLUMNS = 32768  # half a row of f32 is 64 KiB


def make_source(path, rows):
    """Returns the offset of its elements."""
    block = numpy.random.default_rng(1).random((256, COLUMNS), numpy.float32)
    if path.endswith(".npy"):
        array = numpy.lib.format.open_memmap(path, "w+", numpy.float32, (rows, COLUMNS))
        for row in range(0, rows, 256):
            array[row:row + 256] = block
        return array.offset
    import h5py
    with h5py.File(path, "w") as file:
        array = file.create_dataset("x", (rows, COLUMNS), "f4")
        for row in range(0, rows, 256):
            array[row:row + 256] = block
        return array.id.get_offset()


def touch(size):
    with mmap.mmap(-1, size) as memory:
        for at in range(0, size, 4096):
            memory[at] = 1


def measure(options, folder, kind):
    rows = options.gib << 13
    size = rows * COLUMNS * 4
    part = "" if kind == "npy" else ":/x"
    source, sink, bare = (os.path.join(folder, name) for name in (f"x.{kind}", f"y.{kind}", "z"))
    offset = make_source(source, rows)
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(f'X[i,j] = "x.{kind}{part}"\n"y.{kind}{part}" = X[i,j]\n')
    for layout in LEAST:
        with open(os.path.join(folder, layout), "w", encoding="utf-8") as file:
            file.write(f'{{"sharding": {{"X": "{layout}"}}}}\n')
    times = {}

    def take(command):
        touch(2 * size + (256 << 20))
        return output_of(command, folder)

    for repeat in range(options.repeats + 1):
        taken = {("bare", "load"): float(take([options.bare, "read", source, str(offset), str(size)]))}
        taken["bare", "store"] = float(take([options.bare, "write", bare, str(offset), str(size)]))
        os.remove(bare)
        for layout in LEAST:
            told = times_of(take(launch.on_ranks(RANKS, [options.binary, "--threads", "1", "--times=json", "--policy", layout,
                                                         "prog.fuse"])))
            taken.update({(layout, phase): told[phase] for phase in ("load", "store")})
            os.remove(sink)
        if repeat:  # the first fills the page cache
            for key, seconds in taken.items():
                times.setdefault(key, []).append(seconds)
    os.remove(source)
    failures = 0
    for phase in ("load", "store"):
        peer = statistics.median(times["bare", phase])
        for layout, least in LEAST.items():
            own = statistics.median(times[layout, phase])
            fine = peer / own >= least
            failures += not fine
            print(f"{'ok' if fine else 'FAIL'}: {kind} {layout} {phase} {own:.3f} s, bare {peer:.3f} s: {peer / own:.2f} x its speed "
                  f"(at least {least})", flush=True)
    return failures


PACKED = {"chunks": (64, 4096), "compression": "gzip", "compression_opts": 4, "shuffle": True}
LEAST_PACKED = 1.5
H5PY = """
import sys, time, h5py, numpy
begin = time.monotonic()
with h5py.File("x.h5") as file:
    array = file["x"][()]
loaded = time.monotonic()
with h5py.File("z.h5", "w") as file:
    file.create_dataset("x", data=array, **{packed})
print(loaded - begin, time.monotonic() - loaded)
"""


def measure_packed(options, folder):
    """Reals with 12 bits of noise in 23: about half of their bytes stay."""
    import h5py
    rows = options.gib << 10
    noise = numpy.random.default_rng(1).integers(0, 4096, (256, COLUMNS))
    with h5py.File(os.path.join(folder, "x.h5"), "w") as file:
        array = file.create_dataset("x", (rows, COLUMNS), "f4", **PACKED)
        for row in range(0, rows, 256):
            array[row:row + 256] = 1 + noise / 4096
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write('X[i,j] = "x.h5:/x"\n"y.h5:/x" = X[i,j]\n')
    with open(os.path.join(folder, "policy"), "w", encoding="utf-8") as file:
        json.dump({"sharding": {"X": "row"}, "io": {"y.h5:/x": {"chunks": PACKED["chunks"], "gzip": 4}}}, file)
    times = {}
    for repeat in range(options.repeats + 1):
        taken = dict(zip((("h5py", "load"), ("h5py", "store")),
                         map(float, output_of([sys.executable, "-c", H5PY.format(packed=PACKED)], folder).split())))
        told = times_of(output_of(launch.on_ranks(RANKS, [options.binary, "--threads", "1", "--times=json", "--policy", "policy",
                                                          "prog.fuse"]), folder))
        taken.update({("own", phase): told[phase] for phase in ("load", "store")})
        if repeat:
            for key, seconds in taken.items():
                times.setdefault(key, []).append(seconds)
    failures = 0
    for phase in ("load", "store"):
        peer, own = (statistics.median(times[who, phase]) for who in ("h5py", "own"))
        failures += peer / own < LEAST_PACKED
        print(f"{'ok' if peer / own >= LEAST_PACKED else 'FAIL'}: h5 gzip {phase} {own:.3f} s, h5py {peer:.3f} s: {peer / own:.2f} x "
              f"its speed (at least {LEAST_PACKED})", flush=True)
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--bare", required=True)
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--formats", nargs="+", default=["npy", "h5", "h5gz"],
                        choices=("npy", "h5", "h5gz"))
    parser.add_argument("--folder", help="on the file system to be measured")
    options = parser.parse_args()
    options.binary, options.bare = os.path.abspath(options.binary), os.path.abspath(options.bare)
    with tempfile.TemporaryDirectory(prefix="fuse-speed-", dir=options.folder) as folder:
        failures = [measure_packed(options, folder) if kind == "h5gz" else measure(options, folder, kind)
                    for kind in options.formats]
        return 1 if sum(failures) else 0


if __name__ == "__main__":
    sys.exit(main())
