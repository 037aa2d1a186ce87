#!/usr/bin/env bash
# Classifies handwritten digits on RANKS ranks (8), prints the accuracy and checks it against NumPy.
# usage: examples/digits/run.sh [--scale [--rows N]] [RANKS]
#        --scale: 400,000 images, or N, and 400 MiB of memory for each rank. Takes minutes.
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh [--scale [--rows N]] [RANKS]"
scale=0
rows=400000
ranks=8
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) show_help ;;
        --scale) scale=1 ;;
        --rows)
            is_count "${2:-}" || die "$usage"
            rows=$2
            shift
            ;;
        *)
            is_count "$1" || die "$usage"
            ranks=$1
            ;;
    esac
    shift
done

[ "$scale" = 1 ] || [ "$rows" = 400000 ] || die "--rows is for --scale"

build_program
data=$work/data
output=$work/output
options=()
check=()
if [ "$scale" = 1 ]; then
    data=$work/scale-$rows
    output=$work/scale-output
    make_data_in "$data" --scale --rows "$rows"
    data_limit_kib=409600 # 400 MiB, which the system enforces; the plan stays well below
    # Among so many images similar ones are closer, so a lower temperature is better; it also keeps the closest decision
    # far from a tie, which makes the predictions the same on every number of ranks. A still lower one is slow: most
    # weights would be too small for a normal f32, and products of such numbers take ten times as long.
    temperature=0.02
    options=(--mem-per-rank 240M -D "temperature=$temperature")
    check=(--sample 2000 --temperature "$temperature")
    # mpirun hides the terminal from the ranks
    [ ! -t 2 ] || options+=(--progress=bar)
    test_rows=$((rows / 5))
    pairs=$((test_rows * (rows * 4 / 5)))
    echo "$((rows * 4 / 5)) training and $test_rows test images on $ranks ranks of 400 MiB each:" \
        "their $pairs similarities would fill $((pairs * 4 >> 20)) MiB"
else
    make_data_in "$data"
fi
mkdir -p "$output"
rm -f "$output"/*.npy

started=$SECONDS
run_ranks "$ranks" "${options[@]}" --root "$data" --output-root "$output" "$here/digits.fuse"
[ "$scale" = 0 ] || echo "done in $((SECONDS - started)) s"
"$python" - "$output/accuracy.npy" "$ranks" <<'EOF'
import sys
import numpy
print(f"accuracy on {sys.argv[2]} rank{'s'[sys.argv[2] == '1':]}: {float(numpy.load(sys.argv[1])):.6f}")
EOF
exec "$python" -B "$here/reference.py" "${check[@]}" "$data" "$output"
