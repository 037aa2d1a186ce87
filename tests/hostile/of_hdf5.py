"""Broken .h5 files."""

import io

import h5py
import numpy
from corpus import case, truncations

FILE = "x.h5"
VALUES = numpy.arange(15, dtype="f4").reshape(5, 3)


def made(fill, **options):
    """The bytes of a file that `fill` filled."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        fill(file)
    return buffer.getvalue()


def dataset(file, name="x", **options):
    return file.create_dataset(name, data=VALUES, **options)


def overwritten(data, mark, by, which=0, behind=0):
    at = -1
    for _ in range(which + 1):
        at = data.index(mark, at + 1)
    at += behind
    return data[:at] + by + data[at + len(by):]


def deflated(file):
    numbers = numpy.random.default_rng(3).integers(0, 2**31, (64, 64))
    file.create_dataset("x", data=numbers, chunks=(16, 16), compression="gzip")


def summed(file):
    file.create_dataset("x", data=numpy.full((64, 64), 0x5A5A5A5A, "i4"), chunks=(16, 16), fletcher32=True)


PLAIN = made(dataset)
DEFLATED = made(deflated)
LATEST = made(dataset, libver="latest")

case("h5_empty", FILE, b"", ":/x")
case("h5_of_text", FILE, "1 2 3\n" * 50, ":/x")
case("h5_of_garbage", FILE, bytes(range(256)) * 20, ":/x")
case("h5_signature_alone", FILE, PLAIN[:8], ":/x")
case("h5_lacks_the_dataset", FILE, PLAIN, ":/w")
case("h5_path_through_a_dataset", FILE, PLAIN, ":/x/x")
case("h5_group_for_a_dataset", FILE, made(lambda f: f.create_group("x")), ":/x")
case("h5_type_for_a_dataset", FILE, made(lambda f: f.__setitem__("x", numpy.dtype("f4"))), ":/x")
case("h5_soft_link_to_nothing", FILE, made(lambda f: f.__setitem__("x", h5py.SoftLink("/nothing"))), ":/x")
case("h5_soft_link_to_itself", FILE, made(lambda f: f.__setitem__("x", h5py.SoftLink("/x"))), ":/x")


def circle(file):
    for k in range(5):
        file[f"l{k}"] = h5py.SoftLink(f"/l{(k + 1) % 5}")


case("h5_soft_links_in_a_circle", FILE, made(circle), ":/l0")
case("h5_soft_link_to_its_group", FILE, made(lambda f: f.create_group("g").__setitem__("x", h5py.SoftLink("/g"))), ":/g/x/x/x")
case("h5_hard_link_to_the_root", FILE, made(lambda f: f.__setitem__("x", f["/"])), ":/x/x/x/x")
case("h5_external_link_to_itself", FILE, made(lambda f: f.__setitem__("x", h5py.ExternalLink(FILE, "/x"))), ":/x")
case("h5_external_link_out", FILE, made(lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/x"))), ":/x")
case("h5_external_link_to_another", FILE, made(lambda f: f.__setitem__("x", h5py.ExternalLink("other.h5", "/x"))), ":/x",
     files={"other.h5": PLAIN})
case("h5_external_storage", FILE, made(lambda f: f.create_dataset("x", (5, 3), "f4", external="/etc/passwd")), ":/x")


def virtual(file):
    layout = h5py.VirtualLayout((5, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (5, 3))
    file.create_virtual_dataset("x", layout)


case("h5_virtual", FILE, made(virtual), ":/x", files={"other.h5": PLAIN})

TYPES = {
    "object_references": h5py.ref_dtype, "region_references": h5py.regionref_dtype, "texts": h5py.string_dtype(),
    "lists": h5py.vlen_dtype(numpy.int32), "structures": numpy.dtype([("a", "f4"), ("b", "i4")]), "bytes": numpy.dtype("S4"),
    "complex_numbers": numpy.dtype("c8"), "opaque": numpy.dtype("V4"), "arrays": numpy.dtype(("f4", (2,))),
    "long_doubles": numpy.dtype("f16"),
}
for name, dtype in TYPES.items():
    case(f"h5_type_of_{name}", FILE, made(lambda f, dtype=dtype: f.create_dataset("x", (5, 3), dtype)), ":/x")

case("h5_null", FILE, made(lambda f: f.__setitem__("x", h5py.Empty("f4"))), ":/x")
case("h5_of_2_to_the_40", FILE, made(lambda f: f.create_dataset("x", (2**40, 3), "f4", chunks=(1024, 3))), ":/x", status=73, mentions=["no room"])
case("h5_of_2_to_the_40_twice", FILE, made(lambda f: f.create_dataset("x", (2**40, 2**40), "f4", chunks=(64, 64))), ":/x", status=65,
     mentions=["more than can be addressed"])
case("h5_filter_that_is_missing", FILE, made(lambda f: dataset(f, compression="lzf")), ":/x")
case("h5_checksum", FILE, overwritten(made(summed), b"\x5a" * 64, b"\x5b"), ":/x")
case("h5_deflated_garbage", FILE, overwritten(DEFLATED, b"\x78\x5e", b"\xff" * 60, which=3, behind=0), ":/x")
case("h5_deflated_zeros", FILE, overwritten(DEFLATED, b"\x78\x5e", bytes(200), which=5, behind=2), ":/x")
for mark in (b"TREE", b"HEAP", b"SNOD"):
    case(f"h5_without_{mark.decode()}", FILE, overwritten(PLAIN, mark, b"XXXX"), ":/x")
    case(f"h5_zeros_behind_{mark.decode()}", FILE, overwritten(PLAIN, mark, bytes(40), behind=4), ":/x")
case("h5_chunks_without_a_tree", FILE, overwritten(DEFLATED, b"TREE", b"XXXX", which=1), ":/x")
case("h5_header_checksum", FILE, overwritten(LATEST, b"OHDR", b"\xff", which=1, behind=6), ":/x")
case("h5_superblock_version", FILE, PLAIN[:8] + b"\x77" + PLAIN[9:], ":/x")
case("h5_superblock_end_of_file", FILE, PLAIN[:40] + b"\xff" * 7 + b"\x7f" + PLAIN[48:], ":/x")
case("h5_superblock_root_beyond_the_file", FILE, PLAIN[:64] + b"\xf0" * 6 + b"\0\0" + PLAIN[72:], ":/x")
case("h5_superblock_offsets_of_200_bytes", FILE, PLAIN[:13] + b"\xc8" + PLAIN[14:], ":/x")
truncations("h5", FILE, PLAIN, 6, ":/x", least=8)
truncations("h5_deflated", FILE, DEFLATED, 5, ":/x", least=8)
