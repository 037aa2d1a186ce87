#!/usr/bin/python3
"""Runs the programs of programs/ with fuse-dist and compares what they write with values that NumPy computed.

usage: run_programs.py --binary PATH [--ranks N] [option...]

Every program runs in a temporary folder under mpirun; with --ranks 1 also without it. It fails when the exit status is
not 0, an output is missing, has another shape or type or differs beyond its bound, or when a file is left over.
Prints a line per failure and a summary. Exit status 1 when something failed, 77 when NumPy is missing.
"""

import argparse
import concurrent.futures
import os
import random
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

from programs import REGISTRY, Raw, Text, describe  # noqa: E402

# ---- jobs: one program, or several in one file


class Job:
    def __init__(self, names, text, inputs, expected, arguments):
        self.names = names
        self.text = text
        self.inputs = inputs  # relative path without .npy -> array or Raw
        self.expected = expected  # relative path without .npy -> expectation
        self.arguments = arguments

    def name(self):
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]}..{self.names[-1]}"


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|.', re.DOTALL)
DEFINED = re.compile(r"^([A-Za-z_][\w:]*)\s*(?:[\[(]|when\b|(?:\+|max|min|prod|avg)?=)", re.MULTILINE)


def reordered(text, order, name):
    lines = [line for line in text.splitlines() if line.strip()]
    if order == "reversed":
        lines.reverse()
    elif order == "shuffled":
        random.Random(name).shuffle(lines)
    return "\n".join(lines) + "\n"


def can_share_a_file(item, text):
    """Definitions that hold for a whole file, and names that a renaming would change the meaning of, stay alone."""
    return (not item.arguments and not item.fixed_order and not re.search(r"^\s*(const|param|axis|import)\b", text, re.M)
            and all(re.fullmatch(r"[A-Z]\w*", name) for name in DEFINED.findall(text)))


def renamed(text, prefix):
    """The program with its tensors called PREFIX_NAME and its files PREFIX/FILE."""
    names = set(DEFINED.findall(text))
    result = []
    for token in TOKEN.findall(text):
        if token.endswith((".npy\"", ".tsv\"", ".csv\"")):
            token = f'"{prefix}/{token[1:]}'
        elif token in names:
            token = f"{prefix}_{token}"
        result.append(token)
    return "".join(result)


def make_jobs(items, order, batch):
    jobs, shared = [], []
    for item in items:
        text, inputs, expected = item.build()
        if not item.fixed_order:
            text = reordered(text, order, item.name)
        if batch > 1 and can_share_a_file(item, text):
            prefix = f"P{len(shared)}"
            shared.append((item.name, renamed(text, prefix), {f"{prefix}/{n}": a for n, a in inputs.items()},
                           {f"{prefix}/{n}": e for n, e in expected.items()}))
        else:
            jobs.append(Job([item.name], text, inputs, expected, item.arguments))
    for start in range(0, len(shared), batch):
        part = shared[start:start + batch]
        inputs, expected = {}, {}
        for _, _, more_inputs, more_expected in part:
            inputs.update(more_inputs)
            expected.update(more_expected)
        jobs.append(Job([name for name, *_ in part], "".join(text for _, text, *_ in part), inputs, expected, []))
    return jobs


# ---- running one


def write_job(job, folder):
    for name, array in job.inputs.items():
        path = os.path.join(folder, name if isinstance(array, Text) else name + ".npy")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(array, Text):
            with open(path, "w", encoding="utf-8") as file:
                file.write(array.text)
        elif isinstance(array, Raw):
            with open(path, "wb") as file:
                numpy.lib.format.write_array(file, array.array, version=array.version)
        else:
            numpy.save(path, array)
    for name in job.expected:
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
    with open(os.path.join(folder, "prog.fuse"), "w", encoding="utf-8") as file:
        file.write(job.text)


def run_and_compare(job, folder, ranks, options, more=()):
    """Returns (problems, outputs): lines about what is wrong, and the bytes of the exact outputs."""
    before = launch.files_below(folder)
    command = [options.binary, *options.extra_args, *job.arguments, *more, "prog.fuse"]
    if options.backend:
        command[1:1] = ["--backend", options.backend]
    result = launch.run(launch.on_ranks(ranks, command), folder, options.timeout)
    if result.timed_out or result.status != 0:
        what = f"no end after {options.timeout} s" if result.timed_out else f"exit status {result.status}"
        return [f"{what}\n{result.tail()}"], {}
    problems, outputs = [], {}
    for name, expectation in job.expected.items():
        path = os.path.join(folder, name + ".npy")
        try:
            got = numpy.load(path)
        except (OSError, ValueError) as error:
            problems.append(f"{name}.npy: {error}")
            continue
        problem = expectation.problem(got)
        if problem:
            problems.append(f"{name}.npy: {problem}")
        if expectation.exact:
            outputs[name] = got
        os.remove(path)
    left = launch.files_below(folder) - before
    if left:
        problems.append("left behind: " + " ".join(sorted(left)))
    return problems, outputs


def plan_status(folder, job, ranks, memory, options):
    command = [options.binary, "plan", "--ranks", str(ranks), "--mem-per-rank", str(memory), *job.arguments, "prog.fuse"]
    if options.backend:
        command[2:2] = ["--backend", options.backend]
    # Planning asks no other rank, whatever job it is in.
    return launch.run(launch.on_ranks(1 if launch.standing_jobs.jobs else 0, command), folder, options.timeout)


