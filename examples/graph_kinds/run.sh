#!/usr/bin/env bash
# Reachability, circles and levels of six kinds of graphs on RANKS ranks (2): makes them, runs graph_kinds.fuse on each, compares.
# usage: examples/graph_kinds/run.sh [RANKS]
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
ranks=2
take_ranks -- "$@"

build_program
make_data_in "$work/data"
for kind in chain cycle grid tree random rmat; do
    output=$work/output/$kind
    mkdir -p "$output"
    rm -f "$output"/*
    run_ranks "$ranks" --root "$work/data" --output-root "$output" --input "Edge=$kind.tsv" --count Reach \
        "$here/graph_kinds.fuse" >"$output/count.txt"
done
exec "$python" -B "$here/reference.py" "$work/data" "$work/output"
