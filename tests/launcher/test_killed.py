#!/usr/bin/env python3
"""A run that is killed, whole or one rank of it, or whose ranks wait for one that was stopped, ends, and leaves no
temporary file and an older output as it was; a benchmark leaves no folder. A run that is suspended as a whole goes on afterwards.

usage: test_killed.py PATH_OF_FUSE_DIST
"""

import os
import signal
import subprocess
import sys
import tempfile
import time

# The slow back end needs minutes for this: it is certainly at work when the signal comes.
PROGRAM = """
axis i = 3000
axis j = 3000
axis k = 3000
A[i,k] = uniform(seed=1)
B[k,j] = uniform(seed=2)
C[i,j] = A[i,k] B[k,j]
"c.npy" = C[i,j]
"""

def chatty(products):
    """A program whose ranks exchange something all the time."""
    return """
axis i = 300
axis k = 300
X0[i,k] = uniform(seed=1)
""" + "\n".join(f"X{n + 1}[i,j] = X{n}[i,k] X{n}[k,j] / 100.0" for n in range(products)) + f"""
"c.npy" = X{products}[i,j]
"""


CHATTY = chatty(60)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def ranks_of(mpirun):
    """Process ids of the ranks, in rank order."""
    found = {}
    for pid in children(mpirun.pid):
        with open(f"/proc/{pid}/environ", "rb") as file:
            for entry in file.read().split(b"\0"):
                if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(entry.split(b"=")[1])] = pid
    return [found[rank] for rank in sorted(found)]


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def attempt(binary, who, how, program, words):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "p.fuse"), "w") as file:
            file.write(program)
        with open(os.path.join(folder, "c.npy"), "w") as file:
            file.write("older")
        command = [binary, "p.fuse", "--backend", "ref", *words]
        if who != "alone":
            command = ["mpirun", "-n", "3", *command]
        if how == signal.SIGSTOP:
            command += ["--stall-timeout", "2"]
        errors = open(os.path.join(folder, "errors"), "w+")
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            part = lambda: [name for name in os.listdir(folder) if name.endswith(".part")]
            if not wait_for(part):
                return "no temporary file appeared"
            time.sleep(0.3)
            if who in ("alone", "mpirun"):
                process.send_signal(how)
            else:
                os.kill(ranks_of(process)[who], how)
            process.wait(timeout=40)
            if process.returncode == 0:
                return "the run succeeded"
            if not wait_for(lambda: not part(), 5):
                return f"left behind: {part()}"
            with open(os.path.join(folder, "c.npy")) as file:
                if file.read() != "older":
                    return "the older output changed"
            errors.seek(0)
            told = [line for line in errors.read().splitlines() if "has waited" in line]
            if how == signal.SIGSTOP and (len(told) != 1 or f"rank {0 if who else 1} on" not in told[0]):
                return f"told: {told}"
            return None
        finally:
            errors.close()
            if process.poll() is None:
                process.kill()


def files_under(folder):
    return [os.path.join(at, name) for at, folders, files in os.walk(folder) for name in files]


def measure(binary, ranks, how, words):
    """A benchmark that is ended: its folder goes with all that was in it."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = os.path.join(folder, "scratch")
        os.mkdir(scratch)
        with open(os.path.join(folder, "p.fuse"), "w") as file:
            file.write("X[i,j] = const([[1, 2], [3, 4]])\n\"x.npy\" = X[i,j]\n\"z.npz:x\" = X[i,j]\n\"z.npz:y\" = 2 X[i,j]\n")
        command = [*(["mpirun", "-n", str(ranks)] if ranks else []), binary, "bench", *words, "--repeat", "999"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env={**os.environ, "TMPDIR": scratch})
        try:
            # Ranks agree after each run: when the last file to come is there, the others are.
            if not wait_for(lambda: len([name for name in files_under(scratch) if name.endswith(LAST[words[0]])])):
                return f"no file appeared: {files_under(scratch)}"
            time.sleep(0.3)
            process.send_signal(how)
            process.wait(timeout=40)
            if process.returncode == 0:
                return "the run succeeded"
            # mpirun keeps a folder of its own there for a moment.
            left = lambda: [name for name in os.listdir(scratch) if name.startswith("fuse-")]
            return None if wait_for(lambda: not left(), 5) else f"left behind: {left()} {files_under(scratch)}"
        finally:
            if process.poll() is None:
                process.kill()


LAST = {"io": "Y.npy", "program": "z.npz", "gemm": "Out.npy"}


def suspend(binary):
    """All ranks are stopped for longer than the stall timeout, as batch systems do it: nobody was late."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "p.fuse"), "w") as file:
            file.write(chatty(12))
        command = ["mpirun", "-n", "3", binary, "p.fuse", "--backend", "ref", "--stall-timeout", "3"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            if not wait_for(lambda: any(name.endswith(".part") for name in os.listdir(folder))):
                return "no temporary file appeared"
            first, *others = ranks_of(process)
            # The others wait for the first one when they are stopped, and again when they go on.
            for pids, number, seconds in (([first], signal.SIGSTOP, 2), (others, signal.SIGSTOP, 6),
                                          (others, signal.SIGCONT, 0.7), ([first], signal.SIGCONT, 0)):
                for pid in pids:
                    os.kill(pid, number)
                time.sleep(seconds)
            told = process.communicate(timeout=60)[1]
            return None if process.returncode == 0 else f"exit status {process.returncode}: {told}"
        finally:
            if process.poll() is None:
                process.kill()


def main():
    failures = 0
    cases = [(who, signal.SIGTERM, PROGRAM) for who in ("alone", "mpirun")]
    # Ranks read each other's memory, unless they are told not to.
    cases += [(rank, signal.SIGKILL, PROGRAM) for rank in range(3)]
    cases += [(1, signal.SIGKILL, PROGRAM, "--share-above", "0")]
    # What batch systems send before the time limit reaches all ranks at once, through mpirun.
    cases += [("alone", signal.SIGUSR1, PROGRAM), ("mpirun", signal.SIGUSR1, PROGRAM), ("alone", signal.SIGXCPU, PROGRAM)]
    cases += [(who, signal.SIGSTOP, CHATTY) for who in (0, 2)]
    cases += [(2, signal.SIGSTOP, CHATTY, "--share-above", "0")]
    for who, how, program, *words in cases:
        wrong = attempt(os.path.abspath(sys.argv[1]), who, how, program, words)
        print(f"{who} {how.name} {' '.join(words)}: {wrong or 'fine'}")
        failures += wrong is not None
    for ranks, how, *words in ((0, signal.SIGINT, "io", "npy", "4M"), (3, signal.SIGTERM, "io", "npy", "4M"),
                               (0, signal.SIGTERM, "program", "p.fuse"), (2, signal.SIGINT, "gemm", "200")):
        wrong = measure(os.path.abspath(sys.argv[1]), ranks, how, words)
        print(f"bench {' '.join(words)} on {ranks} {how.name}: {wrong or 'fine'}")
        failures += wrong is not None
    wrong = suspend(os.path.abspath(sys.argv[1]))
    print(f"suspended: {wrong or 'fine'}")
    failures += wrong is not None
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
