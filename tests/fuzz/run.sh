#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fuzzes what reads files of a store, two targets at a time (libFuzzer, with the address and
# undefined behaviour sanitizers). Inputs that fail are left in build/fuzz/failed; one that is kept as a
# test goes to tests/fuzz/found.
#
# usage: tests/fuzz/run.sh [HOURS | SECONDSs] [TARGET...]
#   HOURS     for all targets together, fractions allowed; 12s = 12 seconds a target (default: 60s)
set -euo pipefail
root=$(dirname -- "$(dirname -- "$(dirname -- "$(realpath -- "$0")")")")
cd -- "$root"
time=${1:-60s}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(block record s2 lz4 index_db idx thw sched consumer_state meta
    key_file backup texts stream_state zone)
case $time in
*s) seconds=${time%s} ;;
*) seconds=$(awk -v h="$time" -v n=${#targets[@]} 'BEGIN { print int(h * 3600 / n) }') ;;
esac
build=$root/build/fuzz
[ -f "$build/build.ninja" ] || CC=clang meson setup "$build" -Dfuzz=true -Dtests=true \
    -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
ninja -C "$build" tests/fuzz_jetfs >/dev/null
tests/golden/unpack.sh "$build/tests/golden" >/dev/null
failed=$build/failed
mkdir -p "$failed"

# seeds NAME PATTERN...: small files of golden stores
seeds() {
    local dir=$build/seeds/$1
    shift
    [ -d "$dir" ] && return
    mkdir -p "$dir"
    for pattern in "$@"; do
        find "$build/tests/golden" -name "$pattern" -size -64k -print0 |
            while IFS= read -r -d '' file; do
                cp -- "$file" "$dir/$(md5sum <"$file" | cut -c1-16)"
            done
    done
    cp tests/fuzz/found/* "$dir/"
}
seeds block '*.blk'
seeds record '*.blk'
seeds s2 '*.blk' '*.s2'
seeds lz4 '*.blk'
seeds index_db index.db
seeds idx '*.idx'
seeds thw thw.db
seeds sched sched.db sources.db
seeds consumer_state o.dat
seeds meta meta.inf
seeds key_file '*.key'
seeds backup '*.s2'
seeds texts meta.inf
seeds stream_state index.db
seeds zone zone.tab # none there: the machine's own serve
if [ -f /usr/share/zoneinfo/Europe/Berlin ]; then
    cp /usr/share/zoneinfo/Europe/Berlin "$build/seeds/zone/"
fi

# one TARGET: leaves what there is to say in build/fuzz/TARGET.said.
one() {
    local target=$1
    mkdir -p "$build/corpus/$target"
    if JETFS_FUZZ_TARGET=$target ASAN_OPTIONS=detect_leaks=1 "$build/tests/fuzz_jetfs" \
        -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$failed/$target-" "$build/corpus/$target" "$build/seeds/$target" \
        >"$build/$target.log" 2>&1; then
        echo "ok - $target: $(sed -n 's/stat::number_of_executed_units: *//p' "$build/$target.log") inputs in $seconds s"
    else
        echo "not ok - $target"
        grep -E 'ERROR|SUMMARY|Test unit written' "$build/$target.log" | sed 's/^/# /' | head -n 5
    fi >"$build/$target.said"
}

# Two at a time.
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
        wait -n || true
    done
    one "$target" &
done
wait

n=0
bad=0
for target in "${targets[@]}"; do
    n=$((n + 1))
    sed "1s/^\(not \)\{0,1\}ok/& $n/" "$build/$target.said"
    ! grep -q '^not ok' "$build/$target.said" || bad=$((bad + 1))
done
echo "1..$n"
[ "$bad" = 0 ]
