#!/usr/bin/env python3
"""--projection monte_carlo: estimates have no bias, their error shrinks as one over the root of the number of points, they are the
same on any number of ranks, and less is computed.

usage: monte_carlo.py --binary FUSE_DIST [--ranks N...]

Every equation draws points of its own, so a program of many equal equations is many independent estimates. The bounds are
four standard deviations of what is estimated.
"""

import argparse
import json
import os
import sys
import tempfile

import launch

launch.require_numpy()

import numpy  # noqa: E402

REPEATS = 120
# Of sums within sums the errors multiply: with few points they shrink faster.
NESTED = ("product", "chain", "quotient")
FORMS = {  # name: (equation of @, exact value of a, b)
    "product": ("@ = A[i,k] B[k,j]", lambda a, b: (a @ b).sum()),
    "triple": ("@ = A[3,k] B[k,2] A[4,k]", lambda a, b: (a[3] * b[:, 2] * a[4]).sum()),
    "row": ("@ = A[3,k] B[k,2]", lambda a, b: a[3] @ b[:, 2]),
    "sum": ("@ = A[i,k]", lambda a, b: a.sum()),
    "function": ("@ = reduce(sum, i, k) relu(A[i,k] - 0.5)", lambda a, b: numpy.maximum(a - 0.5, 0).sum()),
    "mean": ("@ avg= A[i,k] * A[i,k]", lambda a, b: (a * a).mean()),
    "quotient": ("@ = A[i,k] / (2 + B[k,1])", lambda a, b: (a / (2 + b[:, 1])).sum()),
    "chain": ("@ = A[i,k] B[k,j] A[i,l]", lambda a, b: numpy.einsum("ik,kj,il->", a, b, a)),
}


def run(binary, folder, text, ranks, *options):
    with open(os.path.join(folder, "p.fuse"), "w", encoding="utf-8") as file:
        file.write('A[i,k] = "a.npy"\nB[k,j] = "b.npy"\nN[i,k] = "n.npy"\n' + text)
    command = [binary, "--out", "out.npz", "--times=json", *options, "p.fuse"]
    result = launch.run(launch.on_ranks(ranks, command), folder, 120)
    assert result.status == 0, f"{ranks} ranks: {result.tail()}"
    with numpy.load(os.path.join(folder, "out.npz")) as file:
        values = {name: file[name] for name in file.files}
    return values, json.loads(next(line for line in result.out.splitlines() if line.startswith("{")))


def estimates(binary, folder, form, samples, seed):
    """REPEATS independent estimates of a form's value."""
    names = [f"E{n}" for n in range(REPEATS)]
    text = "".join(form.replace("@", name) + "\n" for name in names) + "export " + ", ".join(names) + "\n"
    options = ["--precision", "fp64", "--projection", "monte_carlo", "--samples", str(samples), "--seed", str(seed)]
    values, _ = run(binary, folder, text, 0, *options)
    return numpy.array([values[name] for name in names])


def test_error(binary, folder, a, b):
    for number, (name, (form, value)) in enumerate(FORMS.items()):
        exact, spread = value(a, b), []
        for samples in (7, 28, 112):
            got = estimates(binary, folder, form, samples, number)
            assert len(set(got)) == REPEATS, f"{name}, {samples} points: equal estimates"
            deviation = got.std(ddof=1)
            bias = abs(got.mean() - exact) / (deviation / REPEATS ** 0.5)
            assert bias < 4, f"{name}, {samples} points: the mean is {bias:.1f} standard deviations off"
            spread.append(deviation)
        # Four times the points, half the error; each spread is known to 1 / sqrt(2 * REPEATS) or so.
        for more, fewer in zip(spread[1:], spread):
            low, high = (1.4, 5) if name in NESTED else (1.4, 2.9)
            assert low < fewer / more < high, f"{name}: errors {spread} do not halve"


def test_ranks(binary, folder, a, b, ranks):
    text = """C[i,j] = A[i,k] B[k,j]
R[i] = reduce(sum, k) exp(A[i,k])
M[k] avg= A[i,k]
I[i] = N[i,k]
Small = A[i,0]
Count[i] = reduce(sum, k) (A[i,k] > 1)
P[i,k.] = softmax(A[i,k])
export C, R, M, I, Small, Count, P
"""
    options = ["--projection", "monte_carlo", "--samples", "20", "--replicate-below", "0"]
    first, _ = run(binary, folder, text, 1, *options)
    other, _ = run(binary, folder, text, 1, *options, "--seed", "1")
    exact, _ = run(binary, folder, text, 1)
    assert not numpy.allclose(first["C"], other["C"]) and not numpy.allclose(first["C"], exact["C"])
    for name in ("I", "Count", "P"):
        assert numpy.array_equal(first[name], exact[name]), f"{name} is not exact"
    for n in ranks:
        values, _ = run(binary, folder, text, n, *options)
        for name, value in values.items():
            assert numpy.allclose(value, first[name], rtol=1e-5, atol=1e-5), f"{n} ranks: other {name}"
    # As many points as there are: nothing is estimated.
    values, _ = run(binary, folder, text, 1, "--projection", "monte_carlo", "--samples", str(a.size))
    assert all(numpy.array_equal(values[name], exact[name]) for name in exact)


def test_work(binary, folder):
    text = "C[i,j] = A[i,k] A[j,k]\nexport C\n"
    _, exact = run(binary, folder, text, 1)
    _, less = run(binary, folder, text, 1, "--projection", "monte_carlo", "--samples", "8")
    assert less["flops_max"] < exact["flops_max"] / 3, (less["flops_max"], exact["flops_max"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=os.path.abspath)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3, 4, 8])
    options = parser.parse_args()
    rng = numpy.random.default_rng(11)
    # Every sum runs over more points than are ever drawn.
    a, b = rng.uniform(0, 2, (200, 300)), rng.uniform(0, 1, (300, 150))
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(os.path.join(folder, "a.npy"), a)
        numpy.save(os.path.join(folder, "b.npy"), b)
        numpy.save(os.path.join(folder, "n.npy"), rng.integers(-9, 9, a.shape))
        test_error(options.binary, folder, a, b)
        test_ranks(options.binary, folder, a, b, options.ranks)
        test_work(options.binary, folder)
    print(f"{len(FORMS)} forms of sums: no bias, errors halve with four times the points, equal on {options.ranks} ranks")


if __name__ == "__main__":
    sys.exit(main())
