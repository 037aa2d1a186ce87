#!/usr/bin/env bash
# Fails when a C file differs from what .clang-format asks for; returns 77 where clang-format is missing.
# usage: scripts/check-format.sh [--fix]
set -euo pipefail
cd "$(dirname "$0")/.."

tool=
for name in clang-format-14 clang-format; do
    if command -v "$name" >/dev/null; then
        tool=$name
        break
    fi
done
if [ -z "$tool" ]; then
    echo "check-format: clang-format is missing, nothing checked"
    exit 77
fi

# A release archive has no git folder.
tracked() {
    git ls-files '*.c' '*.h' 2>/dev/null || find src io launcher tests examples -name '*.[ch]'
}
mapfile -t files < <(tracked | while read -r file; do if [ -f "$file" ]; then echo "$file"; fi; done)
[ ${#files[@]} -gt 0 ] || exit 0

if [ "${1:-}" = --fix ]; then
    exec "$tool" -i "${files[@]}"
fi
exec "$tool" --dry-run --Werror "${files[@]}"
