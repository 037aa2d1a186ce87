"""Broken .npy files."""

from corpus import DATA, GOOD, case, npy, truncations

FILE = "x.npy"
SHAPES = {
    "shape_of_2_to_the_40": "(1099511627776, 3)",
    "shape_of_2_to_the_40_twice": "(1099511627776, 1099511627776)",
    "shape_whose_bytes_wrap_to_60": "(4611686018427387909, 4611686018427387907)",
    "shape_that_wraps_to_0": "(4294967296, 4294967296)",
    "shape_of_2_to_the_63": "(9223372036854775808, 3)",
    "shape_of_100_digits": "(" + "9" * 100 + ", 3)",
    "shape_with_a_minus": "(-5, 3)",
    "shape_with_two_minuses": "(-5, -3)",
    "shape_with_plus": "(+5, 3)",
    "shape_of_reals": "(5.0, 3)",
    "shape_of_hexadecimals": "(0x5, 3)",
    "shape_of_strings": "('5', 3)",
    "shape_of_none": "(None, 3)",
    "shape_of_tuples": "((5, 3),)",
    "shape_that_is_a_list": "[5, 3]",
    "shape_that_is_a_number": "15",
    "shape_that_is_a_product": "(5*1, 3)",
    "shape_that_is_not_closed": "(5, 3",
    "shape_with_two_commas": "(5,, 3)",
    "shape_of_one_axis_more": "(5, 3, 2)",
    "shape_larger_than_the_file": "(500, 300)",
    "shape_smaller_than_the_file": "(5, 2)",
    "shape_of_rank_65": "(" + "1, " * 65 + ")",
    "shape_with_an_underscore": "(1_5, 1)",
}
for name, shape in SHAPES.items():
    case(f"npy_{name}", FILE, npy(shape, data=DATA))

DTYPES = {
    "of_objects": "'|O'", "of_text": "'<U4'", "of_bytes": "'|S4'", "of_nothing": "'|V4'", "of_dates": "'<M8[s]'",
    "of_spans": "'<m8[s]'", "of_complex_numbers": "'<c8'", "of_long_doubles": "'<f16'", "of_3_bytes": "'<f3'",
    "of_2_to_the_31_bytes": "'<f2147483648'", "that_is_empty": "''", "without_a_size": "'<f'", "with_a_space": "'<f4 '",
    "of_another_order": "'!f4'", "that_is_a_structure": "[('a', '<f4'), ('b', '<i4')]", "that_is_an_array": "('<f4', (2,))",
    "that_is_none": "None", "with_a_nul": "'<f4\\x00'", "that_is_not_closed": "'<f4",
}
for name, descr in DTYPES.items():
    case(f"npy_type_{name}", FILE, npy("(5, 3)", descr=descr, data=DATA))

HEADERS = {
    "list": "['descr', '<f4']", "lacks_a_shape": "{'descr': '<f4', 'fortran_order': False}",
    "lacks_a_type": "{'fortran_order': False, 'shape': (5, 3)}", "lacks_an_order": "{'descr': '<f4', 'shape': (5, 3)}",
    "has_a_key_twice": "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), 'shape': (5, 3)}",
    "has_another_key": "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), 'more': 1}",
    "runs_code": "{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').getpid(), 3)}",
    "of_brackets": "{'descr': '<f4', 'shape': " + "(" * 6000, "of_zeros": bytes(100), "of_invalid_utf8": b"\xff\xfe" * 40,
    "goes_on": "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3)} garbage", "empty": "",
    "order_is_maybe": "{'descr': '<f4', 'fortran_order': 'maybe', 'shape': (5, 3)}",
    "order_is_a_number": "{'descr': '<f4', 'fortran_order': 2, 'shape': (5, 3)}",
}
for name, header in HEADERS.items():
    case(f"npy_header_{name}", FILE, npy("", header=header, data=DATA))

case("npy_header_of_60000_bytes", FILE, npy("(5, 3)", length=60000, data=DATA))
case("npy_header_of_4_gigabytes", FILE, npy("(5, 3)", version=(2, 0), length=0xFFFFFFFF, data=DATA))
case("npy_header_of_2_gigabytes", FILE, npy("(5, 3)", version=(3, 0), length=0x7FFFFFFF, data=DATA))
case("npy_header_of_0_bytes", FILE, npy("(5, 3)", length=0, data=DATA))
case("npy_version_0", FILE, npy("(5, 3)", version=(0, 0), data=DATA))
case("npy_version_9", FILE, npy("(5, 3)", version=(9, 7), data=DATA))
case("npy_invalid_utf8_in_version_3", FILE, npy("", version=(3, 0), header=b"{'descr': '<f4', '\xff': 1}", data=DATA))
case("npy_of_unsigned_beyond_64_bits", FILE, npy("(5, 3)", descr="'<u8'", data=b"\xff" * 120))
case("npy_empty", FILE, b"")
case("npy_of_text", FILE, b"1.0, 2.0, 3.0\n" * 50)
case("npy_of_garbage", FILE, bytes(range(256)) * 8)
case("npy_with_another_first_byte", FILE, b"\x94" + GOOD[1:])
case("npy_with_bytes_behind_it", FILE, GOOD + b"more")
truncations("npy", FILE, GOOD, 8)
