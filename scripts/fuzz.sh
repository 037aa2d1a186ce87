#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) under the sanitizers and runs each for some seconds, from its seeds, two at a time.
# Fails when one finds something, and says in which file the input is; make it a seed when it is mended.
# usage: scripts/fuzz.sh [SECONDS [TARGET...]]        600 seconds, all targets
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
shift $(($# > 0))
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "fuzz: '$seconds' is no number of seconds" >&2; exit 2; }

cmake --preset fuzz --log-level=WARNING >/dev/null
cmake --build --preset fuzz --target fuzzers
programs=build/fuzz/tests/fuzz
found=build/fuzz/found
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(find $programs -name 'fuzz_*.arguments' -printf '%f\n' |
    sed 's/fuzz_\(.*\)\.arguments/\1/' | sort)
mkdir -p $found
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

fuzz() {
    local name=$1 arguments
    mapfile -t arguments <"$programs/fuzz_$name.arguments"
    mkdir "$work/$name"
    # New inputs go to the first folder.
    if ! $programs/"fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="$found/$name-" "$work/$name" "${arguments[@]}" >"$work/$name.log" 2>&1; then
        touch "$work/$name.failed"
    fi
}

for name in "${targets[@]}"; do
    [ -f "$programs/fuzz_$name.arguments" ] || { echo "fuzz: there is no target '$name'" >&2; exit 2; }
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    fuzz "$name" &
done
wait

failures=0
for name in "${targets[@]}"; do
    if [ -e "$work/$name.failed" ]; then
        failures=$((failures + 1))
        grep -avE '^(#[0-9]+[[:space:]]+(NEW|REDUCE|pulse)|[[:space:]]*NEW_FUNC)' "$work/$name.log" | tail -n 60
        input=$(sed -n 's/.*Test unit written to //p' "$work/$name.log")
        echo "fuzz: $name fails: ${input:-without an input}"
    else
        runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$work/$name.log")
        echo "fuzz: $name: $runs inputs in $seconds s, $(find "$work/$name" -type f | wc -l) of them new, nothing found"
    fi
done
[ $failures -eq 0 ]
