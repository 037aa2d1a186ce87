"""Broken .tsv and .csv files of symbols, and lists of names."""

from corpus import case

RELATION = 'P(x,y) = "{}"\n"never.tsv" = P(x,y)\n'
NUMERIC = 'P[x,y] = "{}"\n"never.tsv" = P[x,y]\n'
NAMES = 'axis x = "{}"\nP(x,y) = "p.tsv"\n"never.tsv" = P(x,y)\n'
NO_TEXT = {
    "nul": b"\0", "invalid_utf8": b"\xff\xfe", "lone_continuation": b"\x80", "cut_character": b"\xe5\x90", "overlong": b"\xc0\x80",
    "overlong_slash": b"\xe0\x80\xaf", "surrogate": b"\xed\xa0\x80", "beyond_unicode": b"\xf4\x90\x80\x80", "latin1": b"caf\xe9",
}
for name, symbol in NO_TEXT.items():
    for suffix, between in ("tsv", b"\t"), ("csv", b","):
        case(f"symbols_{suffix}_{name}", f"x.{suffix}", b"ann" + between + b"bob\n" + b"cid" + between + symbol + b"\n", text=RELATION,
             mentions=[f"x.{suffix}:2:"])
    # Far from the begin, in another rank's part of the file.
    case(f"symbols_{name}_far_away", "x.tsv", b"ann\tbob\n" * 50000 + symbol + b"\tann\n" + b"ann\tbob\n" * 10000, text=RELATION,
         mentions=["x.tsv:50001:"])
    case(f"names_{name}", "names.txt", b"ann\nbob\n" + symbol + b"\ncid\n", text=NAMES, files={"p.tsv": b"ann\tbob\n"},
         mentions=["names.txt:3:"])

ROWS = {
    "ragged_short": b"ann\tbob\ncid\n", "ragged_long": b"ann\tbob\ncid\tdora\teve\n", "empty_field": b"ann\tbob\n\tcid\n",
    "blank_field": b"ann\tbob\n  \tcid\n", "line_without_an_end": b"a" * 3000000, "field_of_2_megabytes": b"ann\t" + b"b" * 2000000 + b"\n",
    "of_blanks": b"  \t  \n", "of_tabs": b"\t\n", "of_utf16": "ann\tbob\n".encode("utf-16"), "of_utf32": "ann\tbob\n".encode("utf-32"),
}
for name, content in ROWS.items():
    case(f"symbols_{name}", "x.tsv", content, text=RELATION)
case("symbols_ragged_far_away", "x.tsv", b"ann\tbob\n" * 50000 + b"cid\n" + b"ann\tbob\n" * 10000, text=RELATION, mentions=["x.tsv:50001:"])
case("symbols_of_three_columns", "x.tsv", b"ann\tbob\tcid\n", text=RELATION, status=65)
case("symbols_for_values", "x.tsv", b"ann\tbob\tmuch\n", text=NUMERIC)
case("symbols_for_values_far_away", "x.tsv", b"ann\tbob\t1\n" * 50000 + b"ann\tbob\tmuch\n", text=NUMERIC, mentions=["x.tsv:50001:"])
case("symbols_with_nan_far_away", "x.tsv", b"ann\tbob\t1\n" * 50000 + b"ann\tbob\t1.5.2\n", text=NUMERIC, mentions=["x.tsv:50001:"])

LISTS = {
    "given_twice": b"ann\nbob\nann\n", "given_twice_far_away": b"".join(b"n%d\n" % k for k in range(40000)) + b"n7\n",
    "empty_line": b"ann\n\nbob\n", "blank_line": b"ann\n  \nbob\n", "line_of_2_megabytes": b"a" * 2000000 + b"\n",
    "of_utf16": "ann\nbob\n".encode("utf-16"),
}
for name, content in LISTS.items():
    case(f"names_{name}", "names.txt", content, text=NAMES, files={"p.tsv": b"ann\tbob\n"})
case("names_that_lack_one", "names.txt", b"bob\ncid\n", text=NAMES, files={"p.tsv": b"bob\tbob\nann\tbob\n"}, mentions=["ann", "p.tsv:2:"])
case("names_of_nothing", "names.txt", b"", text=NAMES, files={"p.tsv": b"bob\tbob\n"}, mentions=[])
