"""Broken relations in .npy files, "x.npy:coo"."""

import io
import os

import numpy

from corpus import case, npy, truncations

FILE = "x.npy"
RELATION = 'P(x,y) = "{}"\n"never.npy:coo" = P(x,y)\n'
NUMERIC = 'P[x,y] = "{}"\n"never.npy:coo" = P[x,y]\n'
DENSE = 'P[x,y] = "{}"\n"never.npy" = P[x,y]\n'
IDS = numpy.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [2, 9]])
REALS = numpy.arange(6) + 0.5


def arrays(*items):
    out = io.BytesIO()
    for item in items:
        numpy.save(out, item)
    return out.getvalue()


def coo(name, content, text=RELATION, **more):
    case(f"coo_{name}", FILE, content, ":coo", text=text, **more)


RAW = IDS.tobytes()
BROKEN = {
    "empty": b"", "of_garbage": bytes(range(256)) * 4, "text": b"0\t1\n2\t3\n", "of_reals": arrays(IDS * 1.0), "of_truths": arrays(IDS > 0),
    "of_complex_numbers": arrays(IDS * 1j), "of_text": arrays(IDS.astype("U4")), "of_bytes": arrays(IDS.astype("S4")),
    "of_structures": npy("(6,)", "[('a', '<i8'), ('b', '<i8')]", data=RAW), "of_objects": npy("(6, 2)", "'|O'", data=b"\x80\x04."),
    "of_dates": npy("(6, 2)", "'<M8[s]'", data=RAW), "scalar": arrays(IDS[0, 0]), "list": arrays(IDS[0]), "cube": arrays(IDS[None]),
    "without_columns": arrays(IDS[:, :0]), "of_40_columns": arrays(numpy.zeros((2, 40), "i8")), "with_a_minus": arrays(IDS - 1),
    "with_a_minus_far_away": arrays(numpy.vstack([numpy.zeros((70000, 2), "i8"), [[0, -1]]])),
    "of_2_to_the_62": arrays(IDS + 2**62), "of_2_to_the_64": arrays(IDS.astype("u8") + numpy.uint64(2**64 - 10)),
    "more_rows_than_there_are": npy("(9, 2)", "'<i8'", data=RAW), "fewer_rows_than_there_are": npy("(5, 2)", "'<i8'", data=RAW),
    "of_2_to_the_40_rows": npy("(1099511627776, 2)", "'<i8'", data=RAW), "rows_that_overflow": npy("(4611686018427387904, 2)", "'<i8'", data=RAW),
    "rows_that_wrap": npy("(1152921504606846982, 2)", "'<i8'", data=RAW), "with_minus_rows": npy("(-6, 2)", "'<i8'", data=RAW),
    "with_text_behind": arrays(IDS) + b"more", "with_half_a_magic_behind": arrays(IDS) + b"\x93NUM",
    "with_an_archive_behind": arrays(IDS) + b"PK\3\4" + bytes(60),
}
for name, content in BROKEN.items():
    coo(name, content)
truncations("coo", FILE, arrays(IDS), 5, ":coo", text=RELATION)

VALUES = {
    "too_few_values": arrays(IDS, REALS[:5]), "too_many_values": arrays(IDS, numpy.arange(7.0)), "values_in_a_matrix": arrays(IDS, REALS[:, None]),
    "value_for_all": arrays(IDS, numpy.float64(1)), "values_of_text": arrays(IDS, REALS.astype("U4")), "complex_values": arrays(IDS, REALS * 1j),
    "values_of_objects": arrays(IDS) + npy("(6,)", "'|O'", data=b"\x80\x04."), "third_array": arrays(IDS, REALS, REALS),
    "values_of_2_to_the_61": arrays(IDS) + npy("(2305843009213693952,)", "'<f8'", data=REALS.tobytes()),
    "text_behind_values": arrays(IDS, REALS) + b"\n", "values_without_data": arrays(IDS) + npy("(6,)", "'<f8'"),
    "values_of_an_endless_header": arrays(IDS) + npy("(6,)", "'<f8'", length=65535),
    "values_of_a_header_of_4_gigabytes": arrays(IDS) + npy("(6,)", "'<f8'", version=(2, 0), length=0xFFFFFFFF),
    "values_of_unknown_version": arrays(IDS) + npy("(6,)", "'<f8'", version=(9, 9), data=REALS.tobytes()),
    "ids_of_reals_and_values": arrays(IDS * 1.0, REALS),
}
for name, content in VALUES.items():
    coo(name, content, text=NUMERIC)
truncations("coo_values", FILE, arrays(IDS, REALS), 5, ":coo", least=len(arrays(IDS)) + 1, text=NUMERIC)

coo("of_three_columns", arrays(numpy.zeros((2, 3), "i8")), text=RELATION, status=65)
coo("without_values", arrays(IDS), text='P[x] = "{}"\n"never.npy" = P[x]\n')
coo("of_an_extent_of_2_to_the_40", arrays(IDS + 2**40), text=DENSE, status=65, mentions=[])
coo("of_an_extent_of_2_to_the_20", arrays(IDS + 2**20), text=DENSE, status=71, mentions=[])
case("coo_of_an_archive", "x.npz", b"PK\5\6" + bytes(18), ":coo", text=RELATION, status=65)
case("coo_that_is_a_folder", FILE, os.mkdir, ":coo", text=RELATION)
case("coo_that_is_a_pipe", FILE, os.mkfifo, ":coo", text=RELATION)
case("coo_that_is_endless", FILE, lambda path: os.symlink("/dev/zero", path), ":coo", text=RELATION)
case("coo_of_holes", FILE, lambda path: sparse(path, npy("(16777216, 2)", "'<i8'"), 2**28), ":coo", text=RELATION, status=71, mentions=[],
     arguments=["--mem-per-rank", "64M"])


def sparse(path, head, size):
    """A file of zeros that takes no room, but for its head."""
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
