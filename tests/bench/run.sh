#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Measures the library beside the peer's own file store (nats-server of Debian, in process), and a
# mounted stream beside plain files with the same bytes, all in one run, and writes
# docs/benchmarks.md. About a quarter of an hour. Everything it needs goes below build/.
#
# usage: tests/bench/run.sh [--short] [GROUP...]   store change load query open mount; none = all
#        --short           three runs of each case instead of five, one of those that take more than
#                          five seconds; about ten minutes
#        BENCH_RUNS=5      runs of each case, medians are told; with less than 3, or with some of
#                          the groups only, the tables go to build/bench/benchmarks.md instead
#        BENCH_PEER=no     without the peer
#
# Mounting needs root or fusermount3, and /dev/fuse. Exit status 1: a case failed, or gave a wrong
# count.
set -euo pipefail
export LC_ALL=C.UTF-8

root=$(dirname -- "$(dirname -- "$(dirname -- "$(realpath -- "$0")")")")
here=$root/tests/bench
build=$root/build/bench
work=$root/build/bench-work
all=(store change load query open mount)
runs=${BENCH_RUNS:-5}
if [ "${1:-}" = --short ]; then
    runs=3
    slow=5
    shift
fi
export BENCH_SLOW=${slow:-20}
groups=("$@")
[ $# -gt 0 ] || groups=("${all[@]}")
for group in "${groups[@]}"; do
    case " ${all[*]} " in
    *" $group "*) ;;
    *)
        echo "usage: tests/bench/run.sh [--short] [GROUP...] (${all[*]})" >&2
        exit 2
        ;;
    esac
done

[ -f "$build/build.ninja" ] || meson setup "$build" "$root" -Dbuildtype=release >/dev/null
ninja -C "$build" core/libjetstore.a tests/bench_store fs/jetfs >"$build/ninja.log" || {
    tail -n 20 "$build/ninja.log" >&2
    exit 1
}

peer=-
if [ "${BENCH_PEER:-yes}" = no ]; then
    peer_says="The peer did not run: BENCH_PEER=no."
elif says=$("$here/peer/build.sh" "$root/build/bench-peer" 2>&1); then
    peer=$root/build/bench-peer/peer_bench
    peer_says="Peer: the file store of nats-server $(cat "$root/build/bench-peer/root/version") (Debian),\
 compiled with $(sed -n 1p "$root/build/bench-peer/compiler"), in process."
else
    peer_says="**The peer did not run**: $(tail -n 1 <<<"$says")"
    printf '\n!!!! %s\n!!!! No ratios: the tables have our figures only.\n\n' "$says" >&2
fi

# Engine groups first: their data sets leave before the mount's come.
mkdir -p "$work"
status=0
engine=()
for group in "${groups[@]}"; do
    [ "$group" = mount ] || engine+=("$group")
