#!/usr/bin/env python3
"""Compares .tsv and .csv files with Python's own reading and writing of the text: usage test_tsv_python.py DRIVER. Needs no
NumPy.

What would make it fail: a row that is lost, doubled or moved where shares or boxes meet, a value that is not the nearest
double or that does not read back, a cell that is left out or should be, a tally of other rows than the file's, an error at
another place than the first wrong character, a broken file that is read.
"""

import itertools
import os
import random
import struct
import subprocess
import sys
import tempfile

random.seed(20240607)
DRIVER = ""
IDS, INTEGERS, REALS = 0, 1, 2
MOST = 1 << 60


def ask(commands):
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True,
                          timeout=50)
    answers = done.stdout.splitlines()
    assert len(answers) == len(commands), (len(answers), len(commands), answers[-1:])
    return answers


def write(path, text):
    with open(path, "wb") as stream:
        stream.write(text if isinstance(text, bytes) else text.encode())


def read_rows(path):
    with open(path, encoding="ascii") as stream:
        return [[int(word) for word in line.split()] for line in stream]


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0] if value == value else "nan"


def same_bits(got, wanted):
    value = struct.unpack("<d", struct.pack("<Q", got))[0]
    return value != value if wanted == "nan" else got == wanted


# ---- files that are right ----

def draw_id():
    return random.choice([random.randrange(10), random.randrange(100000), random.randrange(MOST), MOST - 1])


def spell_id(number):
    return random.choice(["", "", "", "0", "000"]) + str(number)


def draw_value(kind):
    """The text of a number of this kind, or of one before it."""
    kind = random.choice(range(kind + 1))
    if kind == IDS:
        return spell_id(draw_id())
    if kind == INTEGERS:
        return str(random.choice([-1, -random.randrange(1 << 63), MOST, (1 << 63) - 1, -(1 << 63), MOST + 12345]))
    real = struct.unpack("<d", random.getrandbits(64).to_bytes(8, "little"))[0]
    real = real if real - real == 0 else 1.5
    small = random.randrange(1, 10 ** random.randrange(1, 19)) / 10 ** random.randrange(25)
    digits = "".join(random.choice("0123456789") for _ in range(random.randrange(1, 40)))
    return random.choice([repr(real), repr(small), f"{small:.18e}", f"{small:.16e}", f"{real:.17e}", f"{small:.3f}",
                          f".{digits}", f"{digits}.", f"+{digits}.{digits}", f"-{digits}e{random.randrange(-300, 200)}",
                          "inf", "-inf", "nan", "Infinity", "-INFINITY", "NaN", "+Inf", "0.0", "-0.0", "1e-320",
                          "2.2250738585072011e-308", "9007199254740993.0", "1E5", "0." + "0" * 400 + "1e400"])


def kind_of(text):
    if text.isdigit():
        return IDS if int(text) < MOST else INTEGERS
    return INTEGERS if text[0] in "+-" and text[1:].isdigit() else REALS


def blanks(separator):
    return random.choice([""] * 9 + [" ", "  ", "\t" if separator == "," else " "])


def draw_file(separator):
    columns, count = random.randrange(1, 6), random.choice([0, 1, 2, 5, 60, 400])
    kind = random.choice([IDS, IDS, INTEGERS, REALS])
    feed = random.choice(["\n", "\n", "\r\n"])
    pad = blanks if random.random() < 0.5 else lambda separator: ""
    rows = [[spell_id(draw_id()) for _ in range(columns - 1)] + [draw_value(kind)] for _ in range(count)]
    text = feed.join(separator.join(pad(separator) + field + pad(separator) for field in row) for row in rows)
    if rows:
        text += random.choice(["", feed, feed + feed, feed + " " + feed])
    return rows, text


def check_rows(rows, got, has_value):
    assert len(got) == len(rows), (len(got), len(rows))
    for row, numbers in zip(rows, got):
        ids = row[:len(row) - has_value]
        assert numbers[:-1] == [int(field) for field in ids], (row, numbers)
        if has_value:
            value = float(int(row[-1])) if kind_of(row[-1]) != REALS else float(row[-1])
            assert same_bits(numbers[-1], bits(value)), (row, numbers[-1])


def check_tally(rows, answer):
    numbers = [int(word) for word in answer.split()[1:]]
    kinds = [kind_of(row[-1]) for row in rows]
    last = max(kinds, default=IDS)
    wanted = [len(rows[0]) if rows else 0, len(rows), last,
              next((r for r, kind in enumerate(kinds) if kind != IDS), -1)]
    for column in range(len(rows[0]) if rows else 0):
        ids = [-1] if column == len(rows[0]) - 1 and last != IDS else [int(row[column]) for row in rows]
        wanted += [max(ids), ids.index(max(ids)) if max(ids) >= 0 else -1]
    assert numbers == wanted, (numbers, wanted)


