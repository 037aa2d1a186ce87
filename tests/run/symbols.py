#!/usr/bin/env python3
"""Programs over symbols against Python's own reading of the files: usage symbols.py --binary FUSE_DIST [--ranks 1,2,3].

What would make it fail: ids in another order than that of first appearance, tables of columns that belong together kept apart
or the other way round, a symbol that gets two ids or none where ranges of ranks meet, an integer of a symbolic column that is
taken as an id, rows that are lost or doubled when text becomes ids, sinks that differ between numbers of ranks or are not
sorted by id, a broken file that is read or an error at another place.
"""

import argparse
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402

random.seed(20250611)


class Table:
    """Symbols in the order of first appearance."""

    def __init__(self, symbols=()):
        self.ids = {}
        for symbol in symbols:
            self.id(symbol)

    def id(self, symbol):
        return self.ids.setdefault(symbol, len(self.ids))

    def sort(self, rows):
        return sorted(rows, key=lambda row: [self.ids[symbol] for symbol in row])


def write(folder, name, text):
    with open(os.path.join(folder, name), "wb") as stream:
        stream.write(text if isinstance(text, bytes) else text.encode())


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8", newline="") as stream:
        return stream.read()


def lines(rows, separator="\t"):
    return "".join(separator.join(str(field) for field in row) + "\n" for row in rows)


def number(value):
    return f"{value:.1f}" if value == int(value) else repr(value)


WORDS = ["ann", "bob", "zoé", "Ωmega", "名前", "7", "007", "-1", "3.5", "nan", "a b", "x" * 60, '"q"', "+", "e5", "10"]


def symbols(n):
    return WORDS + [f"s{i}{'y' * random.randrange(12)}" for i in range(n - len(WORDS))]


# ---- programs: each writes its files, and says what comes out ----

def family(folder):
    names = symbols(200)
    parents = [(random.choice(names), random.choice(names)) for _ in range(500)]
    sisters = [(random.choice(names), random.choice(names)) for _ in range(300)]
    write(folder, "parent.tsv", "".join(f" {a}\t{b} \r\n" for a, b in parents))
    write(folder, "sister.csv", lines(sisters, ",").rstrip("\n"))
    write(folder, "empty.tsv", "")
    write(folder, "more.inc", 'Parent(x,y) = "more.tsv"\n')
    more = [(random.choice(names), "late" + random.choice(names)) for _ in range(20)]
    write(folder, "more.tsv", lines(more))
    table = Table()
    for a, b in sisters + more + parents:
        table.id(a), table.id(b)
    for constant in "ann", "nobody":
        table.id(constant)
    parents = set(parents + more)
    aunt = {(x, z) for x, y in set(sisters) for p, z in parents if p == y}
    children = {}
    for a, b in parents:
        children.setdefault(a, set()).add(b)
    degree = table.sort((a, ) for a in children)
    return """
Sister(x,y) = "sister.csv"
Nothing(x,y) = "empty.tsv"
import "more.inc"
Parent(x,y) = "parent.tsv"
Aunt(x,z) = Sister(x,y) Parent(y,z)
Any(x,y) = Parent(x,y) + Nothing(x,y) + Sister(x,y)
Of(y) = Parent("ann", y)
Nobody(y) = Parent("nobody", y)
Degree[x] = Parent(x,y)
"aunt.tsv" = Aunt(x,z)
"aunt.csv" = Aunt(x,z)
"of.tsv" = Of(y)
"none.tsv" = Nobody(y)
"degree.tsv" = Degree[x]
"any.tsv" = Any(x,y)
""", {
        "aunt.tsv": lines(table.sort(aunt)),
        "aunt.csv": lines(table.sort(aunt), ","),
        "of.tsv": lines(table.sort((y, ) for y in children.get("ann", ()))),
        "none.tsv": "",
        "degree.tsv": lines((a, len(children[a])) for (a, ) in degree),
        "any.tsv": lines(table.sort(parents | set(sisters))),
    }


def weights(folder):
    """A numeric relation of people and towns, the towns integers, the people not; two tables, and a number column."""
    people, towns = symbols(60), [str(i) for i in range(30)]
    rows = [(random.choice(people), random.choice(towns), random.randrange(1, 100) / 4) for _ in range(400)]
    ids = [(random.choice(people), random.randrange(9), random.randrange(50)) for _ in range(100)]
    write(folder, "w.tsv", lines((p, t, number(v)) for p, t, v in rows))
    write(folder, "ids.tsv", lines(ids))
    table = Table()
    sums, best, each = {}, {}, {}
    cells = {}
    for p, t, v in rows:
        table.id(p)
        sums[p] = sums.get(p, 0) + v
        cells[p, t] = cells.get((p, t), 0) + v
    for (p, t), v in cells.items():
        best[t] = max(best.get(t, 0), v)
    for p, k, v in ids:
        table.id(p)
        each[p, k] = each.get((p, k), 0) + v
    return """
W[p,t] = "w.tsv"
S[p] = W[p,t]
B[t] max= W[p,t]
V[p,k] = "ids.tsv"
T[p,k] = V[p,k] S[p]
"s.tsv" = S[p]
"b.tsv" = B[t]
"v.tsv" = V[p,k]
""", {
        "s.tsv": lines((p, number(v)) for p, v in sorted(sums.items(), key=lambda item: table.ids[item[0]])),
        "b.tsv": lines((t, number(v)) for t, v in sorted(best.items(), key=lambda item: int(item[0]))),
        "v.tsv": lines((p, k, number(v)) for (p, k), v in
                       sorted(each.items(), key=lambda item: (table.ids[item[0][0]], item[0][1])) if v != 0),
    }


