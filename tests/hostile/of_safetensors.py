"""Broken .safetensors files."""

import json
import struct

from corpus import DATA, case, truncations

FILE = "x.safetensors"


def entry(begin=0, end=60, dtype="F32", shape=(5, 3), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def file(header, data=DATA, length=None):
    text = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text) if length is None else length) + text + data


GOOD = file({"x": entry()})
TWO = DATA + DATA

ENTRIES = {
    "end_beyond_the_file": entry(0, 120), "end_of_2_to_the_62": entry(0, 2**62, shape=(2**58, 4)), "begin_behind_end": entry(60, 0),
    "begin_with_a_minus": entry(-60, 0), "offsets_of_reals": {**entry(), "data_offsets": [0.0, 60.0]},
    "offsets_of_text": {**entry(), "data_offsets": ["0", "60"]}, "one_offset": {**entry(), "data_offsets": [60]},
    "three_offsets": {**entry(), "data_offsets": [0, 30, 60]}, "offsets_that_are_none": {**entry(), "data_offsets": None},
    "bytes_of_another_shape": entry(shape=(5, 4)), "shape_of_2_to_the_40": entry(shape=(2**40, 3)),
    "shape_that_overflows": entry(shape=(2**62, 2**62)), "shape_that_wraps_to_60_bytes": entry(shape=(2**62 + 15, 1)),
    "shape_with_a_minus": entry(shape=(-5, -3)), "shape_of_reals": entry(shape=(5.0, 3)), "shape_of_text": {**entry(), "shape": "5,3"},
    "shape_of_rank_64": entry(shape=(15,) + (1,) * 63), "shape_beyond_2_to_the_53": entry(shape=(2**53 + 1, 3)),
    "shape_beyond_64_bits": entry(shape=(2**70, 3)), "type_unknown": entry(dtype="F33"), "type_of_objects": entry(dtype="O"),
    "type_that_is_a_number": entry(dtype=32), "type_in_small_letters": entry(dtype="f32"), "type_of_8_bits": entry(dtype="F8_E4M3"),
    "no_type": {"shape": [5, 3], "data_offsets": [0, 60]}, "no_shape": {"dtype": "F32", "data_offsets": [0, 60]},
    "no_offsets": {"dtype": "F32", "shape": [5, 3]}, "another_key": entry(more=1), "that_is_a_list": [1, 2], "that_is_none": None,
}
for name, value in ENTRIES.items():
    case(f"safetensors_{name}", FILE, file({"x": value}), ":x")

RAW = {
    "empty_header": "", "header_of_spaces": "        ", "list": "[]", "text": '"x"', "nothing": "null", "not_closed": '{"x": {"dtype": "F32"',
    "garbage_behind": json.dumps({"x": entry()}) + " more", "comma_too_many": '{"x": ' + json.dumps(entry()) + ",}",
    "entry_twice": '{"x": ' + json.dumps(entry()) + ', "x": ' + json.dumps(entry()) + "}",
    "key_twice": '{"x": {"dtype": "F32", "dtype": "F32", "shape": [5, 3], "data_offsets": [0, 60]}}',
    "deep": '{"x": ' + "[" * 5000 + "]" * 5000 + "}", "escape_that_is_none": '{"x\\q": ' + json.dumps(entry()) + "}",
    "nul_in_a_name": '{"x\\u0000": ' + json.dumps(entry()) + "}", "half_a_pair": '{"\\ud800": ' + json.dumps(entry()) + "}",
}
for name, header in RAW.items():
    case(f"safetensors_{name}", FILE, file(header), ":x")

case("safetensors_empty", FILE, b"", ":x")
case("safetensors_of_7_bytes", FILE, b"\x10\0\0\0\0\0\0", ":x")
case("safetensors_header_of_2_to_the_63", FILE, file({"x": entry()}, length=2**63), ":x")
case("safetensors_header_of_2_to_the_64", FILE, file({"x": entry()}, length=2**64 - 8), ":x")
case("safetensors_header_of_a_gigabyte", FILE, file({"x": entry()}, length=2**30), ":x")
case("safetensors_header_of_nothing", FILE, file({"x": entry()}, length=0), ":x")
case("safetensors_header_ends_early", FILE, file({"x": entry()}, length=20), ":x")
case("safetensors_invalid_utf8", FILE, file(b'{"\xff\xfe": ' + json.dumps(entry()).encode() + b"}"), ":x")
case("safetensors_with_a_nul", FILE, file(b'{"x": \0' + json.dumps(entry()).encode() + b"}"), ":x")
case("safetensors_lacks_the_tensor", FILE, GOOD, ":w")
case("safetensors_overlapping", FILE, file({"x": entry(), "y": entry(30, 90)}, DATA + DATA[:30]), ":x")
case("safetensors_the_same_bytes_twice", FILE, file({"x": entry(), "y": entry()}), ":x")
case("safetensors_hole", FILE, file({"x": entry(), "y": entry(64, 124)}, DATA + bytes(4) + DATA), ":x")
case("safetensors_bytes_behind_the_last", FILE, GOOD + b"more", ":x")
case("safetensors_metadata_that_is_a_list", FILE, file({"__metadata__": [1], "x": entry()}), ":x")
case("safetensors_metadata_of_numbers", FILE, file({"__metadata__": {"a": 1}, "x": entry()}), ":x")
truncations("safetensors", FILE, GOOD, 8, ":x")
