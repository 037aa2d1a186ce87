#!/usr/bin/python3
"""The catalogue of errors: runs each case of cases/*.cases, checks the form of what is printed, compares with docs/errors.md.

usage: catalogue.py --binary FUSE_DIST [--update] [--faults] [--jobs N] [--only NAME...] [--list]

A case fails unless, without mpirun and on 3 or 4 ranks (in standing jobs where there are such, but a sample of every class
really), the run prints the message that the document has, once, ends with its status on every rank, and leaves its folder
as it was. A program error has a place, the line and a caret; every error has a hint. Every message in the sources
(messages.py finds them) must be printed by a case or be named in exceptions.txt with the reason. `--update` writes the
document; `--list` prints the messages.

A file of cases: "= Title" and a paragraph; then for each case

    == name: title
    what it means, for the user
    status 65                          the exit status
    errors 2                           messages, if not 1
    place none                         a program error without a place, such as one of -D
    command fuse-dist --threads x prog.fuse          if not: fuse-dist prog.fuse
    file x.npy = numpy.ones((2, 3))    made before the run: bytes, text, an array, or None for a folder
    env FUSE_FAULT=read:1@0            such a case needs fault points
    ranks 4                            only on these numbers of ranks, 0: without mpirun; the document shows the first
    vary [0-9]+                        what differs from machine to machine, printed as N
    hint none: reason                  a message that needs no hint
    --
    the program, as prog.fuse; "program = EXPRESSION" instead of "--" for one that is not text
"""

import argparse
import concurrent.futures
import glob
import gzip
import json
import os
import re
import shlex
import struct
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, os.pardir, os.pardir)
sys.path[:0] = [os.path.join(HERE, os.pardir, "fault"), HERE]

import checked_run  # noqa: E402
import messages  # noqa: E402

checked_run.launch.require_numpy()

import numpy  # noqa: E402

DOCUMENT = os.path.join(ROOT, "docs", "errors.md")
PLACE = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): error: ", re.MULTILINE)
ENTRY = re.compile(r"^### (?P<title>.*)$", re.MULTILINE)
SAMPLE = 6  # every so-manieth case of a class, and the first one, runs on 3 or 4 ranks under an mpirun of its own

HEAD = """\
# Errors

Every message of fuse-dist, with a program or a command that causes it, what is printed, and the exit status.
`tests/errors/catalogue.py --update` writes this file from `tests/errors/cases`, and a test compares.

An error is printed once, by one rank, on standard error; all ranks end with the same status. Syntax errors of a program
are told together, and when there are none, all errors of names, shapes and types. An error in a program shows its place:

```
file:line:column: error: what is wrong
  the line
       ^~~ the place
file:line:column: note: the other place, where two disagree
hint: what to do
```

A failed run leaves no file behind and changes none. Below, `mpirun`'s own lines are left out.

| status | meaning |
|---|---|
"""


# ---- what cases are made of ----

def npy(shape, descr="'<f4'", fortran="False", data=b"", version=(1, 0), header=None, length=None):
    """An .npy file with any header and any data."""
    if header is None:
        header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = header.encode()
    size = 10 if version[0] == 1 else 12
    header += b" " * (-(size + len(header) + 1) % 64) + b"\n"
    count = len(header) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", count) + header + data


def npz(compressed=False, **members):
    import io
    file = io.BytesIO()
    (numpy.savez_compressed if compressed else numpy.savez)(file, **members)
    return file.getvalue()


def h5(code):
    """The bytes of an HDF5 file `f` that h5py makes by this code."""
    import io
    import h5py
    file = io.BytesIO()
    with h5py.File(file, "w") as f:
        exec(code, {"f": f, "h5py": h5py, "numpy": numpy})
    return file.getvalue()


