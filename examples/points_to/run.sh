#!/usr/bin/env bash
# What variables may point to in a made-up program, on RANKS ranks (2): makes it, runs points_to.fuse, compares.
# usage: examples/points_to/run.sh [--functions N] [RANKS]
#        N functions of 20 variables (400)
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
ranks=2
functions=400
take_ranks functions -- "$@"

build_program
make_data_in "$work/data-$functions" --functions "$functions"
output=$work/output
mkdir -p "$output"
rm -f "$output"/*
run_ranks "$ranks" --root "$work/data-$functions" --output-root "$output" --count Points "$here/points_to.fuse"
exec "$python" -B "$here/reference.py" "$work/data-$functions" "$output"
