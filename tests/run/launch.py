"""Starts fuse-dist on one or several ranks, with a time limit, the same way for every test script."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import standing

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
    if env.get("FUSE_ISA") == "avx2":  # BLAS goes with it
        env["OPENBLAS_CORETYPE"] = "Haswell"
    env.update(extra or {})
    return env


def is_full():
    """Whether all is to be tested that can be, however long it takes."""
    return os.environ.get("FUSE_FULL", "") not in ("", "0")


def on_ranks(ranks, command):
    """The command line that runs `command` on that many ranks; 0 means without mpirun."""
    command = list(command)
    return ["mpirun", "-n", str(ranks)] + command if ranks else command


class StandingJobs:
    """The standing jobs of this process: of the program that FUSE_STANDING_JOB names, for the fuse-dist of the same build. With
    FUSE_FULL=1 there are none."""

    def __init__(self):
        self.jobs, self.binary = None, None
        program = os.environ.get("FUSE_STANDING_JOB")
        if program and not is_full():
            self.jobs = standing.Jobs(program, environment())
            self.binary = os.path.realpath(os.path.join(os.path.dirname(program), os.pardir, os.pardir, "fuse-dist"))

    def take(self, command, env):
        """Whether they can do what this command line would."""
        return (self.jobs and command[:2] == ["mpirun", "-n"] and ":" not in command and os.path.realpath(command[3]) == self.binary
                and self.jobs.take(env))

    def run(self, command, folder, seconds, env):
        statuses, out, err, timed_out, died = self.jobs.run(int(command[2]), command[3:], folder, seconds, env)
        # As mpirun has it: of the statuses that are not 0 one.
        status = next((statuses[rank] for rank in sorted(statuses) if statuses[rank]), 0) if died is None else died
        return Result(status, out, err, timed_out, statuses)


class Result:
    def __init__(self, status, out, err, timed_out, statuses=None):
        self.status = status
        self.out = out
        self.err = err
        self.timed_out = timed_out
        self.statuses = statuses  # rank -> exit status, where that is known

    def tail(self):
        """What was printed, without the frames in which mpirun explains exit statuses."""
        text = MPIRUN_FRAME.sub("", self.out + self.err).strip()
        return text if len(text) < 1500 else "... " + text[-1500:]


def run(command, folder, seconds, env=None, really=False):
    """Runs a command in a process group of its own, which ends with it or at the time limit; fuse-dist under mpirun, unless it is
    to be started really, in a standing job where there are such."""
    env = dict(env or environment())
    if not really and standing_jobs.take(command, env):
        return standing_jobs.run(command, folder, seconds, env)
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


def run_text(binary, folder, program, ranks, status, mentions=(), options=()):
    """Runs a program, given as text; it ends with the status, and says what `mentions` lists as an error."""
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(program)
    result = run(on_ranks(ranks, [binary, "prog.fuse", *options]), folder, 60)
    where = f"{ranks} ranks: {result.tail()}"
    assert result.status == status and not result.timed_out, f"status {result.status}, wanted {status}; {where}"
    for text in mentions:
        assert text in result.err, f"'{text}' is not said; {where}"


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


standing_jobs = StandingJobs()