def test_files(folder):
    files = []
    for i in range(160):
        separator = random.choice("\t,")
        rows, text = draw_file(separator)
        path = os.path.join(folder, f"r{i}.{'csv' if separator == ',' else 'tsv'}")
        write(path, text)
        has_value = int(bool(rows) and (max(kind_of(row[-1]) for row in rows) != IDS or random.random() < 0.3))
        files.append((rows, path, has_value))
    answers = ask([f"rows {path} {path}.out {random.choice([1, 1, 2, 3, 7, 64])} {has_value}"
                   for _, path, has_value in files])
    for (rows, path, has_value), answer in zip(files, answers):
        assert answer.startswith("ok "), (path, answer)
        check_tally(rows, answer)
        check_rows(rows, read_rows(path + ".out"), has_value)
    print(f"{len(files)} files")


# ---- files that are wrong ----

# text, line, column, words
WRONG = [
    ("1\t2\n3\n", 2, 2, "a row of 1 field, where the first row has 2"),
    ("1\t2\n3\t4\t5\n", 2, 5, "a row of 3 fields, where the first row has 2"),
    ("1\t2\n3\t\n", 2, 3, "an empty field"),
    ("1\t2\n\t3\n", 2, 1, "an empty field"),
    ("1\t2\n3\t  \n", 2, 5, "an empty field"),
    ("1\t2\n\n3\t4\n", 2, 1, "a blank line between rows"),
    ("\n1\t2\n", 1, 1, "a blank line between rows"),
    ("1\t2\n  \r\n\n\n3\n", 2, 1, "a blank line between rows"),
    ("1\t2\n1\t2\0\n", 2, 3, "a NUL byte"),
    ("1\t" + "x" * 4097 + "\n", 1, 3, "a symbol of more than 4096 bytes"),
    ("1\t2\n1\t" + "0" * (1 << 18) + "\n", 2, 1 << 18, "a line of more than 262144 bytes"),
    (b"\xef\xbb\xbf1\t2\n", 1, 1, "a byte order mark"),
    (b"1\t2\n\xff\xfe\t3\n", 2, 1, "this is not UTF-8"),
    (b"1\t2\r3\t4\n", 1, 3, "a carriage return within a line"),
    ("\t".join(["1"] * 33) + "\n", 1, None, "a row of 33 fields; a relation has at most 32 columns"),
    ("1\t2\nann\t2\0\n", 2, 5, "a NUL byte"),
]

# Texts whose columns are no ids, the last one no values: text, column of the file, line, column of the line, words
REFUSED = [
    ("1\t2\n-3\t4\n", 0, 2, 1, "a negative id"),
    ("1\t2\n  +3\t4\n", 0, 2, 3, "an id with a sign"),
    ("1\t2\n99999999999999999999999\t1\n", 0, 2, 1, "an integer beyond 64 bits"),
    ("1\t2\n1152921504606846976\t1\n", 0, 2, 1, "an id of 2^60 or more"),
    ("1\t2\n3.5\t4\n", 0, 2, 1, "this is no id"),
    ("1\t2\n3\t4\nnan\t4\n", 0, 3, 1, "this is no id"),
    ("1\tbob\n", 1, 1, 3, "this is no number"),
    ("1\t0x10\n", 1, 1, 3, "this is no number"),
    ("1\t1_000\n", 1, 1, 3, "this is no number"),
    ("1\t--1\n", 1, 1, 3, "this is no number"),
    ("1\t.\n", 1, 1, 3, "this is no number"),
    ("1\t1e\n", 1, 1, 3, "this is no number"),
    ("1\te5\n", 1, 1, 3, "this is no number"),
    ("1\t1.e+\n", 1, 1, 3, "this is no number"),
    ("1\t \"2\"\n", 1, 1, 4, "a quote"),
    ("1\t2\n1\t9223372036854775808\n", 1, 2, 3, "an integer beyond 64 bits"),
    ("1\t-9223372036854775809\n", 1, 1, 3, "an integer beyond 64 bits"),
    ("1\t1e999\n", 1, 1, 3, "a number beyond the largest f64"),
    ("1\t-1.8e308\n", 1, 1, 3, "a number beyond the largest f64"),
    ("1\t" + "0" * 1025 + "\n", 1, 1, 3, "a field of more than 1024 characters"),
    ("ann\tbob\n", 1, 1, 5, "this is no number"),
]


def test_refused(folder):
    commands = []
    for i, (text, column, _, _, _) in enumerate(REFUSED):
        write(os.path.join(folder, f"x{i}.tsv"), text)
        commands.append(f"refused {folder}/x{i}.tsv {column}")
    for i, ((_, _, line, column, words), answer) in enumerate(zip(REFUSED, ask(commands))):
        place = f"ok {folder}/x{i}.tsv:{line}:{column}: "
        assert answer.startswith(place) and words in answer, (answer, place, words)
    print(f"{len(REFUSED)} columns of other things")



