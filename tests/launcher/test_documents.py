#!/usr/bin/env python3
"""The manual page and the bash completion know the commands, options, words and exit statuses of the tables, and no others;
the manual is clean mdoc; installed files are where they belong.

usage: test_documents.py --source DIR --build DIR
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile


def table(source):
    """Commands, and per option its letter ("" for none), kind and argument."""
    with open(os.path.join(source, "launcher", "options.def")) as file:
        text = file.read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    commands = re.findall(r'FUSE_COMMAND\(\s*\w+,\s*"([a-z-]+)"', text)
    row = r"""FUSE_OPTION\(\s*\w+,\s*"([a-z-]+)",\s*'(\\0|.)',\s*(\w+),\s*(?:"([^"]*)"|NULL)"""
    options = {word: ("" if letter == "\\0" else letter, kind, argument)
               for word, letter, kind, argument in re.findall(row, text)}
    return commands, options


def statuses(source):
    with open(os.path.join(source, "src", "core", "status.def")) as file:
        return [int(n) for n in re.findall(r"^FUSE_STATUS\(\w+, (\d+),", file.read(), flags=re.M)]


def differences(name, found, wanted):
    found, wanted = set(found), set(wanted)
    for word in sorted(found - wanted):
        yield f"{name} has {word}, which is in no table"
    for word in sorted(wanted - found):
        yield f"{name} lacks {word}"


def check_manual(source, commands, options):
    path = os.path.join(source, "docs", "fuse-dist.1")
    with open(path) as file:
        text = file.read()
    items = re.findall(r"^\.It (Fl .*)$", text, flags=re.M)
    flags = [flag for item in items for flag in re.findall(r"Fl (-?[\w-]+)", item)]
    wanted = ["-" + word for word in options] + [letter for letter, _, _ in options.values() if letter]
    yield from differences("the manual", flags, wanted)
    yield from differences("the manual", re.findall(r"^\.It Cm ([\w-]+)$", text, flags=re.M), commands)
    synopsis = text.split(".Sh SYNOPSIS")[1].split(".Sh DESCRIPTION")[0]
    yield from differences("the synopsis", re.findall(r"Cm ([\w-]+)", synopsis), commands)
    for word, (_, kind, argument) in options.items():
        if kind == "CHOICE" and f"Fl -{word} Ar {argument}\n" not in text:
            yield f"the manual does not say --{word} {argument}"
    status = text.split(".Sh EXIT STATUS")[1].split(".Sh EXAMPLES")[0]
    yield from differences("the manual", map(int, re.findall(r"^\.It (\d+)$", status, flags=re.M)), statuses(source))
    if shutil.which("mandoc"):
        lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", path], capture_output=True, text=True)
        if lint.returncode:
            yield lint.stdout + lint.stderr
    else:
        yield "mandoc is not installed; scripts/setup.sh installs it"


def complete(source, *words):
    """What bash proposes for the last word."""
    quoted = " ".join("'" + word + "'" for word in words)
    script = f"""
        . {os.path.join(source, "launcher", "completion.bash")}
        COMP_WORDS=(fuse-dist {quoted})
        COMP_CWORD={len(words)}
        _fuse_dist
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return result.stdout.split()


def check_completion(source, commands, options):
    wanted = ["--" + word for word in options] + ["-" + letter for letter, _, _ in options.values() if letter]
    yield from differences("the completion", complete(source, "a.fuse", "-"), wanted)
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            for name in ("prog.fuse", "data.npy"):
                open(name, "w").close()
            os.mkdir("folder")
            yield from differences("the completion", complete(source, ""), commands + ["prog.fuse", "folder"])
            for word, (_, kind, argument) in options.items():
                if kind == "CHOICE":
                    choices = argument.split("|")
                    yield from differences(f"completion of --{word}", complete(source, "--" + word, ""), choices)
                    yield from differences(f"completion of --{word}=", complete(source, "--" + word, "=", ""), choices)
            for word in ("root", "output-root"):
                yield from differences(f"completion of --{word}", complete(source, "--" + word, ""), ["folder"])
        finally:
            os.chdir(here)


def check_installation(build):
    with tempfile.TemporaryDirectory() as folder:
        command = ["cmake", "--install", build, "--prefix", "/usr"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "DESTDIR": folder})
        found = [os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names]
        for wanted in ("usr/bin/fuse-dist", "usr/include/fuse_dist.h", "usr/share/man/man1/fuse-dist.1",
                       "usr/share/bash-completion/completions/fuse-dist"):
            if wanted not in found:
                yield f"not installed: {wanted}"
        if not any(re.fullmatch(r"usr/lib/(\S+/)?libfusedist\.so", path) for path in found):
            yield "not installed: libfusedist.so"
        # The installed program finds what it needs.
        version = subprocess.run([os.path.join(folder, "usr/bin/fuse-dist"), "--version"], capture_output=True, text=True)
        if version.returncode or not version.stdout.startswith("fuse-dist"):
            yield f"the installed program does not run: {version.stdout}{version.stderr}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", required=True)
    parser.add_argument("--build", required=True)
    arguments = parser.parse_args()
    commands, options = table(arguments.source)
    assert len(commands) >= 3 and len(options) >= 15
    wrong = [*check_manual(arguments.source, commands, options), *check_completion(arguments.source, commands, options),
             *check_installation(arguments.build)]
    for text in wrong:
        print(text)
    print(f"{len(commands)} commands, {len(options)} options: {len(wrong)} differences")
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
