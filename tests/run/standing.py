"""MPI jobs that stand ready: programs run in them one after the other, without starting ranks for each (standing_job.c).

A run in a standing job fails as it does under mpirun: with the statuses and messages of the ranks, and when the job dies of it,
with mpirun's. The next run then has a new job.
"""

import atexit
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

READY_SECONDS = 60  # for ranks to start, or to end
# What is read anew for each run, by the launcher or by io_shim. A job of its own is for those that have the same of ASKED_BY_LOADER;
# whatever else is set is meant for the start of a process, or for MPI.
ASKED_BY_LOADER = {"LD_PRELOAD"}
READ_FOR_A_RUN = {"FUSE_FAULT", "IO_SHIM_FOLDER", "IO_SHIM_LOG", "IO_SHIM_FAULT", "TMPDIR", "HOME", "XDG_CACHE_HOME",
                  "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION",
                  "AWS_ENDPOINT_URL"}


class Job:
    """`ranks` processes of the program that wait for something to do."""

    def __init__(self, program, ranks, env):
        self.ranks = ranks
        self.folder = tempfile.mkdtemp(prefix="fuse-standing-")
        self.asks = []
        for rank in range(ranks):
            os.mkfifo(self.path(f"ask.{rank}"))
            # For reading too, so that it opens before the rank has; ranks end when this process has.
            self.asks.append(os.open(self.path(f"ask.{rank}"), os.O_RDWR))
        os.mkfifo(self.path("answers"))
        self.answers = os.open(self.path("answers"), os.O_RDWR | os.O_NONBLOCK)
        os.mkdir(self.path("session"))
        with open(self.path("output"), "wb") as output:
            self.process = subprocess.Popen(
                ["mpirun", "-n", str(ranks), program, self.folder], cwd="/", stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, env={**env, "OMPI_MCA_orte_tmpdir_base": self.path("session")}, start_new_session=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def ask(self, command, folder, settings, seconds):
        """Returns (rank -> status, standard output, standard error, timed out). A rank without a status has ended, and so has
        the job."""
        with tempfile.TemporaryDirectory(prefix="fuse-request-") as request:
            words = [os.path.abspath(folder), str(len(settings)), *(f"{name}={value}" for name, value in settings.items()),
                     *command]
            with open(os.path.join(request, "request"), "wb") as file:
                file.write(b"".join(os.fsencode(word) + b"\0" for word in words))
            for ask in self.asks:
                os.write(ask, os.fsencode(request + "\n"))
            statuses, timed_out = self.wait(seconds)
            if len(statuses) < self.ranks:
                self.kill()
            text = [b"".join(read_if_there(os.path.join(request, f"{name}.{rank}")) for rank in range(self.ranks))
                    for name in ("out", "err")]
            if len(statuses) < self.ranks:
                text[1] += read_if_there(self.path("output"))
            return statuses, *(part.decode(errors="replace") for part in text), timed_out

    def wait(self, seconds):
        end, text = time.monotonic() + seconds, b""
        while text.count(b"\n") < self.ranks:
            if select.select([self.answers], [], [], 0.2)[0]:
                text += os.read(self.answers, 4096)
            elif self.process.poll() is not None or time.monotonic() > end:
                break
        lines = text.decode().split("\n")[:-1]
        return {int(rank): int(status) for rank, status in (line.split() for line in lines)}, \
            len(lines) < self.ranks and self.process.poll() is None

    def is_alive(self):
        return self.process.poll() is None

    def kill(self):
        """mpirun passes SIGTERM on to its ranks; SIGKILL would orphan them."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(10)

    def close(self):
        """Lets the ranks end. Returns what went wrong, or None."""
        asked = self.is_alive()
        for ask in self.asks:
            os.close(ask)
        self.asks = []
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(READY_SECONDS if asked else 0)
        problem = None
        if asked and self.process.poll() != 0:
            problem = f"a standing job of {self.ranks} ranks ends with status {self.process.poll()}\n" + read_if_there(
                self.path("output")).decode(errors="replace")
        self.kill()
        os.close(self.answers)
        shutil.rmtree(self.folder, ignore_errors=True)
        return problem


def read_if_there(path):
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


class Jobs:
    """As many jobs as are in use at a time, for each number of ranks. Safe to use from several threads."""

    def __init__(self, program, env):
        self.program, self.env = os.path.abspath(program), env
        self.idle = {}  # (ranks, what the loader was asked) -> jobs
        self.lock = threading.Lock()
        atexit.register(self.close)

    def take(self, env):
        """Whether they can run something in this environment."""
        return (self.env.keys() <= env.keys() and self.changes(env).keys() <= READ_FOR_A_RUN | ASKED_BY_LOADER)

    def changes(self, env):
        return {name: value for name, value in env.items() if self.env.get(name) != value}

    def run(self, ranks, command, folder, seconds, env):
        """As Job.ask, and mpirun's status when the job has died, else None."""
        settings = self.changes(env)
        asked = {name: settings.pop(name) for name in ASKED_BY_LOADER & settings.keys()}
        with self.lock:
            idle = self.idle.setdefault((ranks, *asked.values()), [])
            job = idle.pop() if idle else None
        job = job or Job(self.program, ranks, {**self.env, **asked})
        found = job.ask(command, folder, settings, seconds)
        if job.is_alive():
            with self.lock:
                idle.append(job)
            return *found, None
        status = job.process.returncode
        job.close()
        return *found, status

    def close(self):
        """At the end of the process: a job that does not end well makes it fail."""
        problems = [problem for jobs in self.idle.values() for job in jobs if (problem := job.close())]
        self.idle = {}
        if problems:
            print("FAIL " + "\n".join(problems), file=sys.stderr, flush=True)
            sys.stdout.flush()
            os._exit(1)
