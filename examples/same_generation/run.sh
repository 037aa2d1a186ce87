#!/usr/bin/env bash
# Who is of whose generation in a family, on RANKS ranks (2): makes it, runs same_generation.fuse, compares.
# usage: examples/same_generation/run.sh [--depth N] [RANKS]
#        N generations below the first (8)
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
ranks=2
depth=8
take_ranks depth -- "$@"

build_program
make_data_in "$work/data-$depth" --depth "$depth"
output=$work/output
mkdir -p "$output"
rm -f "$output"/*
run_ranks "$ranks" --root "$work/data-$depth" --output-root "$output" --count Same "$here/same_generation.fuse" >"$output/count.txt"
exec "$python" -B "$here/reference.py" "$work/data-$depth" "$output"
