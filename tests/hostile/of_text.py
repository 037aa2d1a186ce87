"""Broken .json, .jsonl, .tsv and .csv files."""

from corpus import case, truncations

# ---- json

JSON = {
    "empty": "", "of_spaces": " \n ", "of_garbage": "\x01\x02\x03", "object": '{"a": [[1]]}', "string": '"text"', "null": "null",
    "ragged": "[[1, 2, 3],\n [4, 5]]", "ragged_depth": "[[1, 2], [[3], 4]]", "a_list_and_a_number": "[[1, 2], 3]",
    "text_in_a_list": '[[1, "2"]]', "null_in_a_list": "[[1, null]]", "nan": "[[1, NaN]]", "infinity": "[[1, -Infinity]]",
    "two_documents": "[[1]] [[2]]", "comma_at_the_end": "[[1, 2,]]", "two_commas": "[[1,, 2]]", "no_comma": "[[1 2]]",
    "number_with_a_zero": "[[01]]", "number_with_a_plus": "[[+1]]", "number_without_digits": "[[-]]", "number_with_two_points": "[[1.2.3]]",
    "number_without_an_exponent": "[[1e]]", "hexadecimal": "[[0x10]]", "integer_of_100_digits": "[[" + "9" * 100 + "]]",
    "integer_beyond_2_to_the_53": "[[9007199254740993, 0.5]]", "comment": "[[1] /* no */]", "quotes_that_are_none": "[['1']]",
    "brackets_that_differ": "[[1, 2}]", "deep": "[" * 300000, "deep_and_closed": "[" * 100 + "1" + "]" * 100,
}
for name, content in JSON.items():
    case(f"json_{name}", "x.json", content)
case("json_invalid_utf8", "x.json", b'[[1, "\xff\xfe"]]')
case("json_with_a_nul", "x.json", b"[[1, 2\0]]")
case("json_utf16", "x.json", "[[1, 2]]".encode("utf-16"))
case("json_ragged_at_the_end", "x.json", "[" + "[1, 2, 3],\n" * 20000 + "[1, 2]]")
truncations("json", "x.json", b"[[1.5, 2, 3],\n [4, 5e3, 6],\n [true, 8, 9]]", 5)

# ---- jsonl

HEAD = '{"schema":"fuse.tensor","version":1,"shape":%s}\n'
VALUES = "".join(f'{{"value":{k}.0}}\n' for k in range(15))
JSONL = {
    "empty": "", "without_a_head": VALUES, "of_another_schema": HEAD.replace("fuse.tensor", "fuse.other") % "[5,3]" + VALUES,
    "of_version_2": HEAD.replace("1", "2", 1) % "[5,3]" + VALUES, "shape_of_2_to_the_40": HEAD % "[1099511627776,3]" + VALUES,
    "shape_that_overflows": HEAD % "[4611686018427387904,4611686018427387904]" + VALUES, "shape_with_a_minus": HEAD % "[-5,-3]" + VALUES,
    "shape_of_reals": HEAD % "[5.0,3]" + VALUES, "shape_of_text": HEAD % '"5,3"' + VALUES, "shape_of_rank_64": HEAD % ("[" + "1," * 63 + "1]") + VALUES,
    "too_few_values": HEAD % "[5,4]" + VALUES, "too_many_values": HEAD % "[5,2]" + VALUES, "null": HEAD % "[1,1]" + '{"value":null}\n',
    "text": HEAD % "[1,1]" + '{"value":"1"}\n', "another_key": HEAD % "[1,1]" + '{"number":1}\n', "list": HEAD % "[1,1]" + "[1]\n",
    "value_twice": HEAD % "[1,1]" + '{"value":1,"value":2}\n', "not_closed": HEAD % "[1,1]" + '{"value":1\n', "nan": HEAD % "[1,1]" + '{"value":NaN}\n',
    "empty_line": HEAD % "[2,1]" + '{"value":1}\n\n{"value":2}\n', "long_line": HEAD % "[1,1]" + '{"value":' + "1" * 3000000 + "}\n",
}
for name, content in JSONL.items():
    case(f"jsonl_{name}", "x.jsonl", content)
case("jsonl_invalid_utf8", "x.jsonl", (HEAD % "[1,1]").encode() + b'{"value\xff":1}\n')

# ---- tsv and csv

NUMERIC = 'X[i,j] = "{}"\n"y.npy" = X[i,j]\n'
TSV = {
    "ragged_short": "0\t1\t0.5\n1\t2\n", "ragged_long": "0\t1\t0.5\n1\t2\t3\t4\n", "ragged_far_away": "0\t1\t0.5\n" * 40000 + "0\t1\n",
    "header": "from\tto\tweight\n0\t1\t2\n", "value_that_is_text": "0\t1\tmuch\n", "value_that_is_empty": "0\t1\t\n",
    "value_with_two_points": "0\t1\t1.2.3\n", "value_with_text_behind": "0\t1\t1.5kg\n", "id_that_is_negative": "0\t-1\t2.0\n",
    "id_of_2_to_the_63": "0\t9223372036854775808\t2\n", "id_of_100_digits": "0\t" + "9" * 100 + "\t2\n",
    "line_without_an_end": "0" * 3000000, "of_tabs": "\t\t\n", "of_zeros": "\0" * 5000,
}
for name, content in TSV.items():
    case(f"tsv_{name}", "x.tsv", content, text=NUMERIC)
    case(f"csv_{name}", "x.csv", content.replace("\t", ","), text=NUMERIC)
case("tsv_spaces_for_tabs", "x.tsv", "0 1 0.5\n", text=NUMERIC, status=65)  # one column of symbols
case("tsv_ids_of_2_to_the_40", "x.tsv", "0\t1\t0.5\n1099511627776\t1099511627776\t2\n", text=NUMERIC, status=65, mentions=["cannot be addressed"])
case("tsv_ids_of_2_to_the_20", "x.tsv", "0\t1\t0.5\n1048576\t1048576\t2\n", text=NUMERIC, status=71, mentions=[])
case("tsv_nul_in_a_value", "x.tsv", b"0\t1\t2\0\n", text=NUMERIC)
case("tsv_invalid_utf8", "x.tsv", b"0\t1\t\xff\xfe\n", text=NUMERIC)
case("tsv_quoted", "x.tsv", '"0"\t"1"\t"2"\n', text=NUMERIC)
