#!/usr/bin/python3
"""The fuse-dist program as its users meet it: commands, options, what is printed and how often, exit statuses.

usage: test_launcher.py --binary FUSE_DIST --library LIBFUSEDIST --source FOLDER [TEST...]

Values that programs compute are tested elsewhere; here a program is anything with a source, a product and a sink.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "run"))

import launch  # noqa: E402

launch.require_numpy()

import numpy  # noqa: E402

BINARY = LIBRARY = SOURCE = None
PROGRAM = """\
param scale = 1
W[i,j] = "w.npy"
X[j] = "x.npy"
Y[i] = scale * W[i,j] X[j]
"y.npy" = Y[i]
"""
ERROR = re.compile(r"^(?:.*: )?error: .*$", re.MULTILINE)


class Folder(unittest.TestCase):
    """Every test has a folder of its own with prog.fuse and its sources."""

    really = False  # what runs on ranks has an mpirun of its own, whether or not there are standing jobs

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fuse-launcher-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.w = numpy.arange(12, dtype=numpy.float32).reshape(4, 3)
        self.x = numpy.array([1, 10, 100], dtype=numpy.float32)
        self.save("w.npy", self.w)
        self.save("x.npy", self.x)
        self.write("prog.fuse", PROGRAM)

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, name, values):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        numpy.save(self.path(name), values)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, *words, ranks=0, env=None):
        result = launch.run(launch.on_ranks(ranks, [BINARY, *words]), self.folder, 30, launch.environment(env), self.really)
        self.assertFalse(result.timed_out, f"{words} does not end")
        return result

    def good(self, *words, ranks=0, env=None):
        result = self.start(*words, ranks=ranks, env=env)
        self.assertEqual(result.status, 0, f"{words}: {result.tail()}")
        return result

    def bad(self, status, *words, ranks=0, env=None, errors=1, mentions=()):
        result = self.start(*words, ranks=ranks, env=env)
        self.assertEqual(result.status, status, f"{words}: {result.tail()}")
        self.assertEqual(len(ERROR.findall(result.err)), errors, f"{words}: {result.err}")
        for text in mentions:
            self.assertIn(text, result.err)
        return result

    def bad_everywhere(self, status, *words, **named):
        for ranks in (0, 1, 4):
            self.bad(status, *words, ranks=ranks, **named)

    def expect_values(self, name="y.npy", factor=1):
        numpy.testing.assert_allclose(numpy.load(self.path(name)), factor * (self.w @ self.x))


def table(row):
    """What a pattern finds in launcher/options.def."""
    with open(os.path.join(SOURCE, "launcher", "options.def"), encoding="utf-8") as file:
        return re.findall(row, file.read())


class CommandLine(Folder):
    really = True

    def test_help_lists_every_row(self):
        for words in (["--help"], ["-h"], ["help"], ["plan", "--help"]):
            text = self.good(*words).out
            for option in table(r'FUSE_OPTION\(\w+, "([^"]+)"'):
                self.assertRegex(text, rf"(?m)^  .*--{option}\b")
            for usage in table(r'FUSE_COMMAND\(\w+, "[^"]+", "([^"]+)"'):
                self.assertIn("fuse-dist " + usage, text)
            for line in text.splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_help_names_every_status(self):
        text = self.good("--help").out
        with open(os.path.join(SOURCE, "src", "core", "status.def"), encoding="utf-8") as file:
            for number, meaning in re.findall(r'FUSE_STATUS\(\w+, (\d+), "([^"]+)"\)', file.read()):
                self.assertRegex(text, rf"(?m)^ +{number}  {re.escape(meaning)}$")

    def test_version(self):
        self.assertRegex(self.good("--version").out, r"^fuse-dist \d+\.\d+\.\d+\n$")

    def test_version_json_needs_no_mpi(self):
        # In a job whose manager is not there, MPI_Init would fail or take its time.
        env = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0", "PMIX_NAMESPACE": "none"}
        facts = json.loads(self.good("--version", "--json", env=env).out)
        for key in ("version", "compiler", "mpi", "mpi_library", "blas", "blas_core", "openmp", "dtypes"):
            self.assertIn(key, facts)
        self.assertIn("f32", facts["dtypes"])
        self.assertNotIn("u64", facts["dtypes"])
        self.assertEqual(self.good("--version").out, f"fuse-dist {facts['version']}\n")

    def test_printed_by_one_rank(self):
        for words in (["--version"], ["--help"], ["plan", "--ranks", "3", "prog.fuse"]):
            self.assertEqual(self.good(*words).out, self.good(*words, ranks=4).out)

    def test_wrong_words(self):
        self.bad(2, "--explian", "prog.fuse", mentions=["'--explian'", "did you mean '--explain'", "fuse-dist --help"])
        self.bad(2, "paln", "prog.fuse", mentions=["did you mean 'plan'", "fuse-dist --help"])
        self.bad(2, "prog.fuse", "--backend", "cpuu", mentions=["cpu|ref|fakedev"])
        self.bad(2, "prog.fuse", "--mem-per-rank", "220X")
        self.bad(2, "prog.fuse", "--threads", "none")
        self.bad(2, "prog.fuse", "--ranks", "4")
        self.bad(2, "plan", "prog.fuse")
        self.bad(2)

    def test_wrong_words_on_ranks(self):
        for ranks in (1, 2, 4):
            self.bad(2, "--explian", "prog.fuse", ranks=ranks, mentions=["did you mean '--explain'"])

    def test_option_order(self):
        for words in (["prog.fuse", "-D", "scale=3"], ["-Dscale=3", "prog.fuse"],
                      ["--define=scale=3", "run", "prog.fuse"], ["-D", "scale=3", "--", "prog.fuse"]):
            self.good(*words)
            self.expect_values(factor=3)


class Options(Folder):
    def test_run(self):
        self.really = True
        for words in (["prog.fuse"], ["run", "prog.fuse"]):
            for ranks in (0, 1, 3):
                result = self.good(*words, ranks=ranks)
                self.assertEqual(result.out, "")
                self.assertEqual(result.err, "")
                self.expect_values()
                os.remove(self.path("y.npy"))

    def test_definition(self):
        self.good("prog.fuse", "-D", "scale=2", ranks=2)
        self.expect_values(factor=2)
        self.bad_everywhere(2, "prog.fuse", "-D", "sclae=2", mentions=["sclae"])
        self.bad_everywhere(2, "prog.fuse", "-D", "scale")

    def test_backends(self):
        for backend in ("ref", "cpu", "fakedev"):
            self.good("prog.fuse", "--backend", backend, "--output-root", ".", ranks=2)
            self.expect_values()
            os.remove(self.path("y.npy"))
            self.good("plan", "--ranks=2", "--backend", backend, "prog.fuse")

    def test_threads(self):
        def threads(*words, **named):
            return json.loads(self.good("prog.fuse", "--times=json", *words, **named).out)["threads"]

        self.assertEqual(threads("--threads", "2"), 2)
        self.assertEqual(threads(env={"OMP_NUM_THREADS": "3"}), 3)
        self.assertEqual(threads("--threads", "2", env={"OMP_NUM_THREADS": "3"}), 2)
        cores = len(os.sched_getaffinity(0))
        alone = threads(env={"OMP_NUM_THREADS": ""})
        self.assertTrue(1 <= alone <= cores)
        self.assertEqual(threads(env={"OMP_NUM_THREADS": ""}, ranks=cores + 1), 1)

    def test_panels(self):
        self.good("prog.fuse", "--panel", "2", ranks=2)
        self.expect_values()

    def test_memory(self):
        self.good("prog.fuse", "--mem-per-rank", "1G", ranks=2)
        self.expect_values()
        os.remove(self.path("y.npy"))
        self.bad_everywhere(71, "prog.fuse", "--mem-per-rank", "1M")
        self.bad(71, "plan", "--ranks", "4", "--mem-per-rank", "1M", "prog.fuse")
        self.assertFalse(os.path.exists(self.path("y.npy")))

    def test_hint_of_ranks(self):
        """It is a number of ranks on which the program fits, and on one fewer it does not, from wherever one looks."""
        self.write("large.fuse", "axis i = 2048\naxis j = 1500\naxis k = 1999\nA[i,j] = uniform(seed=1)\n"
                                 "B[j,k] = uniform(seed=2)\nC[i,k] = A[i,j] B[j,k]\nD[i,k.] = softmax(C[i,k])\n"
                                 "E[i,i'] = D[i,k] C[i',k]\n\"e.npy\" = E[i,i']\n")

        def planned(ranks):
            return subprocess.run([BINARY, "plan", "--ranks", str(ranks), "--mem-per-rank", "33M", "large.fuse"],
                                  cwd=self.folder, capture_output=True, text=True)

        hints = {re.search(r"or at least (\d+) ranks", planned(ranks).stderr).group(1) for ranks in (3, 5, 7, 11)}
        self.assertEqual(len(hints), 1, hints)
        (enough,) = map(int, hints)
        self.assertEqual((planned(enough - 1).returncode, planned(enough).returncode), (71, 0), enough)

    def test_root(self):
        os.mkdir(self.path("data"))
        for name in ("w.npy", "x.npy"):
            os.rename(self.path(name), self.path("data/" + name))
        self.bad_everywhere(66, "prog.fuse", errors=2, mentions=["prog.fuse:2:", "prog.fuse:3:"])
        for root in ("data", "data/", os.path.join(self.folder, "data")):
            self.good("prog.fuse", "--root", root, ranks=2)
            self.expect_values()
        self.write("prog.fuse", PROGRAM.replace('"w.npy"', f'"{self.folder}/data/w.npy"'))
        self.good("prog.fuse", "--root=data", ranks=2)

    def test_output_root(self):
        os.mkdir(self.path("out"))
        self.good("prog.fuse", "--output-root", "out", ranks=2)
        self.expect_values("out/y.npy")
        self.assertFalse(os.path.exists(self.path("y.npy")))
        self.bad_everywhere(73, "prog.fuse", "--output-root", "nothing")
        for path in ("../y.npy", "a/../../y.npy", self.path("out/y.npy"), "./../out/y.npy"):
            self.write("escape.fuse", PROGRAM.replace('"y.npy"', f'"{path}"'))
            self.bad_everywhere(73, "escape.fuse", "--output-root", "out", mentions=["escape.fuse:5:1:"])
        self.write("inside.fuse", PROGRAM.replace('"y.npy"', '"a/.././y.npy"'))
        os.mkdir(self.path("out/a"))
        self.good("inside.fuse", "--output-root", "out")

    def test_absolute_sink_without_output_root(self):
        self.write("prog.fuse", PROGRAM.replace('"y.npy"', f'"{self.path("there.npy")}"'))
        self.good("prog.fuse")
        self.expect_values("there.npy")

    def test_planted_fault_is_spelt_well(self):
        for fault in ("kernel", "kernel:0@1", "kernel:1", "kernel:x@0", "quake:1@0", "kernel:1@-1"):
            self.bad(2, "prog.fuse", env={"FUSE_FAULT": fault})
        self.good("prog.fuse", env={"FUSE_FAULT": ""})


class Texts(Folder):
    def test_dumps(self):
        for what, mark in (("ast", "w.npy"), ("ir", "einsum"), ("plan", "plan for")):
            for words in ([f"--dump={what}"], ["--dump", what]):
                alone = self.good("prog.fuse", *words)
                self.assertIn(mark, alone.out)
                self.assertEqual(alone.err, "")
            self.assertIn(mark, self.good("prog.fuse", f"--dump={what}", ranks=4).out)
        self.assertFalse(os.path.exists(self.path("y.npy")))
        self.assertEqual(self.good("prog.fuse", "--dump=ir").out, self.good("prog.fuse", "--dump=ir", ranks=4).out)

    def test_tree_of_what_parses_only(self):
        self.write("prog.fuse", PROGRAM.replace("= Y[i]", "= Nothing[i]"))
        self.assertIn("Nothing", self.bad(65, "prog.fuse", "--dump=ast").out)

    def test_plan_of_any_size(self):
        for ranks in (1, 7, 4096):
            text = self.good("plan", "--ranks", str(ranks), "prog.fuse").out
            self.assertRegex(text, rf"^plan for {ranks} rank")
            self.assertEqual(text, self.good("plan", "--ranks", str(ranks), "prog.fuse").out)
        several = self.good("plan", "--ranks=1,7,4096", "--mem-per-rank", "1G", "prog.fuse").out
        self.assertEqual(re.findall(r"(?m)^plan for (\d+)", several), ["1", "7", "4096"])
        self.assertFalse(os.path.exists(self.path("y.npy")))

    def test_plan_of_the_job_is_the_plan_for_its_size(self):
        dumped = self.good("prog.fuse", "--dump=plan", "--mem-per-rank=1G", ranks=4).out
        self.assertRegex(dumped, r"^plan for 4 ranks")

    def test_plan_of_several_sizes_where_some_do_not_fit(self):
        self.save("w.npy", numpy.zeros((4000, 4000), numpy.float32))
        self.save("x.npy", numpy.zeros(4000, numpy.float32))
        result = self.bad(71, "plan", "--ranks=1,16", "--mem-per-rank=56M", "--stream-above=0", "prog.fuse")
        self.assertEqual(re.findall(r"(?m)^plan for (\d+)", result.out), ["16"])

    def test_times(self):
        for ranks in (0, 2):
            result = self.good("prog.fuse", "--times=json", ranks=ranks)
            self.assertEqual(result.out.count("\n"), 1)
            times = json.loads(result.out)
            self.assertEqual(times["ranks"], ranks or 1)
            self.assertEqual(times["backend"], "cpu")
            for key in ("load", "run", "store", "wall"):
                self.assertGreaterEqual(times[key], 0)
            self.assertGreater(times["memory"], 0)
            self.assertGreaterEqual(times["wall"], times["memory"] + times["load"] + times["run"] + times["store"])
            for key in ("used", "threads", "received_bytes_max", "received_bytes_total", "load_received_bytes_max",
                        "store_received_bytes_max", "planned_received_bytes_max", "planned_received_bytes_total",
                        "control_bytes_max", "arena_bytes", "peak_bytes", "base_bytes", "resident_bytes", "flops_max"):
                self.assertIsInstance(times[key], int, key)
            self.assertEqual(times["received_bytes_total"], times["planned_received_bytes_total"])
            self.assertRegex(times["plan_hash"], r"^[0-9a-f]{16}$")

    def test_memory_of_whoever_starts_a_run_is_not_its_own(self):
        held = bytearray(b"x") * (300 << 20)
        times = json.loads(self.good("prog.fuse", "--times=json", ranks=0).out)
        self.assertGreater(times["resident_bytes"], 1 << 20)
        self.assertLess(times["resident_bytes"], len(held) // 2)

    def test_explain(self):
        result = self.good("prog.fuse", "--explain", "--times=json", ranks=2)
        lines = result.out.splitlines()
        self.assertRegex(lines[0], r"^plan for 2 ranks")
        self.assertIn("measured:", result.out)
        for phase in ("load", "run", "store"):
            self.assertTrue(any(re.match(rf"^  {phase} +\d", line) for line in lines), phase)
        self.assertIn("resident, high-water", result.out)
        json.loads(lines[-1])
        self.expect_values()

    def test_nothing_after_a_failure(self):
        self.assertEqual(self.bad(71, "prog.fuse", "--explain", "--times=json", "--mem-per-rank=1M").out, "")

    def test_reader_that_goes_away(self):
        for words in (["prog.fuse", "--explain"], ["--help"], ["plan", "--ranks", "4", "prog.fuse"]):
            process = subprocess.Popen([BINARY, *words], cwd=self.folder, env=launch.environment(),
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            process.stdout.close()
            err = process.stderr.read().decode()
            process.stderr.close()
            self.assertEqual((process.wait(timeout=30), err), (0, ""), words)
        self.expect_values()

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_output_that_cannot_be_written(self):
        for words in (["prog.fuse", "--times=json"], ["--version"], ["plan", "--ranks", "4", "prog.fuse"]):
            with open("/dev/full", "w", encoding="utf-8") as full:
                result = subprocess.run([BINARY, *words], cwd=self.folder, env=launch.environment(), timeout=30,
                                        stdout=full, stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, 74, words)
            self.assertEqual(len(ERROR.findall(result.stderr.decode())), 1, words)


class Messages(Folder):
    def test_missing_program(self):
        self.really = True
        self.bad_everywhere(66, "nothing.fuse", mentions=["cannot read program 'nothing.fuse': No such file"])
        self.bad(66, "plan", "--ranks", "4", "nothing.fuse")
        self.bad(66, "plan", "--ranks", "1,2,4", "nothing.fuse")
        os.mkdir(self.path("folder.fuse"))
        self.bad_everywhere(66, "folder.fuse", mentions=["Is a directory"])

    def test_program_too_large(self):
        with open(self.path("large.fuse"), "wb") as file:
            file.truncate((1 << 30) + 1)
        self.bad_everywhere(66, "large.fuse", mentions=["1 GiB"])

    def test_syntax_errors(self):
        self.write("prog.fuse", PROGRAM + "Z[i) = 3\nA = )\n")
        self.bad_everywhere(65, "prog.fuse", errors=2, mentions=["prog.fuse:6:", "prog.fuse:7:"])

    def test_no_text(self):
        """What is no text has one error, not one a line: a source in place of the program, another encoding."""
        self.bad_everywhere(65, "w.npy", mentions=["w.npy:1:1: error: this is not UTF-8 text"])
        with open(self.path("prog.fuse"), "wb") as file:
            file.write(b"{ # caf\xe9\n" + PROGRAM.encode() + b"} # th\xe9\n")
        self.bad(65, "prog.fuse", mentions=["prog.fuse:1:8:"])

    def test_unknown_name(self):
        self.write("prog.fuse", PROGRAM.replace("= Y[i]", "= Why[i]"))
        self.bad_everywhere(65, "prog.fuse", mentions=["Why"])
        self.assertNotIn("never used", self.bad(65, "prog.fuse").err) # Y may be what is meant

    def test_missing_source(self):
        os.remove(self.path("x.npy"))
        self.bad_everywhere(66, "prog.fuse", mentions=["prog.fuse:3:8:", "x.npy"])

    def test_formats(self):
        for path, mention in (("w.nyp", "did you mean '.npy'?"),
                              ("w.npy:part", "':part'"), ("w.json:part", "has no parts"),
                              ("w.jsn", "did you mean '.json'?"), ("w.png", "'w.png'"), ("w", "'w'"),
                              ("w.npy.gz", "hint: unpack"), ("w.mat", "hint: the suffix"), ("w.pt", "hint: the suffix")):
            self.write("prog.fuse", PROGRAM.replace("w.npy", path))
            self.bad(65, "prog.fuse", ranks=4 if path == "w.png" else 0, mentions=["prog.fuse:2:10:", mention])
        for path, mention in (("y.txt", "cannot be written"), ("y", "'y'")):
            self.write("prog.fuse", PROGRAM.replace("y.npy", path))
            self.bad(65, "prog.fuse", ranks=4 if path == "y" else 0, mentions=["prog.fuse:5:1:", mention])

    def test_colon_in_a_folder(self):
        self.save("a:b/w.npy", self.w)
        self.write("prog.fuse", PROGRAM.replace("w.npy", "a:b/w.npy"))
        self.good("prog.fuse")
        self.expect_values()

    def test_sink_written_twice(self):
        for path in ("y.npy", "./y.npy", ".//y.npy"):
            self.write("prog.fuse", PROGRAM + f'"{path}" = X[j]\n')
            self.bad_everywhere(65, "prog.fuse", mentions=["prog.fuse:6:1:", "written twice", "prog.fuse:5:1"])

    def test_members_written_twice(self):
        for first, second in (("y.npz", "y.npz:arr_0"), ("y.npz:a", "./y.npz:a.npy"), ("y.npz:a/b", "y.npz:a/b")):
            self.write("prog.fuse", PROGRAM.replace("y.npy", first) + f'"{second}" = X[j]\n')
            self.bad(65, "prog.fuse", ranks=0, mentions=["prog.fuse:6:1:", "written twice", "prog.fuse:5:1"])

    def test_member_names(self):
        for part in ("", ".npy", "../a", "a/../b", "/a", "a//b", "a/", "."):
            self.write("prog.fuse", PROGRAM.replace("y.npy", f"y.npz:{part}"))
            self.bad(73, "prog.fuse", ranks=0, mentions=["prog.fuse:5:1:", "cannot be the name of an npz member"])

    def test_sink_over_its_source(self):
        self.write("prog.fuse", PROGRAM + '"x.npy" = 2 X[j]\n')
        for ranks in (0, 3):
            self.good("prog.fuse", ranks=ranks)
            self.expect_values()
            self.x = 2 * self.x

    def test_ranks_with_different_arguments(self):
        for first, second in ((["prog.fuse"], ["prog.fuse", "--threads", "2"]), (["prog.fuse"], ["--frobnicate"]),
                              (["--frobnicate"], ["prog.fuse"]), (["prog.fuse"], ["other.fuse"])):
            command = ["mpirun", "-n", "1", BINARY, *first, ":", "-n", "2", BINARY, *second]
            result = launch.run(command, self.folder, 30)
            self.assertFalse(result.timed_out)
            self.assertEqual((result.status, len(ERROR.findall(result.err))), (2, 1), result.err)
            self.assertIn("different arguments", result.err)

    def test_singletons(self):
        # srun without a process manager, and the launcher of another MPI.
        for name, env in (("srun", {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "{}"}),
                          ("mpiexec", {"PMI_SIZE": "4", "PMI_RANK": "{}"})):
            for rank in (0, 1):
                mine = {key: value.format(rank) for key, value in env.items()}
                self.bad(2, "prog.fuse", env=mine, errors=1 if rank == 0 else 0,
                         mentions=[name + " started 4 ranks"] if rank == 0 else [])
        self.assertFalse(os.path.exists(self.path("y.npy")))
        # A step of one rank, a batch script.
        self.good("prog.fuse", env={"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"})
        self.good("prog.fuse", env={"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})


class Library(unittest.TestCase):
    def test_exports_its_own_names_only(self):
        listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True)
        names = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()}
        with open(os.path.join(SOURCE, "src", "api", "fuse_dist.h"), encoding="utf-8") as file:
            declared = set(re.findall(r"FUSE_DIST_API [^;(]*?(fuse_dist_\w+)\(", file.read()))
        self.assertTrue(declared)
        self.assertEqual(names, declared)


def main():
    global BINARY, LIBRARY, SOURCE
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--library", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("test", nargs="*")
    options = parser.parse_args()
    BINARY, LIBRARY = os.path.abspath(options.binary), os.path.abspath(options.library)
    SOURCE = os.path.abspath(options.source)
    unittest.main(argv=[sys.argv[0], *options.test])


if __name__ == "__main__":
    main()
