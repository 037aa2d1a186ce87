#!/usr/bin/python3
"""usage: reference.py DATA OUTPUT. Compares with the closed form: a generation of 2^g persons has 2^g (2^g - 1) pairs, and the kin of
person 9, of the third generation, are the seven others of 8 .. 15."""

import os
import sys


def main():
    data, output = sys.argv[1:]
    with open(os.path.join(data, "parent.tsv"), encoding="utf-8") as stream:
        persons = sum(1 for _ in stream) + 1
    depth = (persons + 1).bit_length() - 2
    expected = {"count.txt": f"Same: {sum(2**g * (2**g - 1) for g in range(1, depth + 1))} tuples\n",
                "kin.tsv": "".join(f"n{k}\n" for k in range(8, 16) if k != 9)}
    wrong = 0
    for name, text in expected.items():
        with open(os.path.join(output, name), encoding="utf-8") as stream:
            got = stream.read()
        print(f"{name}: {got.strip() if name == 'count.txt' else f'{len(got.splitlines())} rows'}"
              f"{'' if got == text else ', which is not as expected'}")
        wrong += got != text
    print("FAILED" if wrong else "PASSED")
    sys.exit(wrong > 0)


main()
