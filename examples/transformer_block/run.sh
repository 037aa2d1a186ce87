#!/usr/bin/env bash
# A transformer block on RANKS ranks (8): makes weights and an input, runs transformer_block.fuse, compares with NumPy.
# usage: examples/transformer_block/run.sh [--size toy|small|large] [RANKS]
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh [--size toy|small|large] [RANKS]"
size=small
ranks=8
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) show_help ;;
        --size)
            [ $# -gt 1 ] || die "$usage"
            size=$2
            shift
            ;;
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
echo "transformer block: $tokens tokens, width $width, $heads heads, ranks $ranks"
run_ranks "$ranks" --root "$work/$size" --output-root "$output" "$here/transformer_block.fuse"
exec "$python" -B "$here/reference.py" "$work/$size" "$output"
