#!/usr/bin/python3
"""--cache: a second start takes the plan of the first, whatever changes makes another one, and no file can make it a wrong one.

usage: test_cache.py FUSE_DIST

Results are compared with NumPy's every time.
"""

import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = None
PROGRAM = """\
import "more.fuse"
param scale = 2
W[i,j] = "w.npy"
Unused[i] = W[i,j]
Y[i] = scale * twice(W[i,j] X[j])
"y.npy" = Y[i]
E[x,y] = "e.tsv"
D[x] = E[x,y]
export D
"""
MORE = 'X[j] = "x.npy"\nfn twice(a) -> r { r = a + a }\n'


def fnv(data):
    digest = 14695981039346656037
    for byte in data:
        digest = (digest ^ byte) * 1099511628211 % 2**64
    return digest


def reseal(entry):
    """The bytes with a length and a digest that are right, as somebody who knows the format would make them."""
    return entry[:16] + len(entry[32:]).to_bytes(8, "little") + fnv(entry[32:]).to_bytes(8, "little") + entry[32:]


class Cached(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-cache-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.w = numpy.arange(12, dtype="f4").reshape(4, 3)
        self.x = numpy.array([1, 10, 100], dtype="f4")
        self.save()
        self.write("prog.fuse", PROGRAM)
        self.write("more.fuse", MORE)
        self.write("e.tsv", "0\t1\t2.5\n2\t1\t1\n")

    def save(self):
        numpy.save(self.path("w.npy"), self.w)
        numpy.save(self.path("x.npy"), self.x)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def entries(self):
        return sorted(glob.glob(self.path("cache/plans/*")))

    def start(self, *words, ranks=0, scale=2, program="prog.fuse", cache="cache"):
        """Runs and checks the result; returns the events of the cache and what was printed as errors."""
        for name in ("y.npy",):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))
        command = [BINARY, program, "--cache", cache, "--times=json", *words]
        result = launch.run(launch.on_ranks(ranks, command), self.folder, 60, launch.environment())
        self.assertEqual((result.status, result.timed_out), (0, False), result.tail())
        numpy.testing.assert_allclose(numpy.load(self.path("y.npy")), scale * 2 * (self.w @ self.x), rtol=1e-6)
        times = json.loads(result.out.splitlines()[-1])
        events = [event["text"] for event in times["events"] if event["kind"] == "cache"]
        self.assertTrue(events)
        return "".join(events), result.err

    def hits(self, *words, **more):
        events, _ = self.start(*words, **more)
        self.assertIn("came from", events)

    def misses(self, *words, **more):
        events, _ = self.start(*words, **more)
        self.assertIn("was made", events)


class Use(Cached):
    def test_second_start(self):
        _, first = self.start()
        self.assertIn("'Unused' is never used", first)
        events, again = self.start()
        self.assertIn("came from", events)
        self.assertEqual(again, first)  # warnings are shown again
        self.assertEqual(len(self.entries()), 1)
        for ranks in (3, 8):
            self.misses(ranks=ranks)
            self.hits(ranks=ranks)
        self.assertEqual(len(self.entries()), 3)

    def test_plan_and_explain(self):
        words = [BINARY, "plan", "--ranks=4,4096", "prog.fuse"]
        plain = launch.run(words, self.folder, 60)
        for _ in range(2):
            cached = launch.run([*words, "--cache", "cache"], self.folder, 60)
            self.assertEqual((cached.status, cached.out, cached.err), (0, plain.out, plain.err))
        self.assertEqual(len(self.entries()), 2)
        self.start()
        result = launch.run([BINARY, "prog.fuse", "--cache", "cache", "--explain"], self.folder, 60)
        self.assertRegex(result.out, r"(?m)^events\n  cache  the plan came from cache/plans/[0-9a-f]{16}\.plan$")
        self.assertRegex(result.out, r"(?m)^  compile 0\.\d+ s, wall ")
        for form in ("ast", "ir"):
            dumped = launch.run([BINARY, "prog.fuse", "--cache", "cache", f"--dump={form}"], self.folder, 60)
            self.assertEqual(dumped.status, 0)
            self.assertGreater(len(dumped.out), 100)

    def test_new_data_of_the_same_shape(self):
        self.misses()
        self.w = self.w * 3 - 7
        self.save()
        self.hits()

    def test_run_time_errors_show_the_program(self):
        self.write("bad.fuse", 'A = "big.npy"\nB = A * A\nexport B\n')
        numpy.save(self.path("big.npy"), numpy.int64(3))
        for value, status in ((3, 0), (2**40, 1)):
            numpy.save(self.path("big.npy"), numpy.int64(value))
            result = launch.run([BINARY, "bad.fuse", "--cache", "cache"], self.folder, 60)
            self.assertEqual(result.status, status, result.tail())
        self.assertIn("bad.fuse:2:", result.err)
        self.assertIn("B = A * A", result.err)

    def test_at_the_same_time(self):
        command = [BINARY, "prog.fuse", "--cache", "cache", "--output-root"]
        running = []
        for k in range(6):
            os.mkdir(self.path(f"out{k}"))
            running.append(subprocess.Popen([*command, f"out{k}"], cwd=self.folder, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL))
        self.assertEqual([process.wait() for process in running], [0] * 6)
        self.assertTrue(all(name.endswith(".plan") for name in self.entries()), self.entries())


