#!/usr/bin/env bash
# Classifies handwritten digits on RANKS ranks, prints the accuracy and checks it against NumPy.
# usage: examples/digits/run.sh [RANKS]        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
ranks=${1:-8}
python=/usr/bin/python3 # Debian's: NumPy and scikit-learn are its packages
program=${FUSE_DIST:-$top/build/release/fuse-dist}
data=$top/build/digits/data
output=$top/build/digits/output

if [ ! -x "$program" ]; then
    if [ -n "${FUSE_DIST:-}" ]; then
        echo "run.sh: FUSE_DIST=$FUSE_DIST is no program" >&2
        exit 2
    fi
    "$top/scripts/build.sh" release
fi
if [ ! -f "$data/test_label.npy" ]; then
    "$python" "$here/make_data.py" "$data"
fi
mkdir -p "$output"
rm -f "$output"/*.npy

# Open MPI refuses root, and more ranks than physical cores, unless told otherwise.
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
cores=$(lscpu -p=Core,Socket 2>/dev/null | grep -v '^#' | sort -u | wc -l || true)
if { [ "$ranks" -gt "$cores" ] || [ "$ranks" -gt "$(nproc)" ]; } && [ -z "${SLURM_JOB_ID:-}" ]; then
    export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
fi

mpirun -n "$ranks" "$program" --root "$data" --output-root "$output" "$here/digits.fuse"
"$python" - "$output/accuracy.npy" "$ranks" <<'EOF'
import sys
import numpy
print(f"accuracy on {sys.argv[2]} rank{'s'[sys.argv[2] == '1':]}: {float(numpy.load(sys.argv[1])):.6f}")
EOF
exec "$python" "$here/reference.py" "$data" "$output"
