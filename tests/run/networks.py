#!/usr/bin/python3
"""Blocks of transformers travel no more than what is cut by hand, and share their work evenly.

usage: networks.py --binary FUSE_DIST

On 8 ranks a block of 8 heads receives at most as much as two all-reduces of the activations bring (weights cut by heads and
hidden features), or all weights, each rank having tokens or a batch of its own, whichever is less: by plan for several shapes, and as
counted by runs. Of causal attention by sequence no rank computes more than 1.05 of the mean of all scores: by plan for 65,536
tokens, and as counted by runs on 2, 3, 4, 5 and 8 ranks. A plain split of the sequence, a search that looks at one operation after
the other, or an exchange that is not counted makes it fail.
"""

import argparse
import json
import os
import re
import sys
import tempfile

import launch

BLOCK = """\
axis b = {b}
axis p = {p}
axis q = {p}
axis d = {d}
axis h = 8
axis k = {k}
axis f = {f}
X[{B}p,d] = uniform(seed=1)
WQ[d,h,k] = uniform(seed=2)
WK[d,h,k] = uniform(seed=3)
WV[d,h,k] = uniform(seed=4)
WO[h,k,d] = uniform(seed=5)
WUp[d,f] = uniform(seed=6)
WDown[f,d] = uniform(seed=7)
Norm1[{B}p,d.] = layer_norm(X[{B}p,d])
Query[{B}h,p,k] = Norm1[{B}p,d] WQ[d,h,k]
Key[{B}h,q,k] = Norm1[{B}q,d] WK[d,h,k]
Value[{B}h,q,k] = Norm1[{B}q,d] WV[d,h,k]
Heads[{B}h,p,k] = attention(Query[{B}h,p,k], Key[{B}h,q,k], Value[{B}h,q,k], causal=true)
Middle[{B}p,d] = X[{B}p,d] + Heads[{B}h,p,k] WO[h,k,d]
Norm2[{B}p,d.] = layer_norm(Middle[{B}p,d])
Hidden[{B}p,f] = gelu(Norm2[{B}p,d] WUp[d,f])
Out[{B}p,d] = Middle[{B}p,d] + Hidden[{B}p,f] WDown[f,d]
"out.npy" = Out[{B}p,d]
"""
SEQUENCE = """\
axis h = {h}
axis p = {p}
axis q = {p}
axis d = 16
Q[h,p,d] = uniform(seed=1)
K[h,q,d] = uniform(seed=2)
V[h,q,d] = uniform(seed=3)
Out[h,p,d] = attention(Q[h,p,d], K[h,q,d], V[h,q,d], causal=true)
"out.npy" = Out[h,p,d]
"""
RANKS = 8
PLANNED = [(1, 2048, 1024), (1, 512, 256), (1, 512, 4096), (1, 16384, 256), (64, 512, 256), (8, 512, 512)]  # batch, tokens, width
RUN = [(1, 256, 128), (16, 64, 128)]


def block(batch, tokens, width):
    text = BLOCK.format(b=batch, p=tokens, d=width, k=width // 8, f=4 * width, B="b," if batch > 1 else "")
    return text if batch > 1 else text.split("\n", 1)[1]


def by_hand(batch, tokens, width):
    """Bytes that a rank receives: all-gather and reduce-scatter, twice; or the weights that it has not, if there is a batch to share."""
    activations = 2 * 2 * batch * tokens * width * 4 * (RANKS - 1) // RANKS
    weights = 12 * width * width * 4 * (RANKS - 1) // RANKS
    return min(activations, weights) if batch >= RANKS else activations


def plan(binary, folder, ranks, text):
    path = os.path.join(folder, "plan.fuse")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    result = launch.run([binary, "plan", "--ranks", str(ranks), path], folder, 60)
    if result.status != 0:
        sys.exit(result.tail())
    return result.out


def times(binary, folder, ranks, text):
    with open(os.path.join(folder, "run.fuse"), "w", encoding="utf-8") as file:
        file.write(text)
    result = launch.run(launch.on_ranks(ranks, [binary, "run.fuse", "--times=json"]), folder, 120)
    if result.status != 0:
        sys.exit(result.tail())
    return json.loads(next(line for line in (result.out + result.err).splitlines() if line.startswith("{")))


def check_blocks(binary, folder):
    failed = 0
    for shape in PLANNED:
        received = int(re.search(r"run   receives at most (\d+) bytes", plan(binary, folder, RANKS, block(*shape)))[1])
        print(f"block {shape}: {received} bytes planned, by hand {by_hand(*shape)}")
        failed += received > by_hand(*shape)
    for shape in RUN:
        found = times(binary, folder, RANKS, block(*shape))
        received = found["received_bytes_max"]
        print(f"block {shape}: {received} bytes received, by hand {by_hand(*shape)}")
        failed += received > by_hand(*shape) or received != found["planned_received_bytes_max"]
    return failed


def check_sequences(binary, folder):
    failed = 0
    for ranks in 2, 3, 4, 5, 8, 64:
        found = re.search(r"p/\d+ zigzag.*flops \d+, (\d+\.\d+) x the mean", plan(binary, folder, ranks, SEQUENCE.format(h=1, p=65536)))
        if not found or float(found[1]) > 1.05:
            print(f"65,536 tokens on {ranks} ranks: {found[0] if found else 'no zigzag'}")
            failed += 1
    for ranks in 2, 3, 4, 5, 8:
        found = times(binary, folder, ranks, SEQUENCE.format(h=1, p=6007))
        even = found["scores_max"] * found["used"] / found["scores_total"]
        print(f"6,007 tokens on {ranks} ranks: {even:.4f} of the mean, {found['received_bytes_max']} bytes")
        failed += even > 1.05 or found["received_bytes_max"] != found["planned_received_bytes_max"]
    heads = times(binary, folder, 4, SEQUENCE.format(h=8, p=1024))
    if heads["received_bytes_total"] != 0 or heads["scores_max"] * 4 != heads["scores_total"]:
        print("heads are not shared")
        failed += 1
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    binary = os.path.abspath(parser.parse_args().binary)
    with tempfile.TemporaryDirectory(prefix="fuse-networks-") as folder:
        failed = check_blocks(binary, folder) + check_sequences(binary, folder)
    print(f"{failed} failures")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
