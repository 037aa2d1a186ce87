#!/usr/bin/env python3
"""Compares HDF5 sources and sinks with h5py: usage test_hdf5_h5py.py DRIVER. Returns 77 without NumPy or h5py.

What would make it fail: a file that h5py writes being refused or read wrongly, whatever its type, byte order, layout and
filters; a file of ours that h5py reads otherwise; a change in a file that ends the reader or is not told as an error.
"""

import os
import sys
import tempfile

try:
    import h5py
    import numpy as np
except ImportError:
    print("NumPy or h5py is missing, nothing checked")
    sys.exit(77)

from test_npy_numpy import NAMES, RESIDENT, SHAPES, Script, equal, random_box, same_bytes, sample, split, words

random = np.random.default_rng(20240203)
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip", "compression_opts": 1},
    "all": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
}


def odd_chunks(shape):
    """Chunks that divide nothing evenly."""
    return tuple(max(1, min(n, 2 * n // 5 + 1, 301)) for n in shape)


def add_reads(script):
    number = 0
    for code in NAMES:
        for order in "<>" if np.dtype(code).itemsize > 1 else "|":
            path = f"s{code}{'b' if order == '>' else 'l'}.h5"
            with h5py.File(path, "w", userblock_size=512 if number % 3 == 1 else 0) as file:
                for shape in SHAPES[number % 3::3]:
                    name = list(LAYOUTS)[number % len(LAYOUTS)]
                    number += 1
                    options = dict(LAYOUTS[name])
                    if options:
                        options["chunks"] = odd_chunks(shape)
                    array = sample(order + code, shape)
                    part = f"g{len(shape)}/{name}{number}"
                    if 0 in shape or not shape:
                        options = {}
                    file.create_dataset(part, data=array, **options)
                    add_read(script, f"{path}:{part}", array, code, order)
    return number


def add_read(script, path, array, code, order):
    want = words("ok", NAMES[code], int(order == ">"), 0, array.ndim, list(array.shape))
    out = path.replace("/", "_")
    resident = RESIDENT.get(code, code)
    script.add(f"all {path} {out}.all", lambda answer: equal(answer, want) or same_bytes(
        answer, f"{out}.all", array.astype(resident).tobytes()))
    low, high = random_box(array.shape)
    part = array[tuple(slice(a, b) for a, b in zip(low, high))]
    script.add(words("read", path, f"{out}.box", 1, low, high), lambda answer: same_bytes(
        answer, f"{out}.box", part.astype(resident).tobytes("F")))


def add_unusual_reads(script):
    """What h5py writes by other ways than data of one piece."""
    with h5py.File("unusual.h5", "w", libver="latest") as file:
        file.create_dataset("unwritten", (3, 4), "f4", fillvalue=2.5)
        file.create_dataset("sparse", (30, 40), ">i4", chunks=(4, 7), fillvalue=-7)
        file["sparse"][5:9, 3:20] = np.arange(17)
        file.create_dataset("growing", (0, 5), "f8", maxshape=(None, 5), chunks=(3, 5))
        file["growing"].resize(11, 0)
        file["growing"][:] = np.arange(55).reshape(11, 5)
        file.create_dataset("scale", data=np.arange(1000, dtype="i4"), chunks=(64,), scaleoffset=0)
        small = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        small.set_layout(h5py.h5d.COMPACT)
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.STD_I16BE, h5py.h5s.create_simple((5, 3)), small)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(15, dtype=">i2").reshape(5, 3))
        file["/a/b/c"] = np.arange(7, dtype="u1")
        file["/a/soft"] = h5py.SoftLink("b/c")
        file["soft"] = h5py.SoftLink("/a/./b//c")
        file["group"] = h5py.SoftLink("/a/b")
        file["hard"] = file["/a/b/c"]
        for part in ("unwritten", "sparse", "growing", "scale", "compact", "a/b/c", "a/soft", "soft", "group/c", "hard",
                     "//a//b/c/"):
            array = file[part.strip("/")][()]
            code, order = array.dtype.str[1:], array.dtype.str[0]
            add_read(script, f"unusual.h5:/{part}", array, code, order)
    with h5py.File("only.h5", "w") as file:
        file["/some/where"] = np.arange(5.)
    script.add("probe only.h5", lambda answer: equal(answer, "ok f64 0 0 1 5"))
    with h5py.File("bf16.h5", "w") as file:
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_size(2)
        h5py.h5d.create(file.id, b"x", kind, h5py.h5s.create_simple((3,)))
        file["x"][:] = [1, -2.5, 3e38]
    script.add("read bf16.h5:x bf16.raw 0 0 3", lambda answer: same_bytes(
        answer, "bf16.raw", np.array([0x3f80, 0xc020, 0x7f62], "<u2").tobytes()))


# (gzip level, chunk on the first axes; the others have 3); without chunks the format chooses them
STORAGE = [(0, []), (0, [7]), (1, []), (6, [5, 301, 2])]


def add_writes(script):
    every = [(code, shape) for code in [*NAMES, "bf16"] for shape in SHAPES]
    for number, (code, shape) in enumerate(every[::2] + every[1:2]):
        if code == "bf16":
            raw = random.integers(0, 0x7F80, np.prod(shape, dtype=int)).astype("<u2")
            array = (raw.astype("<u4") << 16).view("f4").reshape(shape)
            raw = raw.reshape(shape)
        else:
            raw = array = sample(("|" if np.dtype(code).itemsize == 1 else "<") + code, shape)
        path, data = f"w{number}.h5", f"w{number}.raw"
        boxes = [([0] * len(shape), list(shape))]
        for axis, parts in ((0, 3), (len(shape) - 1, 2)) if shape else ():
            boxes = [cut for box in boxes for cut in split(box, axis, parts)]
        with open(data, "wb") as stream:
            for low, high in boxes:
                stream.write(raw[tuple(slice(a, b) for a, b in zip(low, high))].tobytes())
        gzip, chunk = STORAGE[number % len(STORAGE)]
        chunk = (chunk + [3] * len(shape))[:len(shape)] if chunk else []
        script.add(words("storage", "-", gzip, len(chunk), chunk), lambda answer: equal(answer, "ok"))
        where = f"{path}:/group/x" if number % 2 else path
        script.add(words("write", where, NAMES.get(code, code), len(shape), list(shape), data, len(boxes))
                   + "".join("\n" + words(low, high) for low, high in boxes),
                   lambda answer, path=path, array=array, number=number: same_file(answer, path, array, number))


def same_file(answer, path, array, number):
    assert answer == "ok", "refused"
    with h5py.File(path, "r") as file:
        found = file["/group/x" if number % 2 else "/data"]
        back = found[()]
        is_real = array.dtype.kind == "f"
        assert found.shape == array.shape and (back.dtype == array.dtype or is_real), f"{found.dtype} {found.shape}"
        assert np.array_equal(back, array, equal_nan=is_real), "other elements"
        gzip, chunk = STORAGE[number % len(STORAGE)] if array.size and array.ndim else STORAGE[0]
        assert (found.chunks is not None) == bool(gzip or chunk), "stored otherwise than asked for"
        assert (found.compression == "gzip") == (gzip > 0), "compressed otherwise than asked for"


# ---- damage ----

def add_damaged(script):
    """Bytes changed one after the other, whose effect nobody knows before: an array or an error, and never an end."""
    with h5py.File("good.h5", "w") as file:
        file["/g/plain"] = np.arange(60, dtype="f4").reshape(12, 5)
        file.create_dataset("/g/packed", data=np.arange(6000, dtype="i4").reshape(60, 100), chunks=(7, 30),
                            compression="gzip", shuffle=True, fletcher32=True)
        file["soft"] = h5py.SoftLink("/g/packed")
    with open("good.h5", "rb") as stream:
        good = stream.read()
    answers = []
    with h5py.File("good.h5") as file:
        headers = [h5py.h5o.get_info(file[name].id).addr for name in ("g/plain", "soft")]
    for number in range(DAMAGED):
        bad = bytearray(good)
        for _ in range(random.integers(1, 4)):
            at = int(headers[number % 2] + random.integers(300) if random.random() < 0.8 else random.integers(len(bad)))
            bad[at] = int(random.choice([0, 1, 3, 9, 0x10, 0x7F, 0x80, 0xFF, bad[at] ^ 1 << int(random.integers(8))]))
        if number % 10 == 0:
            bad = bad[:int(random.integers(0, len(bad)))]
        with open(f"bad{number}.h5", "wb") as stream:
            stream.write(bad)
        script.add(f"all bad{number}.h5:{'/soft' if number % 2 else '/g/plain'} bad.out", answers.append)
    return answers


DAMAGED = 100


def main():
    driver = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        script = Script()
        add_reads(script)
        add_unusual_reads(script)
        add_writes(script)
        answers = add_damaged(script)
        print(f"{script.run(driver)} comparisons with h5py {h5py.__version__}")
        kinds = {kind: sum(answer.startswith(kind) for answer in answers) for kind in ("ok ", "INPUT ", "MEMORY ")}
        crashes = sum("crashes" in answer for answer in answers)
        print(f"of {len(answers)} reads of damaged files {kinds['ok ']} gave an array, {crashes} crashed libhdf5")
        assert sum(kinds.values()) == len(answers), [a for a in answers if not a.startswith(tuple(kinds))]
        assert kinds["INPUT "] > 20, "too few errors: the changes miss the headers"
        os.chdir("/")


if __name__ == "__main__":
    main()
