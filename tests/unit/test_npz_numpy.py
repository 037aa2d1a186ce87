#!/usr/bin/env python3
"""Compares npz sources and sinks with NumPy and zipfile, file by file: usage test_npz_numpy.py DRIVER. Returns 77 without
NumPy.

What would make it fail: an archive that NumPy writes being read wrongly or refused, one of ours that NumPy or zipfile
reads otherwise, damage or lies in an archive that change a number unseen.
"""

import io
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

try:
    import numpy as np
except ImportError:
    print("NumPy is missing, nothing checked")
    sys.exit(77)

NAMES = {"b1": "bool", "u1": "u8", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "f2": "f16", "f4": "f32",
         "f8": "f64", "u2": "u16", "u4": "u32"}
RESIDENT = {"u2": "i4", "u4": "i8"}
random = np.random.default_rng(20240202)
DRIVER = ""


def ask(commands):
    """The driver's answers, one a command."""
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True,
                          timeout=50)
    answers = done.stdout.splitlines()
    assert len(answers) == len(commands), (len(answers), len(commands), answers[-1:])
    return answers


def sample(code, shape):
    kind = np.dtype(code)
    if kind.kind == "b":
        return random.random(shape) < 0.5
    if kind.kind == "f":
        return (random.standard_normal(shape) * 100).astype(code)
    return random.integers(0, 100, shape).astype(code)


def contents(array):
    kind = array.dtype.str.lstrip("<>|=")
    return np.ascontiguousarray(array).astype(RESIDENT.get(kind, kind)).tobytes()


