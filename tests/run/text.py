#!/usr/bin/env python3
"""Texts as relations of position and token, against Python's own split: usage text.py --binary FUSE_DIST [--ranks 1,2,3].

What would make it fail: a token that is lost, doubled or cut where ranges of ranks meet, positions or ids that depend on ranks,
white space that counts, a fault that is read over or is said to be at another place, a vocabulary that is ignored, or whose
index is another one, an unknown token that gets the id of a known one, an extent that depends on which tokens a text has.
"""

import argparse
import collections
import gzip
import json
import os
import random
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import launch  # noqa: E402

launch.require_numpy()
import numpy  # noqa: E402


def licence(name):
    with open(f"/usr/share/common-licenses/{name}", "rb") as stream:
        return stream.read()


TEXTS = {
    "tiny": b"a b\na",
    "empty": b"",
    "blank": b" \n\t\v\f\r ",
    "runs": b" " * 300000 + b"a" + b"\n" * 270000 + b"b " + b"z" * 4096 + b" " * 5,
    "GPL-3": licence("GPL-3"),
}
FAULTS = {
    b"ab c\nde \xff x\n": "2:4: this is not UTF-8",
    b"a b\n x " + b"z" * 4097 + b" q": "2:4: a symbol of more than 4096 bytes",
    b"x y\n" * 70000 + b"  a\0b " + b"u v " * 90000: "70001:3: a NUL byte",
}
COUNT = 'X(p, w) = "%s"\nN[w] = X(p, w)\n"n.tsv" = N[w]\n"x.tsv" = X(p, w)\n'


def write(folder, name, data):
    with open(f"{folder}/{name}", "wb") as stream:
        stream.write(data if isinstance(data, bytes) else data.encode())


def read(folder, name):
    with open(f"{folder}/{name}", "rb") as stream:
        return stream.read()


def run(binary, ranks, folder, program, name="p.fuse"):
    write(folder, name, program)
    return launch.run(launch.on_ranks(ranks, [binary, name]), folder, 60)


def check(binary, ranks, folder, program, label):
    done = run(binary, ranks, folder, program)
    assert done.status == 0, (label, ranks, done.tail())


def lines(rows):
    return b"".join(b"\t".join(f if isinstance(f, bytes) else b"%d" % f for f in row) + b"\n" for row in rows)


def check_texts(binary, ranks, folder):
    """All in one program: texts whose indices have other names have nothing to do with each other."""
    program, wanted = "", {}
    for k, text in enumerate(TEXTS.values()):
        tokens = text.split()
        for form, suffix, data in (("m", "md", text), ("z", "txt.gz", gzip.compress(text))):
            name = f"{form}{k}"
            write(folder, f"{name}.{suffix}", data)
            program += COUNT.replace("X", f"X{name}").replace("N[", f"N{name}[").replace("p, w", f"p{name}, w{name}")
            program = program.replace("[w]", f"[w{name}]").replace("%s", f"{name}.{suffix}")
            program = program.replace('"n.tsv"', f'"{name}.n.tsv"').replace('"x.tsv"', f'"{name}.x.tsv"')
            # A counter keeps the order of first appearance.
            wanted[f"{name}.n.tsv"] = lines(collections.Counter(tokens).items())
            wanted[f"{name}.x.tsv"] = lines(enumerate(tokens))
    check(binary, ranks, folder, program, "texts")
    for name, want in wanted.items():
        assert read(folder, name) == want, (name, ranks)


# ---- vocabularies ----

def as_items(vocabulary):
    items = [{"token": token, "index": index} for token, index in vocabulary.items()]
    return {"items": items, "version": 1}


def ids_of(vocabulary, *texts):
    """Positions to ids, one list a text, and the extent; unknown tokens in the order of their first appearance."""
    ids, end = dict(vocabulary), max(vocabulary.values(), default=-1) + 1
    lists = []
    for text in texts:
        for token in text.split():
            if token not in ids:
                ids[token] = end
                end += 1
        lists.append([ids[token] for token in text.split()])
    return lists, end


