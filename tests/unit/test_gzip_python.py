#!/usr/bin/env python3
"""Reads text packed by Python's gzip, file by file: usage test_gzip_python.py DRIVER. Returns 77 without NumPy.

What would make it fail: a place inside a packed file from which the wrong bytes are read on, members that are lost, damage
that is not seen, memory that grows with what a file unpacks to.
"""

import gzip
import os
import resource
import struct
import subprocess
import sys
import tempfile
import zlib

try:
    import numpy as np
except ImportError:
    print("NumPy is missing, nothing checked")
    sys.exit(77)

random = np.random.default_rng(11)
DRIVER = ""
MEMORY = 128 << 20  # of the driver, at most: less than the bombs become


def limit_memory():
    with open(DRIVER, "rb") as file:
        is_sanitized = b"__asan_init" in file.read()  # whose shadow memory is larger than any limit
    if not is_sanitized:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def ask(commands):
    """The driver's answers, one a command."""
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True,
                          timeout=200, preexec_fn=limit_memory)
    answers = done.stdout.splitlines()
    assert len(answers) == len(commands), (len(answers), len(commands), answers[-1:])
    return answers


def store(name, blob):
    with open(name, "wb") as out:
        out.write(blob)


def read_as(path):
    with open(path, "rb") as stream:
        return stream.read()


def pack(data, level=6, strategy=zlib.Z_DEFAULT_STRATEGY, flush=None):
    """One member, by any level and strategy; `flush`: ends a block every so many bytes."""
    squeezer = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
    if flush:
        out = b"".join(squeezer.compress(data[k:k + flush]) + squeezer.flush(zlib.Z_FULL_FLUSH)
                       for k in range(0, len(data), flush))
        return out + squeezer.flush()
    return squeezer.compress(data) + squeezer.flush()


def with_all_fields(data):
    """A member whose header has every optional field."""
    flags = 1 | 2 | 4 | 8 | 16
    header = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, flags, 77, 0, 3) + struct.pack("<H", 5) + b"extra" + b"name\0" + b"note\0"
    raw = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (header + struct.pack("<H", zlib.crc32(header) & 0xFFFF) + raw.compress(data) + raw.flush() +
            struct.pack("<II", zlib.crc32(data), len(data)))