def test_wrong(folder):
    for lines in 0, 3, 40000:
        paths, commands = [], []
        for i, (text, _, _, _) in enumerate(WRONG):
            text = text if isinstance(text, bytes) else text.encode()
            first = text.split(b"\n")[0]
            # As many rows in front, where the first row of the text is a good one.
            before = first + b"\n" if lines and first.replace(b"\t", b"").isdigit() and len(first) < 10 else b""
            path = os.path.join(folder, f"w{i}.tsv")
            write(path, before * lines + text)
            paths.append((path, lines if before else 0))
            commands.append(f"rows {path} {path}.out 1 0")
        for (path, shift), (_, line, column, words), answer in zip(paths, WRONG, ask(commands)):
            place = f"{path}:{line + shift}:" + (f"{column}: " if column else "")
            assert answer.startswith("INPUT " + place), (answer, place)
            assert words in answer, (answer, words)
    print(f"{len(WRONG)} faults")


# ---- sinks ----

CODES = {"bool": "?", "u8": "B", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "f16": "e", "f32": "f", "f64": "d"}


def draw_cell(dtype):
    code = CODES[dtype]
    if random.random() < 0.5:
        return -0.0 if code in "efd" and random.random() < 0.2 else 0
    size = struct.calcsize(code)
    raw = struct.unpack("<" + code, random.getrandbits(8 * size).to_bytes(size, "little"))
    if code == "?":
        return bool(raw[0])
    return random.choice([raw[0], raw[0], 1.0 if code in "efd" else 1])


def draw_boxes(extent):
    """The array cut along a random axis, in random order."""
    if not extent:
        return [([], [])]
    axis = random.randrange(len(extent))
    cuts = sorted({0, extent[axis], *(random.randrange(extent[axis] + 1) for _ in range(random.randrange(4)))})
    boxes = [([0] * axis + [lo] + [0] * (len(extent) - axis - 1), extent[:axis] + [hi] + extent[axis + 1:])
             for lo, hi in zip(cuts, cuts[1:])]
    random.shuffle(boxes)
    return boxes


def positions(lo, hi):
    return itertools.product(*(range(a, b) for a, b in zip(lo, hi)))


def check_line(line, position, value, dtype, separator):
    fields = line.split(separator)
    assert fields[:len(position)] == [str(i) for i in position], (line, position)
    if dtype == "bool":
        assert len(fields) == len(position), line
        return
    text, code = fields[-1], CODES[dtype]
    assert len(fields) == len(position) + 1, line
    if code not in "efd" or value - value != 0:
        assert text == str(value), (line, value)
    elif code == "d":
        assert text == repr(value), (line, value)
    else:
        assert "." in text or "e" in text, line
        assert struct.pack("<" + code, float(text)) == struct.pack("<" + code, value), (line, value)


def test_sinks(folder):
    sinks, commands = [], []
    for i in range(90):
        dtype = random.choice(list(CODES))
        extent = [random.choice([1, 2, 3, 7, 12]) for _ in range(random.randrange(1 if dtype == "bool" else 0, 5))]
        if random.random() < 0.1 and extent:
            extent[-1] = 0
        cells = {place: draw_cell(dtype) for place in positions([0] * len(extent), extent)}
        separator = random.choice("\t,")
        path = os.path.join(folder, f"s{i}.{'csv' if separator == ',' else 'tsv'}")
        boxes = draw_boxes(extent)
        write(path + ".in", b"".join(struct.pack("<" + CODES[dtype], cells[place])
                                     for lo, hi in boxes for place in positions(lo, hi)))
        shape = " ".join(str(n) for n in [len(extent), *extent])
        commands.append(f"write {path} {dtype} {shape} {path}.in {len(boxes)}\n" +
                        "\n".join(" ".join(str(n) for n in lo + hi) for lo, hi in boxes))
        sinks.append((path, dtype, extent, cells, separator))
    assert ask(commands) == ["ok"] * len(commands)
    reads = []
    for path, dtype, extent, cells, separator in sinks:
        with open(path, encoding="ascii", newline="") as stream:
            text = stream.read()
        wanted = [(place, value) for place, value in sorted(cells.items()) if value != 0]
        assert text.count("\n") == len(wanted) and (not text or text.endswith("\n")), path
        for line, (place, value) in zip(text.split("\n"), wanted):
            check_line(line, place, value, dtype, separator)
        reads.append((path, len(wanted), extent))
    answers = ask([f"rows {path} {path}.out 3 {int(dtype != 'bool')}" for path, dtype, _, _, _ in sinks])
    for (path, count, extent), answer in zip(reads, answers):
        assert answer.startswith("ok ") and int(answer.split()[2]) == count, (path, answer)
        assert len(read_rows(path + ".out")) == count, path
    print(f"{len(sinks)} sinks")


def main():
    global DRIVER
    DRIVER = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        test_files(folder)
        test_wrong(folder)
        test_refused(folder)
        test_sinks(folder)


main()
