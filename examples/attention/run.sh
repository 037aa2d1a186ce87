#!/usr/bin/env bash
# Multi-head attention on RANKS ranks (8): makes inputs, runs attention.fuse, compares with NumPy.
# usage: examples/attention/run.sh [--size toy|small|large] [--causal] [RANKS]
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh [--size toy|small|large] [--causal] [RANKS]"
size=small
causal=0
ranks=8
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) show_help ;;
        --size)
            [ $# -gt 1 ] || die "$usage"
            size=$2
            shift
            ;;
        --causal) causal=1 ;;
        *)
            is_count "$1" || die "$usage"
            ranks=$1
            ;;
    esac
    shift
done
case $size in
    toy) tokens=8 width=8 heads=2 ;;
    small) tokens=512 width=256 heads=8 ;;
    large) tokens=4096 width=1024 heads=16 ;;
    *) die "$usage" ;;
esac

build_program
make_data_in "$work/$size" --tokens "$tokens" --width "$width" --heads "$heads"
output=$work/output
mkdir -p "$output"
rm -f "$output/out.npy"
echo "attention: $tokens tokens, width $width, $heads heads, causal $causal, ranks $ranks"
run_ranks "$ranks" --root "$work/$size" --output-root "$output" -D width=$((width / heads)) -D causal=$causal \
    "$here/attention.fuse"
if [ "$causal" = 1 ]; then set -- --causal; else set --; fi
exec "$python" -B "$here/reference.py" "$@" "$work/$size" "$output"