FORMS = {
    "list": (["the", "of", "quite-unknown", "license", "to"], None),
    "map": ({"the": 4, "of": 0, "zz": 9, "GNU": 3}, None),
    "items": (as_items({"of": 7, "the": 2, "Ωmega": 11, "a": 30}), {"of": 7, "the": 2, "Ωmega": 11, "a": 30}),
    "odd": ({"items": 1, "version": 0, " the": 2, "a\nb": 3, "": 5, "x" * 5000: 6, "the": 4}, None),
    "none": ([], None),
    "escaped": ({"the": 1, "\U0001f600": 0}, None),
}


def dense(ids, end):
    cells = numpy.zeros((len(ids), end), numpy.uint8)
    cells[numpy.arange(len(ids)), ids] = 1
    return cells


def check_vocabularies(binary, ranks, folder):
    text = "the quick of items \U0001f600 the version Ωmega " + licence("GPL-3").decode()[:3000]
    other = "of lazy quick cats the"
    program, wanted = "", {}
    for k, (written, meant) in enumerate(FORMS.values()):
        vocabulary = meant or (written if isinstance(written, dict) else {t: i for i, t in enumerate(written)})
        for name in f"v{k}.txt", f"u{k}.txt":
            write(folder, name, text)
            write(folder, name.replace("txt", "vocab.json"), json.dumps(written, ensure_ascii=k % 2 == 0, indent=1))
        write(folder, f"w{k}.md", other)
        program += f'''
U{k}(p,r{k}) = "u{k}.txt"
"u{k}.npy" = U{k}(p,r{k})
"u{k}.tsv" = U{k}(p,r{k})
W{k}(q,t{k}) = "w{k}.md"
V{k}(p,t{k}) = "v{k}.txt"
B{k}(p,q) = V{k}(p,t{k}) W{k}(q,t{k})
"w{k}.npy:coo" = W{k}(q,t{k})
"v{k}.npy:coo" = V{k}(p,t{k})
"b{k}.npy:coo" = B{k}(p,q)
'''
        (only,), end = ids_of(vocabulary, text)
        wanted[f"u{k}"] = dense(only, end)
        # The other text has no vocabulary, and stands first: that of the axis comes before both.
        ids, _ = ids_of(vocabulary, other, text)
        wanted[f"w{k}"], wanted[f"v{k}"] = (numpy.stack([numpy.arange(len(i)), i], 1) for i in ids)
        wanted[f"b{k}"] = numpy.array([(i, j) for i, a in enumerate(text.split()) for j, b in enumerate(other.split())
                                       if a == b])
    check(binary, ranks, folder, program, "vocabularies")
    for name, want in wanted.items():
        got = numpy.load(f"{folder}/{name}.npy")
        assert numpy.array_equal(got, want), (name, ranks, got.shape, want.shape)
    for k in range(len(FORMS)):
        assert read(folder, f"u{k}.tsv") == lines((i, t.encode()) for i, t in enumerate(text.split())), (k, ranks)


