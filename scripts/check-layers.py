#!/usr/bin/env python3
"""Checks that the source tree keeps its layers.

usage: check-layers.py [--root FOLDER] | --self-test

Rules, each with its own function below: who may include whom; where third-party headers may appear; which calls belong
to the launcher alone; what files may be called and how long they may be. Prints one line per violation and exits 1.
--self-test plants one violation of every rule in a copy of a clean tree and fails if any goes unseen.
"""

import argparse
import os
import re
import sys
import tempfile

# Layer -> layers whose headers it may include, besides its own.
ALLOWED = {
    "core": set(),
    "ir": {"core"},
    "comm": {"core"},
    "backend": {"core"},
    "io": {"comm", "core"},
    "lang": {"ir", "core"},
    "plan": {"ir", "core"},
    "exec": {"plan", "comm", "backend", "io", "ir", "core"},
    "api": {"exec", "lang", "plan", "comm", "backend", "io", "ir", "core"},
    "launcher": set(),
}
PUBLIC_HEADER = "api/fuse_dist.h"

# Third-party header -> layers whose .c files may include it.
THIRD_PARTY = [
    (r"mpi\.h", {"comm", "io", "api", "launcher"}),
    (r"(cblas|f77blas|openblas_config)\.h", {"backend", "api"}),
    (r"(hdf5|hdf5_hl|H5\w*)\.h", {"io"}),
    (r"(cjson/)?cJSON\.h", {"io", "api"}),
    (r"zlib\.h", {"io"}),
    (r"curl/curl\.h", {"io"}),
    (r"hwloc(/.*)?\.h", {"api", "launcher"}),
    (r"omp\.h", {"backend", "exec", "api"}),
    (r"curl/.*\.h", {"io", "launcher"}),
]
# In src/backend/cuda any file may include these, elsewhere none.
CUDA = re.compile(r"(cuda|cublas|curand|nccl)\w*\.h")

# The planner gives the same bytes everywhere: no libm, clock or threads.
PLAN_FORBIDDEN = {"math.h", "tgmath.h", "time.h", "sys/time.h", "omp.h", "pthread.h", "stdatomic.h"}

LAUNCHER_ONLY = [
    ("exit", re.compile(r"\bexit\s*\(")),
    ("printf", re.compile(r"\bv?printf\s*\(")),
    ("puts", re.compile(r"\b(puts|putchar|perror)\s*\(")),
    ("fprintf(stderr)", re.compile(r"\bv?fprintf\s*\(\s*(stderr|stdout)\b")),
    ("getenv", re.compile(r"\bgetenv\s*\(")),
]

