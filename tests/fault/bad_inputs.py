#!/usr/bin/python3
"""Bad programs, sources, sinks and options: one message, the right exit status on every rank, nothing left behind.

usage: bad_inputs.py --binary FUSE_DIST [--faults] [--only NAME] [--ranks N...] [--jobs N]

Every case runs without mpirun, on 1 and on 4 ranks, within 10 seconds each; on ranks in standing jobs where there are such
(FUSE_STANDING_JOB), but one in nine really. `--faults`: the binary has fault points.
"""

import argparse
import concurrent.futures
import os
import struct
import sys
import tempfile
import zlib

import checked_run

checked_run.launch.require_numpy()

import numpy  # noqa: E402

OK_X = numpy.arange(15, dtype=numpy.float32).reshape(5, 3)
OLD = b"an older output, to be kept\n"
# y.npy exists before the run, z.npy does not.
PROGRAM = """\
X[i,j] = "x.npy"
Y[i] = X[i,j]
"y.npy" = Y[i]
"z.npy" = X[j,i]
"""

EVERY = 9  # runs on ranks really have an mpirun of their own

CASES = []


class Case:
    def __init__(self, name, status, source=None, text=PROGRAM, arguments=("prog.fuse",), errors=1, mentions=(),
                 prepare=None, env=None, ranks=None):
        self.name = name
        self.status = status
        self.source = source  # bytes of x.npy, False for none; a good file otherwise
        self.text = text  # str or bytes; None for no program file
        self.arguments = arguments
        self.errors = errors  # messages; None for any number of them
        self.mentions = mentions
        self.prepare = prepare  # called with the folder
        self.env = env
        self.ranks = ranks  # only these


def case(*arguments, **named):
    CASES.append(Case(*arguments, **named))


def npy(shape, descr="'<f4'", fortran="False", data=b"", version=(1, 0), header=None, length=None):
    """An .npy file with any header and any data."""
    if header is None:
        header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = header.encode() if isinstance(header, str) else header
    size = 10 if version[0] == 1 else 12
    header += b" " * (-(size + len(header) + 1) % 64) + b"\n"
    count = len(header) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version[0] == 1 else "<I", count) + header + data


GOOD = npy("(5, 3)", data=OK_X.tobytes())

# ---- sources

case("missing_file", 66, False, mentions=["x.npy"])
case("warnings_as_errors", 65, text=PROGRAM + "Unused = 3\n", arguments=("--werror", "prog.fuse"),
     mentions=["prog.fuse:5:1", "never used"])
case("infinite_value", 1, text='X[i,j] = "x.npy"\nY[i,j] = 1 / X[i,j]\n"y.npy" = Y[i,j]\n',
     arguments=("--validate=shapes,finite,bounds", "prog.fuse"), mentions=["'Y'", "infinite", "prog.fuse:2:1"])
case("nan_in_a_source", 1, npy("(5, 3)", data=numpy.full((5, 3), numpy.nan, "f4").tobytes()),
     arguments=("--validate=finite", "prog.fuse"), mentions=["'X'", "NaN"])
case("infinite_sink", 1, text='X[i,j] = "x.npy"\n"y.npy" = exp(1000 + X[i,j])\n',
     arguments=("--validate=finite", "prog.fuse"), mentions=["sink", "prog.fuse:2:1"])
case("unknown_validation", 2, arguments=("--validate=finit", "prog.fuse"), mentions=["finit"])
case("unknown_precision", 2, arguments=("--precision", "fp8", "prog.fuse"), mentions=["fp8"])
case("missing_import", 66, text='import "lib.fuse"\n' + PROGRAM, mentions=["prog.fuse:1:8", "lib.fuse"])
case("import_of_a_folder", 66, text='import "lib"\n' + PROGRAM, mentions=["lib"],
     prepare=lambda folder: os.mkdir(os.path.join(folder, "lib")))
case("mistake_in_an_import", 65, text='import "lib.fuse"\n' + PROGRAM, mentions=["lib.fuse:2:5", "unknown"],
     prepare=lambda folder: open(os.path.join(folder, "lib.fuse"), "w").write("\nZ = unknown\n") and None)
case("integer_overflow", 1, text='X = 9223372036854775807\nY = X + 1\n"y.npy" = Y\n', mentions=["'Y'", "prog.fuse:2:1"])
case("overflow_in_a_comparison", 1, text='X[i] = [9223372036854775807, 2]\nY(i) = X[i] X[i] > 3\n"y.npy" = Y(i)\n',
     mentions=["'Y'", "prog.fuse:2:1"])
