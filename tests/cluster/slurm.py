"""A Slurm of its own: several nodes on this machine, in a temporary folder, for the length of a test.

    with slurm.Cluster(nodes=4, cpus=2) as cluster:
        cluster.run(["sbatch", "--wait", ...], folder)

Nothing outside the folder is read or written (no /etc/slurm, no system's munge), ports are random, so that several
clusters live side by side, and every process that descends from the cluster carries its folder in the environment: these
and no others are ended with it, also when the test is killed by a signal that can be caught.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

DAEMONS = ("munged", "slurmctld", "slurmd")
MARK = "FUSE_TEST_CLUSTER"

CONFIGURATION = """\
ClusterName=fusetest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
TmpFS={folder}/tmp/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
# Neither control groups nor bound processes: the nodes share the machine's cores.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
KillWait=5
MinJobAge=600
SlurmdParameters=config_overrides
PartitionName=batch Nodes=ALL Default=YES MaxTime=10 State=UP
"""


def reason_to_skip():
    """Why no cluster can be started here, or None."""
    missing = [name for name in (*DAEMONS, "sbatch", "mpirun") if not shutil.which(name, path=search_path())]
    if missing:
        return f"{', '.join(missing)} not installed (slurm-wlm, munge)"
    if os.geteuid() != 0:
        return "starting Slurm's daemons needs root"
    return None


def search_path():
    """Debian keeps the daemons where users may not look."""
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def free_port(rng=random.SystemRandom()):
    """A port that nobody listens on, below those that the system hands out by itself."""
    while True:
        port = rng.randrange(12000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port


def marked(folder):
    """Process ids that carry the folder's mark -> name of the program."""
    mark = f"{MARK}={folder}".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if mark not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                found[int(entry)] = file.read().strip()
        except OSError:
            continue  # it ended meanwhile
    return found


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Cluster:
    def __init__(self, nodes, cpus=2, mebibytes=4000):
        self.nodes = nodes
        self.cpus = cpus
        self.mebibytes = mebibytes
        self.folder = None
        self.daemons = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="fuse-slurm-")
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *unused):
        self._stop()

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def environment(self, extra=None):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "OMPI_", "PMIX_"))}
        env.update({
            "PATH": search_path(),
            "SLURM_CONF": self.path("slurm.conf"),
            MARK: self.folder,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
            # The nodes share one host name and one /dev/shm, where their segments would have the same names.
            "OMPI_MCA_pml": "ob1",
            "OMPI_MCA_btl": "tcp,self",
            "OMPI_MCA_btl_tcp_if_include": "lo",
        })
        for name in ("OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "FUSE_FAULT"):
            env.pop(name, None)
        env.update(extra or {})
        return env

    def run(self, command, folder, seconds=60, env=None):
        """Runs a command of a user of the cluster; returns a launch.Result."""
        return launch.run(command, folder, seconds, self.environment(env))

    def submit(self, arguments, folder, env=None):
        """Submits a batch script; returns the job's number."""
        result = self.run(["sbatch", "--parsable", "--output=out", "--time=2", *arguments], folder, 20, env)
        if result.status != 0:
            raise RuntimeError(f"sbatch {arguments}: {result.tail()}")
        return int(result.out)

    def facts(self, job):
        """What Slurm knows of a job: JobState, ExitCode, Restarts, ..."""
        shown = self.run(["scontrol", "--oneliner", "show", "job", str(job)], self.folder, 20).out
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    def wait(self, job, seconds=60):
        """Waits for the end of a job; returns its state and exit status (128 + n for signal n, None for no end)."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        if not wait_for(lambda: self.facts(job).get("JobState") in ended, seconds):
            return self.facts(job).get("JobState"), None
        facts = self.facts(job)
        status, number = (int(word) for word in facts["ExitCode"].split(":"))
        return facts["JobState"], 128 + number if number else status

    def processes(self, name="fuse-dist"):
        """Process ids of the cluster's programs of that name."""
        return [pid for pid, program in marked(self.folder).items() if program == name]

    # ---- start and stop

    def _start(self):
        for name in ("state", "spool", "tmp"):
            os.mkdir(self.path(name))
        with open(self.path("munge.key"), "wb") as file:
            os.fchmod(file.fileno(), 0o400)
            file.write(os.urandom(1024))
        port = free_port()
        with open(self.path("slurm.conf"), "w", encoding="utf-8") as file:
            host = socket.gethostname().split(".")[0]
            for i in range(self.nodes):
                os.mkdir(self.path("spool", f"fn{i + 1}"))
                os.mkdir(self.path("tmp", f"fn{i + 1}"))
                file.write(f"NodeName=fn{i + 1} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} "
                           f"CPUs={self.cpus} RealMemory={self.mebibytes} State=UNKNOWN\n")
            file.write(CONFIGURATION.format(host=host, port=port, folder=self.folder))
        self._daemon("munged", "--foreground", "--force", *(f"--{what}={self.path('munge.' + what.split('-')[0])}" for what
                     in ("key-file", "socket", "pid-file", "log-file", "seed-file")))
        self._expect(lambda: os.path.exists(self.path("munge.socket")), "munged")
        self._daemon("slurmctld", "-D", "-f", self.path("slurm.conf"))
        for i in range(self.nodes):
            self._daemon("slurmd", "-D", "-N", f"fn{i + 1}", "-f", self.path("slurm.conf"))
        self._expect(lambda: self._states().count("idle") == self.nodes, "the nodes")

    def _daemon(self, *command):
        with open(self.path("daemons.out"), "ab") as output:
            # A test that is killed outright takes the daemons with it.
            command = ["setpriv", "--pdeathsig", "TERM", *command]
            self.daemons.append(subprocess.Popen(command, env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
                                                 stdout=output, stderr=output, start_new_session=True))

    def _states(self):
        listed = self.run(["sinfo", "--noheader", "--Node", "--format=%T"], self.folder, 10)
        return listed.out.split()

    def _expect(self, condition, what):
        alive = lambda: all(daemon.poll() is None for daemon in self.daemons)
        if not wait_for(lambda: not alive() or condition(), 20) or not alive():
            with open(self.path("daemons.out"), encoding="utf-8", errors="replace") as file:
                raise RuntimeError(f"{what} did not start:\n{file.read()[-3000:]}")

    def _stop(self):
        """Ends what descends from the cluster, politely first."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in marked(self.folder):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            for daemon in self.daemons:
                try:
                    daemon.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    pass
            if wait_for(lambda: not marked(self.folder), 3):
                break
        shutil.rmtree(self.folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