def smallest_memory(folder, job, ranks, options):
    """The smallest accepted --mem-per-rank in bytes, to 128 KiB, by bisection; a string when the planner misbehaves."""
    low, high = 0, 64 << 20
    while True:
        result = plan_status(folder, job, ranks, high, options)
        if result.status == 0:
            break
        if result.status != 71 or high > 1 << 40:
            return f"plan --mem-per-rank {high}: exit status {result.status}\n{result.tail()}"
        low, high = high, 2 * high
    while high - low > 128 << 10:
        middle = (low + high) // 2
        result = plan_status(folder, job, ranks, middle, options)
        if result.status not in (0, 71):
            return f"plan --mem-per-rank {middle}: exit status {result.status}\n{result.tail()}"
        low, high = (low, middle) if result.status == 0 else (middle, high)
    return high


def run_job(job, options):
    """Returns a list of problems."""
    with tempfile.TemporaryDirectory(prefix="fuse-run-") as folder:
        write_job(job, folder)
        more = []
        if options.min_memory:
            memory = smallest_memory(folder, job, options.ranks, options)
            if isinstance(memory, str):
                return [memory]
            more = ["--mem-per-rank", str(memory + memory // 22)]
        problems, outputs = run_and_compare(job, folder, options.ranks, options, more)
        if options.ranks == 1 and not problems:
            problems, outputs = run_and_compare(job, folder, 0, options, more)
            problems = ["without mpirun: " + problem for problem in problems]
        if options.compare_ranks and not problems:
            other_problems, other = run_and_compare(job, folder, 0, options)
            problems += ["on one rank: " + problem for problem in other_problems]
            for name in outputs.keys() & other.keys():
                a, b = outputs[name], other[name]
                if a.dtype != b.dtype or a.shape != b.shape:
                    problems.append(f"{name}.npy: {a.dtype}{list(a.shape)}, on one rank {b.dtype}{list(b.shape)}")
                elif a.tobytes() != b.tobytes():
                    different = numpy.frombuffer(a.tobytes(), "u1") != numpy.frombuffer(b.tobytes(), "u1")
                    bad = different.reshape(a.shape + (a.itemsize,)).any(axis=-1)
                    problems.append(f"{name}.npy: other bits than on one rank: {describe(bad, a, b)}")
        return problems


# ---- all of them


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the fuse-dist program")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--backend", help="passed on")
    parser.add_argument("--only", metavar="NAME", action="append",
                        help="programs whose name contains NAME; may be repeated")
    parser.add_argument("--order", choices=("written", "reversed", "shuffled"), default="written",
                        help="the order of the statements, which must not matter")
    parser.add_argument("--batch", type=int, default=1, metavar="K",
                        help="K programs in one file where they can share one; those of a failing file run again alone")
    parser.add_argument("--compare-ranks", action="store_true",
                        help="integers, Booleans and random numbers have the same bits as on one rank")
    parser.add_argument("--min-memory", action="store_true",
                        help="with at most 1.05 x the smallest --mem-per-rank that `fuse-dist plan` accepts")
    parser.add_argument("--jobs", type=int, default=2, help="programs that run at a time")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one run")
    parser.add_argument("--list", action="store_true", help="print the programs' names and stop")
    parser.add_argument("--write", metavar="FOLDER",
                        help="write programs and inputs to a folder each, to look at or to run by hand, and stop")
    parser.add_argument("--extra-args", nargs=argparse.REMAINDER, default=[],
                        help="everything that follows is passed to fuse-dist")
    options = parser.parse_args()
    if not options.list and not options.write and not options.binary:
        parser.error("--binary is missing")
    if options.binary:
        options.binary = os.path.abspath(options.binary)
    return options


def main():
    options = parse_arguments()
    items = [item for item in REGISTRY.values()
             if not options.only or any(part in item.name for part in options.only)]
    if options.backend == "ref":
        items = [item for item in items if not item.slow]
    if options.list:
        print("\n".join(item.name for item in items))
        print(f"{len(items)} programs")
        return 0
    jobs = make_jobs(items, options.order, options.batch)
    if options.write:
        for job in jobs:
            folder = os.path.join(options.write, job.name())
            os.makedirs(folder, exist_ok=True)
            write_job(job, folder)
        return 0
    if not items:
        sys.exit("run_programs: no such program")

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:

        def run_all(jobs):
            return zip(jobs, pool.map(lambda job: run_job(job, options), jobs))

        alone = []
        for job, problems in run_all(jobs):
            if problems and len(job.names) > 1:
                print(f"note: {job.name()} failed together: {problems[0]}\n", flush=True)
                alone += make_jobs([REGISTRY[name] for name in job.names], options.order, 1)
                failures += 1
            elif problems:
                failures += 1
                print(f"FAIL {job.name()}: " + "\n    ".join(problems), flush=True)
        for job, problems in run_all(alone):
            if problems:
                failures += 1
                print(f"FAIL {job.name()}: " + "\n    ".join(problems), flush=True)
    print(f"{len(items)} programs in {len(jobs)} files on {options.ranks} ranks: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
