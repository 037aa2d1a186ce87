#!/usr/bin/env bash
# Fails when shellcheck finds something in a shell script; returns 77 where shellcheck is missing.
# usage: scripts/check-shell.sh
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v shellcheck >/dev/null; then
    echo "check-shell: shellcheck is missing, nothing checked"
    exit 77
fi
mapfile -t files < <(find .ci scripts examples tests -type f | while read -r file; do
    if head -n 1 "$file" | grep -aqE '^#!.*/(env )?(ba)?sh'; then echo "$file"; fi
done)
[ ${#files[@]} -gt 0 ]
exec shellcheck --external-sources "${files[@]}"