case("integer_cell_that_a_guard_leaves", 1,
     text='X[i] = [1, 2]\nY[i] when X[i] > 1 max= X[i]\n"y.npy" = Y[i]\n', mentions=["'Y'", "initial value"])
case("empty_file", 66, b"", mentions=["x.npy"])
case("not_an_npy_file", 66, b"1.0, 2.0, 3.0\n" * 50, mentions=["x.npy"])
case("binary_garbage", 66, bytes(range(256)) * 8, mentions=["x.npy"])
case("truncated_magic", 66, GOOD[:5], mentions=["x.npy"])
case("truncated_length", 66, GOOD[:9], mentions=["x.npy"])
case("truncated_header", 66, GOOD[:40], mentions=["x.npy"])
case("header_only", 66, npy("(5, 3)"), mentions=["x.npy"])
case("truncated_data", 66, GOOD[:-1], mentions=["x.npy"])
case("header_claims_more_than_there_is", 66, npy("(50, 30)", data=OK_X.tobytes()), mentions=["x.npy"])
case("header_length_beyond_the_file", 66, npy("(5, 3)", length=60000, data=OK_X.tobytes()), mentions=["x.npy"])
case("header_length_of_4_gigabytes", 66, npy("(5, 3)", version=(2, 0), length=0xFFFFFFFF, data=OK_X.tobytes()),
     mentions=["x.npy"])
case("unknown_version", 66, npy("(5, 3)", version=(9, 7), data=OK_X.tobytes()), mentions=["x.npy"])
case("shape_product_overflows", 66, npy("(1099511627776, 1099511627776)", data=OK_X.tobytes()), mentions=["x.npy"])
case("byte_count_overflows", 66, npy("(4611686018427387904, 3)", data=OK_X.tobytes()), mentions=["x.npy"])
case("extent_beyond_64_bits", 66, npy("(99999999999999999999999999, 3)", data=OK_X.tobytes()), mentions=["x.npy"])
case("negative_extent", 66, npy("(-5, 3)", data=OK_X.tobytes()), mentions=["x.npy"])
case("negative_extents_that_multiply_well", 66, npy("(-5, -3)", data=OK_X.tobytes()), mentions=["x.npy"])
case("real_extent", 66, npy("(5.0, 3)", data=OK_X.tobytes()), mentions=["x.npy"])
case("rank_of_200", 66, npy("(" + "1, " * 200 + ")", data=b"1234"), mentions=["x.npy"])
case("object_dtype", 66, npy("(5, 3)", descr="'|O'", data=b"\x80\x04cos\nsystem\n(S'true'\ntR."), mentions=["x.npy"])
case("structured_dtype", 66, npy("(5, 3)", descr="[('a', '<f4'), ('b', '<i4')]", data=bytes(120)), mentions=["x.npy"])
case("string_dtype", 66, npy("(5, 3)", descr="'<U4'", data=bytes(240)), mentions=["x.npy"])
case("complex_dtype", 66, npy("(5, 3)", descr="'<c8'", data=bytes(120)), mentions=["x.npy"])
case("long_double_dtype", 66, npy("(5, 3)", descr="'<f16'", data=bytes(240)), mentions=["x.npy"])
case("nonsense_dtype", 66, npy("(5, 3)", descr="'<f3'", data=bytes(240)), mentions=["x.npy"])
case("header_is_no_dictionary", 66, npy("", header="['descr', '<f4']", data=OK_X.tobytes()), mentions=["x.npy"])
case("header_lacks_the_shape", 66, npy("", header="{'descr': '<f4', 'fortran_order': False}", data=OK_X.tobytes()),
     mentions=["x.npy"])
case("header_runs_code", 66, npy("", header="{'descr': '<f4', 'fortran_order': False, 'shape': (exit(), 3)}",
                                 data=OK_X.tobytes()), mentions=["x.npy"])
case("header_of_open_brackets", 66, npy("", header="{'descr': '<f4', 'shape': " + "(" * 5000, data=OK_X.tobytes()),
     mentions=["x.npy"])
