#!/usr/bin/env bash
# Builds into build/test and runs the whole suite: the dev preset (asserts and fault points on), for any processor and
# any compiler. The last line printed is ctest's.
# usage: scripts/test.sh [ctest option...]
#        FUSE_WERROR=ON makes warnings errors
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset dev -B build/test -DFUSE_NATIVE=OFF -DFUSE_WERROR="${FUSE_WERROR:-OFF}" --log-level=WARNING
cmake --build build/test
# Twice the cores: starting ranks is mostly waiting. Limits on time in tests are on processor time.
exec ctest --test-dir build/test --output-on-failure -j$((2 * $(nproc))) "$@"