def names(folder):
    """A list of names fixes ids and extent, whatever the files say first."""
    listed = ["zed", "ann", "bob", "cid", "5"]
    write(folder, "names.txt", "\r\n".join(listed) + "\n\n")
    write(folder, "e.tsv", lines([("bob", "ann"), ("5", "zed")]))
    write(folder, "x.json", "[1, 2, 3, 4, 5]")
    return """
axis x = "names.txt"
axis y = "names.txt"
E(x,y) = "e.tsv"
X[x] = "x.json"
Y[y] = E(x,y) X[x]
Z = X["cid"]
Y["cid"] = 7
"y.tsv" = Y[y]
"z.json" = Z
"e.csv" = E(x,y)
""", {
        "y.tsv": lines([("zed", 5), ("ann", 3), ("cid", 7)]),
        "z.json": "4\n",
        "e.csv": "bob,ann\n5,zed\n",
    }


def facts(folder):
    """No file at all: strings are the symbols."""
    return """
Likes("ann", "bob") = 1
Likes("cid", "ann") = 1
Friend(x,z) = Likes(x,y) Likes(y,z)
"f.tsv" = Friend(x,z)
""", {"f.tsv": "cid\tbob\n"}


def twice(folder):
    """One file for two statements that have nothing in common: each has symbols of its own."""
    write(folder, "e.tsv", "b\ta\na\tb\nc\tb\n")
    write(folder, "i.tsv", "1\t0\n0\t2\n")
    return """
A(x,y) = "e.tsv"
C(x,y) = A(y,x)
D(x) = "one.csv"
E(x) = D(x) A(x,y)
A2(p,q) = "e.tsv"
H(p,q) = A2(p,q) A2(q,p)
"h.tsv" = H(p,q)
B(u,v) = "i.tsv"
F(u) = B(u,v)
"c.tsv" = C(x,y)
"e.out.tsv" = E(x)
"f.tsv" = F(u)
""", {"c.tsv": "a\tb\nb\ta\nb\tc\n", "h.tsv": "b\ta\na\tb\n", "e.out.tsv": "b\na\n", "f.tsv": "0\n1\n"}


def one(folder):
    write(folder, "one.csv", "a\nb\nd\n")


PROGRAMS = [family, weights, names, facts, twice]

# ---- files that are wrong: text, place and words of the message, status ----

WRONG = [
    (b"ann\tbob\ncid\n", "e.tsv:2:4: a row of 1 field", 66),
    (b"ann\tbob\ncid\tdora\teve\n", "e.tsv:2:10: a row of 3 fields", 66),
    (b"ann\tbob\n\tcid\n", "e.tsv:2:1: an empty field", 66),
    (b"ann\tbob\ncid\t \n", "e.tsv:2:6: an empty field", 66),
    (b"ann\tbob\n\ncid\tdora\n", "e.tsv:2:1: a blank line between rows", 66),
    (b"ann\tbob\nci\xffd\tdora\n", "e.tsv:2:1: this is not UTF-8", 66),
    (b"ann\tbob\nd\tci\0d\n", "e.tsv:2:3: a NUL byte", 66),
    (b"ann\tbob\nd\t\xed\xa0\x80\n", "e.tsv:2:3: this is not UTF-8", 66),
    (b"ann\tbob\nd\t" + b"x" * 4097 + b"\n", "e.tsv:2:3: a symbol of more than 4096 bytes", 66),
    (b"\xef\xbb\xbfann\tbob\n", "e.tsv:1:1: a byte order mark", 66),
    (b"ann\tbob\n" * 500 + b"x" * (1 << 19) + b"\n", "e.tsv:501:262144: a line of more than", 66),
    (b"ann\tbob\ncid\tb\rob\n", "e.tsv:2:5: a carriage return", 66),
]


def check_program(binary, ranks, program):
    with tempfile.TemporaryDirectory() as folder:
        one(folder)
        random.seed(program.__name__)
        text, wanted = program(folder)
        write(folder, "p.fuse", text)
        result = launch.run(launch.on_ranks(ranks, [binary, "p.fuse"]), folder, 60)
        assert result.status == 0, (program.__name__, ranks, result.tail())
        for name, content in wanted.items():
            got = read(folder, name)
            assert got == content, (program.__name__, ranks, name, got[:300], content[:300])


def check_wrong(binary, ranks):
    for text, words, status in WRONG:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, "e.tsv", text)
            write(folder, "p.fuse", 'E(x,y) = "e.tsv"\n"y.tsv" = E(x,y)\n')
            result = launch.run(launch.on_ranks(ranks, [binary, "p.fuse"]), folder, 60)
            assert result.status == status, (text[:60], ranks, result.status, result.tail())
            assert words in result.tail(), (text[:60], words, result.tail())
            assert not os.path.exists(os.path.join(folder, "y.tsv")), text[:60]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,4,8")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    counts = [int(n) for n in arguments.ranks.split(",")]
    for ranks in counts:
        for program in PROGRAMS:
            check_program(binary, ranks, program)
    check_wrong(binary, 0)
    print(f"{len(PROGRAMS)} programs on {counts} ranks, {len(WRONG)} broken files")


main()
