#!/usr/bin/env bash
# Shortest and widest ways from one place on RANKS ranks (2): makes roads, runs shortest_paths.fuse, compares with Dijkstra's algorithm.
# usage: examples/shortest_paths/run.sh [--scale] [RANKS]
#        --scale: 1,000,000 places and 4,000,000 roads, and 2 GB of memory for all ranks together
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh [--scale] [RANKS]"
ranks=2
scale=0
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) show_help ;;
        --scale) scale=1 ;;
        *)
            is_count "$1" || die "$usage"
            ranks=$1
            ;;
    esac
    shift
done

build_program
data=$work/data
limits=()
if [ "$scale" = 1 ]; then
    data=$work/scale
    make_data_in "$data" --places 1000000 --roads 4000000
    data_limit_kib=$((2000000000 / 1024 / ranks))
    limits=(--mem-per-rank "${data_limit_kib}K")
else
    make_data_in "$data"
fi
output=$work/output
mkdir -p "$output"
rm -f "$output"/*.tsv
run_ranks "$ranks" --root "$data" --output-root "$output" ${limits[@]+"${limits[@]}"} "$here/shortest_paths.fuse"
exec "$python" -B "$here/reference.py" "$data" "$output"
