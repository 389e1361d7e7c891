#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The verbs of consumers on stores of a real server: what they print, change and refuse.
#
# usage: cli_consumer.sh JETFS GOLDEN
set -u
export LC_ALL=C

jetfs=$(realpath -- "${1:?usage: cli_consumer.sh JETFS GOLDEN}")
golden=$(realpath -- "${2:?usage: cli_consumer.sh JETFS GOLDEN}")/2.15.1
tmp=$(mktemp -d /tmp/jetfs-consumer.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
cp -r "$golden/consumers/store" s
chmod -R u+w s

count=0
failed=0

# result NAME STATUS
result() {
    count=$((count + 1))
    if [ "$2" = 0 ]; then
        echo "ok $count - $1"
    else
        failed=$((failed + 1))
        echo "not ok $count - $1"
        sed 's/^/# out: /' out | head -n 5
        sed 's/^/# err: /' err | head -n 5
    fi
}

# expect NAME CODE ARG...
expect() {
    local name=$1 code=$2 got
    shift 2
    "$jetfs" "$@" >out 2>err
    got=$?
    [ "$got" = "$code" ] || echo "exit code $got, not $code" >>err
    [ "$got" = "$code" ]
    result "$name" $?
}

# check NAME COMMAND...: the command tells.
check() {
    local name=$1
    shift
    "$@" >>err 2>&1
    result "$name" $?
}

# field EXPRESSION WANTED: of the JSON in out
field() {
    python3 -c 'import json,sys
got = eval("json.load(open(\"out\"))" + sys.argv[1])
sys.exit(0 if str(got) == sys.argv[2] else "got %r, not %s" % (got, sys.argv[2]))' "$1" "$2"
}

# ---- ls, info
expect "ls" 0 consumer ls s
check "a row for each consumer, and a heading" test "$(wc -l <out)" = 14
check "with the server's numbers" grep -qP '^\$G\tCONS\texplicit\t15\t5\t8\t6\t25\tok$' out
expect "ls of one stream" 0 consumer ls s:WQ --json
check "is JSON" field '[0]["consumers"][0]["num_ack_pending"]' 1
expect "info" 0 consumer info s:CONS explicit
check "state" field '["num_redelivered"]' 6
check "and configuration" field '["config"]["max_deliver"]' 5
expect "info of nobody" 1 consumer info s:CONS nobody
expect "info without a stream" 1 consumer info s explicit
expect "no action" 1 consumer
expect "an unknown action" 1 consumer dance s:CONS explicit

# ---- add
expect "add" 0 consumer add s:CONS new1 --filter 'cons.1' --filter 'cons.2' --wait 5s \
    --max-deliver 3 --max-pending 7 --description words --deliver new
check "filters" field '["config"]["filter_subjects"]' "['cons.1', 'cons.2']"
check "times" field '["config"]["ack_wait"]' 5000000000
check "where it begins" field '["delivered"]["stream_seq"]' 40
expect "add again" 1 consumer add s:CONS new1
check "says why" grep -q "exists" err
expect "add by sequence" 0 consumer add s:CONS new2 --deliver 7 --ack none
check "starts there" field '["delivered"]["stream_seq"]' 6
expect "add by time" 0 consumer add s:CONS new3 --deliver 2020-01-01T00:00:00Z --backoff 1s,1m30s
check "backoff" field '["config"]["backoff"]' "[1000000000, 90000000000]"
echo '{"ack_policy":"all","max_ack_pending":3}' >config
expect "add by a file" 0 consumer add s:CONS new4 --config config
check "takes it" field '["config"]["ack_policy"]' all
expect "a policy that is none" 1 consumer add s:CONS new5 --ack perhaps
expect "overlapping filters" 1 consumer add s:CONS new5 --filter a.b --filter 'a.*'
check "are told" grep -q overlap err
expect "a second consumer of a work queue" 1 consumer add s:WQ x
check "is told who is there" grep -q '"w"' err
expect "a bad duration" 1 consumer add s:CONS new5 --wait soon
expect "a bad name" 1 consumer add s:CONS a.b
check "nothing was left" test ! -e 's/jetstream/$G/streams/CONS/obs/new5'

# ---- next
expect "next" 0 next s:CONS fresh
check "prints a payload" grep -q '^message 1 ' out
expect "next of many, as JSON" 0 consumer next s:CONS fresh --count 3 --json
check "a line each" test "$(python3 -c 'import json
print([json.loads(l)["seq"] for l in open("out")])')" = "[2, 3, 4]"
expect "info" 0 consumer info s:CONS fresh
check "acknowledged" field '["ack_floor"]["stream_seq"]' 4
expect "without acknowledging" 0 next s:CONS fresh --no-ack
expect "info" 0 consumer info s:CONS fresh
check "it is in flight" field '["num_ack_pending"]' 1
expect "refused" 0 next s:CONS fresh --nak
expect "comes again" 0 next s:CONS fresh
check "the same" grep -q '^message 6 ' out
expect "nothing new" 1 next s:CONS newonly
check "says so" grep -q "no message" err
expect "a reader that goes away" 0 next s:CONS startseq --count 3
"$jetfs" next s:CONS filtered --count 3 2>err | head -c 0
expect "info" 0 consumer info s:CONS filtered
expect "exclusive options" 1 next s:CONS fresh --no-ack --nak
expect "a count of none" 1 next s:CONS fresh --count 0
"$jetfs" next s:WQ w --count 99 >out 2>err
expect "ls" 0 ls s:WQ --json
check "acknowledged messages left the work queue" field '["accounts"][0]["streams"][0]["messages"]' 0

# ---- reset
expect "reset by sequence" 0 consumer reset s:CONS explicit --seq 9
check "goes on there" field '["delivered"]["stream_seq"]' 8
check "nothing is pending" field '["num_ack_pending"]' 0
expect "reset by time" 0 consumer reset s:CONS explicit --time 2020-01-01T00:00:00Z
check "at the first message" field '["delivered"]["stream_seq"]' 0
expect "reset to nowhere" 1 consumer reset s:CONS explicit --seq 0
printf '\026\002\005' >'s/jetstream/$G/streams/CONS/obs/acked/o.dat'
expect "a damaged state is found" 4 verify s
check "by name" grep -q acked out
expect "next says so" 1 next s:CONS acked
expect "reset mends it" 0 consumer reset s:CONS acked
check "health" field '["health"]' ok
expect "next works" 0 next s:CONS acked
printf '\026\002\003\143\005\143\000\000' >'s/jetstream/$G/streams/CONS/obs/acked/o.dat'
expect "a floor past the end is found" 4 verify s
check "and told" grep -q "past the stream's last sequence" out
expect "reset mends it, too" 0 consumer reset s:CONS acked
check "at the end" field '["ack_floor"]["stream_seq"]' 40
expect "nothing is left to find" 0 verify s

# ---- rm
expect "take one" 0 next s:CONS last --no-ack
expect "rm with messages in flight" 1 consumer rm s:CONS last
check "says how" grep -q -- --force err
expect "rm --force" 0 consumer rm s:CONS last --force
expect "it is gone" 1 consumer info s:CONS last
check "with its directory" test ! -e 's/jetstream/$G/streams/CONS/obs/last'
expect "rm of nobody" 1 consumer rm s:CONS last
expect "rm of one whose waits are over" 0 consumer rm s:CONS ackall

echo "1..$count"
[ "$failed" = 0 ]
