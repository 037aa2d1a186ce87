"""The corpus of broken files, made from a seed: CASES, a list of Case. Each must end in one error.

Formats have a module each (of_NAME.py), which calls `case`. `python3 corpus.py FOLDER` writes all files, to look at.
"""

import importlib
import os
import random
import struct
import sys

CASES = []
SEED = 2024

SOURCE = 'X[i,j] = "{}"\n"y.npy" = X[i,j]\n'


class Case:
    def __init__(self, name, files, text, status, mentions, arguments):
        self.name = name
        self.files = files  # path -> bytes, or a function that is called with the path to be made
        self.text = text  # the program
        self.status = status
        self.mentions = mentions
        self.arguments = arguments

    def write(self, folder):
        for name, content in {**self.files, "prog.fuse": self.text.encode()}.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if callable(content):
                content(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)


def case(name, file, content, part="", status=66, text=SOURCE, mentions=None, files=None, arguments=()):
    """A program that reads `file`, whose content is broken; more files beside it may be needed."""
    assert name not in {other.name for other in CASES}, name
    files = {**(files or {}), file: content.encode() if isinstance(content, str) else content}
    CASES.append(Case(name, files, text.format(file + part), status, [file] if mentions is None else mentions,
                      list(arguments)))


def truncations(name, file, content, count, part="", least=0, **more):
    """Cut at that many places, drawn once for each file."""
    draw = random.Random(f"{SEED} {name}")
    for length in sorted(draw.sample(range(least, len(content)), count)):
        case(f"{name}_cut_at_{length}", file, content[:length], part, **more)


def npy(shape, descr="'<f4'", fortran="False", data=b"", version=(1, 0), header=None, length=None):
    """An .npy file with any header and any data."""
    if header is None:
        header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = header.encode() if isinstance(header, str) else header
    size = 10 if version[0] == 1 else 12
    header += b" " * (-(size + len(header) + 1) % 64) + b"\n"
    count = len(header) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", count) + header + data


DATA = struct.pack("<15f", *range(15))
GOOD = npy("(5, 3)", data=DATA)


def load_all():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, here)
    sys.modules["corpus"] = sys.modules[__name__]
    for name in sorted(os.listdir(here)):
        if name.startswith("of_") and name.endswith(".py"):
            importlib.import_module(name[:-3])
    return CASES


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: corpus.py FOLDER")
    for item in load_all():
        folder = os.path.join(sys.argv[1], item.name)
        os.makedirs(folder, exist_ok=True)
        item.write(folder)
    print(f"{len(CASES)} broken files")


if __name__ == "__main__":
    main()