def check_lookup(binary, ranks, folder):
    """An embedding of tokens: the ids of a vocabulary are the rows of a table."""
    random.seed(3)
    words = [f"w{k}" for k in range(997)]
    tokens = [random.choice(words) for _ in range(1500)]
    index = list(range(1000))
    random.shuffle(index)
    vocabulary = dict(zip(words, index))
    table = numpy.random.default_rng(5).standard_normal((1000, 24)).astype(numpy.float32)
    numpy.save(f"{folder}/emb.npy", table)
    write(folder, "t.txt", "\n".join(tokens))
    write(folder, "t.vocab.json", json.dumps(as_items(vocabulary)))
    check(binary, ranks, folder,
          'Text(p,t) = "t.txt"\nEmb[t,d] = "emb.npy"\nX[p,d] = Text(p,t) Emb[t,d]\nN[t] = Text(p,t)\n'
          'First[d] = Emb["w0",d]\n"x.npy" = X[p,d]\n"n.npy" = N[t]\n"first.npy" = First[d]\n', "lookup")
    ids = [vocabulary[token] for token in tokens]
    assert numpy.array_equal(numpy.load(f"{folder}/x.npy"), table[ids]), ranks
    assert numpy.array_equal(numpy.load(f"{folder}/n.npy"), numpy.bincount(ids, minlength=1000)), ranks
    assert numpy.array_equal(numpy.load(f"{folder}/first.npy"), table[vocabulary["w0"]]), ranks
    # A token that the vocabulary lacks is behind the table; a vocabulary that is larger than the table is no matter.
    write(folder, "t.txt", "w1 w2\nnew w3")
    del vocabulary["w0"]
    vocabulary["last"] = 5000
    write(folder, "t.vocab.json", json.dumps(vocabulary))
    done = run(binary, ranks, folder, 'Text(p,t) = "t.txt"\nEmb[t,d] = "emb.npy"\nX[p,d] = Text(p,t) Emb[t,d]\n'
               '"y.npy" = X[p,d]\n')
    assert done.status == 66 and 'row 3 of "t.txt": id 5001 is outside' in done.tail(), done.tail()
    os.remove(f"{folder}/t.vocab.json")


WRONG = [
    ("{", "b.vocab.json:1:2: "),
    ("7", "b.vocab.json:1:1: a vocabulary is an object or a list, not an integer"),
    ('["a",\n 3]', "b.vocab.json:2:2: a token must be a string, not an integer"),
    ('["a", "b",\n "a"]', 'b.vocab.json:2:2: the token "a" stands twice, first at 1:2'),
    ('{"a": 1,\n "b": "c"}', "b.vocab.json:2:7: an index must be an integer, not a string"),
    ('{"a": 1, "b": 1.5}', "b.vocab.json:1:15: an index must be an integer, not a real number"),
    ('{"a": 1, "b": -1}', "b.vocab.json:1:15: the index -1"),
    ('{"a": 1, "b": 16777216}', "b.vocab.json:1:15: the index 16777216"),
    ('{"a": 1, "b": 99999999999999999999}', "b.vocab.json:1:15: an integer beyond 2^53"),
    ('{"a": 1, "a": 2}', 'b.vocab.json:1:10: the key "a" stands twice'),
    ('{"a": 1, "b": 1}', 'b.vocab.json:1:15: the index 1 of "b" is that of "a" at 1:7'),
    ('{"version": 2, "items": []}', "b.vocab.json:1:13: this version of vocabularies is not known"),
    ('{"items": []}', 'b.vocab.json:1:1: this vocabulary has no "version"'),
    ('{"version": 1, "items": [], "x": 1}', 'b.vocab.json:1:29: "x" is no key of a vocabulary'),
    ('{"version": 1, "items": [["a", 1]]}', "b.vocab.json:1:26: an item must be an object, not a list"),
    ('{"version": 1, "items": [{"token": "a"}]}', 'b.vocab.json:1:26: this item has no "index"'),
    ('{"version": 1, "items": [{"token": 1, "index": 1}]}', "b.vocab.json:1:36: a token must be a string"),
    ('{"version": 1, "items": [{"token": "a", "index": 1, "score": 0}]}', 'b.vocab.json:1:53: "score" is no key'),
    (None, "b.vocab.json"),
]