case("header_of_zero_bytes", 66, npy("", header=bytes(100), data=OK_X.tobytes()), mentions=["x.npy"])
case("order_is_neither_true_nor_false", 66, npy("(5, 3)", fortran="'maybe'", data=OK_X.tobytes()), mentions=["x.npy"])
case("integer_beyond_64_bits", 66, npy("(5, 3)", descr="'<u8'", data=b"\xff" * 120), mentions=["x.npy"])
case("directory_as_source", 66, False, mentions=["x.npy"], prepare=lambda f: os.mkdir(os.path.join(f, "x.npy")))
case("source_below_a_file", 66, text=PROGRAM.replace('"x.npy"', '"x.npy/x.npy"'), mentions=["x.npy/x.npy"])
case("dangling_link", 66, False, mentions=["x.npy"], prepare=lambda f: os.symlink("nothing", os.path.join(f, "x.npy")))
case("circular_link", 66, False, mentions=["x.npy"], prepare=lambda f: os.symlink("x.npy", os.path.join(f, "x.npy")))
case("pipe_as_source", 66, False, mentions=["x.npy"], prepare=lambda f: os.mkfifo(os.path.join(f, "x.npy")))
case("one_rank_cannot_open", 66, env={"FUSE_FAULT": "open:1@1"}, ranks=[4])
case("first_rank_cannot_open", 66, env={"FUSE_FAULT": "open:1@0"})

# ---- archives and text


