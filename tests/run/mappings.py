#!/usr/bin/python3
"""No rank maps or allocates more than 1 MiB during a run but what the plan says, whatever it computes.

usage: mappings.py --binary FUSE_DIST --shim MAP_SHIM [--ranks 1,2,4]

Two witnesses: the calls that MAP_SHIM (tests/run/map_shim.c, preloaded) sees, and /proc/self/maps at the two ends of the run, where
memory that the C library took for itself would show. What may be there, by name:
  arena      one mapping of the plan's bytes, and nothing by the program from then to the end of the run
  peers      the arenas of the other ranks, which are on one node: to be read, in files of theirs
  scratch    of kernels: one mapping before, of at most 12 MiB a thread and 6 MiB, however large the tensors are
  BLAS       the packing buffers of OpenBLAS, one a thread, 128 MiB of address space that is not reserved
  MPI        whatever the libraries of Open MPI map for their messages, of fixed sizes: at most 64 MiB in all
  threads    stacks, in the maps
  files      a buffer of 1 MiB for each that is open, which is not above it; they may lie side by side in the heap
  planner    memory of programs and plans comes in pieces of 1 MiB, outside of the run
Tensors have 8 to 16 MiB, so that a copy of one, or of a rank's part, would be seen.
"""

import argparse
import json
import os
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

MIB = 1 << 20
MPI = re.compile(r"^(libmpi|libopen-|libpmix|libevent|libhwloc|libuc[tpsm]|mca_)")
MAP_SHARED, MAP_NORESERVE = 0x1, 0x4000
CONTRACTIONS = """\
A[i,k] = "a.npy"
B[k,j] = "b.npy"
T[x,y,z] = "t.npy"
F[y,r] = "f.npy"
G[z,r] = "g.npy"
C[i,j] = A[i,k] B[k,j]
"c.npy" = C[i,j]
M[x,r] = T[x,y,z] F[y,r] G[z,r]
"m.npy" = M[x,r]
D[z,x,i2] = T[x,y,z] H[i2,y]
H[i2,y] = "h.npy"
"d.npy" = D[z,x,i2]
Near[i,j] min= A[i,k] + B[k,j]
"near.npy" = reduce(min, i) Near[i,j]
"""
MAPS = """\
A[i,k] = "a.npy"
Back[k,i] = A[i,k] + 1
"back.npy" = Back[k,i]
Soft[i,k.] = softmax(A[i,k])
"soft.npy" = Soft[i,k]
Score[i,p] = A[i,k] A[p,k] / 45.0
Weight[i,p.] = softmax(Score[i,p])
Out[i,e] = Weight[i,p] A[p,e]
"out.npy" = Out[i,e]
Smooth[i,k] = A[i,k] + A[i+1,k]
"smooth.npy" = Smooth[i,k]
Sums[k] = reduce(sum, i) gelu(A[i,k])
"sums.npy" = Sums[k]
"""


def save_sources(folder):
    random = numpy.random.default_rng(11)
    for name, shape in (("a", (2048, 1024)), ("b", (1024, 2048)), ("t", (96, 128, 192)), ("f", (128, 32)), ("g", (192, 32)),
                        ("h", (64, 128))):
        numpy.save(os.path.join(folder, name + ".npy"), random.uniform(-1, 1, shape).astype(numpy.float32))


def check_values(folder, name):
    """One sink of each program: a run that did nothing would map nothing."""
    a = numpy.load(os.path.join(folder, "a.npy"))
    if name == "maps":
        return numpy.array_equal(numpy.load(os.path.join(folder, "back.npy")), (a + numpy.float32(1)).T)
    b = numpy.load(os.path.join(folder, "b.npy"))
    return bool(numpy.abs(numpy.load(os.path.join(folder, "c.npy")) - a.astype(numpy.float64) @ b).max() < 1024 * 2.0**-22)


def read_calls(path):
    with open(path, encoding="utf-8") as file:
        return [(call, int(size), module, int(flags)) for call, size, module, flags in (line.split() for line in file)]


