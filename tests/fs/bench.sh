#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `jetfs bench` on small streams: every workload ends well, says what it measured, as JSON too, and
# leaves nothing behind. TAP on standard output.
#
# usage: bench.sh JETFS
set -u
export LC_ALL=C

jetfs=$(realpath -- "${1:?usage: bench.sh JETFS}")
tmp=$(mktemp -d /tmp/jetfs-bench-test.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/dir"
count=0
failed=0

# ok STATUS NAME
ok() {
    count=$((count + 1))
    if [ "$1" = 0 ]; then
        echo "ok $count - $2"
    else
        failed=$((failed + 1))
        echo "not ok $count - $2"
        sed 's/^/# /' "$tmp/out" "$tmp/err" | head -n 10
    fi
}

# bench ARG...: runs it in the directory; its exit code
bench() {
    "$jetfs" bench "$@" >"$tmp/out" 2>"$tmp/err"
}

# cases NAME...: the JSON has these cases, each with figures that can be
cases() {
    python3 - "$tmp/out" "$@" <<'END' 2>"$tmp/err"
import json, sys
result = json.load(open(sys.argv[1]))
got = {c['case']: c for c in result['cases']}
assert sorted(got) == sorted(sys.argv[2:]), sorted(got)
for c in got.values():
    assert c['ops'] > 0 and c['ns_per_op'] > 0 and c['peak_rss_mib'] > 0, c
    assert len(c['ns_runs']) == result['runs'], c
    assert abs(c['ops_per_s'] * c['ns_per_op'] / 1e9 - 1) < 0.05, c
END
}

small=(--messages 2000 --subjects 70 --size 40 --runs 3 --json)
reads="last_by_subject next_all next_literal_again next_literal_first next_wildcard_again \
next_wildcard_first pending_wildcard random_again random_first sequence_again sequence_first"
while read -r workload names; do
    bench "$workload" "$tmp/dir" "${small[@]}"
    ok $? "$workload"
    # shellcheck disable=SC2086
    cases $names
    ok $? "$workload: its cases"
    [ -z "$(ls -A "$tmp/dir")" ]
    ok $? "$workload: nothing is left"
done <<END
store store
read $reads
remove remove_every_second remove_first_half remove_random_half
consumer next_ack next_ack_batch pairs_in_order pairs_one_in_flight pairs_reversed state_encode state_reload state_write
purge purge_all purge_wildcard purge_subject
compact compact_half
truncate truncate_half
sync append_and_fdatasync sync_1_writer sync_16_writers
expire expire
backup backup backup_checked
recover open_after_crash open_index open_without_index
END

bench store "$tmp/dir" --messages 500 --runs 1 --in-place --batch 1 --header 100 --noise
ok $? "a call for each message, with headers"
[ "$(wc -l <"$tmp/out")" = 2 ] && grep -q "^store	500	" "$tmp/out"
ok $? "a heading and a line for the case"
bench store "$tmp/dir" --messages 2000 --subjects 10 --max-msgs-per-subject 1 --runs 1
ok $? "a limit for each subject, and what it leaves is checked"
bench store "$tmp/dir" --messages 2000 --max-msgs 100 --runs 1
ok $? "a limit of messages"
bench recover "$tmp/dir" --messages 2000 --runs 1 --cipher aes --compression s2
ok $? "encrypted and compressed"
bench store "$tmp/dir" --messages 20 --sync --batch 1 --runs 1
ok $? "each on disk"

for wrong in "nonsense" "store --messages 0" "store --size -1" "store --header 5" "store --batch x" \
    "store --compression zip" "store --cipher rot13" "store a b"; do
    # shellcheck disable=SC2086
    bench $wrong
    [ $? = 1 ] && [ ! -s "$tmp/out" ]
    ok $? "refused: $wrong"
done
bench store "$tmp/none" --messages 10
[ $? = 2 ]
ok $? "a directory that is not there"

echo "1..$count"
[ "$failed" = 0 ]
