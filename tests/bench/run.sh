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

# The first touch of a page of a virtual machine's memory can cost ten times what filling it does: whoever ran
# first would pay.
python3 -c 'import sys; bytearray(int(sys.argv[1]) << 10)' \
    "$(awk '/^MemAvailable/ {n = $2 / 2; print int(n < 12582912 ? n : 12582912)}' /proc/meminfo)"

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

Medians of $runs (cases that take more than $BENCH_SLOW s ran once); each case in a process of its own, ours and the peer's by turns; the page cache is warm, and memory was touched before. The machine is
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

END
    cat "$here/by_hand.md"
} >"$out"
cat "$out"
echo "written: ${out#"$root/"}" >&2
exit $status
