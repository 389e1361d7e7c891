#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing to build and run jetfs on Debian and its relatives, or, without root,
# says what is missing.
#
# usage: install-packages.sh [--tests]     --tests: also what the tests need
# exit:  0 all there; 1 something is missing and could not be installed
set -euo pipefail
export LC_ALL=C

packages=(gcc libc6-dev meson ninja-build pkg-config fuse3 libfuse3-dev libsodium-dev libssl-dev
    libjansson-dev libsnappy-dev liblz4-dev)
if [ "${1:-}" = --tests ]; then
    packages+=(libcmocka-dev libhighwayhash-dev clang libclang-rt-14-dev python3 xz-utils attr util-linux procps)
fi

if ! command -v dpkg-query >/dev/null; then
    echo "install-packages.sh: this is no Debian; needed are: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null || true)
    case " $status" in
    *" installed "*) ;;
    *) missing+=("$package") ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "install-packages.sh: not root; install these first: ${missing[*]}" >&2
    exit 1
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
install() {
    apt-get -q -y --no-install-recommends install "${missing[@]}" </dev/null >&2
}
install || { apt-get -q update </dev/null >&2 && install; } || {
    echo "install-packages.sh: apt-get could not install: ${missing[*]}" >&2
    exit 1
}