class Change(Cached):
    def setUp(self):
        super().setUp()
        self.misses()
        self.hits()

    def test_program(self):
        self.write("prog.fuse", PROGRAM + "\n")
        self.misses()
        self.write("prog.fuse", PROGRAM)
        self.hits()

    def test_import(self):
        self.write("more.fuse", MORE.replace("a + a", "2 * a"))
        self.misses()
        self.hits()
        self.write("more.fuse", MORE)
        self.misses()

    def test_import_elsewhere(self):
        os.mkdir(self.path("lib"))
        shutil.move(self.path("more.fuse"), self.path("lib/more.fuse"))
        self.misses("-I", "lib")
        self.hits("-I", "lib")
        self.write("more.fuse", MORE)  # beside the program comes first
        self.misses("-I", "lib")

    def test_missing_import(self):
        os.remove(self.path("more.fuse"))
        result = launch.run([BINARY, "prog.fuse", "--cache", "cache"], self.folder, 60)
        self.assertEqual((result.status, result.err.count("error:")), (66, 1), result.tail())

    def test_sources(self):
        for w, x in ((self.w.astype("f8"), self.x), (self.w.astype(">f4"), self.x), (numpy.asfortranarray(self.w), self.x),
                     (numpy.ones((5, 3), "f4"), self.x), (numpy.ones((5, 2), "f4"), self.x[:2])):
            self.w, self.x = w, x
            self.save()
            self.misses()
            self.hits()

    def test_missing_source(self):
        os.remove(self.path("x.npy"))
        result = launch.run([BINARY, "prog.fuse", "--cache", "cache"], self.folder, 60)
        self.assertEqual((result.status, result.err.count("error:")), (66, 1), result.tail())
        self.assertIn("more.fuse:1:", result.err)
        self.save()
        self.hits()

    def test_rows(self):
        self.write("e.tsv", "0\t1\t2.5\n2\t1\t1\n1\t1\t1\n")
        self.misses(ranks=0)
        self.hits()
        self.write("e.tsv", "0\t1\t2.5\n2\t1\t1\n0\t1\t9\n")  # as many, elsewhere
        self.misses()

    def test_options(self):
        for words, scale in ((["-D", "scale=3"], 3), (["--precision", "fp64"], 2), (["--mem-per-rank", "1G"], 2),
                             (["--panel", "2"], 2), (["--backend", "fakedev"], 2), (["--workspace", "64K"], 2),
                             (["--replicate-below", "1"], 2), (["--file-unit", "512"], 2), (["--slabs-above", "0"], 2),
                             (["--validate", "finite"], 2), (["--out", "d.npy"], 2), (["--input", "X=x.npy"], 2),
                             (["--output-root", "."], 2),
                             (["--projection", "monte_carlo", "--samples", "1000000"], 2)):
            self.misses(*words, scale=scale)
            self.hits(*words, scale=scale)
        self.hits("--threads", "1")
        self.hits("--progress", "off")


