#!/usr/bin/python3
"""Runs the examples of docs/language.md.

usage: language_doc.py --binary PROGRAM [--ranks K...]

A block ```fuse is a program; behind the word stand options of fuse-dist. ```fuse NAME.fuse and ```tsv NAME before it are
files for it. ```text after it is what it prints: on standard output, or, if there is an error, on standard error, with
status 65. ```text NAME is a file that it writes. A comment <!-- Y = EXPRESSION --> is evaluated with NumPy and compared
with what was printed for Y. A program without text, or text without a program, is a failure.
"""

import argparse
import ast
import os
import re
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "docs", "language.md")
PIECE = re.compile(r"^```(\w*)(?: ([^\n]*))?\n(.*?)^```$|^<!-- (\w+) = (.*?) -->$", re.MULTILINE | re.DOTALL)


class Example:
    def __init__(self, line, options, text, files):
        self.line, self.options, self.text, self.files = line, options, text, files
        self.printed, self.written, self.checks = None, {}, []


def read_examples(document):
    examples, files = [], {}
    for piece in PIECE.finditer(document):
        language, rest, text, name, expression = piece.groups()
        line = document.count("\n", 0, piece.start()) + 1
        last = examples[-1] if examples else None
        if name:
            last.checks.append((name, expression))
        elif language == "tsv" or language == "fuse" and (rest or "").endswith(".fuse"):
            files[rest] = text
        elif language == "fuse":
            examples.append(Example(line, (rest or "").split(), text, files))
            files = {}
        elif language == "text" and rest and last:
            last.written[rest] = text
        elif language == "text" and last and last.printed is None:
            last.printed = text
        else:
            raise SystemExit(f"language.md:{line}: a block of '{language}' that belongs to no program")
    return examples


def printed_tensors(text):
    """name -> array of what exports print: NAME = [[..], [..]]."""
    parts = re.split(r"^(\w+) = ", text, flags=re.MULTILINE)[1:]
    return {name: numpy.array(ast.literal_eval(value.replace("true", "True").replace("false", "False")))
            for name, value in zip(parts[::2], parts[1::2])}


def difference(name, got, want):
    return [] if got == want else [f"{name} is\n{got}but the document has\n{want}"]


def failures(example, binary, ranks):
    """What is wrong with the example at that number of ranks."""
    if example.printed is None:
        return ["no block of text follows the program"]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**example.files, "prog.fuse": example.text}.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        command = launch.on_ranks(ranks if ranks > 1 else 0, [binary, *example.options, "prog.fuse"])
        result = launch.run(command, folder, 60)
        wrong = "error:" in example.printed
        said, silent = (result.err, result.out) if wrong else (result.err + result.out, "")  # notes come first
        said, silent = (launch.MPIRUN_FRAME.sub("", text) for text in (said, silent))
        found = [] if result.status == (65 if wrong else 0) else [f"status {result.status}"]
        found += difference("what is printed", said.strip("\n") + "\n", example.printed)
        found += difference("the other stream", silent.strip(), "")
        for name, want in example.written.items():
            path = os.path.join(folder, name)
            text = open(path, encoding="utf-8").read() if os.path.exists(path) else "missing\n"
            found += difference(name, text, want)
        expected = {"prog.fuse", *example.files, *example.written}
        found += [f"it leaves {name}" for name in sorted(launch.files_below(folder) - expected)]
    for name, expression in example.checks:
        got, want = printed_tensors(example.printed).get(name), numpy.array(eval(expression, {"numpy": numpy}))  # noqa: S307
        if got is None or got.shape != want.shape or not numpy.allclose(got, want, rtol=1e-6, atol=0):
            found.append(f"{name} is {got}, and {expression} is {want}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 3])
    options = parser.parse_args()
    with open(DOCUMENT, encoding="utf-8") as file:
        examples = read_examples(file.read())
    count = 0
    for ranks in options.ranks:
        for example in examples:
            for text in failures(example, os.path.abspath(options.binary), ranks):
                print(f"language.md:{example.line}: on {ranks} ranks: {text}")
                count += 1
    print(f"{len(examples)} examples on {options.ranks} ranks: {count} failures")
    return 1 if count or len(examples) < 20 else 0


if __name__ == "__main__":
    sys.exit(main())