def check_wrong(binary, ranks, folder):
    for text, message in FAULTS.items():
        write(folder, "bad.txt", text)
        done = run(binary, ranks, folder, COUNT % "bad.txt")
        assert done.status == 66 and f"bad.txt:{message}" in done.tail(), done.tail()
    write(folder, "b.txt", "a b c")
    # Rank 0 reads vocabularies: several ranks are to agree on its verdict, whichever it is.
    for text, message in WRONG if ranks == 0 else WRONG[::6]:
        if text is None:
            os.remove(f"{folder}/b.vocab.json")
            os.symlink("nowhere", f"{folder}/b.vocab.json")
        else:
            write(folder, "b.vocab.json", text)
        done = run(binary, ranks, folder, COUNT % "b.txt")
        assert done.status == 66 and message in done.tail(), (text, done.status, done.tail())
        assert "hint:" in done.tail(), (text, done.tail())
    os.remove(f"{folder}/b.vocab.json")
    for program, status, message in (
        ('X(p) = "b.txt"\n"y.tsv" = X(p)\n', 65, 'p.fuse:1:1: error: "b.txt" has 2 columns'),
        ('X[p] = "b.txt"\n"y.tsv" = X[p]\n', 66, "b.txt: its tokens are no values"),
        ('X(p,t,q) = "b.txt"\n"y.tsv" = X(p,t,q)\n', 65, 'p.fuse:1:1: error: "b.txt" has 2 columns'),
    ):
        done = run(binary, ranks, folder, program)
        assert done.status == status and message in done.tail(), done.tail()


def check_disagreement(binary, ranks, folder):
    program = 'X(p,t) = "a.txt"\nY(q,t) = "b.txt"\nZ(p,q) = X(p,t) Y(q,t)\n"z.tsv" = Z(p,q)\n'
    for name in ("a.txt", "b.txt"):
        write(folder, name, "u v")
    for first, second, message in (
        ({"u": 1, "v": 2}, {"v": 2, "u": 3}, "b.vocab.json: the token 'u' has the index 3, and in a.vocab.json 1"),
        ({"u": 1, "v": 2}, ["x", "u", "y"], "b.vocab.json: the index 2 is that of 'y', and in a.vocab.json that of 'v'"),
    ):
        write(folder, "a.vocab.json", json.dumps(first))
        write(folder, "b.vocab.json", json.dumps(second))
        done = run(binary, ranks, folder, program)
        assert done.status == 66 and message in done.tail(), done.tail()
    write(folder, "b.vocab.json", json.dumps(["x", "u", "v", "y"]))
    check(binary, ranks, folder, program, "agreeing vocabularies")
    assert read(folder, "z.tsv") == b"0\t0\n1\t1\n"
    write(folder, "names.txt", "u\nv\n")
    done = run(binary, ranks, folder, 'axis t = "names.txt"\n' + program)
    assert done.status == 66 and "a.vocab.json: this vocabulary is of an axis that has a list" in done.tail(), done.tail()
    # An id that no symbol has cannot be written as a symbol.
    done = run(binary, ranks, folder, 'X(p,t) = "a.txt"\nN[t] = X(p,t) + 1\n"n.tsv" = N[t]\n')
    assert done.status == 73 and "no symbol has the id 0" in done.tail(), done.tail()
    assert not os.path.exists(f"{folder}/n.tsv")


def check_info(binary, folder):
    write(folder, "t.txt", "a b a")
    write(folder, "t.vocab.json", '["b", "a"]')
    done = launch.run([binary, "info", "t.txt"], folder, 60)
    assert done.status == 0 and re.search(r"column 1 +symbols", done.out), done.out
    assert 'vocabulary = "2 tokens, indices below 2"' in done.out, done.out
    done = launch.run([binary, "convert", "t.txt", "t.tsv"], folder, 60)
    assert done.status == 0 and read(folder, "t.tsv") == b"0\ta\n1\tb\n2\ta\n", done.tail()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--ranks", default="1,2,3,4,8")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    counts = [int(n) for n in arguments.ranks.split(",")]
    for ranks in counts:
        for check_some in check_texts, check_vocabularies, check_lookup:
            with tempfile.TemporaryDirectory() as folder:
                check_some(binary, ranks, folder)
    for ranks in (0, 3):
        for check_some in check_wrong, check_disagreement:
            with tempfile.TemporaryDirectory() as folder:
                check_some(binary, ranks, folder)
    with tempfile.TemporaryDirectory() as folder:
        check_info(binary, folder)
    print(f"{len(TEXTS)} texts and {len(FORMS)} vocabularies on {counts} ranks, {len(WRONG) + len(FAULTS)} broken files")


main()
