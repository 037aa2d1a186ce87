#!/usr/bin/python3
"""usage: make_data.py [--depth D] FOLDER. Writes FOLDER/parent.tsv: a family in which everybody has two children, D generations (8)
below the first; person n<k> has the children n<2k> and n<2k+1>."""

import argparse
import os


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("folder")
    arguments = parser.parse_args()
    if not 3 <= arguments.depth <= 20:
        parser.error("--depth is a number from 3 to 20")
    with open(os.path.join(arguments.folder, "parent.tsv"), "w", encoding="utf-8") as stream:
        stream.writelines(f"n{k // 2}\tn{k}\n" for k in range(2, 2 << arguments.depth))


main()
