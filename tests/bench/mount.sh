#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The mount's table of docs/benchmarks.md: bulk views and message files beside plain files with the
# same bytes. Prints markdown.
#
# usage: mount.sh JETFS BENCH_STORE WORK_DIR RUNS
set -euo pipefail
export LC_ALL=C

jetfs=$1 bench=$2 work=$3/mount runs=$4
n=1000000 few=100000 large=4000
mkdir -p "$work"
# The ext4 files are kept: making 100,000 right after removing 100,000 takes ext4 a minute.
files=$work/files
finish() {
    local at
    for at in "$work"/mnt-*; do
        ! mountpoint -q "$at" || umount "$at" 2>/dev/null || fusermount3 -u "$at" || true
    done
}
trap finish EXIT
finish
rm -rf "$work"/{store-*,mnt-*,*.log,*.tsv,failed}

say() {
    echo "  mount: $*" >&2
}

# Ends a $(...) only: the last line of this script looks for what it leaves.
fail() {
    echo "bench: $*" >&2
    touch "$work/failed"
    exit 1
}

# median COMMAND [BYTES]: seconds, median of RUNS runs of a shell command whose output goes through a
# pipe and must have so many bytes.
median() {
    local i start end got
    say "$1"
    for ((i = 0; i < runs; i++)); do
        start=$(date +%s%N)
        got=$(bash -c "$1 | wc -c")
        end=$(date +%s%N)
        [ "$got" = "${2:-$got}" ] || fail "$1: $got bytes, not $2"
        echo $((end - start))
    done >"$work/times"
    sort -n "$work/times" | awk '{a[NR] = $1} END {printf "%.3f", a[int((NR + 1) / 2)] / 1e9}'
}

# row TITLE OURS BESIDE [TARGET]: seconds, and the most that OURS/BESIDE may be.
row() {
    awk -v title="$1" -v a="$2" -v b="$3" -v target="${4:-}" 'BEGIN {
        ratio = b == "" ? "" : sprintf("%.3g", a / b)
        met = target == "" || b == "" ? "" : a <= target * b ? "yes" : "**no**"
        sign = target == "" ? "" : "≤ "
        printf "| %s | %s | %s | %s | %s%s | %s |\n", title, a, b, ratio, sign, target, met}'
}

# mounted NAME: mounts store-NAME; the stream's directory is mnt-NAME/BENCH.
mounted() {
    mkdir -p "$work/mnt-$1"
    "$jetfs" mount "$work/store-$1" "$work/mnt-$1" -o ro
}

say "data"
"$bench" fill "$work/store-many" n=$n subjects=1000 >/dev/null
"$bench" fill "$work/store-few" n=$few subjects=1000 >/dev/null
"$bench" fill "$work/store-large" n=$large size=65536 batch=16 >/dev/null
for name in many few large; do mounted "$name"; done
at=$work/mnt-many/BENCH at_few=$work/mnt-few/BENCH at_large=$work/mnt-large/BENCH
cat "$at/all.log" >"$work/one.log"
cat "$at/all.tsv" >"$work/one.tsv"
cat "$at_large/all.log" >"$work/large.log"
if [ ! -f "$files.complete" ]; then
    rm -rf "$files"
    mkdir "$files"
    head -n $few "$work/one.log" | split -a 6 -d -l 1 - "$files/m"
    touch "$files.complete"
fi
# Neither side pays for what was just written: on disk, and read once.
sync -f "$work"
find "$files" -type f -print0 | xargs -0 cat >/dev/null
lines=$(wc -l <"$work/one.log")
# shellcheck disable=SC2012 # ls is what is asked
listed=$(ls "$at/seq" | wc -l)
# shellcheck disable=SC2010
listed_few=$(ls -f "$at_few/seq" | grep -vc '^\.')
bytes=$(stat -c %s "$work/large.log")
[ "$lines" = $n ] || fail "$lines lines, not $n"
[ "$listed" = $n ] || fail "$listed names in seq/, not $n"
[ "$listed_few" = $few ] || fail "$listed_few names in seq/, not $few"
[ "$bytes" = $((large * 65537)) ] || fail "$bytes bytes of large messages"
match_count=$(grep -c . "$at/match/dev.*.42.temp/all.log" || true)
match_want=$(awk -F'\t' '$5 ~ /^dev\.[0-9]+\.42\.temp$/' "$work/one.tsv" | wc -l)
[ "$match_count" = "$match_want" ] || fail "$match_count of $match_want matches"

# The shell command that cats the first N files of a directory.
cats() {
    echo "ls -f $1 | grep -v '^\.' | head -n $2 | sed 's,^,$1/,' | xargs cat"
}
cat_view=$(median "cat $at/all.log" $((n * 129)))
cat_files=$(median "$(cats "$files" $few)" $((few * 129)))
cat <<END
## Through a mount (block cache of 256 MiB), beside ext4

Seconds; ratio and target: ours divided by ext4's. $n messages of 128 bytes over 1,000 subjects, or $few of them, or
$large of 64 KiB.

| work | jetfs | ext4 | ratio | target | met |
|---|---|---|---|---|---|
END
row "\`cat all.log\` \| one file" "$cat_view" "$(median "cat $work/one.log")" 2
row "\`grep -c\` over all.log \| one file" "$(median "grep -c abc $at/all.log")" \
    "$(median "grep -c abc $work/one.log")" 4