def safetensors(header, data=b"", length=None):
    """A .safetensors file with any header."""
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def pack(compressed=False, program=b"Y = 1\nexport Y\n", **manifest):
    """A pack of a program, as `fuse-dist pack` writes it, with keys of the manifest replaced."""
    import io
    import json
    import zipfile
    digest = 14695981039346656037
    for byte in program:
        digest = (digest ^ byte) * 1099511628211 % 2**64
    options = {"samples": 0, "seed": 0, "werror": False, "weights_anywhere": False, "define": [], "input": [],
               "adapter": [], "query": []}
    whole = {"schema": "fuse.pack", "version": 1, "fuse_dist": "0.1.0", "ranks": 1, "imports": [], "options": options,
             "data": [], "sources": [], "files": [{"path": "prog.fuse", "member": "program/0-prog.fuse",
                                                   "digest": f"{digest:016x}"}], **manifest}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("program/0-prog.fuse", program)
        archive.writestr("manifest.json", json.dumps(whole))
    return file.getvalue()


def zeros(count):
    """A file of that many zero bytes that takes no room."""
    def make(path):
        with open(path, "wb") as file:
            file.truncate(count)
    return make


def link(target):
    return lambda path: os.symlink(target, path)


def evaluate(expression):
    return eval(expression, {"numpy": numpy, "npy": npy, "npz": npz, "gzip": gzip, "pack": pack, "safetensors": safetensors,
                             "struct": struct, "h5": h5, "pipe": os.mkfifo, "zeros": zeros, "link": link})


class Case:
    def __init__(self, section, name, title):
        self.section, self.name, self.title = section, name, title
        self.meaning, self.status, self.errors, self.place = [], None, 1, True
        self.command, self.files, self.env, self.ranks, self.vary = "fuse-dist prog.fuse", [], {}, None, None
        self.hint, self.program, self.program_shown = True, None, None

    def read(self, line):
        word, _, rest = line.partition(" ")
        if word == "status":
            self.status = int(rest)
        elif word == "errors":
            self.errors = int(rest)
        elif word == "place" and rest == "none":
            self.place = False
        elif word == "hint" and rest.startswith("none: "):
            self.hint = False
        elif word == "command":
            self.command = rest
        elif word == "vary":
            self.vary = rest
        elif word == "ranks":
            self.ranks = [int(r) for r in rest.split()]
        elif word == "env":
            key, _, value = rest.partition("=")
            self.env[key] = value
        elif word == "file":
            path, _, expression = rest.partition(" = ")
            self.files.append((path, expression))
        elif word == "program" and rest.startswith("= "):
            self.program_shown = rest[2:]
            self.program = evaluate(rest[2:])
        else:
            self.meaning.append(line)

    def arguments(self):
        """The arguments of fuse-dist; what stands before it are the environment's."""
        return [word for word in shlex.split(self.command)[1:]]


class Section:
    def __init__(self, title):
        self.title, self.text, self.cases = title, [], []


def read_sections():
    sections = []
    for path in sorted(glob.glob(os.path.join(HERE, "cases", "*.cases"))):
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        case = program = None
        for line in lines:
            if line.startswith("== "):
                name, _, title = line[3:].partition(": ")
                case, program = Case(sections[-1], name, title), None
                sections[-1].cases.append(case)
            elif line.startswith("= ") and program is None:
                sections.append(Section(line[2:]))
                case = None
            elif case is None:
                sections[-1].text.append(line)
            elif program is None and line == "--":
                program = []
            elif program is None:
                if line:
                    case.read(line)
            else:
                program.append(line)
                case.program = "\n".join(program).rstrip("\n") + "\n"
    cases = [case for section in sections for case in section.cases]
    for words in [case.name for case in cases], [case.title for case in cases]:
        twice = {word for word in words if words.count(word) > 1}
        if twice:
            raise SystemExit(f"catalogue.py: two cases of one name or title: {', '.join(sorted(twice))}")
    return sections


# ---- running ----

def write(path, what):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if what is None:
        os.mkdir(path)
    elif callable(what):
        what(path)
    elif isinstance(what, numpy.ndarray):
        numpy.save(path, what)
    else:
        with open(path, "wb") as file:
            file.write(what.encode() if isinstance(what, str) else what)