done
: >"$work/tables.md"
start=$SECONDS
if [ ${#engine[@]} -gt 0 ]; then
    python3 "$here/bench.py" "$build/tests/bench_store" "$build/fs/jetfs" "$peer" "$work" "$runs" "${engine[@]}" \
        >>"$work/tables.md" || status=1
fi
if [[ " ${groups[*]} " = *" mount "* ]]; then
    "$here/mount.sh" "$build/fs/jetfs" "$build/tests/bench_store" "$work" "$runs" \
        >>"$work/tables.md" || status=1
fi

out=$root/docs/benchmarks.md
[ "${groups[*]}" = "${all[*]}" ] && [ "$runs" -ge 3 ] || out=$build/benchmarks.md
commit=$(git -C "$root" rev-parse --short HEAD)
[ -z "$(git -C "$root" status --porcelain -- core fs)" ] || commit="$commit with changes in core or fs"
{
    cat <<END
# Benchmarks

Made by \`tests/bench/run.sh\` on $(date -u +%F), commit $commit, in $(((SECONDS - start + 59) / 60)) minutes.
Machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1),\
 $(awk '/MemTotal/ {printf "%.0f", $2 / 1048576}' /proc/meminfo) GiB, Linux $(uname -r),
$(findmnt -n -o FSTYPE -T "$work") below the stores. $peer_says

Medians of $runs (cases that take more than $BENCH_SLOW s ran once); each case in a process of its own, ours and the peer's by turns; the page cache is warm. The machine is
shared, so figures move by a third from run to run; ratios within a run move less. Counts of all answers are checked,
and messages are compared byte by byte: a wrong answer fails the run.

Messages: 128 bytes of text, 1,000,000 over 1 or 100,000 subjects (5,000,000 where said), no limits, 8 MiB blocks.
Ratio: the peer's time (or memory) divided by ours. A target in brackets names the ratio that it stands for; where the
peer runs beside, the ratio decides. The peer hands out a copy of a message; we hand out a view of the cached block.

END
    cat "$work/tables.md"
    cat <<END

## Targets

$(grep -c '| yes' "$work/tables.md" || true) of the targets above are met. Missed in this run:

$(sed -n 's/^| \(.*\) | \*\*no\*\*[^|]*|$/* \1/p' "$work/tables.md" | sed 's/ \\|/,/; s/ | /: ours /; s/ | / — beside /; s/ | / — /; s/ | / — target /')

## By hand

Not part of the run: \`jetfs bench recover --messages 100000000 --subjects 10000000 --size 16\` (100 million messages, 10
million subjects, 6.9 GB of blocks) on a machine of this class, once, beside other work (2026-11-27): opens with
index.db in 3.2 s, after a crash in 2.4 s, without index.db in 68 s; the process never held more than 3.1 GiB, of which
the benchmark's own list of subjects was 0.5 GiB and slots at most 1 GiB (\`index_bytes\`). With a fifth of both: 0.52 s,
0.80 s, 10.4 s, 0.7 GiB.

What was changed on 2026-11-27, before and after by turns on a machine of this class beside other work (medians of 7;
load 4 to 9, so that ratios count). Commands: \`build/bench/tests/bench_store CASE DIR subjects=N\` on one million
messages of 128 bytes written by \`bench_store fill\`; the last row: a Python process that writes 10,000 files
into spool/ of a mount with sync=os, median of 5.

| case | before | after | ratio |
|---|---|---|---|
| block_first_index, 100k subjects (each of 21 blocks once) | 9.49 ms | 0.66 ms | 14x |
| block_first_index, 1 subject | 7.42 ms | 0.61 ms | 12x |
| seq, 100k subjects: first pass after opening | 313 ns | 213 ns | 1.5x |
| next, 100k subjects: CPU of the process | 230 ms | 170 ms | 1.35x |
| prev, the same | 229 ms | 157 ms | 1.46x |
| iter, the same | 216 ms | 149 ms | 1.45x |
| random, 100k subjects: just opened (11 runs) | 1.05 µs | 0.85 µs | 1.24x |
| random, 100k subjects: again (the fastest of 11: 239 and 249 ns) | 256 ns | 301 ns | 0.85x |
| random, 1 subject: just opened (the fastest of 7: 757 and 712 ns) | 782 ns | 849 ns | 0.92x |
| a file written into spool/ | 336 µs | 243 µs | 1.38x |

The run above, of 2026-11-27, met a slow machine: \`dd if=/dev/zero bs=1M count=1000\` wrote 0.24 to 0.52 GB/s into the
page cache, and a process got about 60 % of a processor (\`time\`: user and sys against real). The run of 2026-11-24
(commit 4a7d942, the same class of machine) gave about twice these figures on both sides, and 5.9 M/s beside 3.6 for
storing on 1 subject.

libsodium was not asked to choose its code until then (commit 9ac9bad), so the run above has ChaCha without it. By turns,
medians of 3, on that machine: \`jetfs bench recover --cipher chacha --subjects 100000\`, opening without index.db,
506 ms before, 262 ms after; \`jetfs bench store --cipher chacha\`, 861 ns before, 698 ns after.

The first load of a block that index.db spared the opening stays above 20 µs: index.db does not tell where records
stand, and only the way from record to record, from the block's beginning on, proves where one begins (a payload may hold
what looks like a record, checksum included). So half a block is read, on the average, and the heads in it looked at.
END
} >"$out"
cat "$out"
echo "written: ${out#"$root/"}" >&2
exit $status