def judge_calls(calls, arena, threads, ranks):
    """What is wrong with the calls of a rank."""
    places = files = 0  # where arenas are mapped, its own and those of others, and the mappings if they are files
    mapped = -(-arena // (2 * MIB)) * 2 * MIB
    blas = scratch = library = 0
    in_run, seen, problems = False, False, []
    for call, size, module, flags in calls:
        if call == "munmap":
            in_run = in_run and not (module == "program" and size == mapped)
        elif module == "program" and call == "mmap" and size == mapped + 2 * MIB and places < ranks:
            in_run = seen = True
            places += 1
        elif module == "program" and call == "mmap" and flags & MAP_SHARED and size in (arena, mapped) and files < places and ranks > 1:
            files += 1
        elif MPI.match(module):
            library += size
        elif not in_run and call == "malloc" and size <= MIB + 64:
            pass  # the planner's
        elif module == "program" and call == "mmap" and flags & MAP_NORESERVE and size == 128 * MIB and blas < threads:
            blas += 1
        elif module == "program" and call == "mmap" and not seen and scratch == 0 and size <= (12 * threads + 6) * MIB:
            scratch = size
        elif size > MIB:
            problems.append(f"{module} calls {call} for {size} bytes {'in' if in_run else 'outside'} the run")
    if files not in (0, ranks) or places not in (1, ranks):
        problems.append(f"{places} arenas are mapped, {files} of them files")
    if not seen or in_run:
        problems.append(f"no mapping of the {arena} bytes that were planned was made and given back")
    if library > 64 * MIB:
        problems.append(f"libraries of MPI took {library} bytes")
    return problems


def regions(path):
    """Anonymous memory that can be written: [(first, end, its kind)]."""
    out, guard = [], None
    with open(path, encoding="utf-8") as file:
        for line in file:
            words = line.split()
            first, end = (int(word, 16) for word in words[0].split("-"))
            name = words[5] if len(words) > 5 else ""
            if words[1].startswith("rw") and (not name or name == "[heap]"):
                out.append((first, end, "stack" if guard == first else "heap" if name else "other"))
            guard = end if words[1].startswith("---") else None
    return out


def judge_maps(begin, end, threads, files):
    """Pieces of memory above 1 MiB that are there at the end and were not at the begin; files leave buffers in the heap."""
    before, problems, stacks = regions(begin), [], 0
    for first, last, kind in regions(end):
        at = first
        for known_first, known_last, _ in sorted(before) + [(last, last, "none")]:
            if known_last <= at:
                if known_first != last:
                    continue
            new = min(known_first, last) - at
            if new > MIB and kind == "stack" and stacks < 2 * threads + 2:
                stacks += 1
            elif new > MIB + files * (MIB + 4096) * (kind == "heap"):
                problems.append(f"{new} bytes at {at:x} are there after the run")
            at = max(at, known_last)
            if at >= last:
                break
    return problems


def sees_what_is_planted(log, arena, threads, files, ranks):
    """Of a run that is fine: one call more in it, or one piece more after it, and it is not."""
    path = os.path.join(log, "rank.0")
    calls = read_calls(path)
    inside = 1 + next(i for i, call in enumerate(calls) if call[:3] == ("mmap", -(-arena // (2 * MIB)) * 2 * MIB + 2 * MIB, "program"))
    grown = os.path.join(log, "grown")
    with open(path + ".end", encoding="utf-8") as file, open(grown, "w", encoding="utf-8") as out:
        out.write("100000000-100600000 rw-p 00000000 00:00 0 \n" + file.read())
    return all(judge_calls(calls[:inside] + [planted] + calls[inside:], arena, threads, ranks)
               for planted in (("malloc", 2 * MIB, "program", 0), ("mmap", 8 * MIB, "program", 0x22), ("calloc", 2 * MIB, "libgomp.so.1", 0))) \
        and judge_maps(path + ".begin", grown, threads, files)


def run_one(options, folder, name, text, ranks, extra, threads):
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(text)
    with tempfile.TemporaryDirectory() as log:
        command = ["env", f"LD_PRELOAD={options.shim}", f"MAP_SHIM_LOG={log}", options.binary, "--threads", str(threads), "--times=json",
                   "--replicate-below", "0", *extra, "prog.fuse"]
        result = launch.run(launch.on_ranks(ranks, command), folder, 120)
        if result.status:
            sys.exit(f"FAIL {name} {ranks}: exit status {result.status}\n{result.tail()}")
        arena = json.loads(next(line for line in result.out.splitlines() if line.startswith("{")))["arena_bytes"]
        problems, files = [] if check_values(folder, name) else ["wrong values"], text.count('"') // 2
        for rank in range(ranks):
            path = os.path.join(log, f"rank.{rank}")
            found = judge_calls(read_calls(path), arena, threads, ranks) + judge_maps(path + ".begin", path + ".end", threads, files)
            problems += [f"rank {rank}: {problem}" for problem in found]
        if not problems and not sees_what_is_planted(log, arena, threads, files, ranks):
            problems.append("what is planted is not seen")
    print(f"{'ok' if not problems else 'FAIL'} {name} {' '.join(extra)} on {ranks} ranks, {threads} threads: arena {arena / MIB:.1f} MiB")
    for problem in problems[:8]:
        print("  " + problem)
    return not problems


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", required=True)
    parser.add_argument("--ranks", default="1,2,4")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        save_sources(folder)
        for ranks in [int(word) for word in options.ranks.split(",")]:
            for name, text in (("contractions", CONTRACTIONS), ("maps", MAPS)):
                good &= run_one(options, folder, name, text, ranks, (), 2 if ranks == 1 else 1)
                if ranks == 2:
                    good &= run_one(options, folder, name, text, ranks, ("--deterministic",), 1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
