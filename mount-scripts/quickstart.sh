#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# From a fresh checkout to a mounted store: installs what is missing, builds, makes a store with
# sample streams if there is none, mounts it, and says what to try.
#
# usage: quickstart.sh [STORE] [DIR]
#   STORE  a store (default: build/demo/store, made if missing). One that exists is mounted
#          read-only and never changed.
#   DIR    where to mount (default: build/demo/mount, made if missing)
set -euo pipefail

case "${1:-}" in
-h | --help)
    sed -n '4,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
-*)
    echo "quickstart.sh: no option $1 (quickstart.sh --help tells what there is)" >&2
    exit 2
    ;;
esac

root=$(dirname -- "$(dirname -- "$(realpath -- "$0")")")
store=$(realpath -m -- "${1:-$root/build/demo/store}")
dir=$(realpath -m -- "${2:-$root/build/demo/mount}")
jetfs=$root/build/release/fs/jetfs

"$root/mount-scripts/install-packages.sh" || {
    echo "quickstart.sh: packages are missing (see above)" >&2
    exit 1
}
cd -- "$root"
if [ ! -f build/release/build.ninja ]; then
    # The tests need more packages than the program; tests/run.sh installs them and turns them on.
    meson setup build/release -Dbuildtype=release -Dtests=false >/dev/null
fi
ninja -C build/release fs/jetfs >&2
[ -e /dev/fuse ] || {
    echo "quickstart.sh: no /dev/fuse: this kernel or container cannot mount (try: modprobe fuse)" >&2
    exit 1
}
mkdir -p -- "$dir"
if mountpoint -q -- "$dir"; then
    echo "quickstart.sh: something is mounted on $dir; fusermount3 -u $dir takes it down" >&2
    exit 1
fi

made=no
if [ ! -e "$store" ] || [ -z "$(ls -A -- "$store")" ]; then
    made=yes
elif [ -f "$store/.jetfs-sample" ]; then
    made=again
fi
if [ $made = yes ]; then
    mkdir -p -- "$store"
    "$jetfs" mount "$store" "$dir" -o rw,allow_admin
    mkdir -- "$dir/ORDERS" "$dir/SENSORS"
    fusermount3 -u -- "$dir"
    # The mount's process lets go of the streams a moment later.
    for stream in ORDERS SENSORS; do
        flock -w 30 "$store/jetstream/\$G/streams/$stream" true
    done
    for n in {1..20}; do
        echo "{\"order\":$n,\"total\":$((n * 17 % 90 + 10))}"
    done | "$jetfs" pub "$store:ORDERS" ORDERS.new --lines >/dev/null
    printf 'paid in full' |
        "$jetfs" pub "$store:ORDERS" ORDERS.paid -H Content-Type:text/plain >/dev/null
    for room in kitchen cellar roof; do
        for n in {1..10}; do
            echo "$room $((15 + n % 7)).$n"
        done | "$jetfs" pub "$store:SENSORS" "SENSORS.$room.temp" --lines >/dev/null
    done
    # Beside jetstream/, where servers leave strange names alone.
    : >"$store/.jetfs-sample"
fi
if [ $made = no ]; then
    "$jetfs" mount "$store" "$dir" -o ro
else
    "$jetfs" mount "$store" "$dir" -o rw,allow_delete,allow_admin
fi

cd -- "$dir"
stream=$(find . -maxdepth 1 -type d -name '[!.]*' | LC_ALL=C sort | head -n 1)
stream=${stream#./}
cat <<END

$store is mounted on $dir. Try:

  1. cat $dir/${stream:-STREAM}/info.json
  2. tail -n 3 $dir/${stream:-STREAM}/all.jsonl
  3. ls $dir/${stream:-STREAM}/seq | tail; ls $dir/${stream:-STREAM}/by-subject
  4. grep -c order $dir/${stream:-STREAM}/all.log
END
if [ $made = no ]; then
    echo "  5. $jetfs verify $store"
else
    echo "  5. echo hello >> $dir/${stream:-STREAM}/pub/${stream:-STREAM}.hi && cat $dir/${stream:-STREAM}/last"
fi
echo
echo "Unmount with: fusermount3 -u $dir"
