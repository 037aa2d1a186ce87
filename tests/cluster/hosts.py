"""Several hosts made of this one: network namespaces with host names of their own, for the length of a test.

    with hosts.Hosts(2) as network:
        network.run(4, ["fuse-dist", "p.fuse"], folder)

Every host has its own network stack, host name, /dev/shm and session folder of MPI; a bridge in one more namespace joins
them. The namespaces have no names: they are gone when their last process is, and every process carries the network's folder
in its environment, by which it is found and ended, also when the test is killed by a signal that can be caught.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile

import slurm
from slurm import MARK, launch, marked, wait_for

NETWORK = "10.77.7"
TOOLS = ("unshare", "nsenter", "ip", "mpirun")

# Open MPI starts its daemon on a host by  AGENT [options] HOST COMMAND..
AGENT = """\
#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
host=$1; shift
exec nsenter -t "$(cat {folder}/$host.pid)" -n -u -m -- /bin/sh -c "export TMPDIR={folder}/$host.tmp {mark}={folder}; $*"
"""
HOLDER = "hostname {host} && mount --bind {folder}/hosts /etc/hosts && mount -t tmpfs -o size=512m shm /dev/shm && " \
         "touch {folder}/{host}.ready; exec sleep infinity"


def reason_to_skip():
    """Why no hosts can be made here, or None."""
    missing = [name for name in TOOLS if not shutil.which(name, path=slurm.search_path())]
    if missing:
        return f"{', '.join(missing)} not installed (util-linux, iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    tried = subprocess.run(["unshare", "-n", "-u", "-m", "ip", "link", "add", "br0", "type", "bridge"], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    return None if tried.returncode == 0 else f"no network namespaces here: {tried.stdout.decode().strip()}"


def environment(extra=None):
    return launch.environment({"PATH": slurm.search_path(), **(extra or {})})


class Hosts:
    def __init__(self, count, slots=2):
        self.names = [f"host{i + 1}" for i in range(count)]
        self.slots = slots
        self.folder = None
        self.hub = None
        self.pids = {}
        self.holders = []

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="fuse-hosts-")
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

    def on(self, host, command):
        """The command line that runs a command on a host."""
        return ["nsenter", "-t", str(self.pids[host]), "-n", "-u", "-m", "--", "env", f"--chdir={os.getcwd()}", *command]

    def run(self, ranks, command, folder, seconds=40, words=(), slots=None):
        """Runs a command of a user on so many ranks, dealt to the hosts in blocks of `slots`; mpirun is on the first host."""
        slots = slots or self.slots
        mpirun = ["mpirun", "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", self.path("agent"), "--mca",
                  "plm_rsh_no_tree_spawn", "1", "--hostfile", self._hostfile(slots), "--map-by", "slot", "--mca", "pml",
                  "ob1", "--mca", "btl", "tcp,self,vader", "--mca", "btl_tcp_if_include", f"{NETWORK}.0/24", "--mca",
                  "oob_tcp_if_include", f"{NETWORK}.0/24", *words, "-np", str(ranks), *command]
        enter = ["nsenter", "-t", str(self.pids[self.names[0]]), "-n", "-u", "-m", "--", "env", f"--chdir={folder}"]
        env = environment({"TMPDIR": self.path(f"{self.names[0]}.tmp"), MARK: self.folder})
        return launch.run([*enter, *mpirun], folder, seconds, env)

    def link(self, host, state):
        """Takes the cable of a host out ("down") or puts it back ("up")."""
        self._ip(self.hub, "link", "set", f"v{self.names.index(host) + 1}", state)

    def received_bytes(self):
        """What each host's network interface has received so far."""
        counts = []
        for pid in self.pids.values():
            with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
                counts += [int(line.split(":")[1].split()[0]) for line in file if line.strip().startswith("eth0:")]
        return counts

    def processes(self, name="fuse-dist"):
        return [pid for pid, program in marked(self.folder).items() if program == name]

    # ---- start and stop

    def _hold(self, words):
        env = environment({MARK: self.folder})
        holder = subprocess.Popen(["unshare", *words], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, start_new_session=True)
        self.holders.append(holder)
        own = os.readlink("/proc/self/ns/net")
        if not wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own):
            raise RuntimeError("no network namespace was made")
        return holder.pid

    def _ip(self, pid, *words):
        enter = ["nsenter", "-t", str(pid), "-n", "--"] if pid else []
        subprocess.run([*enter, "ip", *words], check=True, env=environment())

    def _hostfile(self, slots):
        path = self.path(f"hostfile.{slots}")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{host} slots={slots}\n" for host in self.names)
        return path

    def _start(self):
        self.hub = self._hold(["-n", "sleep", "infinity"])
        self._ip(self.hub, "link", "add", "br0", "type", "bridge")
        self._ip(self.hub, "link", "set", "br0", "up")
        with open(self.path("agent"), "w", encoding="utf-8") as file:
            file.write(AGENT.format(folder=self.folder, mark=MARK))
            os.fchmod(file.fileno(), 0o755)
        with open(self.path("hosts"), "w", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
            file.writelines(f"{NETWORK}.{i} {host}\n" for i, host in enumerate(self.names, 1))
        for i, host in enumerate(self.names, 1):
            self._start_host(i, host)

    def _start_host(self, number, host):
        os.mkdir(self.path(f"{host}.tmp"))
        script = HOLDER.format(host=host, folder=self.folder)
        pid = self.pids[host] = self._hold(["-n", "-u", "-m", "--propagation", "private", "sh", "-c", script])
        with open(self.path(f"{host}.pid"), "w", encoding="utf-8") as file:
            file.write(str(pid))
        # In the hub from the start, so that no other network's cable can have the same name.
        self._ip(self.hub, "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._ip(self.hub, "link", "set", f"v{number}", "master", "br0", "up")
        self._ip(pid, "link", "set", "lo", "up")
        self._ip(pid, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
        self._ip(pid, "link", "set", "eth0", "up")
        if not wait_for(lambda: os.path.exists(self.path(f"{host}.ready"))):
            raise RuntimeError(f"{host} did not start")

    def _stop(self):
        for end in (signal.SIGTERM, signal.SIGKILL):
            for pid in marked(self.folder):
                try:
                    os.kill(pid, end)
                except ProcessLookupError:
                    pass
            if wait_for(lambda: all(holder.poll() is not None for holder in self.holders), 3):
                break
        wait_for(lambda: not marked(self.folder), 5)
        shutil.rmtree(self.folder, ignore_errors=True)
