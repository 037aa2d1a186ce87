"""A run that is expected to fail, and everything that must hold for it: one message, one status on all ranks, nothing
left behind, older files as they were, no hang."""

import hashlib
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

SECONDS = 10
LARGE = 1 << 28  # bytes: such files are not compared byte by byte
ERROR = re.compile(r"^(?:.*: )?error: .*$", re.MULTILINE)
CRASH = re.compile(r"AddressSanitizer|UndefinedBehaviorSanitizer|runtime error:|Segmentation fault|Signal: |Assertion|"
                   r"core dumped|Traceback|MPI_ABORT|MPI_ERR_")

# mpirun kills the other ranks when one ends with a status that is not 0, so each waits until all have noted theirs.
RANK_SCRIPT = """\
#!/bin/sh
# usage: rank.sh FOLDER RANKS COMMAND...
folder=$1 ranks=$2
shift 2
"$@"
status=$?
echo $status > "$folder/new.$$"
mv "$folder/new.$$" "$folder/status.${OMPI_COMM_WORLD_RANK:-0}"
turns=0
while [ "$(ls "$folder" | grep -c '^status')" -lt "$ranks" ] && [ $turns -lt 500 ]; do
    sleep 0.02
    turns=$((turns + 1))
done
exit $status
"""


def digests(folder):
    """What a folder holds: path -> digest of a file, or what else it is."""
    found = {}
    for path, folders, names in os.walk(folder):
        for name in folders + names:
            full = os.path.join(path, name)
            key = os.path.relpath(full, folder)
            if os.path.islink(full):
                found[key] = "link to " + os.readlink(full)
            elif os.path.isfile(full) and os.path.getsize(full) > LARGE:
                found[key] = "{0.st_size} bytes, inode {0.st_ino} of {0.st_mtime_ns}".format(os.stat(full))
            elif os.path.isfile(full):
                with open(full, "rb") as file:
                    found[key] = hashlib.sha256(file.read()).hexdigest()
            else:
                found[key] = "folder" if os.path.isdir(full) else "special file"
    return found


class Outcome:
    def __init__(self, result, statuses, ranks):
        self.status = result.status
        self.statuses = statuses  # rank -> exit status of its fuse-dist
        self.ranks = max(ranks, 1)
        self.out = result.out
        self.err = result.err
        self.timed_out = result.timed_out
        self.errors = ERROR.findall(result.err)
        self.tail = result.tail()

    def problems(self, status, errors=1, mentions=()):
        """What differs from a run that fails with this status after this many messages."""
        found = []
        if self.timed_out:
            found.append(f"no end after {SECONDS} s; ended ranks {sorted(self.statuses)}")
        if self.status != status:
            found.append(f"exit status {self.status}, expected {status}")
        wrong = {rank: got for rank, got in self.statuses.items() if got != status}
        if wrong:
            found.append(f"exit statuses of ranks {wrong}, expected {status}")
        if len(self.statuses) != self.ranks:
            found.append(f"only ranks {sorted(self.statuses)} of {self.ranks} ended by themselves")
        if errors is not None and len(self.errors) != errors:
            found.append(f"{len(self.errors)} messages, expected {errors}")
        found += [f"the message does not mention {text}" for text in mentions if text not in self.err]
        crash = CRASH.search(self.err)
        if crash:
            found.append(f"the output has '{crash.group(0)}'")
        return found


def run(binary, folder, ranks, arguments, env=None, really=False):
    """Runs fuse-dist on that many ranks (0: without mpirun) in the folder, really or, where there is one, in a standing job;
    returns the outcome."""
    env, command = launch.environment(env), launch.on_ranks(ranks, [binary, *arguments])
    if not ranks or not really and launch.standing_jobs.take(command, env):
        result = launch.run(command, folder, SECONDS, env)
        return Outcome(result, result.statuses if ranks else {0: result.status}, ranks)
    with tempfile.TemporaryDirectory(prefix="fuse-status-") as notes:
        script = os.path.join(notes, "rank.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write(RANK_SCRIPT)
        command = ["/bin/sh", script, notes, str(max(ranks, 1)), binary, *arguments]
        result = launch.run(launch.on_ranks(ranks, command), folder, SECONDS, env)
        statuses = {}
        for name in os.listdir(notes):
            if name.startswith("status."):
                with open(os.path.join(notes, name), encoding="utf-8") as file:
                    statuses[int(name[7:])] = int(file.read())
        return Outcome(result, statuses, ranks)


def run_failing(binary, folder, ranks, arguments, status, errors=1, mentions=(), env=None, really=False):
    """The same for a run that must fail and leave the folder as it is. Returns (problems, outcome)."""
    before = digests(folder)
    outcome = run(binary, folder, ranks, arguments, env, really)
    found = outcome.problems(status, errors, mentions)
    after = digests(folder)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            what = "left behind" if path not in before else "removed" if path not in after else "changed"
            found.append(f"{path}: {what}")
    return found, outcome
