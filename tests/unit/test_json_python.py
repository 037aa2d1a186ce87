#!/usr/bin/env python3
"""Compares json sources and sinks with Python's json module and NumPy: usage test_json_python.py DRIVER. Returns 77 without
NumPy.

What would make it fail: a number read or written as another one, a sink that needs more digits than it must, a file that
is no regular array being read, an error at another place than the first wrong character.
"""

import json
import os
import subprocess
import sys
import tempfile
from fractions import Fraction

try:
    import numpy as np
except ImportError:
    print("NumPy is missing, nothing checked")
    sys.exit(77)

random = np.random.default_rng(20240203)
DRIVER = ""
NAMES = {"b1": "bool", "u1": "u8", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "f2": "f16", "f4": "f32", "f8": "f64"}


def ask(commands):
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True,
                          timeout=50)
    answers = done.stdout.splitlines()
    assert len(answers) == len(commands), (len(answers), len(commands), answers[-1:])
    return answers


def write(path, text):
    with open(path, "w" if isinstance(text, str) else "wb") as stream:
        stream.write(text)


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def bits(code, count):
    """Reals of every exponent, without NaN and infinity."""
    size = np.dtype(code).itemsize
    values = random.integers(0, 1 << 8 * size, count, dtype="u8", endpoint=False).astype(f"u{size}").view(code)
    return values[np.isfinite(values)]


def to_f32(text):
    """The float nearest to a decimal text, ties to even. NumPy goes through a double, which rounds twice."""
    exact, near = Fraction(text), np.float32(text)
    np.seterr(over="ignore")
    if near == 0 or not np.isfinite(near):
        return near
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min((f for f in around if np.isfinite(f)),
               key=lambda f: (abs(Fraction(float(f)) - exact), int(np.float32(f).view("u4")) & 1))


def test_sources():
    """Values of all kinds in any layout of blanks: the same as json.loads and one rounding to f32."""
    arrays = [np.array(7), np.array(-0.5, "f4"), np.array(True), np.arange(1), np.arange(24).reshape(2, 3, 4),
              random.integers(-2**53, 2**53, (40, 50), endpoint=True), random.random((300, 7)) < 0.5,
              np.array([2**53, -2**53]), np.ones((1,) * 20, "i8"), bits("f4", 4000), bits("f4", 3000).reshape(-1, 1, 1),
              random.standard_normal((100, 60)).astype("f4"), np.array([[0.0, -0.0, 1e-45, 3.4028235e38]], "f4")]
    texts = []
    for array in arrays:
        texts.append(json.dumps(array.tolist()))
        texts.append(json.dumps(array.tolist(), indent=1))
        texts.append(" \r\n\t" + json.dumps(array.tolist(), separators=(" ,\n", ":")) + "\n\n")
    texts += ["[1, 2.0, 3]", "[1e0, 2E+1, 3e-1, 0.5e3]", "[0.1, 1]", "[-0, 0]", "[1.0000000596046448]", "[1.00000005960464477540]",
              "[1.000000178813934326171875, 1.0000001788139343261718749999, 1.00000017881393432617187500001]",
              "[" + "0." + "1" * 900 + "]", "[340282346638528859811704183484516925440.0]", "[1e-400, 1e-46, 7e-46, 8e-46]",
              "[0." + "0" * 500 + "1]", "[" + "9" * 38 + ".0]", "[true]", "false"]
    # Between two floats, with as many digits as hide on which side; rounding to a double first would lose it.
    floats = np.abs(bits("f4", 3000))
    floats = floats[(floats > 1e-18) & (floats < 1e18)].astype("f8")
    middles = (floats + np.nextafter(floats.astype("f4"), np.float32(np.inf)).astype("f8")) / 2
    texts += ["[" + ", ".join(f"{m:.{digits}e}" for m in middles) + "]" for digits in (12, 13, 14, 15, 16, 17, 40)]
    for number, text in enumerate(texts):
        write(f"s{number}.json", text)
    answers = ask([f"all s{number}.json o{number}" for number in range(len(texts))])
    for number, (text, answer) in enumerate(zip(texts, answers)):
        reals = "." in text or "e" in text.replace("true", "").replace("false", "")
        want = json.loads(text, parse_float=to_f32) if reals else json.loads(text)
        array = np.array(want, dtype="f4" if reals else None)
        kind = {"f": "f32", "i": "i64", "b": "bool"}[array.dtype.kind]
        assert answer.split() == ["ok", kind, "0", "0", str(array.ndim)] + [str(e) for e in array.shape], (text[:80], answer)
        assert read(f"o{number}") == array.tobytes(), text[:80]
    return len(texts)


