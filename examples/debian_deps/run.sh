#!/usr/bin/env bash
# Dependencies of the packages that this machine knows on RANKS ranks (2): makes facts, runs debian_deps.fuse, compares.
# usage: examples/debian_deps/run.sh [--index FILE] [RANKS]
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh [--index FILE] [RANKS]"
ranks=2
index=()
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) show_help ;;
        --index)
            [ $# -gt 1 ] || die "$usage"
            index=(--index "$2")
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
make_data_in "$work/data" ${index[@]+"${index[@]}"}
output=$work/output
mkdir -p "$output"
rm -f "$output"/*.tsv
run_ranks "$ranks" --root "$work/data" --output-root "$output" --count Needs "$here/debian_deps.fuse"
exec "$python" -B "$here/reference.py" "$work/data" "$output"
