#!/usr/bin/env bash
# What variables may point to in a made-up program, on RANKS ranks (2): makes it, runs points_to.fuse, compares.
# usage: examples/points_to/run.sh [--functions N] [RANKS]
#        N functions of 20 variables (400)
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh [--functions N] [RANKS]"
ranks=2
functions=400
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) show_help ;;
        --functions)
            if [ $# -lt 2 ] || ! is_count "$2"; then die "$usage"; fi
            functions=$2
            shift
            ;;
        *)
            is_count "$1" || die "$usage"
            ranks=$1
            ;;
    esac
    shift
done

build_program
make_data_in "$work/data-$functions" --functions "$functions"
output=$work/output
mkdir -p "$output"
rm -f "$output"/*
run_ranks "$ranks" --root "$work/data-$functions" --output-root "$output" --count Points "$here/points_to.fuse"
exec "$python" -B "$here/reference.py" "$work/data-$functions" "$output"
