#!/usr/bin/python3
"""usage: make_data.py FOLDER. Writes FOLDER/KIND.tsv for each kind of graphs.py."""

import os
import sys

import graphs


def main():
    for kind, make in graphs.KINDS.items():
        edges, _ = make()
        with open(os.path.join(sys.argv[1], kind + ".tsv"), "w", encoding="utf-8") as stream:
            stream.writelines(f"{a}\t{b}\n" for a, b in edges)


main()
