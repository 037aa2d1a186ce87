"""Starts fuse-dist on one or several ranks, with a time limit, the same way for every test script."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

MPIRUN_FRAME = re.compile(r"^-{40,}\n(?:Primary job|mpirun detected).*?^-{40,}\n", re.MULTILINE | re.DOTALL)
SKIP = 77  # the exit status of a test that cannot run here


def environment(extra=None):
    """The caller's environment with what Open MPI needs to run as root and with more ranks than cores."""
    env = dict(os.environ)
    env.update({
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "OMP_NUM_THREADS": "1",
    })
    # These two pin OpenBLAS to a kernel or a blocking that is not the processor's own.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "FUSE_FAULT"):
        env.pop(name, None)
    env.update(extra or {})
    return env


def on_ranks(ranks, command):
    """The command line that runs `command` on that many ranks; 0 means without mpirun."""
    command = list(command)
    return ["mpirun", "-n", str(ranks)] + command if ranks else command


class Result:
    def __init__(self, status, out, err, timed_out):
        self.status = status
        self.out = out
        self.err = err
        self.timed_out = timed_out

    def tail(self):
        """What was printed, without the frames in which mpirun explains exit statuses."""
        text = MPIRUN_FRAME.sub("", self.out + self.err).strip()
        return text if len(text) < 1500 else "... " + text[-1500:]


def run(command, folder, seconds, env=None):
    """Runs a command in a process group of its own, which ends with it or at the time limit."""
    env = dict(env or environment())
    # Open MPI's session folders of one user have one parent, which an mpirun that ends removes while another begins.
    session = tempfile.mkdtemp(prefix="fuse-mpi-") if command[0] == "mpirun" else None
    if session:
        env["OMPI_MCA_orte_tmpdir_base"] = session
    try:
        return wait(subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, start_new_session=True), seconds)
    finally:
        if session:
            shutil.rmtree(session, ignore_errors=True)


def wait(process, seconds):
    timed_out = False
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        # mpirun passes SIGTERM on to its ranks, which may sit in groups of their own; SIGKILL would orphan them.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            out, err = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    return Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), timed_out)


def files_below(folder):
    """All files of a folder as relative paths."""
    found = set()
    for path, _, names in os.walk(folder):
        found.update(os.path.relpath(os.path.join(path, name), folder) for name in names)
    return found


def require_numpy():
    try:
        import numpy  # noqa: F401
    except ImportError:
        print("skipped: this Python has no NumPy")
        sys.exit(SKIP)