class Policy(Cached):
    """What a policy says holds in a second start too, and another policy is another key."""

    def say(self, **policy):
        self.write("policy.json", json.dumps(policy))

    def test_policy(self):
        words = ["--policy", "policy.json"]
        self.say(sharding={"W": "row"})
        for ranks in (0, 3):
            self.misses(*words, ranks=ranks)
            self.hits(*words, ranks=ranks)
        self.say(sharding={"W": "column"})
        self.misses(*words, ranks=3)
        self.hits(*words, ranks=3)
        self.misses(ranks=3)

    def test_explain(self):
        """But for times, places and what was measured, both starts explain the same."""
        self.say(mesh={"rows": 2}, sharding={"W": {"i": "rows"}})
        texts = []
        for _ in range(2):
            result = launch.run(launch.on_ranks(2, [BINARY, "prog.fuse", "--cache", "cache", "--policy", "policy.json",
                                                    "--explain"]), self.folder, 60, launch.environment())
            self.assertEqual(result.status, 0, result.tail())
            self.assertIn("layouts of the policy on 2 ranks", result.out)
            texts.append([line for line in result.out[:result.out.index("measured:")].splitlines()
                          if not line.startswith("  cache ")])
        self.assertEqual(texts[0], texts[1])

    def test_storage(self):
        self.write("prog.fuse", PROGRAM + '"y.h5:/y" = W[i,j]\n')
        self.say(io={"y.h5:/y": {"chunks": [2, 3], "gzip": 6}})
        files = []
        for _ in range(2):
            events, _ = self.start("--policy", "policy.json")
            with open(self.path("y.h5"), "rb") as file:
                files.append(file.read())
        self.assertIn("came from", events)
        self.assertEqual(files[0], files[1])
        self.start()
        with open(self.path("y.h5"), "rb") as file:
            self.assertNotEqual(file.read(), files[0])

    def test_output_root(self):
        os.mkdir(self.path("out"))
        self.say(output_root="out")
        for _ in range(2):
            result = launch.run([BINARY, "prog.fuse", "--cache", "cache", "--policy", "policy.json"], self.folder, 60)
            self.assertEqual(result.status, 0, result.tail())
            numpy.testing.assert_allclose(numpy.load(self.path("out/y.npy")), 4 * (self.w @ self.x))
            os.remove(self.path("out/y.npy"))
        self.assertFalse(os.path.exists(self.path("y.npy")))


class Checked(Cached):
    """What symbols and weights make of a program is in no header: it is checked every time, and its plan is kept."""

    def symbols(self, *rows, names="ann bob cat dan eve"):
        self.write("p.tsv", "".join(f"{a}\t{b}\n" for a, b in rows))
        self.write("names.txt", "\n".join(names.split()) + "\n")
        self.write("prog.fuse", 'axis x = "names.txt"\nP(x,y) = "p.tsv"\nG[x] = P(x,y)\nOfAnn[y] = P("ann",y)\n'
                   + '"y.npy" = G[x]\nexport OfAnn\n' + 'W[i,j] = "w.npy"\nX[j] = "x.npy"\nZ[i] = W[i,j] X[j]\nexport Z\n')
        self.expected = numpy.array([sum(a == name for a, _ in rows) for name in names.split()])

    def weights(self, **changes):
        a = {"name": "A", "dtype": "f32", "shards": [{"path": "a0.npy"}, {"path": "a1.npy"}], "shard_axis": 0}
        b = {"name": "b", "dtype": "f32", "value": [1, 2, 3, 4]}
        b.update(changes)
        self.write("m.json", json.dumps({"version": 1, "weights": [a, b]}))
        numpy.save(self.path("a0.npy"), self.w[:3])
        numpy.save(self.path("a1.npy"), self.w[3:])
        self.write("prog.fuse", 'X[j] = "x.npy"\nY[i] = A[i,j] X[j] + b[i]\n"y.npy" = Y[i]\n')
        self.expected = self.w @ self.x + numpy.array(b["value"])

    def event(self, *words, ranks=0):
        result = launch.run(launch.on_ranks(ranks, [BINARY, "prog.fuse", "--cache", "cache", "--times=json", *words]),
                            self.folder, 60, launch.environment())
        self.assertEqual((result.status, result.timed_out), (0, False), result.tail())
        numpy.testing.assert_allclose(numpy.load(self.path("y.npy")), self.expected, rtol=1e-6)
        os.remove(self.path("y.npy"))
        events = json.loads(result.out.splitlines()[-1])["events"]
        self.assertEqual(len(events), len({(e["kind"], e["text"]) for e in events}))  # none is told twice
        return "".join(event["text"] for event in events if event["kind"] == "cache")

    def twice(self, *words):
        for ranks in (0, 3):
            self.assertIn("was made", self.event(*words, ranks=ranks))
            self.assertIn("came from", self.event(*words, ranks=ranks))

    def test_symbols(self):
        self.symbols(("ann", "bob"), ("bob", "cat"), ("bob", "dan"))
        self.twice()
        self.symbols(("ann", "bob"), ("bob", "cat"), ("eve", "dan"))  # as many rows, elsewhere
        self.event()
        self.symbols(("ann", "bob"), ("bob", "cat"), ("bob", "dan"), ("bob", "dan2"), names="ann bob cat dan eve dan2")
        self.assertIn("was made", self.event())
        self.symbols(("ann", "bob"), ("bob", "cat"), ("bob", "dan"))
        self.assertIn("came from", self.event())

    def test_weights(self):
        self.weights()
        self.twice("--weights", "m.json")
        self.weights(value=[4, 3, 2, 1])
        self.assertIn("was made", self.event("--weights", "m.json"))
        self.weights(value=[4, 3, 2, 1], metadata={"note": "other text, the same tensors"})
        self.assertIn("came from", self.event("--weights", "m.json"))
        self.w = self.w + 1  # data of the same shape
        self.weights(value=[4, 3, 2, 1])
        self.assertIn("came from", self.event("--weights", "m.json"))

    def test_weights_of_a_policy(self):
        self.weights()
        self.write("policy.json", json.dumps({"weights": "m.json", "sharding": {"A": "row"}}))
        self.twice("--policy", "policy.json")

    def test_damage(self):
        self.weights()
        self.event("--weights", "m.json")
        (path,) = self.entries()
        with open(path, "rb") as file:
            whole = file.read()
        draw = random.Random(5)
        for _ in range(8):
            at = draw.randrange(len(whole))
            with open(path, "wb") as file:
                file.write(whole[:at] + bytes([whole[at] ^ 1 << draw.randrange(8)]) + whole[at + 1:])
            self.assertIn("ignored", self.event("--weights", "m.json"))
            with open(path, "rb") as file:
                self.assertEqual(file.read(), whole)  # written again, as it was
        for _ in range(20):  # with a seal that is right: whatever it says, no crash, and no message of a bug
            at = draw.randrange(32, len(whole))
            with open(path, "wb") as file:
                file.write(reseal(whole[:at] + bytes([draw.randrange(256)]) + whole[at + 1:]))
            result = launch.run([BINARY, "prog.fuse", "--cache", "cache", "--weights", "m.json"], self.folder, 60)
            self.assertIn(result.status, (0, 1, 66, 71, 74), result.tail())