def test_boxes():
    """Boxes anywhere in a file of many chunks, forwards and back."""
    array = random.integers(0, 10**6, (200, 30, 20))
    write("boxes.json", json.dumps(array.tolist()))
    commands, expected = [], []
    for _ in range(40):
        low, high = zip(*(sorted(random.integers(0, e + 1, 2).tolist()) for e in array.shape))
        commands.append(f"read boxes.json b{len(commands)} 0 " + " ".join(map(str, low + high)))
        expected.append(array[tuple(slice(a, b) for a, b in zip(low, high))])
    for number, (answer, part) in enumerate(zip(ask(commands), expected)):
        assert answer.startswith("ok") and read(f"b{number}") == part.tobytes(), commands[number]
    return len(commands)


def write_command(number, array, boxes=None):
    write(f"w{number}.raw", b"".join(array[b].tobytes() for b in boxes) if boxes else array.tobytes())
    shape = " ".join(map(str, array.shape))
    lines = []
    for box in boxes or [tuple(slice(0, e) for e in array.shape)]:
        lines.append(" ".join([str(s.start) for s in box] + [str(s.stop) for s in box]))
    kind = NAMES[array.dtype.str.lstrip("<>|=")]
    return f"write w{number}.json {kind} {array.ndim} {shape} w{number}.raw {len(lines)}\n" + "\n".join(lines)


def run_writes(commands):
    done = subprocess.run([DRIVER], input="\n".join(commands) + "\n", text=True, stdout=subprocess.PIPE, check=True)
    return done.stdout.splitlines()


def test_sinks():
    arrays = [np.array(3, "i4"), np.array(2.5, "f4"), np.array(False), np.zeros((0,), "f4"), np.zeros((3, 0, 2), "i2"),
              np.zeros((2, 3, 0), "i2"), np.arange(24, dtype="i8").reshape(2, 3, 4), random.random((9, 5)) < 0.5,
              np.array([-2**63, 2**63 - 1, 0]), np.arange(256, dtype="u1"), np.arange(-128, 128, dtype="i1").reshape(16, 16),
              bits("f4", 20000), bits("f8", 5000), bits("f2", 3000), random.standard_normal((50, 40)).astype("f4"),
              (2.0 ** np.arange(-149, 128)).astype("f4"), np.array([1e16, 1e15, 1e17, 1e-4, 1e-5, 123456.7], "f4"),
              random.random(30000).astype("f4")]
    answers = run_writes([write_command(number, array) for number, array in enumerate(arrays)])
    assert answers == ["ok"] * len(arrays), answers
    for number, array in enumerate(arrays):
        text = read(f"w{number}.json").decode()
        back = json.loads(text)
        kind = array.dtype if array.dtype.kind != "f" else ("f8" if array.dtype.itemsize == 8 else "f4")
        words = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
        assert np.shape(back) == array.shape or array.size == 0, text[:100]
        assert back == np.zeros(array.shape).tolist() or array.size > 0, text[:100]
        if array.dtype.kind == "b":
            values = np.array([{"true": True, "false": False}[w] for w in words])
        elif array.dtype.kind in "iu":
            values = np.array([int(w) for w in words], dtype=object).astype(array.dtype)
        else:
            values = np.array([to_f32(w) if kind != "f8" else float(w) for w in words], dtype=kind)
            assert all("." in w or "e" in w for w in words), "a real that reads back as an integer"
            for word, value in list(zip(words, array.ravel().astype(kind)))[:20000]:
                digits = word.lstrip("-").split("e")[0].replace(".", "").strip("0")
                best = np.format_float_scientific(value, unique=True, trim="-").lstrip("-").split("e")[0].replace(".", "").strip("0")
                assert len(digits) <= len(best), (word, value, best)
        assert values.tobytes() == array.astype(kind).tobytes(), f"w{number}"
    return len(arrays)


