#!/usr/bin/python3
"""Every broken file of the corpus ends in one error with the right exit status, within 10 seconds and little memory, and
leaves nothing: on one rank and on 4 ranks.

usage: run_hostile.py --binary FUSE_DIST [--jobs N] [--only NAME...]
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "fault"))

import checked_run  # noqa: E402

checked_run.launch.require_numpy()

import corpus  # noqa: E402

RANKS = 4
EVERY = 9  # of the corpus, under mpirun of its own on 4 ranks; its neighbours are of one kind
MOST_BYTES = 200 << 20  # of the largest process; 30 MiB are fuse-dist itself
OLD = b"an older output, to be kept\n"


def run_alone(binary, folder, arguments):
    """One process without mpirun. Returns (status, text of its errors, seconds, bytes of memory)."""
    with tempfile.TemporaryFile() as errors:
        begun = time.monotonic()
        process = subprocess.Popen([binary, *arguments], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=errors, env=checked_run.launch.environment())
        end = begun + checked_run.SECONDS
        while True:
            pid, code, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                process.kill()
                os.wait4(process.pid, 0)
                return None, "", checked_run.SECONDS, 0
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(code)
        errors.seek(0)
        return process.returncode, errors.read().decode(errors="replace"), time.monotonic() - begun, usage.ru_maxrss << 10


def alone_problems(item, binary, folder):
    status, text, seconds, memory = run_alone(binary, folder, [*item.arguments, "prog.fuse"])
    if status is None:
        return [f"no end after {seconds} s"], text
    found = []
    if status != item.status:
        found.append(f"exit status {status}, expected {item.status}")
    messages = checked_run.ERROR.findall(text)
    if len(messages) != 1:
        found.append(f"{len(messages)} messages")
    found += [f"the message does not mention {word}" for word in item.mentions if word not in text]
    crash = checked_run.CRASH.search(text)
    if crash:
        found.append(f"the output has '{crash.group(0)}'")
    if memory > MOST_BYTES:
        found.append(f"{memory >> 20} MiB of memory")
    return found, text[-1500:]


def problems_of(item, binary, ranks, really):
    with tempfile.TemporaryDirectory(prefix="fuse-hostile-") as folder:
        item.write(folder)
        with open(os.path.join(folder, "y.npy"), "wb") as file:
            file.write(OLD)
        if ranks:
            found, outcome = checked_run.run_failing(binary, folder, ranks, [*item.arguments, "prog.fuse"], item.status,
                                                     mentions=item.mentions, really=really)
            return found, outcome.tail
        before = checked_run.digests(folder)
        found, text = alone_problems(item, binary, folder)
        if checked_run.digests(folder) != before:
            found.append("files were left, changed or removed")
        return found, text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    items = [item for item in corpus.load_all() if not options.only or any(part in item.name for part in options.only)]
    runs = [(item, ranks, n % EVERY == 0) for ranks in (0, RANKS) for n, item in enumerate(items)]
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda run: problems_of(run[0], binary, *run[1:]), runs)
        for (item, ranks, _), (problems, text) in zip(runs, results):
            if problems:
                failures += 1
                print(f"FAIL {item.name} on {ranks or 1} ranks: " + "; ".join(problems) + "\n    "
                      + text.strip().replace("\n", "\n    "), flush=True)
    print(f"{len(items)} broken files on 1 and on {RANKS} ranks: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