row "\`cat all.tsv\` \| one file" \
    "$(median "cat $at/all.tsv" "$(stat -c %s "$work/one.tsv")")" "$(median "cat $work/one.tsv")"
row "\`cat all.jsonl\`" "$(median "cat $at/all.jsonl")" ""
row "\`grep -c .\` over match/dev.*.42.temp/all.log ($match_count messages)" \
    "$(median "grep -c . '$at/match/dev.*.42.temp/all.log'")" ""
# Not through the pipe, which passes about 1 GB/s.
large_view=$(median "cat $at_large/all.log >/dev/null")
large_file=$(median "cat $work/large.log >/dev/null")
awk -v a="$large_view" -v b="$large_file" -v bytes="$bytes" 'BEGIN {
    rate = bytes / 1e9 / a
    printf "| `cat all.log >/dev/null` of 64 KiB messages, %.2f GB/s \\| one file | %s | %s | %.2f ", rate, a, b, a / b
    printf "| ≥ 1.5 GB/s | %s |\n", (rate >= 1.5 ? "yes" : "**no**")}'
row "\`ls -f seq\` of $few names \| a directory of $few files" "$(median "ls -f $at_few/seq")" \
    "$(median "ls -f $files")" 1
row "\`ls -f seq\` of $n names" "$(median "ls -f $at/seq")" ""
row "\`cat\` of 10,000 message files of $n \| 10,000 files" "$(median "$(cats "$at/seq" 10000)" 1280000)" \
    "$(median "$(cats "$files" 10000)")"
row "\`cat\` of $few message files \| $few files" \
    "$(median "$(cats "$at_few/seq" $few)" $((few * 128)))" "$cat_files" 2
row "\`grep -r nomatch\` over seq/ of $few \| $few files" "$(median "grep -r nomatch $at_few/seq" 0)" \
    "$(median "grep -r nomatch $files" 0)"
row "read all $n: all.log \| a file for each (ten times the time for $few)" "$cat_view" \
    "$(awk -v t="$cat_files" 'BEGIN {printf "%.3f", t * 10}')" 0.01
# Writing. Each run begins with a new stream; names and lines are made before.
median_of() {
    sort -n "$work/times" | awk '{a[NR] = $1} END {printf "%.3f", a[int((NR + 1) / 2)] / 1e9}'
}
spool_in=$work/spool-in
if [ ! -f "$spool_in.complete" ]; then
    cat >"$work/write_files.py" <<'END'
import os, sys
directory, names, count, data = sys.argv[1], sys.argv[2], int(sys.argv[3]), b'x' * 128
for i in range(count):
    fd = os.open(f'{directory}/{names}{i}', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(fd, data)
    os.close(fd)
END
    touch "$spool_in.complete"
fi
written() { # COMMAND MESSAGES OPTIONS: times a command in a mount of a new stream
    local i start end got
    say "$1"
    : >"$work/times"
    for ((i = 0; i < runs; i++)); do
        # The process writes what is left after umount has returned.
        while pgrep -f "$jetfs mount $work/store-new" >/dev/null; do sleep 0.1; done
        rm -rf "$work/store-new"
        mkdir -p "$work/store-new" "$work/mnt-new"
        "$jetfs" mount "$work/store-new" "$work/mnt-new" -o "allow_all,$3"
        mkdir "$work/mnt-new/S"
        start=$(date +%s%N)
        timeout 60 bash -c "$1" || true
        end=$(date +%s%N)
        echo $((end - start)) >>"$work/times"
        # shellcheck disable=SC2012
        got=$(ls -f "$work/mnt-new/S/seq" | grep -vc '^\.')
        umount "$work/mnt-new"
        [ "$got" = "$2" ] || fail "$1: $got messages, not $2"
    done
    median_of
}
lines=$(written "cat $work/one.log >$work/mnt-new/S/pub/S.a" $n sync=close)
spool=$(written "python3 $work/write_files.py $work/mnt-new/S/spool/S.a m $few" $few sync=os)
# Fresh: ext4 takes a minute for a directory that was just emptied.
fresh=$work/fresh-$(date +%s%N)
mkdir "$fresh"
start=$(date +%s%N)
python3 "$work/write_files.py" "$fresh" m $few
end=$(date +%s%N)
ext=$(awk -v t=$((end - start)) 'BEGIN {printf "%.3f", t / 1e9}')
rm -rf "$fresh"
awk -v t="$lines" -v n=$n 'BEGIN {
    printf "| `cat` of %d lines into pub/S.a, %.2f M lines/s | %s | | | ≥ 1.5 M lines/s | %s |\n", n, n / t / 1e6, t,
        (n / t >= 1.5e6 ? "yes" : "**no**")}'
row "$few files of 128 bytes written into spool/S.a by one process, sync=os \| into a new directory (once)" "$spool" "$ext" 1.5
pid=$(pgrep -n -f "$jetfs mount $work/store-many" || true)
cat <<END

Counts were right: \`ls seq | wc -l\`, \`cat all.log | wc -l\` gave $n; match/ gave what all.tsv has.
Largest resident memory of the mount of $n: $(awk '/VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/$pid/status") MiB, of which
the block cache may hold 256 MiB.
END
[ ! -e "$work/failed" ]