def test_sinks_in_boxes():
    """Written in boxes of any order, a file is the same as written at once, byte for byte."""
    array = random.standard_normal((12, 7, 5)).astype("f4")
    order = [(slice(a, a + 3), slice(b, b + 7), slice(0, 5)) for a in (6, 0, 9, 3) for b in (0,)]
    columns = [(slice(0, 12), slice(b, b + 1), slice(c, c + 1)) for b in range(7) for c in (4, 0, 1, 3, 2)]
    big = random.standard_normal((400000,)).astype("f4")
    halves = [(slice(200000, 400000),), (slice(0, 200000),)]
    commands = [write_command(0, array), write_command(1, array, order), write_command(2, array, columns),
                write_command(3, big), write_command(4, big, halves)]
    assert run_writes(commands) == ["ok"] * 5
    assert read("w0.json") == read("w1.json") == read("w2.json") and read("w3.json") == read("w4.json")
    assert sorted(f for f in os.listdir(".") if f.startswith(".")) == []
    return 5


def test_no_numbers():
    for number, (value, name) in enumerate([(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "-infinity")]):
        array = np.zeros((4, 5), "f4")
        array[2, 3] = value
        answers = run_writes([write_command(1000 + number, array), write_command(2000, array[:2])])
        assert answers[0].startswith("OUTPUT ") and f"[2, 3] is {name}" in answers[0] and answers[1] == "ok", answers
        assert not os.path.exists(f"w{1000 + number}.json")
    assert [f for f in os.listdir(".") if f.startswith(".")] == []
    return 3


