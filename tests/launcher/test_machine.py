#!/usr/bin/python3
"""`calibrate` measures a machine, `--machine` plans for it; and machine files that somebody has changed.

usage: test_machine.py FUSE_DIST
"""

import json
import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

BINARY = None
KERNELS = {"copy_ps_per_kib", "file_ps_per_kib", "f32_ps_per_kflop", "f64_ps_per_kflop", "i64_ps_per_kflop",
           "map_ps_per_kib"}
MESSAGES = {"latency_ps", "node_ps_per_kib"}
# A product whose operands are dear to move: where the network costs nothing, it is spread over everything.
PROGRAM = """\
axis i = 4096
axis j = 4096
axis k = 4096
A[i,k] = uniform(seed=1)
B[k,j] = uniform(seed=2)
C[i,j] = A[i,k] B[k,j]
"c.npy" = C[i,j]
"""


class Machine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-machine-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write("prog.fuse", PROGRAM)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, status, *words, ranks=0):
        result = launch.run(launch.on_ranks(ranks, [BINARY, *words]), self.folder, 60)
        self.assertEqual((result.status, result.timed_out), (status, False), result.tail())
        return result

    def machine(self, **fields):
        self.write("m.json", json.dumps({"schema": "fuse.machine", "version": 1, **fields}))

    def seconds(self, *words):
        out = self.start(0, "plan", "--ranks", "8", "prog.fuse", *words).out
        return float(re.search(r"modelled time (\S+) s", out).group(1))

    def test_calibrate(self):
        for ranks in (0, 1, 3):
            shown = self.start(0, "calibrate", "m.json", "--threads", "1", ranks=ranks).out
            with open(os.path.join(self.folder, "m.json"), encoding="utf-8") as file:
                found = json.load(file)
            self.assertEqual((found["schema"], found["version"]), ("fuse.machine", 1))
            measured = KERNELS | (MESSAGES if ranks > 1 else set())
            self.assertEqual(measured, {key for key in found if "_ps" in key})
            for key in measured:
                self.assertGreater(found[key], 0)
                self.assertIn(f"{found[key]}", shown)
            self.assertTrue(100 < found["f32_ps_per_kflop"] < 10**7)  # 10 TFLOP/s to 100 MFLOP/s
            self.assertEqual(sorted(os.listdir(self.folder)), ["m.json", "prog.fuse"])
            self.assertGreater(self.seconds("--machine", "m.json"), 0)

    def test_it_counts(self):
        free = dict.fromkeys(["latency_ps", "node_ps_per_kib", "network_ps_per_kib", "copy_ps_per_kib", "file_ps_per_kib",
                              "f64_ps_per_kflop", "i64_ps_per_kflop", "map_ps_per_kib", "map_ps_per_kflop"], 0)
        self.machine(**free, f32_ps_per_kflop=1024)  # a picosecond an operation, and nothing else costs
        self.assertAlmostEqual(self.seconds("--machine", "m.json"), 2 * 4096**3 / 8 * 1e-12, delta=2e-6)
        self.machine(**free, f32_ps_per_kflop=4096)
        self.assertAlmostEqual(self.seconds("--machine", "m.json"), 8 * 4096**3 / 8 * 1e-12, delta=2e-6)
        plain = self.seconds()
        self.machine()
        self.assertEqual(self.seconds("--machine", "m.json"), plain)
        self.machine(ranks_per_node=4, network_ps_per_kib=40000000)  # a network a hundred times as slow
        self.assertGreater(self.seconds("--machine", "m.json"), plain)

    def test_nodes(self):
        """`plan` says that it knows no nodes, unless the file tells them or there is one rank; a run knows them."""
        def says(*words):
            return '"ranks_per_node"' in self.start(0, *words, "prog.fuse").out

        self.assertTrue(says("plan", "--ranks", "8"))
        self.assertFalse(says("plan", "--ranks", "1"))
        self.machine(latency_ps=1000)
        self.assertTrue(says("plan", "--ranks", "8", "--machine", "m.json"))
        self.machine(ranks_per_node=4)
        self.assertFalse(says("plan", "--ranks", "8", "--machine", "m.json"))
        self.assertFalse(says("--dump", "plan"))

    def test_runs(self):
        self.write("prog.fuse", PROGRAM.replace("4096", "40"))
        self.machine(network_ps_per_kib=1)
        for ranks in (0, 3):
            self.start(0, "--machine", "m.json", "prog.fuse", ranks=ranks)

    def test_refusals(self):
        self.start(66, "plan", "--ranks", "2", "prog.fuse", "--machine", "none.json")
        for text, words in (("{", "m.json:1:"), ("[]", "must be an object"), ('{"schema":"other","version":1}', "no machine file"),
                            ('{"schema":"fuse.machine","version":2}', '"version"'), ('{"schema":"fuse.machine"}', '"version"'),
                            ('{"schema":"fuse.machine","version":1,"latency_ps":-1}', "m.json:1:"),
                            ('{"schema":"fuse.machine","version":1,"latency":1}', "latency_ps"),
                            ('{"schema":"fuse.machine","version":1,"latency_ps":1,"latency_ps":1}', "latency_ps"),
                            ('{"schema":"fuse.machine","version":1,"map_ps_per_kib":"fast"}', "m.json:1:")):
            self.write("m.json", text)
            for ranks in (0, 3):
                result = self.start(66, "--machine", "m.json", "prog.fuse", ranks=ranks)
                self.assertIn(words, result.err)
                self.assertEqual(result.err.count("error:"), 1, result.err)
        self.assertIn("calibrate FILE", self.start(2, "calibrate").err)
        self.assertIn("nowhere/m.json", self.start(73, "calibrate", "nowhere/m.json", ranks=3).err)
        self.assertIn("device", self.start(2, "calibrate", "m.json", "--backend", "fakedev").err)
        self.assertEqual(sorted(os.listdir(self.folder)), ["m.json", "prog.fuse"])


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
