#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Measures opening and the bulk views of a mounted stream beside plain ext4 files with the same
# bytes, in one run, and writes docs/benchmarks.md. Medians of five.
#
# usage: tests/bench/run.sh [MESSAGES]     (default 1000000; needs root or fusermount3, /dev/fuse)
set -euo pipefail
export LC_ALL=C

n=${1:-1000000}
root=$(dirname -- "$(dirname -- "$(dirname -- "$(realpath -- "$0")")")")
build=$root/build/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/jetfs-bench.XXXXXX")
trap 'mountpoint -q "$work/mnt" && umount "$work/mnt"; rm -rf "$work"' EXIT

[ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dbuildtype=release >/dev/null
ninja -C "$build" >/dev/null
jetfs=$build/fs/jetfs
bench=$build/tests/bench_store

# median COMMAND...: seconds, median of five runs of a shell command.
median() {
    local i start end
    for i in 1 2 3 4 5; do
        start=$(date +%s%N)
        bash -c "$* | cat" >/dev/null
        end=$(date +%s%N)
        echo $((end - start))
    done | sort -n | sed -n 3p | awk '{printf "%.3f", $1 / 1e9}'
}

# field NAME: reads a number out of bench_store's JSON lines, median of five.
field() {
    sed "s/.*\"$1\": \([0-9.]*\).*/\1/" "$work/open.txt" | sort -n | sed -n 3p
}

opens() {
    local i
    for i in 1 2 3 4 5; do "$bench" open "$work/store"; done >"$work/open.txt"
}

"$bench" fill "$work/store" "$n" 128 1000 >"$work/fill.txt"
msgs=$(find "$work/store" -type d -name msgs)
blocks=$(cat "$msgs"/*.blk | wc -c) # also warms the page cache
opens
with_seconds=$(field seconds)
rm "$msgs/index.db"
opens
seconds=$(field seconds)
cpu=$(field cpu_seconds)
rss=$(field rss_mib)

mkdir "$work/mnt" "$work/files"
"$jetfs" mount "$work/store" "$work/mnt" -o ro,cache=67108864
at=$work/mnt/BENCH
cat "$at/all.log" >"$work/one.log"
lines=$(wc -l <"$work/one.log")
listed=$(ls "$at/seq" | wc -l)
few=$((n < 100000 ? n : 100000))
head -n "$few" "$work/one.log" | split -a 6 -d -l 1 - "$work/files/m"
pid=$(pgrep -n -f "$jetfs mount $work/store" || true)

cat_view=$(median "cat $at/all.log | wc -c")
cat_file=$(median "cat $work/one.log | wc -c")
grep_view=$(median "grep -c abc $at/all.log")
grep_file=$(median "grep -c abc $work/one.log")
match_view=$(median "grep -c . '$at/match/dev.*.42.temp/all.log'")
jsonl_view=$(median "cat $at/all.jsonl | wc -c")
ls_view=$(median "ls -f $at/seq")
ls_files=$(median "ls -f $work/files")
seq_view=$(median "ls -f $at/seq | grep -v '^\.' | head -n 10000 | sed 's,^,$at/seq/,' | xargs cat")
seq_files=$(median "ls -f $work/files | grep -v '^\.' | head -n 10000 | sed 's,^,$work/files/,' | xargs cat")
match_count=$(grep -c . "$at/match/dev.*.42.temp/all.log" || true)
match_want=$(awk -F'\t' '$5 ~ /^dev\.[0-9]+\.42\.temp$/' "$at/all.tsv" | wc -l)
mount_rss=$(awk '/VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/$pid/status")
[ "$lines" = "$n" ] && [ "$listed" = "$n" ] && [ "$match_count" = "$match_want" ] || {
    echo "bench: wrong counts: $lines lines, $listed names, $match_count of $match_want matches" >&2
    exit 1
}

ratio() {
    awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'
}

{
    cat <<EOF
# Benchmarks

Made by \`tests/bench/run.sh $n\` on $(date -u +%F), commit $(git -C "$root" rev-parse --short HEAD).
Machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), Linux $(uname -r),
$(stat -f -c %T "$work") below the store. Medians of five; the page cache is warm. The machine is shared: ratios
within this run count, not the seconds.

The store: $n messages of 128 bytes over 1,000 subjects, $blocks bytes of blocks.
Written by the library: $(sed 's/.*"seconds": \([0-9.]*\).*/\1/' "$work/fill.txt") s (sync=os, 1,024 messages a call).

## Opening

| what | seconds | |
|---|---|---|
| without index.db: every block read, every checksum verified | $seconds | $(awk -v s="$seconds" -v b="$blocks" 'BEGIN {printf "%.2f", s / (b / 1e9)}') s per GB; $(awk -v s="$cpu" -v b="$blocks" 'BEGIN {printf "%.2f", s / (b / 1e9)}') s of processor time per GB |
| with index.db | $with_seconds | the blocks are scanned as well |

Largest resident memory of the opening process: $rss MiB.

## Through a mount (cache=64 MiB), beside ext4

| work | jetfs, s | ext4, s | ratio |
|---|---|---|---|
| \`cat all.log\` \| one file | $cat_view | $cat_file | $(ratio "$cat_view" "$cat_file") |
| \`grep -c\` over all.log \| one file | $grep_view | $grep_file | $(ratio "$grep_view" "$grep_file") |
| \`grep -c .\` over match/dev.*.42.temp/all.log ($match_count messages) | $match_view | | |
| \`cat all.jsonl\` | $jsonl_view | | |
| \`ls -f seq\` ($n names) \| a directory of $few files | $ls_view | $ls_files | $(awk -v a="$ls_view" -v n="$n" -v b="$ls_files" -v m="$few" 'BEGIN {printf "%.2f", (a / n) / (b / m)}') a name |
| \`cat\` of 10,000 message files \| 10,000 files | $seq_view | $seq_files | $(ratio "$seq_view" "$seq_files") |

Counts were right: \`ls seq | wc -l\`, \`cat all.log | wc -l\` gave $n; match/ gave what all.tsv has.
Largest resident memory of the mount: $mount_rss MiB, of which the block cache may hold 64 MiB.
EOF
} >"$root/docs/benchmarks.md"
cat "$root/docs/benchmarks.md"