def test_refused():
    """text -> line, column and a part of the reason."""
    deep = "[" * 40 + "1" + "]" * 40
    cases = [
        ("", 1, 1, "holds nothing"), ("  \n \n", 3, 1, "holds nothing"), ("[", 1, 2, "ends inside"), ("[1", 1, 3, "ends inside"),
        ("[1,", 1, 4, "ends inside"), ("[1, 2]]", 1, 7, "follows the end"), ("[1] [2]", 1, 5, "follows the end"),
        ("[1],[2]", 1, 4, "follows the end"), ("1 2", 1, 3, "follows the end"), ("[1]\n\nx", 3, 1, "neither a number"),
        ("[]", 1, 2, "empty list"), ("[[1], []]", 1, 8, "empty list"), ("[[], [1]]", 1, 3, "empty list"),
        ("[[1, 2],\n [3]]", 2, 4, "a list of 1 element, where the lists before have 2"),
        ("[[1],\n [2, 3]]", 2, 4, "another element of a list, where the lists before have 1"),
        ("[[1, 2], 3]", 1, 10, "a number where the elements before are lists"),
        ("[1, [2]]", 1, 5, "a list where the values before are numbers"),
        ("[[[1]], [2]]", 1, 10, "a number where the elements before are lists"),
        ("[[[1], [2]], [[3]]]", 1, 18, "a list of 1 element, where"),
        ("[true, 1]", 1, 8, "a number where the values before are Booleans"),
        ("[1.5,\n\n false]", 3, 2, "a Boolean where the values before are numbers"), ("[true, [false]]", 1, 8, "Booleans"),
        ("[1,,2]", 1, 4, "missing before ','"), ("[1,]", 1, 4, "missing between"), ("[,1]", 1, 2, "missing before ','"),
        ("]", 1, 1, "']' without '['"), ("[1 2]", 1, 4, "',' or ']' is missing"), ("[1}", 1, 3, "does not belong"),
        ("[NaN]", 1, 2, "NaN and Infinity"), ("[1, -Infinity]", 1, 5, "NaN and Infinity"), ("[null]", 1, 2, "null"),
        ('["a"]', 1, 2, "a string"), ('{"a": 1}', 1, 1, "an object"), ("[01]", 1, 2, "begin with 0"), ("[-]", 1, 2, "without"),
        ("[+1]", 1, 2, "begin with '+'"), ("[.5]", 1, 2, "begin with '.'"), ("[5.]", 1, 2, "behind '.'"),
        ("[1e]", 1, 2, "exponent"), ("[1e+]", 1, 2, "exponent"), ("[1.2.3]", 1, 2, "no number"), ("[0x10]", 1, 2, "no number"),
        ("[1_000]", 1, 2, "no number"), ("[9007199254740993]", 1, 2, "beyond 2^53"), ("[-9007199254740993]", 1, 2, "beyond 2^53"),
        ("[0.5, 9007199254740993]", 1, 7, "beyond 2^53"), ("[" + "1" * 500 + "]", 1, 2, "beyond 2^53"),
        ("[1e39]", 1, 2, "largest f32"), ("[3.5e38]", 1, 2, "largest f32"), ("[1, -1e999999999999]", 1, 5, "largest f32"),
        ("[0." + "1" * 2000 + "]", 1, 2, "more than 1024"), (deep, 1, 33, "nested deeper than 32"), ("[" * 100000, 1, 33, "deeper"),
        (b"\xef\xbb\xbf[1]", 1, 1, "byte order mark"), (b"[1\0]", 1, 3, "NUL"), (b"[1, \xff]", 1, 5, "does not belong"),
        ("[True]", 1, 2, "neither"), ("[1 // one\n]", 1, 4, "does not belong"),
        ("[" + "[1, 2], " * 3000 + "[3]]", 1, 24004, "a list of 1 element"),
        ("[" + "[1, 2],\n" * 3000 + "[3, 4, 5]]", 3001, 6, "another element"),
        ("[" + "1,\n" * 5000 + "true]", 5001, 1, "a Boolean where"),
        ("[" + "1,\n" * 5000 + "2", 5001, 2, "ends inside"),
    ]
    for number, (text, *_) in enumerate(cases):
        write(f"r{number}.json", text)
    for number, ((text, line, column, says), answer) in enumerate(
            zip(cases, ask([f"all r{number}.json out" for number in range(len(cases))]))):
        want = f"INPUT r{number}.json:{line}:{column}: "
        assert answer.startswith(want) and says in answer, (text[:60], want, answer)
    return len(cases)


def test_damage():
    """Truncated anywhere or with any byte changed: refused, or what json.loads reads."""
    text = json.dumps(random.integers(0, 100, (3, 4, 2)).tolist())
    texts = [text[:n] for n in range(len(text))]
    for place in range(len(text)):
        for other in "[],1-.e t\n":
            texts.append(text[:place] + other + text[place + 1:])
    for number, changed in enumerate(texts):
        write(f"d{number}.json", changed)
    read_well = 0
    for number, (changed, answer) in enumerate(zip(texts, ask([f"all d{n}.json e{n}" for n in range(len(texts))]))):
        if answer.startswith("ok"):
            value = np.array(json.loads(changed))
            value = value.astype("f4") if value.dtype.kind == "f" else value
            assert read(f"e{number}") == value.tobytes(), changed
            read_well += 1
        else:
            assert answer.startswith(f"INPUT d{number}.json:"), (changed, answer)
            try:
                value = np.array(json.loads(changed))
                assert value.dtype.kind not in "ifb" or value.size == 0, (changed, answer)
            except ValueError:
                pass
    assert read_well > 100
    return len(texts)


def main():
    global DRIVER
    DRIVER = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for test in (test_sources, test_boxes, test_sinks, test_sinks_in_boxes, test_no_numbers, test_refused, test_damage):
            print(f"{test.__name__}: {test()} checked")
        os.chdir("/")


if __name__ == "__main__":
    main()
