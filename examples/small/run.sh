#!/usr/bin/env bash
# Runs a small example on RANKS ranks (2) and compares what it writes with what NumPy computed.
# usage: examples/small/run.sh NAME [RANKS]
#        FUSE_DIST=PATH takes another build of the program
set -euo pipefail
# shellcheck source=SCRIPTDIR/../run_steps.sh
. "$(dirname "$0")/../run_steps.sh"
usage="usage: run.sh NAME [RANKS], where NAME is one of: $(cd "$here" && printf '%s ' */)"
name=${1:-}
name=${name%/}
ranks=${2:-2}
case $name in
    -h | --help) show_help ;;
esac
if [ $# -gt 2 ] || [ ! -f "$here/$name/$name.fuse" ] || ! is_count "$ranks"; then
    die "$usage"
fi

build_program
output=$work/$name
rm -rf "$output"
mkdir -p "$output"
run_ranks "$ranks" --root "$here/$name" --output-root "$output" "$here/$name/$name.fuse"
exec "$python" -B "$here/compare.py" compare "$name" "$output"
