#!/usr/bin/env python3
"""Writes the packages that this machine knows as facts: usage make_data.py FOLDER [--index FILE].

depends.tsv    package, package that it depends on (Depends and Pre-Depends; of alternatives each; of a virtual package those
               that provide it)
package.tsv    a package a line
The index is apt's (`apt-cache dumpavail`), or a file of such paragraphs; without either, that of what is installed.
"""

import argparse
import os
import re
import subprocess


def paragraphs(text):
    for paragraph in text.split("\n\n"):
        fields = {}
        for line in paragraph.split("\n"):
            if line and not line[0].isspace() and ":" in line:
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        if "Package" in fields:
            yield fields


def read_index(path):
    if path:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    try:
        text = subprocess.run(["apt-cache", "dumpavail"], check=True, stdout=subprocess.PIPE).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        text = ""
    if text.strip():
        return text
    with open("/var/lib/dpkg/status", encoding="utf-8") as stream:
        return stream.read()


def names(field):
    """Packages of "a (>= 1) | b:any, c [amd64]", version and architecture left out."""
    for part in re.split(r"[,|]", field):
        name = re.split(r"[\s(\[:<]", part.strip(), maxsplit=1)[0]
        if name:
            yield name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--index")
    arguments = parser.parse_args()
    packages, wanted, provided = set(), {}, {}
    for fields in paragraphs(read_index(arguments.index)):
        package = fields["Package"]
        packages.add(package)
        for field in ("Depends", "Pre-Depends"):
            wanted.setdefault(package, set()).update(names(fields.get(field, "")))
        for virtual in names(fields.get("Provides", "")):
            provided.setdefault(virtual, set()).add(package)
    edges = set()
    for package, others in wanted.items():
        for other in others:
            for real in [other] if other in packages else provided.get(other, ()):
                edges.add((package, real))
    os.makedirs(arguments.folder, exist_ok=True)
    with open(os.path.join(arguments.folder, "package.tsv"), "w", encoding="utf-8") as stream:
        stream.writelines(f"{package}\n" for package in sorted(packages))
    with open(os.path.join(arguments.folder, "depends.tsv"), "w", encoding="utf-8") as stream:
        stream.writelines(f"{a}\t{b}\n" for a, b in sorted(edges))
    print(f"{len(packages)} packages, {len(edges)} dependencies")


main()
