"""Broken .json.gz, .jsonl.gz, .tsv.gz and .csv.gz files."""

import struct
import zlib

from corpus import case, truncations
from of_text import HEAD, JSON, JSONL, TSV

LIST = b"[[1.5, 2, 3],\n [4, 5e3, 6],\n [7, 8, 9]]"
ROWS = b"0\t1\t0.5\n1\t2\t4\n" * 2000
VALUES = (HEAD % "[2,2]").encode() + b'{"value":1}\n' * 4


def pack(*parts, level=6):
    """One member; of many parts, none of which is held twice."""
    squeezer = zlib.compressobj(level, zlib.DEFLATED, 31)
    return b"".join(squeezer.compress(part) for part in parts) + squeezer.flush()


def header(flags, *fields):
    return struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, flags, 0, 0, 3) + b"".join(fields)


FILES = {"x.json.gz": LIST, "x.jsonl.gz": VALUES, "x.tsv.gz": ROWS, "x.csv.gz": ROWS.replace(b"\t", b",")}
for file, text in FILES.items():
    kind, good = file[2:-3], pack(text)
    BROKEN = {
        "empty": b"", "that_is_not_packed": text, "of_zlib": zlib.compress(text), "of_two_bytes": good[:2],
        "of_another_method": good[:2] + b"\7" + good[3:], "with_a_reserved_flag": good[:3] + b"\x20" + good[4:],
        "with_an_endless_name": header(8) + b"n" * 100000, "with_a_field_beyond_the_end": header(4, b"\xff\xff") + good[10:],
        "with_a_wrong_checksum_of_the_header": header(2, b"\1\2") + good[10:],
        "with_a_wrong_checksum": good[:-8] + b"\1\2\3\4" + good[-4:], "with_a_wrong_length": good[:-4] + b"\0\0\0\x80",
        "with_text_behind": good + b"more", "with_zeros_behind": good + bytes(512), "with_a_broken_member": good + good[:-9],
        "of_block_type_3": header(0) + b"\7" + good[11:], "that_goes_back_beyond_its_begin": header(0) + bytes.fromhex("4b04820000"),
        "of_zeros": pack(bytes(1 << 20)), "of_noise": header(0) + bytes((k * k * 31 + 7 * k) % 251 for k in range(4000)),
        "packed_twice": pack(pack(text)),
    }
    for name, content in BROKEN.items():
        case(f"gzip_{kind}_{name}", file, content)
    truncations(f"gzip_{kind}", file, good, 3, least=3)

# What is packed well, and wrong.
for name in ("empty", "ragged", "nan", "deep", "two_documents"):
    case(f"gzip_of_json_{name}", "x.json.gz", pack(JSON[name].encode()))
for name in ("without_a_head", "shape_of_2_to_the_40", "too_few_values", "too_many_values", "long_line"):
    case(f"gzip_of_jsonl_{name}", "x.jsonl.gz", pack(JSONL[name].encode()))
for name in ("ragged_far_away", "value_that_is_text", "id_of_2_to_the_63", "line_without_an_end", "of_zeros"):
    case(f"gzip_of_tsv_{name}", "x.tsv.gz", pack(TSV[name].encode()))

# Little that becomes much: what is held at a time does not grow with it.
MEGABYTE = b" " * (1 << 20)
case("gzip_bomb_of_spaces", "x.json.gz", pack(b"[[1,", *[MEGABYTE] * 220, b"2], [3]]"))
case("gzip_bomb_of_one_line", "x.tsv.gz", pack(b"0\t", *[b"1" * (1 << 20)] * 220, b"\n"))
case("gzip_bomb_of_rows", "x.tsv.gz", pack(*[b"0\t1\t1\n" * 150000] * 60, b"0\t1\n"), mentions=["x.tsv.gz:9000001:"])
case("gzip_bomb_of_members", "x.tsv.gz", pack(b"") * 200000 + pack(b"0\t1\n2\n"), mentions=["x.tsv.gz:2:"])
