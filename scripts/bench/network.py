#!/usr/bin/python3
"""Maps, normalisers, attention and a transformer block: fuse-dist bench beside PyTorch and NumPy, in one run.

usage: network.py --binary FUSE_DIST [--torch-python PYTHON] [--threads 1,2] [--rounds R] [--only NAME,..] [--json FILE]

PYTHON is one that has torch and numpy. Each round runs the peers and fuse-dist once after the other; what is compared are medians
over the rounds, and the fastest of each, which other work on the machine disturbs less. PyTorch writes into results that exist
where it has a form for that; the others are what its functions return. `x comp` is PyTorch compiled by torch.compile, which needs a
C++ compiler; "-" where it does not run. NumPy is measured on one thread. `x copy` compares bandwidths: gelu(x + b) moves half as
much again as a copy. Prints a table; exit status 1 when a check failed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ELEMENTS, ROWS, COLUMNS = 1 << 26, 16384, 4096
TOKENS, WIDTH, HEADS = 2048, 1024, 16

# name, words of fuse-dist bench, what is asked for
CASES = [
    ("gelu(x + b)", ["map", "gelu", str(ELEMENTS)], "0.8 copy, torch"),
    ("exp", ["map", "exp", str(ELEMENTS)], "0.8 copy, torch"),
    ("tanh", ["map", "tanh", str(ELEMENTS)], "0.8 copy, torch"),
    ("softmax", ["map", "softmax", str(ROWS), str(COLUMNS)], "0.8 copy, torch"),
    ("layernorm", ["map", "layernorm", str(ROWS), str(COLUMNS)], "torch"),
    ("masked softmax", ["map", "masked_softmax", str(ROWS), str(COLUMNS)], "torch"),
    ("causal attention", ["attention", "16", "8192", "64", "--causal"], "1.3 torch"),
    ("attention", ["attention", "16", "8192", "64"], ""),
    ("transformer block", ["program"], "torch"),
]


# What a case moves through memory, of what a copy of its result does.
MOVED = {"gelu(x + b)": 1.5}


# ---- the peers, in a process of their own


def torch_block(torch):
    """The block of examples/transformer_block, eager."""
    nn, size = torch.nn.functional, WIDTH // HEADS
    x = torch.randn(TOKENS, WIDTH)
    gains = [torch.randn(WIDTH) for _ in range(4)]
    qkv = [torch.randn(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(4)]
    up, down = torch.randn(WIDTH, 4 * WIDTH) / WIDTH**0.5, torch.randn(4 * WIDTH, WIDTH) / (4 * WIDTH) ** 0.5
    bias = [torch.randn(n) for n in (WIDTH, 4 * WIDTH, WIDTH)]

    def run():
        norm = nn.layer_norm(x, (WIDTH,), gains[0], gains[1])
        q, k, v = ((norm @ w).view(TOKENS, HEADS, size).transpose(0, 1)[None] for w in qkv[:3])
        heads = nn.scaled_dot_product_attention(q, k, v, is_causal=True)[0].transpose(0, 1).reshape(TOKENS, WIDTH)
        middle = x + torch.addmm(bias[0], heads, qkv[3])
        norm = nn.layer_norm(middle, (WIDTH,), gains[2], gains[3])
        hidden = nn.gelu(torch.addmm(bias[1], norm, up), approximate="tanh")
        return middle + torch.addmm(bias[2], hidden, down)

    return run


def torch_call(name, torch):
    nn = torch.nn.functional
    if name == "transformer block":
        return torch_block(torch)
    if "attention" in name:
        q, k, v = (torch.randn(1, 16, 8192, 64) for _ in range(3))
        return lambda: nn.scaled_dot_product_attention(q, k, v, is_causal=name.startswith("causal"))
    x, out = torch.randn(ROWS, COLUMNS), torch.empty(ROWS, COLUMNS)
    b = torch.randn(ROWS, COLUMNS) if name == "gelu(x + b)" else None
    hidden = x <= 0
    return {
        "copy": lambda: out.copy_(x),
        "gelu(x + b)": lambda: nn.gelu(torch.add(x, b, out=out), approximate="tanh"),
        "exp": lambda: torch.exp(x, out=out),
        "tanh": lambda: torch.tanh(x, out=out),
        "softmax": lambda: torch.softmax(x, 1),
        "layernorm": lambda: nn.layer_norm(x, (COLUMNS,)),
        "masked softmax": lambda: torch.softmax(x.masked_fill(hidden, float("-inf")), 1),
    }[name]


def numpy_call(name, numpy):
    x = numpy.random.default_rng(1).standard_normal((ROWS, COLUMNS), dtype=numpy.float32)
    if name == "copy":
        y = numpy.empty_like(x)
        return lambda: numpy.copyto(y, x)

    def gelu():
        s = x + x
        return 0.5 * s * (1 + numpy.tanh(numpy.float32(0.7978845608) * (s + numpy.float32(0.044715) * s * s * s)))

    def softmax(y):
        weights = numpy.exp(y - y.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def layernorm():
        centred = x - x.mean(1, keepdims=True)
        return centred / numpy.sqrt((centred * centred).mean(1, keepdims=True) + numpy.float32(1e-5))

    return {"gelu(x + b)": gelu, "exp": lambda: numpy.exp(x), "tanh": lambda: numpy.tanh(x), "softmax": lambda: softmax(x),
            "layernorm": layernorm,
            "masked softmax": lambda: softmax(numpy.where(x > 0, x, numpy.float32(-numpy.inf)))}.get(name)


def peer(name, library, threads):
    """Prints the seconds of three calls."""
    if library in ("torch", "compiled"):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(1)
        version = torch.__version__
        call = torch_call(name, torch)
        if library == "compiled":
            call = torch.compile(call)
        guard = torch.inference_mode()
    else:
        import contextlib

        import numpy

        version, call, guard = numpy.__version__, numpy_call(name, numpy), contextlib.nullcontext()
    seconds = []
    with guard:
        for repeat in range(4 if call else 0):
            start = time.perf_counter()
            call()
            seconds += [time.perf_counter() - start] if repeat else []
    print(json.dumps({"version": version, "seconds": seconds}))


# ---- fuse-dist


def environment(threads):
    own = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS=str(threads))
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        own.pop(name, None)
    return own


def measure_peer(python, name, library, threads):
    result = subprocess.run([python, os.path.abspath(__file__), "--peer", name, library, str(threads)], capture_output=True,
                            text=True, env=environment(threads))
    if result.returncode != 0:
        return {"version": "", "seconds": []}
    return json.loads(result.stdout.strip().splitlines()[-1])


def measure(options, words, threads, folder):
    if words == ["program"]:
        program = os.path.join(ROOT, "examples", "transformer_block", "transformer_block.fuse")
        words = ["program", program]
    result = subprocess.run([options.binary, "bench", *words, "--json", "--repeat", "3", "--warmup", "1", "--threads",
                             str(threads)], capture_output=True, text=True, env=environment(threads), cwd=folder)
    if result.returncode not in (0, 77):
        raise SystemExit(result.stderr)
    return json.loads(result.stdout)["lines"][0]


def run_case(options, case, threads, folder):
    name, words, asked = case
    seconds = {"fuse-dist": [], "copy": [], "torch": [], "compiled": [], "numpy": []}
    passed, versions = True, {}
    for _ in range(options.rounds):
        line = measure(options, words, threads, folder)
        seconds["fuse-dist"] += [line["median"], line["min"]]
        passed &= line["passed"] is not False
        seconds["copy"] += measure_peer(options.torch_python, "copy", "numpy", 1)["seconds"] if "copy" in asked else []
        for library in ("torch", "compiled", "numpy"):
            if library != "numpy" or threads == 1:
                got = measure_peer(options.torch_python, name, library, threads)
                seconds[library] += got["seconds"]
                versions[library] = got["version"]
    return {"name": name, "threads": threads, "asked": asked, "passed": passed, "seconds": seconds, "versions": versions,
            "line": line}


def times_as_fast(row, other, pick=statistics.median):
    """As which peer fuse-dist is; None where it was not measured."""
    seconds = row["seconds"]
    if not seconds[other]:
        return None
    moved = MOVED.get(row["name"], 1) if other == "copy" else 1
    return moved * pick(seconds[other]) / pick(seconds["fuse-dist"])


def ratio(row, other, best):
    times = times_as_fast(row, other, min if best else statistics.median)
    return "-" if times is None else f"{times:.2f}"


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "--peer":
        return peer(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only")
    parser.add_argument("--json")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    wanted = options.only.split(",") if options.only else None
    rows = []
    print(f"{'case':<19}{'threads':>7}{'fuse-dist s':>12}{'best s':>10}{'x torch':>9}{'best':>6}{'x comp':>8}{'x numpy':>9}{'x copy':>8}"
          f"{'best':>6}  {'asked':<16}check")
    with tempfile.TemporaryDirectory() as folder:
        if not wanted or "transformer block" in wanted:
            subprocess.run([sys.executable, os.path.join(ROOT, "examples", "transformer_block", "make_data.py"), "--tokens",
                            str(TOKENS), "--width", str(WIDTH), "--heads", str(HEADS), folder], check=True)
        for case in CASES:
            for threads in map(int, options.threads.split(",")):
                if wanted and case[0] not in wanted:
                    continue
                row = run_case(options, case, threads, folder)
                rows.append(row)
                s = row["seconds"]
                print(f"{row['name']:<19}{threads:>7}{statistics.median(s['fuse-dist']):>12.4f}{min(s['fuse-dist']):>10.4f}"
                      f"{ratio(row, 'torch', False):>9}{ratio(row, 'torch', True):>6}{ratio(row, 'compiled', False):>8}"
                      f"{ratio(row, 'numpy', False):>9}{ratio(row, 'copy', False):>8}{ratio(row, 'copy', True):>6}  {row['asked']:<16}"
                      f"{'PASSED' if row['passed'] else 'FAILED'}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "rounds": options.rounds, "load": os.getloadavg()}, file, indent=1)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