def archive(data, size=None, method=0):
    """A zip file with one member, x.npy, whose directory claims a size."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = squeezer.compress(data) + squeezer.flush() if method else data
    size = len(data) if size is None else size
    extra = struct.pack("<HHQ", 1, 8, size) if size > 0xFFFFFFFE else b""
    facts = (method, 0, 33, zlib.crc32(data), len(raw), min(size, 0xFFFFFFFF), 5)
    head = struct.pack("<IHHHHHIIIHH", 0x04034B50, 45, 0, *facts, len(extra) and 20) + b"x.npy"
    if extra:
        head += struct.pack("<HHQQ", 1, 16, size, len(raw))
    central = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, 0, *facts, len(extra), 0, 0, 0, 0, 0) + b"x.npy" + extra
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(central), len(head) + len(raw), 0)
    return head + raw + central + end


def put(name, data):
    def write(folder):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    return write


def archive_case(name, data, *mentions, part="", **named):
    case(name, 66, text=PROGRAM.replace("x.npy", "x.npz" + part), prepare=put("x.npz", data), mentions=["x.npz", *mentions],
         **named)


def table_case(name, text, *mentions):
    case(name, 66, text=PROGRAM.replace("x.npy", "x.tsv"), prepare=put("x.tsv", text.encode()), mentions=["x.tsv", *mentions])


def json_case(name, text, *mentions, status=66):
    case(name, status, text=PROGRAM.replace("x.npy", "x.json"), prepare=put("x.json", text.encode()),
         mentions=["x.json", *mentions])


HUGE = npy("(68719476736, 4)", data=bytes(1000))
FLIPPED = bytearray(archive(GOOD))
FLIPPED[len(FLIPPED) // 2] ^= 16
archive_case("archive_missing_member", archive(GOOD), "x.npy", part=":w")
archive_case("archive_that_is_none", GOOD, "no zip archive")
archive_case("archive_truncated", archive(GOOD)[:-20], "truncated")
archive_case("archive_truncated_early", archive(GOOD)[:90])
archive_case("archive_damaged", bytes(FLIPPED))
archive_case("archive_of_a_terabyte", archive(HUGE, size=2**40, method=8), "deflate makes at most")
archive_case("archive_stored_terabyte", archive(HUGE, size=2**40))
archive_case("archive_pickle", archive(npy("(5, 3)", descr="'|O'", data=b"\x80\x04.")), "pickled")
archive_case("archive_wrong_crc", archive(GOOD).replace(struct.pack("<I", zlib.crc32(GOOD)), b"\0\0\0\0"), "CRC-32")
archive_case("archive_wrong_crc_deflated",
             archive(GOOD, method=8).replace(struct.pack("<I", zlib.crc32(GOOD)), b"\0\0\0\0"), "CRC-32")
json_case("json_empty_file", "", "x.json:1:1:")
json_case("json_truncated", "[[1, 2, 3],\n [4,", "x.json:2:5:", "ends inside")
json_case("json_ragged", "[[1, 2, 3],\n [4, 5]]", "x.json:2:7:", "a list of 2 elements")
json_case("json_ragged_and_large", "[" + "[1, 2, 3],\n" * 20000 + "[1, 2]]", "x.json:20001:6:")
json_case("json_deep", "[" * 200000, "nested deeper")
json_case("json_object", '{"a": 1}', "an object")
json_case("json_nan", "[[1, NaN, 2]]", "x.json:1:6:")
json_case("json_large_integer", "[[1, 2, 99999999999999999999999]]", "2^53")
json_case("json_of_another_rank", "[1, 2, 3]", status=65)
table_case("table_ragged_and_large", "0\t1\t0.5\n" * 30000 + "0\t1\n", "x.tsv:30001:4:", "a row of 2 fields")
table_case("table_of_one_line", "0" * 1000000, "x.tsv:1:", "a line of more than")
table_case("table_of_zero_bytes", "\0" * 5000, "x.tsv:1:1:", "NUL")
case("json_without_a_number_for_it", 73, text=PROGRAM + '"a.json" = X[i,j] / 0.0\n', mentions=["prog.fuse:5:1:", "a.json", "[0, 0] is NaN"])
case("json_sink_in_a_missing_folder", 73, text=PROGRAM + '"none/a.json" = Y[i]\n', mentions=["none/a.json"])
case("archive_sink_in_a_missing_folder", 73, text=PROGRAM + '"none/a.npz:b" = Y[i]\n', mentions=["none/a.npz"])
case("archive_sink_with_a_member_twice", 65, text=PROGRAM + '"a.npz:b" = Y[i]\n"a.npz:b.npy" = Y[i]\n', mentions=["twice"])
case("archive_sink_that_climbs", 73, text=PROGRAM + '"a.npz:../b" = Y[i]\n', mentions=["../b"])

# ---- programs

case("syntax_error", 65, text=PROGRAM + "Z[i = Y[i]\n", mentions=["prog.fuse:5:"])
case("three_syntax_errors", 65, text='X[i,j] = "x.npy"\nY[i] = X[i,j] +* 2\n"y.npy" = Y[i]\nZ[i) = 1\nW[i] = 0x10\n',
     errors=3, mentions=["prog.fuse:2:", "prog.fuse:4:", "prog.fuse:5:"])
case("program_that_is_not_text", 65, text=b"X[i] = \xff\xfe\n", mentions=["prog.fuse:1:"])
case("nul_in_the_program", 65, text=b"X[i] = 1\nY\0[i] = X[i]\n", errors=None)
case("deep_nesting", 65, text="X = " + "(" * 20000 + "1" + ")" * 20000 + "\n", errors=None)
case("unknown_name", 65, text=PROGRAM.replace("= Y[i]", "= Why[i]"), mentions=["Why", "prog.fuse:3:"])
case("unknown_name_on_the_right", 65, text=PROGRAM + 'A[i] = Y[i] + Missing[i]\n"a.npy" = A[i]\n', mentions=["Missing"])
case("unknown_name_in_dead_code", 65, text=PROGRAM + "A[i] = Y[i] + Missing[i]\n", mentions=["Missing"])
case("unknown_function", 65, text=PROGRAM + 'A[i] = sotfmax(Y[i])\n"a.npy" = A[i]\n', mentions=["softmax"])
case("wrong_extents_of_two_sources", 65, text='X[i,j] = "x.npy"\nV[j] = "v.npy"\nY[i] = X[i,j] V[j]\n"y.npy" = Y[i]\n',
     mentions=["3", "4"], prepare=lambda f: numpy.save(os.path.join(f, "v.npy"), numpy.ones(4)))
case("rank_of_source_differs", 65, text='X[i,j,k] = "x.npy"\nY[i] = X[i,j,k]\n"y.npy" = Y[i]\n', mentions=["x.npy"])
case("rank_of_reference_differs", 65, text=PROGRAM + 'A[i] = X[i]\n"a.npy" = A[i]\n', mentions=["X"])
case("extent_that_nothing_tells", 65, text=PROGRAM + 'A[i,q] = Y[i]\n"a.npy" = A[i,q]\n', mentions=["q"])
case("position_outside", 65, text=PROGRAM + 'A[j] = X[5,j]\n"a.npy" = A[j]\n', mentions=["5"])
case("ambiguous_square", 65, text=PROGRAM + 'A[i] = X[i,j] ** 2\n"a.npy" = A[i]\n', mentions=["reduce(sum, j)"])
case("sink_without_indices", 65, text=PROGRAM.replace('"z.npy" = X[j,i]', '"z.npy" = X'), mentions=["X["])
case("program_that_depends_on_itself", 65, text=PROGRAM + 'A[i] max= A[i] ** 2 + Y[i]\n"a.npy" = A[i]\n')

# ---- runs

INTEGERS = """\
X[i,j] = "x.npy"
Y[i] = X[i,j] * 4
"y.npy" = Y[i]
"""
case("overflow_of_a_product", 1, npy("(5, 3)", "'<i8'", data=numpy.full((5, 3), 2**62).tobytes()), INTEGERS,
     mentions=["overflow"])
case("overflow_of_a_large_sum", 1, npy("(300, 400)", "'<i8'", data=numpy.full((300, 400), 2**47).tobytes()),
     'X[i,j] = "x.npy"\nS = X[i,j]\n"s.npy" = S\n"y.npy" = X[0,j]\n', mentions=["overflow"])
case("one_element_overflows", 1, npy("(300, 400)", "'<i8'", data=numpy.where(
    numpy.arange(120000) == 119999, 2**62, 1).tobytes()), INTEGERS, mentions=["overflow"])

# ---- sinks

LATE_SINK = PROGRAM + '"{}" = Y[i]\n'
case("sink_in_a_missing_folder", 73, text=LATE_SINK.format("none/a.npy"), mentions=["none/a.npy"])
case("directory_in_the_way_of_a_sink", 73, text=LATE_SINK.format("a.npy"), mentions=["a.npy"],
     prepare=lambda f: os.mkdir(os.path.join(f, "a.npy")))
case("sink_below_a_file", 73, text=LATE_SINK.format("x.npy/a.npy"), mentions=["x.npy/a.npy"])
case("first_sink_in_a_missing_folder", 73, text=LATE_SINK.format("none/a.npy").replace(PROGRAM, "") + PROGRAM,
     mentions=["none/a.npy"])
case("sink_with_a_long_name", 73, text=LATE_SINK.format("a" * 300 + ".npy"))

# ---- options

case("unknown_option", 2, arguments=("--frobnicate", "prog.fuse"), mentions=["frobnicate"])
case("no_program", 2, arguments=())
case("missing_program", 66, arguments=("missing.fuse",), mentions=["missing.fuse"])
case("directory_as_program", 66, arguments=("folder",), mentions=["folder"],
     prepare=lambda f: os.mkdir(os.path.join(f, "folder")))
case("unknown_definition", 2, arguments=("-D", "nothing=3", "prog.fuse"), mentions=["nothing"])
case("memory_that_is_no_size", 2, arguments=("--mem-per-rank", "banana", "prog.fuse"), mentions=["banana"])
case("unknown_back_end", 2, arguments=("--backend", "abacus", "prog.fuse"), mentions=["abacus"])
case("not_enough_memory", 71, arguments=("--mem-per-rank", "1M", "prog.fuse"))


def run_case(item, binary, ranks, really):
    with tempfile.TemporaryDirectory(prefix="fuse-bad-") as folder:
        if item.source is not False:
            with open(os.path.join(folder, "x.npy"), "wb") as file:
                file.write(GOOD if item.source is None else item.source)
        text = item.text.encode() if isinstance(item.text, str) else item.text
        with open(os.path.join(folder, "prog.fuse"), "wb") as file:
            file.write(text)
        with open(os.path.join(folder, "y.npy"), "wb") as file:
            file.write(OLD)
        if item.prepare:
            item.prepare(folder)
        problems, outcome = checked_run.run_failing(binary, folder, ranks, item.arguments, item.status, item.errors,
                                                    item.mentions, item.env, really)
        if item.errors is None and not outcome.errors:
            problems.append("no message")
        return problems, outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME")
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 1, 4], help="0 is without mpirun")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; mpirun mostly waits when a run fails")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    runs = [(item, ranks, n % EVERY == 0) for n, item in enumerate(CASES) for ranks in options.ranks
            if (not options.only or any(part in item.name for part in options.only))
            and (not item.env or options.faults) and (not item.ranks or ranks in item.ranks)]
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda run: run_case(run[0], binary, *run[1:]), runs)
        for (item, ranks, _), (problems, outcome) in zip(runs, results):
            if problems:
                failures += 1
                print(f"FAIL {item.name} on {ranks or 'no mpirun, 1'} ranks: " + "; ".join(problems)
                      + "\n    " + outcome.tail.replace("\n", "\n    "), flush=True)
    print(f"{len(runs)} runs: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
