#!/usr/bin/env bash
# Plants faults in a copy of the sources, one at a time, and runs the suite, which must see each: by hand, some minutes a
# fault on two cores. docs/testing.md has the table of the last full run.
# usage: scripts/mutate.sh [--check] [--table] [--left] [--jobs N] [NAME...]        see tests/mutants/mutate.py
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
exec /usr/bin/python3 -B tests/mutants/mutate.py "$@"
