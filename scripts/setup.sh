#!/usr/bin/env bash
# Installs the Debian packages that building, testing and the examples need. Prints nothing when all are there.
# usage: scripts/setup.sh
set -euo pipefail

packages=(
    build-essential cmake ninja-build pkg-config
    libopenmpi-dev openmpi-bin libopenblas-serial-dev libhdf5-openmpi-dev libcjson-dev zlib1g-dev libhwloc-dev
    libcmocka-dev python3 python3-numpy python3-sklearn mandoc
    clang clang-format-14 libclang-rt-14-dev libomp-14-dev
)

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
elif command -v sudo >/dev/null; then
    as_root=(sudo env)
else
    echo "setup.sh: these packages are missing: ${missing[*]}" >&2
    echo "setup.sh: installing them needs root; run this script as root, or install sudo" >&2
    exit 1
fi
as_root+=(DEBIAN_FRONTEND=noninteractive)

install() {
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
}

# The package lists may be absent (a bare container) or name versions that the mirror has dropped.
known() {
    apt-cache policy "${missing[@]}" | awk '/Candidate:/ && $2 != "(none)" { n++ } END { exit n != want }' want=${#missing[@]}
}
echo "setup.sh: installing ${missing[*]}"
if ! known || ! install; then
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq
    install
fi
