#!/usr/bin/env bash
# Installs the Debian packages that building, testing and the examples need. Prints nothing when all are there.
# usage: scripts/setup.sh
set -euo pipefail

packages=(
    build-essential cmake ninja-build pkg-config
    libopenmpi-dev openmpi-bin libopenblas-serial-dev libhdf5-openmpi-dev libcjson-dev libcurl4-openssl-dev zlib1g-dev libhwloc-dev
    libsleef-dev libcmocka-dev libgraphblas-dev libscalapack-openmpi-dev python3 python3-numpy python3-sklearn python3-h5py python3-matplotlib hdf5-tools mandoc
    valgrind clang clang-format-14 libclang-rt-14-dev libomp-14-dev
    slurm-wlm munge iproute2 shellcheck
)
services=(munge slurmctld slurmd) # these packages bring one each, of the same name; the tests start their own

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing=()
for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
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

new_services=()
for service in "${services[@]}"; do
    is_installed "$service" || new_services+=("$service")
done

# No service is started now or at the next start of the machine, unless it was there before.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    [ ${#new_services[@]} -gt 0 ] && [ ! -e $policy ] || return 0
    # shellcheck disable=SC2064
    trap "${as_root[*]} rm -f $policy" EXIT
    "${as_root[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
}
disable_services() {
    [ ${#new_services[@]} -gt 0 ] && command -v systemctl >/dev/null || return 0
    "${as_root[@]}" systemctl --quiet disable "${new_services[@]}" 2>/dev/null || true
}

install() {
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
}

# The package lists may be absent (a bare container) or name versions that the mirror has dropped.
known() {
    apt-cache policy "${missing[@]}" | awk '/Candidate:/ && $2 != "(none)" { n++ } END { exit n != want }' want=${#missing[@]}
}
echo "setup.sh: installing ${missing[*]}"
forbid_services
if ! known || ! install; then
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq
    install
fi
disable_services