def run_case(case, binary, ranks, really):
    """Returns (problems, what was printed, status)."""
    with tempfile.TemporaryDirectory(prefix="fuse-errors-") as folder:
        if case.program is not None:
            write(os.path.join(folder, "prog.fuse"), case.program)
        for path, expression in case.files:
            write(os.path.join(folder, path), evaluate(expression))
        problems, outcome = checked_run.run_failing(binary, folder, ranks, case.arguments(), case.status, case.errors,
                                                    env=case.env, really=really)
        printed = checked_run.launch.MPIRUN_FRAME.sub("", outcome.out + outcome.err).strip("\n") + "\n"
    printed = printed.replace(folder, "FOLDER")
    if not case.ranks:  # the document has the run without mpirun, in which no rank is named
        printed = re.sub(r"^note: on rank \d+ of \d+\n", "", printed, flags=re.MULTILINE)
    if case.vary:
        printed = re.sub(case.vary, "N", printed)
    return problems + check_form(case, printed), printed, outcome.status


def check_form(case, printed):
    """What a message lacks."""
    problems = []
    if case.status == 65 and case.place:
        places = list(PLACE.finditer(printed))
        if len(places) != case.errors:
            problems.append(f"{len(places)} places of {case.errors} errors: file:line:column: error: ...")
        for place in places:
            problems += check_caret(case, printed, place)
    if case.hint and printed.count("hint: ") < 1:
        problems.append("no hint: say what to do about it")
    if not case.hint and "hint: " in printed:
        problems.append("'hint none' is untrue")
    return problems


def check_caret(case, printed, place):
    """The line and the caret under the column that the message names."""
    lines = printed[place.end():].split("\n")
    # a message may have several lines; the excerpt is indented by two
    at = next((k for k, line in enumerate(lines) if re.fullmatch(r"  \s*\^~*", line)), 0)
    if at < 2:
        return ["no line with a caret"]
    if not isinstance(case.program, str) or place["file"] != "prog.fuse":
        return []
    source = case.program.split("\n")[int(place["line"]) - 1]
    if lines[at - 1][2:] != source.rstrip("\r") and not lines[at - 1].startswith("  ..."):
        return ["not the line that the place names"] if len(source) <= 120 else []
    if lines[at - 1].startswith("  ..."):
        return []
    return [] if lines[at].index("^") - 2 == int(place["column"]) - 1 else ["the caret is not under the column"]


# ---- the document ----

def fence(text, language=""):
    return f"```{language}\n{text.rstrip(chr(10))}\n```\n"


def entry(case, printed, status):
    out = [f"### {case.title}\n"]
    if case.meaning:
        out.append("\n".join(case.meaning) + "\n")
    for path, expression in case.files:
        made = "a folder" if expression == "None" else f"`{expression}`"
        out.append(f"`{path}`: {made}\n")
    if case.program_shown:
        out.append(f"`prog.fuse`: `{case.program_shown}`\n")
    elif case.program is not None:
        out.append(fence(case.program))
    prefix = "".join(f"{key}={value} " for key, value in case.env.items())
    ranks = case.ranks[0] if case.ranks else 0
    command = prefix + (f"mpirun -n {ranks} " if ranks else "") + case.command
    out.append(fence(f"$ {command}\n{printed}[status {status}]"))
    return "\n".join(out)


def document(sections, entries):
    rows = ""
    with open(os.path.join(ROOT, "src", "core", "status.def"), encoding="utf-8") as file:
        for number, text in re.findall(r'FUSE_STATUS\(\w+, (\d+), "(.*)"\)', file.read()):
            rows += f"| {number} | {text} |\n"
    text = HEAD + rows
    for section in sections:
        text += f"\n## {section.title}\n\n" + "\n".join(section.text).strip("\n") + "\n"
        for case in section.cases:
            text += "\n" + entries[case.name]
    return text


def document_entries(text):
    """title -> entry as the document has it."""
    text = re.sub(r"\n## (?:(?!\n### ).)*", "\n", text, flags=re.DOTALL)
    parts = ENTRY.split(text)
    return {title: f"### {title}{body}".strip("\n") for title, body in zip(parts[1::2], parts[2::2])}


# ---- coverage ----