def test_rows():
    rows = random.integers(0, 10**12, (60000, 2))
    text = "".join(f"{a}\t{b}\n" for a, b in rows).encode()
    cut = [0, 7, len(text) // 3 + 1, len(text) // 3 + 1, len(text) // 2, len(text)]
    pieces = [text[a:b] for a, b in zip(cut, cut[1:])]
    files = {
        "one": pack(text), "stored": pack(text, 0), "fast": pack(text, 1), "best": pack(text, 9),
        "fixed": pack(text, 6, zlib.Z_FIXED), "huffman": pack(text, 6, zlib.Z_HUFFMAN_ONLY),
        "blocks": pack(text, flush=100000), "fields": with_all_fields(text),
        "members": b"".join(pack(piece, level) for piece, level in zip(pieces, (1, 0, 9, 6, 6))),
        "empty_members": pack(b"") + pack(text) + pack(b"") + pack(b""),
        "tiny_members": b"".join(pack(text[k:k + 999]) for k in range(0, len(text), 999)),
    }
    commands = []
    for number, (name, blob) in enumerate(files.items()):
        store(f"r{number}.tsv.gz", blob)
        for shares in (1, 3, 8) if name in ("one", "members") else (5,):
            commands.append(f"rows r{number}.tsv.gz out{len(commands)} {shares} 0")
    store("c.csv.gz", pack(text.replace(b"\t", b",")))
    commands.append(f"rows c.csv.gz out{len(commands)} 2 0")
    for number, answer in enumerate(ask(commands)):
        assert answer.startswith("ok"), (commands[number], answer)
        got = np.fromstring(read_as(f"out{number}").decode(), "i8", sep=" ").reshape(-1, 3)  # the third is no value
        assert np.array_equal(got[:, :2], rows), commands[number]
    return len(commands)


def test_lists():
    """More places than are kept (128 of 256 KiB), and boxes in any order."""
    values = random.integers(-10**9, 10**9, (300, 100))
    gaps = random.integers(0, 20000, 300)
    text = "[" + ",\n".join(" " * int(gap) + str(row.tolist()) + " " * 120000 for gap, row in zip(gaps, values)) + "]\n"
    store("wide.json.gz", pack(text.encode(), 1))
    lines = '{"schema":"fuse.tensor","version":1,"shape":[300,100]}\n' + "".join(f'{{"value":{v}}}\n' for v in values.flat)
    store("x.jsonl.gz", pack(lines.encode()))
    commands, expected = [], []
    for path, count in (("wide.json.gz", 2), ("x.jsonl.gz", 12)):
        for _ in range(count):
            low, high = zip(*(sorted(random.integers(0, e + 1, 2).tolist()) for e in values.shape))
            commands.append(f"read {path} out{len(commands)} 0 {low[0]} {low[1]} {high[0]} {high[1]}")
            expected.append(values[low[0]:high[0], low[1]:high[1]])
    for number, (answer, want) in enumerate(zip(ask(commands), expected)):
        assert answer.startswith("ok"), (commands[number], answer)
        assert read_as(f"out{number}") == want.tobytes(), commands[number]
    return len(commands)


def gzip_agrees(blob, text):
    try:
        return gzip.decompress(blob) == text
    except (OSError, EOFError, zlib.error):
        return False


def test_damage():
    """Every truncation and every changed byte of the data is seen."""
    text = "".join(f"{k}\t{k * k % 97}\n" for k in range(60)).encode()
    good = pack(text)
    cases = {"cut": [good[:k] for k in range(len(good))],
             "more": [good + b"\0", good + b"x", good + good[:5], good + pack(text)[:-1], good + b"\x1f\x8b\x08"],
             "other": [b"", text, b"\x1f\x8b", zlib.compress(text), good[1:], b"PK\3\4" + good, b"\x1f\x9d\x90" + good],
             "method": [good[:2] + b"\7" + good[3:]], "reserved": [good[:3] + b"\xe0" + good[4:]],
             "crc": [good[:-8] + b"\0\0\0\0" + good[-4:]], "length": [good[:-4] + b"\1\0\0\0"],
             "not_text": [pack(b"1\t2\n\0\n"), pack(bytes(1 << 20)), pack(b"\0")],
             "bomb": [pack(bytes(1 << 28), 9)],
             "flipped": [good[:k] + bytes([good[k] ^ 0x10]) + good[k + 1:] for k in range(10, len(good))]}
    blobs = [(name, blob) for name, list_ in cases.items() for blob in list_]
    for number, (_, blob) in enumerate(blobs):
        store(f"d{number}.tsv.gz", blob)
    answers = ask([f"rows d{number}.tsv.gz out 1 0" for number in range(len(blobs))])
    for (name, blob), answer in zip(blobs, answers):
        same = name == "flipped" and gzip_agrees(blob, text)  # the bits behind the last block mean nothing
        assert answer.startswith("ok " if same else "INPUT "), (name, answer)
    # A header may say anything in the fields that do not matter.
    store("e.tsv.gz", good[:4] + b"\xff\xff\xff\xff" + good[8:])
    assert ask(["rows e.tsv.gz out 1 0"])[0].startswith("ok")
    return len(blobs)


def test_places_of_errors():
    lines = b"1\t2\n" * 50000 + b"1\n"
    store("line.tsv.gz", pack(lines))
    store("list.json.gz", pack(b"[[1, 2],\n [3, nul]]"))
    store("line.jsonl.gz", pack(b'{"schema":"fuse.tensor","version":1,"shape":[2]}\n{"value":1}\n{"value":x}\n'))
    store("head.jsonl.gz", pack(b'{"schema":"other"}\n'))
    answers = ask(["rows line.tsv.gz out 1 0", "all list.json.gz out", "all line.jsonl.gz out", "all head.jsonl.gz out"])
    for answer, says in zip(answers, ("line.tsv.gz:50001", "list.json.gz:2:6", "line.jsonl.gz:3", "head.jsonl.gz:1")):
        assert says in answer, answer
    return len(answers)


def main():
    global DRIVER
    DRIVER = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in (test_rows, test_lists, test_damage, test_places_of_errors):
            print(f"{test.__name__}: {test()} checked")
        os.chdir("/")


if __name__ == "__main__":
    main()
