"""Broken .npz files."""

import io
import struct
import zlib

import numpy
from corpus import DATA, GOOD, case, npy, truncations

FILE = "x.npz"


def deflated(data):
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeezer.compress(data) + squeezer.flush()


def deflated_zeros(head, zeros):
    """`head` and that many zeros, made without holding them: (deflated, checksum)."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw, crc, part = squeezer.compress(head), zlib.crc32(head), bytes(1 << 20)
    for _ in range(zeros >> 20):
        raw += squeezer.compress(part)
        crc = zlib.crc32(part, crc)
    return raw + squeezer.flush(), crc


class Member:
    """What the two headers of a member say; `raw` is what lies in the file."""

    def __init__(self, name=b"x.npy", data=GOOD, method=0, raw=None, **lies):
        self.raw = raw if raw is not None else deflated(data) if method == 8 else data
        self.name = name
        self.method = method
        self.crc = zlib.crc32(data)
        self.packed = len(self.raw)
        self.size = len(data)
        self.flags = 0
        self.disk = 0
        self.extra = b""
        self.offset = None
        self.local = {}  # what the local header says instead
        self.__dict__.update(lies)

    def local_header(self):
        said = {**self.__dict__, **self.local}
        return struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, said["flags"], said["method"], 0, 33, said["crc"],
                           said["packed"] & 0xFFFFFFFF, said["size"] & 0xFFFFFFFF, len(said["name"]), len(said.get("local_extra", b""))) \
            + said["name"] + said.get("local_extra", b"")

    def central_header(self, offset):
        return struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, self.flags, self.method, 0, 33, self.crc,
                           self.packed & 0xFFFFFFFF, self.size & 0xFFFFFFFF, len(self.name), len(self.extra), 0, self.disk, 0, 0,
                           (offset if self.offset is None else self.offset) & 0xFFFFFFFF) + self.name + self.extra


def archive(*members, **lies):
    data, offsets = b"", []
    for member in members:
        offsets.append(len(data))
        data += member.local_header() + member.raw
    directory = b"".join(member.central_header(offset) for member, offset in zip(members, offsets))
    said = {"disk": 0, "entries": len(members), "total": len(members), "bytes": len(directory), "at": len(data), "comment": 0,
            "zip64": b"", "behind": b"", **lies}
    return data + directory + said["zip64"] + struct.pack("<IHHHHIIH", 0x06054B50, said["disk"], 0, said["entries"],
                                                          said["total"], said["bytes"], said["at"], said["comment"]) + said["behind"]


def zip64_end(start, entries=1, size=0, at=0, locator=None, disks=1, record=44):
    """The zip64 record, which would lie at `start`, and its locator."""
    return struct.pack("<IQHHIIQQQQ", 0x06064B50, record, 45, 45, 0, 0, entries, entries, size, at) \
        + struct.pack("<IIQI", 0x07064B50, 0, start if locator is None else locator, disks)


def extra64(*values, length=None):
    return struct.pack("<HH", 1, 8 * len(values) if length is None else length) + b"".join(struct.pack("<Q", v) for v in values)


PLAIN = archive(Member())
DIRECTORY = PLAIN.index(b"PK\1\2")
END = PLAIN.index(b"PK\5\6")
LIES = {"entries": 0xFFFF, "total": 0xFFFF, "bytes": 0xFFFFFFFF, "at": 0xFFFFFFFF}

case("npz_empty", FILE, b"")
case("npz_that_is_an_npy", FILE, GOOD)
case("npz_without_a_member", FILE, archive())
case("npz_of_two_members", FILE, archive(Member(), Member(b"y.npy")))
case("npz_lacks_the_member", FILE, PLAIN, ":w")
case("npz_member_twice", FILE, archive(Member(), Member()), ":x")
case("npz_member_that_climbs", FILE, archive(Member(b"../x.npy")), ":x")
case("npz_member_of_the_root", FILE, archive(Member(b"/etc/x.npy")), ":x")
case("npz_member_with_a_nul", FILE, archive(Member(b"x\0.npy")), ":x")
case("npz_member_that_is_a_folder", FILE, archive(Member(b"x.npy/", b"")), ":x")
case("npz_member_that_is_text", FILE, archive(Member(data=b"1 2 3\n")))
case("npz_member_of_objects", FILE, archive(Member(data=npy("(5, 3)", descr="'|O'", data=b"\x80\x04."))))
case("npz_member_that_is_an_archive", FILE, archive(Member(data=PLAIN)))
case("npz_member_larger_than_it_says", FILE, archive(Member(data=npy("(50, 30)", data=DATA))))
case("npz_deflated_member_larger_than_it_says", FILE, archive(Member(data=npy("(50, 30)", data=DATA), method=8)))
for method in (1, 9, 12, 14, 93, 0xFFFF):
    case(f"npz_of_method_{method}", FILE, archive(Member(method=method)))
case("npz_encrypted", FILE, archive(Member(flags=1)))
case("npz_of_several_disks", FILE, archive(Member(disk=3)))
case("npz_that_is_the_third_disk", FILE, archive(Member(), disk=3))
case("npz_wrong_checksum", FILE, archive(Member(crc=1)))
case("npz_wrong_checksum_of_deflated", FILE, archive(Member(method=8, crc=1)))
case("npz_offset_beyond_the_file", FILE, archive(Member(offset=0x7FFFFFFF)))
case("npz_offset_of_the_directory", FILE, archive(Member(offset=DIRECTORY)))
case("npz_overlapping_members", FILE, archive(Member(), Member(b"y.npy", offset=0)), ":x")
case("npz_packed_beyond_the_file", FILE, archive(Member(packed=0x7FFFFFFF, size=0x7FFFFFFF)))
case("npz_packed_and_size_differ", FILE, archive(Member(size=len(GOOD) + 4)))
case("npz_other_name_in_the_local_header", FILE, archive(Member(local={"name": b"y.npy"})), ":x")
case("npz_other_method_in_the_local_header", FILE, archive(Member(local={"method": 8})))
case("npz_entries_more_than_there_are", FILE, archive(Member(), entries=7, total=7))
case("npz_entries_on_other_disks", FILE, archive(Member(), total=2))
case("npz_directory_larger_than_the_file", FILE, archive(Member(), bytes=0x7FFFFFFF))
case("npz_directory_beyond_the_file", FILE, archive(Member(), at=0x7FFFFFFF))
case("npz_comment_longer_than_the_file", FILE, archive(Member(), comment=500))
case("npz_zip64_without_a_record", FILE, archive(Member(), **LIES))
case("npz_zip64_record_beyond_the_file", FILE, archive(Member(), zip64=zip64_end(END, locator=2**62), **LIES))
case("npz_zip64_record_at_the_locator", FILE, archive(Member(), zip64=zip64_end(END, locator=END + 56), **LIES))
case("npz_zip64_of_2_to_the_40_entries", FILE, archive(Member(), zip64=zip64_end(END, 2**40, END - DIRECTORY, DIRECTORY), **LIES))
case("npz_zip64_directory_of_2_to_the_63", FILE, archive(Member(), zip64=zip64_end(END, 1, 2**63, DIRECTORY), **LIES))
case("npz_zip64_directory_that_wraps", FILE, archive(Member(), zip64=zip64_end(END, 1, 2**64 - 8, DIRECTORY), **LIES))
case("npz_zip64_directory_beyond_the_file", FILE, archive(Member(), zip64=zip64_end(END, 1, END - DIRECTORY, 2**50), **LIES))
case("npz_zip64_of_several_disks", FILE,
     archive(Member(), zip64=zip64_end(END, 1, END - DIRECTORY, DIRECTORY, disks=9), **LIES))
case("npz_zip64_size_of_2_to_the_40", FILE, archive(Member(size=2**32 - 1, packed=2**32 - 1, extra=extra64(2**40, 2**40))))
case("npz_zip64_size_of_2_to_the_64", FILE, archive(Member(size=2**32 - 1, packed=2**32 - 1, extra=extra64(2**64 - 1, 2**64 - 1))))
case("npz_zip64_offset_of_2_to_the_63", FILE, archive(Member(offset=2**32 - 1, extra=extra64(2**63))))
case("npz_zip64_extra_too_short", FILE, archive(Member(size=2**32 - 1, packed=2**32 - 1, extra=extra64(len(GOOD)))))
case("npz_zip64_extra_longer_than_it_is", FILE, archive(Member(size=2**32 - 1, extra=extra64(len(GOOD), length=4000))))
case("npz_zip64_without_an_extra", FILE, archive(Member(size=2**32 - 1, packed=2**32 - 1)))
case("npz_deflate_of_an_unknown_block", FILE, archive(Member(method=8, raw=b"\7" * 40)))
case("npz_deflate_of_garbage", FILE, archive(Member(method=8, raw=bytes(range(1, 120)))))
case("npz_deflate_cut", FILE, archive(Member(method=8, raw=deflated(GOOD)[:-9])))
case("npz_deflate_empty", FILE, archive(Member(method=8, raw=b"")))
case("npz_deflate_of_more", FILE, archive(Member(method=8, raw=deflated(GOOD + bytes(500)))))
case("npz_deflate_of_less", FILE, archive(Member(method=8, raw=deflated(GOOD[:-20]))))
case("npz_bomb_of_256_megabytes", FILE, archive(Member(method=8, raw=deflated_zeros(GOOD, 256 << 20)[0])))
case("npz_bomb_of_a_terabyte", FILE, archive(Member(data=npy("(68719476736, 4)", data=bytes(1000)), method=8,
                                                    size=2**32 - 1, extra=extra64(2**40 + 128))))
HEAD = npy("(256, 1048576)", "'|u1'")
ZEROS, CHECKSUM = deflated_zeros(HEAD, 256 << 20)
case("npz_bomb_that_is_true", FILE, archive(Member(method=8, raw=ZEROS, crc=CHECKSUM, size=len(HEAD) + (256 << 20))), status=71,
     arguments=["--mem-per-rank", "64M", "--stream-above", "0"], mentions=[])


def saved(function, **arrays):
    buffer = io.BytesIO()
    function(buffer, **arrays)
    return buffer.getvalue()


truncations("npz", FILE, saved(numpy.savez, x=numpy.arange(15.0).reshape(5, 3)), 6)
truncations("npz_deflated", FILE, saved(numpy.savez_compressed, x=numpy.arange(15.0).reshape(5, 3)), 6)