def read_exceptions():
    """[(file, text, reason)]: "FILE: TEXT -- REASON"; FILE may be a status, and TEXT '*', for a whole kind."""
    found = []
    with open(os.path.join(HERE, "exceptions.txt"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            match = re.fullmatch(r"(\S+): (.*?) -- (.+)", line)
            if not match:
                raise SystemExit(f"exceptions.txt:{number}: not 'FILE: FORMAT -- REASON'")
            found.append(match.groups())
    return found


def is_excepted(site, exception):
    where, text, _ = exception
    words = site.expression if messages.is_forwarded(site) else site.format
    return where in (os.path.basename(site.file), site.status) and (text == "*" or text in words)


def check_coverage(printed):
    """Every message of the sources is printed by a case or excepted; every exception is needed."""
    problems, exceptions = [], read_exceptions()
    used = set()
    for site in messages.read_sites(ROOT):
        hit = not messages.is_forwarded(site) and any(messages.as_pattern(site.format).search(t) for t in printed)
        reasons = [k for k, exception in enumerate(exceptions) if is_excepted(site, exception)]
        if hit:
            continue
        used.update(reasons)
        if not reasons:
            shown = site.format if site.format is not None else site.expression
            problems.append(f"{site.file}:{site.line}: no case prints this message: {shown!r}\n"
                            "    add one to tests/errors/cases/*.cases and run tests/errors/catalogue.py --update")
    for k, (where, text, _) in enumerate(exceptions):
        if k not in used:
            problems.append(f"exceptions.txt: '{where}: {text}' excepts nothing (the message is gone, or a case prints "
                            "it now): delete the line")
    return problems


def check_hints():
    """Every row of hints.def belongs to a message."""
    with open(os.path.join(ROOT, "src", "lang", "hints.def"), encoding="utf-8") as file:
        rows = re.findall(r'^FUSE_HINT\("((?:[^"\\]|\\.)*)"', file.read(), re.MULTILINE)
    formats = {site.format for site in messages.read_sites(ROOT)}
    return [f"src/lang/hints.def: no message is {row!r} (any more): change or delete the row"
            for row in rows if row.replace('\\"', '"') not in formats]


# ---- the test ----

ADVICE = """\
    If the message was improved: tests/errors/catalogue.py --binary ... --update, and review the diff of docs/errors.md.
    If the program runs now because the language grew: delete the case from tests/errors/cases, then --update."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary")
    parser.add_argument("--faults", action="store_true", help="the binary has fault points")
    parser.add_argument("--update", action="store_true", help="write docs/errors.md (needs --faults)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        for site in messages.read_sites(ROOT):
            print(f"{site.file}:{site.line}: {site.status} {site.format if site.format else site.expression}")
        return 0
    if options.update and (not options.faults or options.only):
        parser.error("--update runs every case: it needs --faults, and no --only")

    binary, sections = os.path.abspath(options.binary), read_sections()
    runs = []
    for section in sections:
        sampled = [case for case in section.cases if not case.ranks and not case.env]
        for case in section.cases:
            if (case.env and not options.faults) or (options.only and case.name not in options.only):
                continue
            runs += [(case, n, True) for n in case.ranks or [0]]
            if case in sampled and not options.update:
                turn = sampled.index(case)
                runs.append((case, 3 + (turn + turn // SAMPLE) % 2, turn % SAMPLE == 0))
    old = document_entries(open(DOCUMENT, encoding="utf-8").read()) if os.path.exists(DOCUMENT) else {}
    failures, entries, printed_texts = 0, {}, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda run: run_case(run[0], binary, *run[1:]), runs)
        for (case, ranks, _), (problems, printed, status) in zip(runs, results):
            text = entry(case, printed, status)
            if case.name not in entries:
                entries[case.name] = text
                printed_texts.append(printed)
            if not options.update and old.get(case.title) != text.strip("\n"):
                problems.append("docs/errors.md has not this output")
            if problems:
                failures += 1
                print(f"FAIL {case.name} on {ranks or 'no mpirun, 1'} ranks: " + "; ".join(problems) + "\n    "
                      + printed.rstrip("\n").replace("\n", "\n    ") + "\n" + ADVICE, flush=True)
    if not options.only:
        if not options.faults:  # what only fault points cause is as it was
            printed_texts += list(old.values())
        for problem in check_coverage(printed_texts) + check_hints():
            failures += 1
            print(problem)
        titles = {case.title for section in sections for case in section.cases}
        for title in old.keys() - titles:
            if not options.update:
                failures += 1
                print(f"docs/errors.md: no case is called '{title}': run with --update")
    if options.update:
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(document(sections, entries))
    print(f"{len(runs)} runs: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
