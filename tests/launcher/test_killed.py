#!/usr/bin/env python3
"""A run that is killed, whole or one rank of it, leaves no temporary file and an older output as it was.

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


def attempt(binary, who):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "p.fuse"), "w") as file:
            file.write(PROGRAM)
        with open(os.path.join(folder, "c.npy"), "w") as file:
            file.write("older")
        command = [binary, "p.fuse", "--backend", "ref"]
        if who != "alone":
            command = ["mpirun", "-n", "3", *command]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            part = lambda: [name for name in os.listdir(folder) if name.endswith(".part")]
            if not wait_for(part):
                return "no temporary file appeared"
            time.sleep(0.3)
            if who in ("alone", "mpirun"):
                process.send_signal(signal.SIGTERM)
            else:
                os.kill(ranks_of(process)[who], signal.SIGKILL)
            process.wait(timeout=20)
            if process.returncode == 0:
                return "the run succeeded"
            if not wait_for(lambda: not part(), 5):
                return f"left behind: {part()}"
            with open(os.path.join(folder, "c.npy")) as file:
                if file.read() != "older":
                    return "the older output changed"
            return None
        finally:
            if process.poll() is None:
                process.kill()


def main():
    failures = 0
    for who in ("alone", "mpirun", 0, 1, 2):
        wrong = attempt(os.path.abspath(sys.argv[1]), who)
        print(f"killed {who}: {wrong or 'fine'}")
        failures += wrong is not None
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