class Damage(Cached):
    def setUp(self):
        super().setUp()
        self.misses()
        self.entry, = self.entries()
        with open(self.entry, "rb") as file:
            self.whole = file.read()

    def put(self, data):
        with open(self.entry, "wb") as file:
            file.write(data)

    def ignored(self, text="", **more):
        events, err = self.start(**more)
        self.assertIn("ignored", events)
        self.assertRegex(err, r"note: made the plan anew and ignored cache/plans/\S*: " + text)
        self.hits(**more)

    def test_bytes(self):
        draw = random.Random(1)
        for _ in range(200):
            data = bytearray(self.whole)
            at = draw.randrange(len(data))
            data[at] ^= 1 << draw.randrange(8)
            self.put(data)
            events, err = self.start()
            self.assertIn("ignored", events, f"byte {at}")
            self.assertIn("note: made the plan anew", err)
            with open(self.entry, "rb") as file:
                self.assertEqual(file.read(), self.whole)  # written again, as it was

    def test_other_files(self):
        for data in (b"", self.whole[:20], self.whole[:-1], self.whole + b"\0", self.whole[:32], bytes(1000)):
            self.put(data)
            self.ignored()
        os.remove(self.entry)
        self.misses()

    def test_at_three_ranks(self):
        self.misses(ranks=3)
        for entry in self.entries():
            with open(entry, "r+b") as file:
                file.seek(500)
                file.write(b"\xff\xff")
        self.ignored("it is damaged", ranks=3)

    def test_foreign(self):
        at = self.whole.index(b"0.1.0")  # the version is part of the key
        self.put(reseal(self.whole[:at] + b"0.0.9" + self.whole[at + 5:]))
        self.ignored("it is of another program")
        build = self.whole[34:74]
        self.assertRegex(build, b"^[0-9a-f]{40}$")
        self.put(reseal(self.whole.replace(build, b"0" * 40)))
        self.ignored("it is of another build")
        self.put(reseal(self.whole.replace(b"fuse-dist plan 1", b"fuse-dist plan 0")))
        self.ignored("it is no plan of this version")

    def test_no_files(self):
        os.remove(self.entry)
        os.mkfifo(self.entry)
        events, _ = self.start()
        self.assertIn("ignored", events)
        os.remove(self.entry)
        os.mkdir(self.entry)
        _, err = self.start()
        self.assertIn("not kept", err)
        os.rmdir(self.entry)
        os.symlink(self.entry, self.entry)
        self.start()

    def test_made_up(self):
        """Somebody who can make digests: nothing crashes or hangs, whatever else it does."""
        draw = random.Random(2)
        for _ in range(150):
            data = bytearray(self.whole)
            for _ in range(draw.randrange(1, 4)):
                data[draw.randrange(32, len(data))] = draw.randrange(256)
            self.put(reseal(bytes(data)))
            result = launch.run([BINARY, "prog.fuse", "--cache", "cache"], self.folder, 20)
            self.assertFalse(result.timed_out)
            self.assertIn(result.status, (0, 1, 65, 66, 70, 71, 73, 74), result.tail())

    def test_folders(self):
        self.write("file", "")
        for folder in ("file", "/proc/nothing", "no/such/folder"):
            events, err = self.start(cache=folder)
            self.assertIn("not kept", events)
            self.assertIn("note: the plan is not kept in", err)
            self.assertEqual(err.count("error"), 0)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
