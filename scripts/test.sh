#!/usr/bin/env bash
# Builds into build/test and runs the whole suite: the dev preset (asserts and fault points on), for any processor and
# any compiler. The last line printed is ctest's.
# usage: scripts/test.sh [ctest option...]
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset dev -B build/test -DFUSE_NATIVE=OFF -DFUSE_WERROR=OFF --log-level=WARNING
cmake --build build/test
exec ctest --test-dir build/test --output-on-failure -j2 "$@"