def read_as(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_sources():
    arrays = {}
    for code in NAMES:
        for order in "<>" if np.dtype(code).itemsize > 1 else "|":
            for shape in [(), (5,), (0,), (6, 7), (3, 4, 5), (200, 301)]:
                arrays[f"{code}{'le' if order != '>' else 'be'}{len(arrays)}"] = np.asarray(
                    sample(order + code, shape), order="F" if len(arrays) % 2 else "C")
    np.savez("stored.npz", **arrays)
    np.savez_compressed("deflated.npz", **arrays)
    commands, expected = [], []
    for path in ("stored.npz", "deflated.npz"):
        for name, array in arrays.items():
            for spelling in (name, name + ".npy"):
                commands.append(f"all {path}:{spelling} out{len(commands)}")
                expected.append(array)
    for number, (answer, array) in enumerate(zip(ask(commands), expected)):
        assert answer.startswith("ok " + NAMES[array.dtype.str.lstrip("<>|=")]), (commands[number], answer)
        assert read_as(f"out{number}") == contents(array), commands[number]
    return len(commands)


def test_boxes_of_large_members():
    """Boxes in any order, forwards and back, of members that need several saved states of the inflater."""
    big = random.integers(0, 50, (3000, 2000)).astype("i4")
    np.savez_compressed("big.npz", big, fortran=np.asfortranarray(big))
    np.savez("bigs.npz", big)
    commands, expected = [], []
    for path in ("big.npz", "big.npz:fortran", "bigs.npz"):
        for _ in range(12):
            low, high = zip(*(sorted(random.integers(0, e + 1, 2).tolist()) for e in big.shape))
            commands.append(f"read {path} out{len(commands)} 0 {low[0]} {low[1]} {high[0]} {high[1]}")
            expected.append(big[low[0]:high[0], low[1]:high[1]])
    for number, (answer, array) in enumerate(zip(ask(commands), expected)):
        assert answer.startswith("ok"), (commands[number], answer)
        assert read_as(f"out{number}") == array.tobytes(), commands[number]
    return len(commands)


def test_other_archives():
    """What zipfile and others write, and which member is meant."""
    array = sample("f4", (7, 9))
    stream = io.BytesIO()
    np.save(stream, array)
    npy = stream.getvalue()

    def archive(path, **names):
        with zipfile.ZipFile(path, "w") as out:
            for name, (data, method) in names.items():
                out.writestr(name.replace("__", "."), data, compress_type=method)
        return path

    good = (npy, zipfile.ZIP_STORED)
    archive("one.npz", thing__npy=good)
    archive("bare.npz", thing=good)
    archive("both.npz", other__npy=(b"no", 0), arr_0__npy=good)
    archive("level.npz", x__npy=(npy, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile("comment.npz", "w") as out:
        out.comment = b"PK\5\6" + b"a comment" * 100
        out.writestr("x.npy", npy)
    with zipfile.ZipFile("zip64.npz", "w") as out:
        with out.open("x.npy", "w", force_zip64=True) as member:
            member.write(npy)

    class Unseekable(io.RawIOBase):
        def __init__(self, path):
            self.file = open(path, "wb")

        def writable(self):
            return True

        def write(self, data):
            return self.file.write(data)

        def close(self):
            self.file.close()
            super().close()

    for path, method in (("piped.npz", zipfile.ZIP_STORED), ("pipedz.npz", zipfile.ZIP_DEFLATED)):
        with Unseekable(path) as pipe, zipfile.ZipFile(pipe, "w", method) as out:
            out.writestr("x.npy", npy)
    with open("prefix.npz", "wb") as out, open("one.npz", "rb") as one:
        out.write(b"#!/bin/sh\n" + one.read())

    cases = [(f"{path}", True) for path in ("one.npz", "one.npz:thing", "one.npz:thing.npy", "bare.npz", "bare.npz:thing",
                                            "both.npz", "both.npz:arr_0", "level.npz", "comment.npz", "zip64.npz",
                                            "piped.npz", "pipedz.npz")]
    cases += [("one.npz:other", "thing.npy"), ("both.npz:other", "npy"), ("prefix.npz", "does not lie where")]
    for (path, want), answer in zip(cases, ask([f"all {path} out" for path, _ in cases])):
        if want is True:
            assert answer.startswith("ok f32 0 0 2 7 9"), (path, answer)
        else:
            assert answer.startswith("INPUT "), (path, answer)
    return len(cases)


def test_sinks():
    commands, expected = [], []
    for code in NAMES:
        for shape in [(), (1,), (0,), (5, 0, 3), (6, 7), (3, 4, 5)]:
            array = sample(code, shape)
            number = len(commands)
            with open(f"w{number}.raw", "wb") as stream:
                stream.write(array.tobytes())
            part = ["", ":a", ":a/b.npy", ":\u00e9\u00e8"][number % 4]
            box = " ".join(["0"] * len(shape) + [str(e) for e in shape])
            extents = " ".join(str(e) for e in shape)
            commands.append(f"write w{number}.npz{part} {NAMES[code]} {len(shape)} {extents} w{number}.raw 1\n{box}")
            expected.append((part, array))
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True)
    assert done.stdout.splitlines() == ["ok"] * len(commands), done.stdout
    for number, (part, array) in enumerate(expected):
        path, name = f"w{number}.npz", (part or ":arr_0")[1:].removesuffix(".npy")
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None and archive.namelist() == [name + ".npy"], archive.namelist()
            assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        with np.load(path, allow_pickle=False) as back:
            assert back.files == [name] and back[name].dtype == array.dtype and back[name].shape == array.shape
            assert back[name].tobytes() == array.tobytes(), path
    return len(commands)


def tiny(compress):
    stream = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(stream, a=np.arange(40, dtype="f4"), b=np.arange(3))
    return stream.getvalue()


def test_damage():
    """Every truncation is refused; of every changed byte, either the array is right all the same or it is refused."""
    want = np.arange(40, dtype="f4").tobytes()
    count = 0
    for compress in (False, True):
        good = tiny(compress)
        commands = []
        for length in range(len(good)):
            with open(f"t{length}.npz", "wb") as out:
                out.write(good[:length])
            commands.append(f"all t{length}.npz:a out")
        for answer in ask(commands):
            assert answer.startswith("INPUT "), answer
        for place in range(len(good)):
            changed = bytearray(good)
            changed[place] ^= 1 << int(random.integers(8)) if place % 2 else 0xFF
            with open(f"f{place}.npz", "wb") as out:
                out.write(changed)
        refused = 0
        answers = ask([f"all f{place}.npz:a g{place}" for place in range(len(good))])
        for place, answer in enumerate(answers):
            if answer.startswith("ok f32 0 0 1 40"):
                assert read_as(f"g{place}") == want, (compress, place)
            else:
                assert answer.startswith("INPUT "), (compress, place, answer)
                refused += 1
        assert refused > len(good) // 4, refused
        count += 2 * len(good)
    return count


def record(name, data, **lies):
    """An archive of one member whose records may lie."""
    packed = lies.get("raw", data)
    facts = dict(flags=0, method=0, crc=zlib.crc32(data), packed=len(packed), size=len(data), header=0, disk=0)
    facts.update({k: v for k, v in lies.items() if k in facts})
    local = dict(facts, **lies.get("local", {}))
    name = name.encode()
    head = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, local["flags"], local["method"], 0, 33, local["crc"],
                       local["packed"] & 0xFFFFFFFF, local["size"] & 0xFFFFFFFF, len(name), 0) + name + packed
    extra = lies.get("extra", b"")
    central = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, facts["flags"], facts["method"], 0, 33, facts["crc"],
                          min(facts["packed"], 0xFFFFFFFF), min(facts["size"], 0xFFFFFFFF), len(name), len(extra), 0,
                          facts["disk"], 0, 0, min(facts["header"], 0xFFFFFFFF)) + name + extra
    count = lies.get("count", 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, lies.get("end_disk", 0), 0, lies.get("here", count), count,
                      lies.get("length", len(central)), lies.get("begin", len(head)), 0)
    return head + central * lies.get("copies", 1) + end