BAD_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}
MAX_LINES = 800
CODE = (".c", ".h", ".def", ".cu", ".cuh")
SOURCE_ROOTS = ("src", "io", "launcher")
ALL_ROOTS = SOURCE_ROOTS + ("tests", "examples", "scripts", "docs")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.M)
TOKEN = re.compile(r'//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def strip_comments(text, strings_too):
    """Blanks out comments (and the text of literals), keeping every line break."""

    def blank(match):
        token = match.group(0)
        if token[0] in "\"'" and not strings_too:
            return token
        return token[0] + token[-1] if token[0] in "\"'" else " " + "\n" * token.count("\n")

    return TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Tree:
    """The files under a root, read once."""

    def __init__(self, root):
        self.root = root
        self.files = []  # paths relative to the root, '/' separated
        self.texts = {}
        for top in ALL_ROOTS:
            for folder, subfolders, names in os.walk(os.path.join(root, top)):
                subfolders[:] = sorted(d for d in subfolders if d not in ("__pycache__", "build") and d[0] != ".")
                for name in sorted(names):
                    path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
                    self.files.append(path)
                    if path.endswith(CODE):
                        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
                            self.texts[path] = stream.read()
        self.known = set(self.files)

    def sources(self):
        return [p for p in self.texts if p.split("/")[0] in SOURCE_ROOTS]

    def resolve(self, path, name):
        """The file that `#include "name"` in `path` means: beside it, else under src, else under the root."""
        beside = os.path.normpath(os.path.dirname(path) + "/" + name).replace(os.sep, "/")
        for candidate in (beside, "src/" + name, name):
            if candidate in self.known:
                return candidate
        return None


def layer_of(path):
    parts = path.split("/")
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else None
    return parts[0]


def check_includes(tree):
    for path in tree.sources():
        layer = layer_of(path)
        if layer not in ALLOWED:
            yield f"{path}: lies in no layer"
            continue
        text = strip_comments(tree.texts[path], strings_too=False)
        for match in INCLUDE.finditer(text):
            where = f"{path}:{line_of(text, match.start())}"
            quoted, system = match.groups()
            name = quoted or system
            yield from check_third_party(path, layer, name, where)
            if layer == "plan" and name in PLAN_FORBIDDEN:
                yield f"{where}: the planner is pure and may not include <{name}>"
            if not quoted or is_third_party(name):
                continue
            target = tree.resolve(path, quoted)
            if target is None:
                yield f'{where}: "{quoted}" is no file of this tree; write "layer/file.h"'
                continue
            target_layer = layer_of(target)
            if target_layer == layer or target_layer in ALLOWED[layer]:
                continue
            if layer == "launcher" and target == "src/" + PUBLIC_HEADER:
                continue
            yield f'{where}: {layer} may not include "{quoted}"'


def is_third_party(name):
    return CUDA.fullmatch(name) or any(re.fullmatch(pattern, name) for pattern, _ in THIRD_PARTY)


def check_third_party(path, layer, name, where):
    if CUDA.fullmatch(name) and not path.startswith("src/backend/cuda/"):
        yield f"{where}: <{name}> belongs to src/backend/cuda"
    for pattern, layers in THIRD_PARTY:
        if re.fullmatch(pattern, name):
            if layer not in layers:
                yield f"{where}: {layer} may not include <{name}>; only {', '.join(sorted(layers))} may"
            elif not path.endswith((".c", ".cu")):
                yield f"{where}: <{name}> may be included by .c files only"


def check_calls(tree):
    for path in tree.sources():
        if layer_of(path) == "launcher":
            continue
        text = strip_comments(tree.texts[path], strings_too=True)
        for what, pattern in LAUNCHER_ONLY:
            for match in pattern.finditer(text):
                yield f"{path}:{line_of(text, match.start())}: {what} belongs to the launcher"


def check_mentions(tree):
    pattern = re.compile(r"\b(examples|tests)/")
    for path in tree.texts:
        if path.startswith("src/"):
            for match in pattern.finditer(tree.texts[path]):
                yield f"{path}:{line_of(tree.texts[path], match.start())}: mentions {match.group(0)}"


def check_names(tree):
    places = {}
    bad_folders = set()
    for path in tree.files:
        parts = path.split("/")
        for depth, folder in enumerate(parts[:-1]):
            if folder.lower() in BAD_NAMES:
                bad_folders.add("/".join(parts[: depth + 1]))
        if parts[-1].split(".")[0].lower() in BAD_NAMES:
            yield f"{path}: the name says nothing about what the file holds"
        if path.endswith(CODE):
            places.setdefault(parts[-1], []).append(path)
    for folder in sorted(bad_folders):
        yield f"{folder}: the name says nothing about what the folder holds"
    for name in sorted(places):
        if len(places[name]) > 1:
            yield f"{', '.join(places[name])}: file names are unique in the tree"


def check_lengths(tree):
    for path, text in tree.texts.items():
        lines = text.count("\n")
        if path.endswith((".c", ".h")) and lines > MAX_LINES:
            yield f"{path}: {lines} lines, more than {MAX_LINES}"


CHECKS = (check_includes, check_calls, check_mentions, check_names, check_lengths)


def violations(root):
    tree = Tree(root)
    return [line for check in CHECKS for line in check(tree)]


CLEAN = {
    "src/core/error.h": "#include <stdint.h>\n",
    "src/core/error.c": '#include "core/error.h"\n/* calls exit(1) and getenv("X") in a comment; <mpi.h> too */\n'
    'static const char *text = "printf(";\nvoid log_it(void) __attribute__((format(printf, 1, 2)));\n_exit(1);\n',
    "src/core/status.def": "X(OK)\n",
    "src/ir/value.h": '#include "core/error.h"\n',
    "src/lang/ast.h": '#include "ir/value.h"\n',
    "src/lang/parser.c": '#include "ir/value.h"\n#include "core/status.def"\n',
    "src/plan/mesh.h": '#include "ir/value.h"\n',
    "src/comm/comm.h": '#include "core/error.h"\n',
    "src/comm/comm_mpi.c": '#include "comm/comm.h"\n#include <mpi.h>\n',
    "src/backend/backend.h": '#include "core/error.h"\n',
    "src/backend/cpu.c": '#include "backend.h"\n#include <cblas.h>\n#include <omp.h>\n',
    "io/format.h": '#include "comm/comm.h"\n#include "core/error.h"\n',
    "io/hdf5_set.c": '#include "io/format.h"\n#include <hdf5.h>\n',
    "src/exec/run.c": '#include "plan/mesh.h"\n#include "io/format.h"\n#include "backend/backend.h"\n',
    "src/api/fuse_dist.h": "#include <stddef.h>\n",
    "src/api/session.c": '#include "api/fuse_dist.h"\n#include "plan/mesh.h"\n#include "io/format.h"\n',
    "launcher/options.h": "#include <stddef.h>\n",
    "launcher/main.c": '#include "launcher/options.h"\n#include "api/fuse_dist.h"\n'
    "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { printf(getenv(\"A\")); exit(0); }\n",
    "tests/unit/test_mesh.c": '#include "plan/mesh.h"\nint main(void) { printf("x"); exit(0); }\n',
}
PLANTED = [
    ("core includes upward", "src/core/a.c", '#include "ir/value.h"\n'),
    ("ir includes plan", "src/ir/a.c", '#include "plan/mesh.h"\n'),
    ("lang includes plan", "src/lang/a.c", '#include "plan/mesh.h"\n'),
    ("lang includes comm", "src/lang/a.c", '  #  include "comm/comm.h"\n'),
    ("plan includes comm", "src/plan/a.c", '#include "comm/comm.h"\n'),
    ("plan includes io", "src/plan/a.c", '#include "io/format.h"\n'),
    ("plan includes libm", "src/plan/a.c", "#include <math.h>\n"),
    ("comm includes io", "src/comm/a.c", '#include "io/format.h"\n'),
    ("backend includes ir", "src/backend/a.c", '#include "ir/value.h"\n'),
    ("io includes plan", "io/a.c", '#include "plan/mesh.h"\n'),
    ("exec includes lang", "src/exec/a.c", '#include "lang/ast.h"\n'),
    ("exec includes api", "src/exec/a.c", '#include "api/fuse_dist.h"\n'),
    ("launcher includes a layer", "launcher/a.c", '#include "core/error.h"\n'),
    ("launcher reaches through src", "launcher/a.c", '#include "src/core/error.h"\n'),
    ("path with dots", "src/ir/a.c", '#include "../plan/mesh.h"\n'),
    ("unknown header", "src/ir/a.c", '#include "ir/missing.h"\n'),
    ("file outside the layers", "src/a.c", "int a;\n"),
    ("folder outside the layers", "src/new/a.c", "int a;\n"),
    ("mpi.h outside comm", "src/plan/a.c", "#include <mpi.h>\n"),
    ("mpi.h in a header", "src/comm/a.h", "#include <mpi.h>\n"),
    ("cblas.h outside backend", "src/exec/a.c", '#include "cblas.h"\n'),
    ("hdf5.h outside io", "src/exec/a.c", "#include <hdf5.h>\n"),
    ("cJSON.h outside io", "src/lang/a.c", "#include <cjson/cJSON.h>\n"),
    ("zlib.h in a header", "io/a.h", "#include <zlib.h>\n"),
    ("hwloc.h in the planner", "src/plan/a.c", "#include <hwloc.h>\n"),
    ("omp.h in core", "src/core/a.c", "#include <omp.h>\n"),
    ("cuda outside its folder", "src/backend/a.c", "#include <cuda_runtime.h>\n"),
    ("exit", "src/core/a.c", "void a(void) { exit (1); }\n"),
    ("printf", "src/exec/a.c", 'void a(void) { printf("x"); }\n'),
    ("fprintf(stderr)", "io/a.c", 'void a(void) { fprintf( stderr, "x"); }\n'),
    ("getenv", "src/comm/a.c", 'char *a(void) { return getenv("X"); }\n'),
    ("call after a literal with a comment", "src/comm/a.c", 'const char *s = "/*"; void a(void) { exit(1); }\n'),
    ("mention of tests", "src/core/a.c", "/* see tests/unit/a.c */\n"),
    ("mention of examples", "src/core/a.h", "/* as examples/digits does */\n"),
    ("same name twice", "src/exec/error.c", "int a;\n"),
    ("same name in tests", "tests/unit/error.c", "int a;\n"),
    ("file called utils", "src/core/utils.c", "int a;\n"),
    ("file called helpers", "tests/unit/helpers.py", "a = 1\n"),
    ("folder called common", "src/core/common/a.c", "int a;\n"),
    ("too long", "src/core/a.c", "int a;\n" * (MAX_LINES + 1)),
]


def write_tree(root, files):
    for path, text in files.items():
        place = os.path.join(root, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8") as stream:
            stream.write(text)


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, CLEAN)
        for line in violations(root):
            failures.append(f"reported in a clean tree: {line}")
        for what, path, text in PLANTED:
            write_tree(root, {path: text})
            if not any(path in line or line.startswith(os.path.dirname(path)) for line in violations(root)):
                failures.append(f"not seen: {what}")
            os.remove(os.path.join(root, path))
            folder = os.path.dirname(os.path.join(root, path))
            if not os.listdir(folder):
                os.rmdir(folder)
    for failure in failures:
        print("check-layers: " + failure)
    print(f"check-layers: {len(PLANTED)} planted violations, {len(failures)} failures")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description="Checks that the source tree keeps its layers.")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    found = violations(options.root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
