#!/usr/bin/python3
"""Every call by which 4 ranks read and write files of every format fails in turn, or the process ends before it: one
message and the right exit status, or none; older outputs as they were, or new and whole; nothing else left. Transfers
that are short or interrupted change nothing. On a file system that is full nothing is written.

usage: io_calls.py --binary FUSE_DIST --shim IO_SHIM [--full] [--jobs N] [--only CLASS...]

The calls are those that IO_SHIM (io_shim.c, preloaded) counts in a run without a fault. --full, or FUSE_FULL=1: every one
of them; else the first and the last of each kind in each file.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import checked_run
import files_of_all_formats as formats

RANKS = 4
UNNAMED = " (unnamed)"
OLD = b"an older output, to be kept\n"
# look, make: calls of processes that a rank has for HDF5 files
STATUS = {"look": 74, "make": 73, "open": 66, "create": 73, "read": 74, "write": 74, "room": 73, "sync": 74, "close": 74,
          "rename": 73}
WRITING = ("make", "create", "write", "room", "sync", "close", "rename")


def reset(folder):
    for name in os.listdir(folder):
        if name.endswith(".part") or name in formats.SINKS:
            os.remove(os.path.join(folder, name))
    for name in formats.SINKS[::2]:  # the others do not exist before
        with open(os.path.join(folder, name), "wb") as file:
            file.write(OLD)


class Calls:
    """What a rank did with files of data: (class, call, file without the random part of its name), in the order of each
    class."""

    def __init__(self, folder):
        self.of = {}
        for rank in range(RANKS):
            counts = {}
            path = os.path.join(folder, f"rank.{rank}")
            with open(path, encoding="utf-8") as file:
                for line in file:
                    kind, call, name = line.split()[:3]
                    name = re.sub(r"^\.(.*)\.[0-9a-f]{16}\.part$", r"\1", name)
                    if "(deleted)" in line:
                        name += UNNAMED
                    counts.setdefault(kind, []).append((call, name))
            self.of[rank] = counts

    def chosen(self, kind, full):
        """(n, rank, name of the call) to fail."""
        found = []
        for rank, counts in self.of.items():
            calls = counts.get(kind, [])
            keep = {}
            for n, call in enumerate(calls, 1):
                if full or call not in keep:
                    found.append((n, rank, call))
                keep[call] = n
            if not full:
                found += [(n, rank, call) for call, n in keep.items() if calls.index(call) + 1 != n]
        found = [item for item in found if item[2][1] not in ("prog.fuse", "policy.json")]
        if kind == "close":  # all that was in an unnamed file has been read by then
            found = [item for item in found if not item[2][1].endswith(UNNAMED)]
        if full:
            return found
        # Rank 0, which creates and names files, and one of the others.
        rest = [item for item in found if item[1]]
        seen = {}
        for item in rest:
            seen.setdefault(item[2], []).append(item)
        turn = 0
        picked = [item for item in found if not item[1]]
        for items in seen.values():
            picked.append(items[turn % len(items)])
            turn += 1
        return picked


def environment(shim, folder, fault=None, log=None):
    env = {"LD_PRELOAD": shim, "IO_SHIM_FOLDER": os.path.realpath(folder)}
    if fault:
        env["IO_SHIM_FAULT"] = fault
    if log:
        env["IO_SHIM_LOG"] = log
    return env


def run_with_fault(binary, shim, kind, n, rank, call, what):
    """Returns (problems, the output's end)."""
    with tempfile.TemporaryDirectory(prefix="fuse-calls-") as folder:
        expected = formats.make_inputs(folder)
        reset(folder)
        before = checked_run.digests(folder)
        env = environment(shim, folder, f"{kind}:{n}@{rank}:{what}")
        if what == "kill" and kind != "make":
            command = ["mpirun", "-n", str(RANKS)] + [word for name, value in env.items() for word in ("-x", f"{name}={value}")]
            result = checked_run.launch.run(command + [binary, *formats.ARGUMENTS], folder, checked_run.SECONDS)
            return killed_problems(folder, before, result, expected), result.tail()
        outcome = checked_run.run(binary, folder, RANKS, formats.ARGUMENTS, env)
        status = STATUS[kind]
        if kind == "make" and outcome.status == 74:  # the index of chunks is written when all is computed
            status = 74
        if kind == "make" and call[0] == "open" and outcome.status == 0:  # libhdf5 tries twice
            return [f"{path}: {text}" for path in formats.SINKS if (text := formats.problem(folder, path, expected))], ""
        found = outcome.problems(status)
        after = checked_run.digests(folder)
        # The files of a run get their names one after the other: what has its own by then is whole.
        named = {path for path in formats.SINKS if kind == "rename" and after.get(path) != before.get(path)}
        found += [f"{path}: {formats.problem(folder, path, expected)}" for path in named
                  if formats.problem(folder, path, expected)]
        found += [f"{path}: left behind, changed or removed" for path in sorted(before.keys() | after.keys())
                  if before.get(path) != after.get(path) and path not in named]
        return found, outcome.tail


def killed_problems(folder, before, result, expected):
    found = []
    if result.timed_out:
        found.append("no end")
    if result.status == 0:
        found.append("exit status 0")
    end = time.monotonic() + 5
    while any(name.endswith(".part") for name in os.listdir(folder)) and time.monotonic() < end:
        time.sleep(0.05)
    after = checked_run.digests(folder)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) == after.get(path):
            continue
        wrong = formats.problem(folder, path, expected) if path in formats.SINKS else "left behind, changed or removed"
        if wrong:
            found.append(f"{path}: {wrong}")
    return found