def test_lies():
    stream = io.BytesIO()
    np.save(stream, np.arange(10, dtype="f4"))
    npy = stream.getvalue()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = squeezer.compress(npy) + squeezer.flush()
    header = b"\x93NUMPY\1\0v\0" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (274877906944,), }".ljust(117) + b"\n"
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeezer.compress(header + bytes(1000)) + squeezer.flush()
    terabyte = len(header) + 2**40
    big = struct.pack("<HHQ", 1, 8, terabyte)
    bomb_with = dict(raw=bomb, method=8, size=terabyte, extra=big, local=dict(size=0xFFFFFFFF))
    deflated = dict(raw=raw, method=8)
    stored_bomb = struct.pack("<HHQQ", 1, 16, terabyte, terabyte)
    cases = {
        "good": (record("x.npy", npy), None),
        "good_deflated": (record("x.npy", npy, **deflated), None),
        "bomb": (record("x.npy", header, **bomb_with), "deflate makes at most 1032"),
        "stored_bomb": (record("x.npy", npy, size=terabyte, packed=terabyte, extra=stored_bomb), "in front of the directory"),
        "stored_sizes_differ": (record("x.npy", npy, size=len(npy) + 1), "its two sizes differ"),
        "deflated_larger": (record("x.npy", npy, size=len(npy) - 4, **deflated), "npy header"),
        "deflated_smaller": (record("x.npy", npy, size=len(npy) + 4, **deflated), "inflates to 168 bytes"),
        "wrong_crc": (record("x.npy", npy, crc=1), "CRC-32"),
        "wrong_crc_deflated": (record("x.npy", npy, crc=1, **deflated), "CRC-32"),
        "trailing_data": (record("x.npy", npy, method=8, raw=raw + b"more"), "early"),
        "unfinished": (record("x.npy", npy, method=8, raw=raw[:-1]), "damaged"),
        "encrypted": (record("x.npy", npy, flags=1), "encrypted"),
        "strongly_encrypted": (record("x.npy", npy, flags=65), "encrypted"),
        "bzip2": (record("x.npy", npy, method=12), "method 12"),
        "other_disk": (record("x.npy", npy, disk=3), "archive in several"),
        "other_end_disk": (record("x.npy", npy, end_disk=3), "archive in several"),
        "members_elsewhere": (record("x.npy", npy, here=0), "archive in several"),
        "header_beyond": (record("x.npy", npy, header=10**6), "in front of the directory"),
        "no_header_there": (record("x.npy", npy, header=7, packed=0, size=0), "no local header"),
        "local_says_otherwise": (record("x.npy", npy, local=dict(size=5)), "contradicts the directory"),
        "local_method": (record("x.npy", npy, local=dict(method=8)), "contradicts the directory"),
        "directory_elsewhere": (record("x.npy", npy, begin=3), "does not lie where"),
        "directory_longer": (record("x.npy", npy, length=10**6), "does not lie where"),
        "more_members": (record("x.npy", npy, count=2), "more than its directory can hold"),
        "many_members": (record("x.npy", npy, count=60000), "more than its directory can hold"),
        "fewer_members": (record("x.npy", npy, count=0), "behind its last record"),
        "overlapping": (record("x.npy", npy, copies=2, count=2, length=2 * len(record("x.npy", npy, begin=0)[len(npy) + 35:-22])),
                        "overlap"),
        "missing_64_bit_sizes": (record("x.npy", npy, size=0xFFFFFFFF), "lacks its 64-bit sizes"),
        "large_directory": (bytes(17 << 20) + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, 17 << 20, 0, 0), "at most 16777216"),
        "no_archive": (b"just text\n" * 100, "no zip archive"),
        "empty": (b"", "too short"),
        "empty_archive": (b"PK\5\6" + bytes(18), "no members"),
        "no_array": (record("x.npy", b"hello"), "not an npy file"),
        "pickle": (record("x.npy", npy.replace(b"'<f4'", b"'|O' ")), "pickled objects"),
    }
    inside = bytearray(record("x.npy", npy, copies=2, count=2, length=102))
    second = len(inside) - 22 - 51  # an empty member whose header lies in the first one's data
    inside[second + 20:second + 28] = bytes(8)
    inside[second + 42:second + 46] = struct.pack("<I", 40)
    cases["overlapping_within"] = (bytes(inside), "overlap")
    names = list(cases)
    for number, name in enumerate(names):  # whose names say nothing that a message should
        with open(f"l{number}.npz", "wb") as out:
            out.write(cases[name][0])
    for name, answer in zip(names, ask([f"all l{number}.npz out" for number in range(len(names))])):
        says = cases[name][1]
        if says is None:
            assert answer == "ok f32 0 0 1 10", (name, answer)
        else:
            assert answer.startswith("INPUT ") and says in answer, (name, answer)
    return len(cases)


def main():
    global DRIVER
    DRIVER = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in (test_sources, test_boxes_of_large_members, test_other_archives, test_sinks, test_damage, test_lies):
            print(f"{test.__name__}: {test()} checked")
        os.chdir("/")


if __name__ == "__main__":
    main()
