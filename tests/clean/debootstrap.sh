#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Proves that the README's two commands work on a machine that has nothing of what they need: makes
# a minimal Debian 12 by debootstrap from this machine's own mirror, clones the repository into it,
# and runs quickstart.sh and tests/run.sh --quick there. Needs root and debootstrap; takes minutes
# and about 2 GB. Not part of tests/run.sh.
#
# usage: debootstrap.sh [DIR]     DIR: where to make the system (default: a temporary directory)
set -euo pipefail
export LC_ALL=C

root=$(dirname -- "$(dirname -- "$(dirname -- "$(realpath -- "$0")")")")
[ "$(id -u)" = 0 ] || { echo "debootstrap.sh: needs root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debootstrap.sh: install debootstrap first" >&2; exit 1; }
mirror=$("$root/tests/peers/debian_mirror.sh") || {
    echo "debootstrap.sh: no Debian archive in this machine's apt sources" >&2
    exit 1
}

if [ $# -gt 0 ]; then
    given=yes
    mkdir -p -- "$1"
    base=$(realpath -- "$1")
else
    given=no
    base=$(mktemp -d)
fi
system=$base/system
# It is removed at the end, so it must be ours.
[ ! -e "$system" ] || { echo "debootstrap.sh: $system is there already" >&2; exit 1; }

clean() {
    local point
    # Deepest first: what quickstart mounted, then what we bound.
    awk -v s="$system/" 'index($2, s) == 1 {print $2}' /proc/self/mounts | sort -r |
        while read -r point; do
            umount "$point" || umount -l "$point"
        done
    # Never remove through a mount that would not go.
    if ! grep -qF " $system/" /proc/self/mounts; then
        rm -rf --one-file-system -- "$system"
        [ $given = yes ] || rmdir -- "$base" || true
    fi
}
trap clean EXIT

debootstrap --variant=minbase bookworm "$system" "$mirror" >"$base/log" 2>&1 || {
    tail -n 20 "$base/log" >&2
    exit 1
}
rm -f -- "$base/log"
# The apt sources and proxies of this machine's mirror, names as this machine resolves them.
echo "deb $mirror bookworm main" >"$system/etc/apt/sources.list"
apt-config dump | grep -iE '^Acquire::[a-z:/.-]*proxy[a-z-]* ".+"' >"$system/etc/apt/apt.conf.d/90proxy" || true
cp -L -- /etc/resolv.conf /etc/hosts "$system/etc/"
mount -t proc proc "$system/proc"
[ -e "$system/dev/fuse" ] || : >"$system/dev/fuse"
mount --bind /dev/fuse "$system/dev/fuse"

git clone --quiet --no-hardlinks -- "$root" "$system/jetfs"
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
        chroot "$system" /bin/bash -c "cd /jetfs && $1" </dev/null
}

status=0
echo "==== mount-scripts/quickstart.sh"
inside 'mount-scripts/quickstart.sh && head -n 3 build/demo/mount/ORDERS/all.log && fusermount3 -u build/demo/mount' || status=1
echo "==== tests/run.sh --quick"
inside 'tests/run.sh --quick' || status=1
[ $status = 0 ] && echo "both commands work on a clean system"
exit $status
