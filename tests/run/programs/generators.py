"""Counter-based random numbers: the documented generator, statistics, the same for every number of ranks."""

import numpy

from . import Exact, F32, Holds, f32, program, wide


def philox(counter, seed):
    """The first word of Philox 4x32-10 (Salmon et al., SC 2011) for an array of 64-bit counters and one 64-bit key."""
    mask = numpy.uint64(0xFFFFFFFF)
    counter = numpy.asarray(counter, numpy.uint64)
    x = [counter & mask, counter >> numpy.uint64(32), numpy.zeros_like(counter), numpy.zeros_like(counter)]
    key = [numpy.uint64(seed & 0xFFFFFFFF), numpy.uint64(seed >> 32)]
    for _ in range(10):
        a = x[0] * numpy.uint64(0xD2511F53)
        b = x[2] * numpy.uint64(0xCD9E8D57)
        x = [(b >> numpy.uint64(32)) ^ x[1] ^ key[0], b & mask, (a >> numpy.uint64(32)) ^ x[3] ^ key[1], a & mask]
        key = [(key[0] + numpy.uint64(0x9E3779B9)) & mask, (key[1] + numpy.uint64(0xBB67AE85)) & mask]
    return x[0]


# The generator's published test vector: counter 0, key 0.
assert philox(numpy.zeros(1), 0)[0] == 0x6627E8D5


def uniform(seed, *shape):
    """Element k is the high 24 bits of the generator's first word for counter k."""
    count = int(numpy.prod(shape))
    bits = philox(numpy.arange(count, dtype=numpy.uint64), seed) >> numpy.uint64(8)
    return (bits.astype(numpy.float64) * 2.0**-24).reshape(shape)


@program
def uniform_is_the_documented_one(rng):
    x = f32(rng, 13, 7)
    return """
        axis n = 1009
        axis i = 13
        axis j = 7
        X[i,j] = "x.npy"
        A[n] = uniform(seed=7)
        B[i,j] = uniform(seed=12345)
        C[i,j] = X[i,j] + uniform(seed=12345)
        D[j,i] = B[i,j]
        S = uniform(seed=99)
        "a.npy" = A[n]
        "b.npy" = B[i,j]
        "c.npy" = C[i,j]
        "d.npy" = D[j,i]
        "s.npy" = S
    """, {"x": x}, {
        "a": Exact(uniform(7, 1009), "f32"), "b": Exact(uniform(12345, 13, 7), "f32"),
        "c": F32(wide(x) + uniform(12345, 13, 7)), "d": Exact(uniform(12345, 13, 7).T, "f32"),
        "s": Exact(uniform(99)[()], "f32")}


@program
def uniform_between_bounds(rng):
    return """
        axis i = 31
        axis j = 3
        A[i,j] = uniform(seed=4294967297, lo=-2.0, hi=3.0)
        B[i,j] = uniform(seed=4294967297)
        C[i,j] = uniform(seed=1)
        "a.npy" = A[i,j]
        "b.npy" = B[i,j]
        "c.npy" = C[i,j]
    """, {}, {
        # A seed of more than 32 bits is not the same as its low half.
        "a": F32(5 * uniform(2**32 + 1, 31, 3) - 2, 1, 5), "b": Exact(uniform(2**32 + 1, 31, 3), "f32"),
        "c": Exact(uniform(1, 31, 3), "f32")}


def normal_looks_normal(mean, deviation):
    def check(got):
        if got.shape != (211, 307) or got.dtype != numpy.float32:
            return f"shape {got.shape}, dtype {got.dtype}"
        z = (got.astype(numpy.float64) - mean) / deviation
        n = z.size
        facts = {"mean": (z.mean(), 0, 1), "variance": ((z**2).mean(), 1, 2), "third moment": ((z**3).mean(), 0, 15),
                 "fourth moment": ((z**4).mean(), 3, 96), "lag 1": ((z[:, 1:] * z[:, :-1]).mean(), 0, 1),
                 "beyond 1": ((abs(z) > 1).mean(), 0.3173, 0.22)}
        for fact, (value, expected, variance) in facts.items():
            # Five standard deviations of the estimate.
            if not abs(value - expected) < 5 * (variance / n) ** 0.5:
                return f"{fact} is {value}, expected {expected}"
        if len(numpy.unique(got)) < 0.9 * n:
            return "many equal values"
        return None

    return Holds(check, exact=True)


@program
def normal_statistics(rng):
    return """
        axis i = 211
        axis j = 307
        A[i,j] = normal(seed=3)
        B[i,j] = normal(seed=3, mean=2.0, std=0.5)
        C[i,j] = normal(seed=4)
        Difference[i,j] = B[i,j] - 2.0 - 0.5 A[i,j]
        Correlation = mean(A[i,j] C[i,j], axis=[i,j])
        "a.npy" = A[i,j]
        "b.npy" = B[i,j]
        "difference.npy" = Difference[i,j]
        "correlation.npy" = Correlation
    """, {}, {
        "a": normal_looks_normal(0, 1), "b": normal_looks_normal(2, 0.5),
        "difference": F32(numpy.zeros((211, 307)), 1, 4),
        "correlation": Holds(lambda got: None if abs(got) < 5 / (211 * 307) ** 0.5 else f"{got}, expected about 0")}


@program
def large_uniform(rng):
    # More than 64 KiB: every rank makes its own part, at every cut the same numbers.
    value = uniform(2024, 257, 301)
    return """
        axis i = 257
        axis j = 301
        A[i,j] = uniform(seed=2024)
        B[j,i] = uniform(seed=2024)
        Sum[i] = A[i,j]
        "a.npy" = A[i,j]
        "b.npy" = B[j,i]
        "sum.npy" = Sum[i]
    """, {}, {
        "a": Exact(value, "f32"), "b": Exact(uniform(2024, 301, 257), "f32"), "sum": F32(value.sum(1), 301)}