def short_problems(binary, shim):
    """All transfers of all ranks are short."""
    with tempfile.TemporaryDirectory(prefix="fuse-calls-") as folder:
        expected = formats.make_inputs(folder)
        problems = []
        for kind in ("read", "write"):
            for rank in range(RANKS):
                reset(folder)
                outcome = checked_run.run(binary, folder, RANKS, formats.ARGUMENTS,
                                          environment(shim, folder, f"{kind}:1@{rank}:short"))
                wrong = [outcome.tail] if outcome.status else [
                    f"{path}: {text}" for path in formats.SINKS if (text := formats.problem(folder, path, expected))]
                problems += [f"short transfers ({kind}) on rank {rank}: {text}" for text in wrong]
        return problems


def full_problems(binary):
    """A file system with room for the inputs and little else, where one can be mounted; None where not."""
    unshare = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        unshare[1:1] = ["--user", "--map-root-user"]
    probe = unshare + ["sh", "-c", "mount -t tmpfs -o size=4k tmpfs /tmp"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        return None
    problems = []
    with tempfile.TemporaryDirectory(prefix="fuse-full-") as folder:
        formats.make_inputs(folder)
        os.mkdir(os.path.join(folder, "disk"))
        for pages in (0, 6, 14):
            script = f"""
                mount -t tmpfs -o size=64m tmpfs disk && cp $(ls | grep -v disk) disk && cd disk
                echo older > {formats.SINKS[0]} && ls > ../before
                mount -o remount,size=$(($(du -s --block-size=4096 . | cut -f 1) * 4096 + {4096 * pages})) .
                mpirun -n {RANKS} {binary} {" ".join(formats.ARGUMENTS)} 2> ../err > ../out
                echo $? > ../status; cat {formats.SINKS[0]} > ../older; ls > ../after"""
            done = subprocess.run(unshare + ["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False,
                                  env=checked_run.launch.environment(), timeout=60)
            text = {}
            for name in ("before", "after", "status", "err", "older"):
                if os.path.exists(os.path.join(folder, name)):
                    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                        text[name] = file.read()
            errors = checked_run.ERROR.findall(text.get("err", ""))
            if text.get("status", "").strip() not in ("73", "74") or len(errors) != 1 or "No space left" not in errors[0]:
                problems.append(f"full disk but for {pages} pages: status {text.get('status')}, {errors}, {done.stderr}")
            if text.get("before") != text.get("after") or text.get("older") != "older\n":
                problems.append(f"full disk but for {pages} pages: {text.get('before')!r} became {text.get('after')!r}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--shim", required=True)
    parser.add_argument("--full", action="store_true", default=checked_run.launch.is_full())
    parser.add_argument("--only", nargs="+", default=list(STATUS))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    binary, shim = os.path.abspath(options.binary), os.path.abspath(options.shim)
    with tempfile.TemporaryDirectory(prefix="fuse-calls-") as folder, tempfile.TemporaryDirectory() as log:
        expected = formats.make_inputs(folder)
        reset(folder)
        outcome = checked_run.run(binary, folder, RANKS, formats.ARGUMENTS, environment(shim, folder, log=log))
        wrong = [f"exit status {outcome.status}\n{outcome.tail}"] if outcome.status else [
            f"{path}: {text}" for path in formats.SINKS if (text := formats.problem(folder, path, expected))]
        if wrong:
            print("FAIL without a fault: " + "; ".join(wrong))
            return 1
        calls = Calls(log)
    runs = []
    for kind in options.only:
        chosen = calls.chosen(kind, options.full)
        total = sum(len(counts.get(kind, [])) for counts in calls.of.values())
        print(f"{kind}: {len(chosen)} of {total} calls fail", flush=True)
        if not chosen and kind != "sync":
            print(f"FAIL {kind}: no such call")
            return 1
        for n, rank, call in chosen:
            is_full = kind in ("write", "room", "close") or kind == "make" and n % 2
            runs.append((kind, n, rank, call, "ENOSPC" if is_full else "EIO"))
            if kind in WRITING:
                runs.append((kind, n, rank, call, "kill"))
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda run: run_with_fault(binary, shim, *run), runs)
        for (kind, n, rank, call, what), (problems, tail) in zip(runs, results):
            if problems:
                failures += 1
                print(f"FAIL {kind}:{n}@{rank}:{what} ({call[0]} of {call[1]}): " + "; ".join(problems) + "\n    "
                      + tail.replace("\n", "\n    "), flush=True)
    more = short_problems(binary, shim)
    full = full_problems(binary)
    if full is None:
        print("note: no file system can be mounted here, so none was full")
    for problem in more + (full or []):
        failures += 1
        print(f"FAIL {problem}")
    print(f"{len(runs)} runs with a failing call: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
