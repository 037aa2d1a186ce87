#!/usr/bin/env bash
# Configures and builds one preset into build/<preset>.
# usage: scripts/build.sh [dev|asan|release|cuda|fuzz]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}
cmake --preset "$preset" --log-level=WARNING
cmake --build --preset "$preset"
