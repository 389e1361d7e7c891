#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Consumers through a mount: take, next, inflight/, nak/, term/, ready/, ack, and what becomes of
# messages whose workers die.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/store"
echo '{"retention":"workqueue"}' >"$tmp/q.json"
"$jetfs" stream add "$tmp/store:Q" --config "$tmp/q.json" --subject 'Q.>' >/dev/null || ok 1 "stream add"
mount_at 1 "$tmp/store" -o allow_all
mkdir "$m/S" "$m/S/consumers/w"
s=$m/S
w=$s/consumers/w
pid=$(pgrep -f "$jetfs mount $tmp/store" | head -n 1)

# json FILE EXPRESSION: what a python expression picks of a JSON file
json() {
    python3 -c "import json,sys; print(json.load(open(sys.argv[1]))$2)" "$1"
}

name_of() {
    printf '%016d' "$1"
}

# ---- names
is "$(ls "$w" | tr '\n' ' ')" "config.json inflight info.json nak ready term " "what is listed"
is "$(ls "$s/consumers")" w "the consumer is"
fails "File exists" "twice is too often" mkdir "$w"
fails "Invalid" "a name with a dot is ours" mkdir "$s/consumers/a.b"
is "$(json "$w/config.json" '["ack_policy"]')" explicit "it acknowledges explicitly"
is "$(json "$w/config.json" '["durable_name"]')" w "and is durable"
does "grep -r reads nothing that consumes" sh -c "grep -r x '$w' || true"

# ---- one after the other
seq 1 6 >"$s/pub/S.a"
is "$(ls "$w/ready" | wc -l)" 6 "all are ready"
is "$(cat "$w/ready/1")" 1 "and can be looked at"
is "$(cat "$w/take")" "$(name_of 1)" "take gives the sequence"
is "$(ls "$w/inflight")" "$(name_of 1)" "the message is in flight"
is "$(cat "$w/inflight/$(name_of 1)")" 1 "with its payload"
is "$(getfattr --only-values -n user.nats.delivered "$w/inflight/$(name_of 1)" 2>/dev/null)" 1 \
    "delivered once"
is "$(ls "$w/ready" | wc -l)" 5 "it is not ready any more"
does "rm acknowledges" rm "$w/inflight/$(name_of 1)"
is "$(ls "$w/inflight" | wc -l)" 0 "nothing is in flight"
is "$(json "$w/info.json" '["ack_floor"]["stream_seq"]')" 1 "the floor has moved"
fails "No such file" "once only" rm "$w/inflight/$(name_of 1)"
is "$(cat "$w/take")" "$(name_of 2)" "the next one"
does "mv to nak/ refuses" mv "$w/inflight/$(name_of 2)" "$w/nak/"
is "$(ls "$w/nak" | wc -l)" 0 "nak/ stays empty"
is "$(cat "$w/take")" "$(name_of 2)" "it comes again"
is "$(getfattr --only-values -n user.nats.delivered "$w/inflight/$(name_of 2)" 2>/dev/null)" 2 \
    "for the second time"
does "mv to term/ gives up" mv "$w/inflight/$(name_of 2)" "$w/term/"
fails "cross-device\|Permission\|not permitted" "elsewhere it cannot go" \
    python3 -c "import os; os.rename('$w/ready/3', '$w/nak/3')"
is "$(cat "$w/next")" 3 "next gives the payload"
is "$(json "$w/info.json" '["ack_floor"]["stream_seq"]')" 3 "and has acknowledged it"
does "next that is not read to its end" python3 -c "
import os
fd = os.open('$w/next', os.O_RDONLY)
assert os.read(fd, 100) == b'4'
os.close(fd)"
is "$(cat "$w/next")" 4 "gives it again"
does "without waiting there is EAGAIN" python3 -c "
import errno, os
for name in ('take', 'next'):
    for want in ((b'0000000000000005\n', b'6') if name == 'take' else ()):
        fd = os.open('$w/take', os.O_RDONLY | os.O_NONBLOCK)
        got = os.read(fd, 100)
        assert got in (b'0000000000000005\n', b'0000000000000006\n'), got
        assert os.read(fd, 100) == b''
        os.close(fd)
    fd = os.open('$w/' + name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.read(fd, 100)
        raise SystemExit('read something')
    except OSError as e:
        assert e.errno == errno.EAGAIN, e
    os.close(fd)"
is "$(ls "$w/inflight" | wc -l)" 2 "two are in flight"

# ---- ack: in bulk
fails "No such file" "a sequence that is not in flight" bash -c "echo 77 >'$w/ack'"
fails "Invalid" "a line that says nothing" bash -c "echo hello >'$w/ack'"
fails "Invalid" "a word that is none" bash -c "echo '5 maybe' >'$w/ack'"
does "a bad line in the middle: a short write" python3 -c "
import errno, os
fd = os.open('$w/ack', os.O_WRONLY)
assert os.write(fd, b'5 wpi\n99\n6\n') == 6
try:
    os.write(fd, b'99\n6\n')
    raise SystemExit('accepted')
except OSError as e:
    assert e.errno == errno.ENOENT, e
os.close(fd)"
does "lines" sh -c "printf '5\n6 term\n' >'$w/ack'"
is "$(json "$w/info.json" '["num_ack_pending"]')" 0 "nothing is pending"
fails "Permission" "ack cannot be read" cat "$w/ack"

# ---- limits of what is out
does "config.json" sh -c "echo '{\"max_ack_pending\":2,\"ack_wait\":60000000000}' >'$w/config.json'"
is "$(json "$w/config.json" '["max_ack_pending"]')" 2 "has changed"
fails "not permitted" "what may not change" python3 -c "
import os
fd = os.open('$w/config.json', os.O_WRONLY | os.O_TRUNC)
os.write(fd, b'{\"ack_policy\":\"all\"}')
os.close(fd)"
does "an editor's way: a file beside it" sh -c "sed 's/\"max_ack_pending\": 2/\"max_ack_pending\": 3/' \
    '$w/config.json' >'$w/config.json.new' && mv '$w/config.json.new' '$w/config.json'"
is "$(json "$w/config.json" '["max_ack_pending"]')" 3 "is taken when it is renamed"
does "back" sh -c "echo '{\"max_ack_pending\":2,\"ack_wait\":60000000000}' >'$w/config.json'"
does "the reason stands in the log" grep -q ack_policy "$m/.jetfs/errors.log"
seq 7 12 >"$s/pub/S.a"
a=$(cat "$w/take") b=$(cat "$w/take")
fails "temporarily unavailable" "EAGAIN when too many are out" cat "$w/take"
rm "$w/inflight/$a"
is "$(cat "$w/take")" "$(name_of 9)" "one acknowledged makes room for one"
fails "busy" "a consumer at work stays" rmdir "$w"
does "seek" sh -c "echo '{\"seek\": 11}' >'$w/info.json'"
is "$(ls "$w/inflight" | wc -l)" 0 "forgets what was out"
is "$(cat "$w/next")" 11 "and goes on there"
fails "Invalid" "seek to nowhere" python3 -c "
import os
fd = os.open('$w/info.json', os.O_WRONLY)
os.write(fd, b'{\"seek\": \"soon\"}')
os.fsync(fd)"
is "$(cat "$w/next")" 12 "changes nothing"

seq 20 21 >"$s/pub/S.a"
does "a thread may close what another one opened" python3 -c "
import os, threading
fd = os.open('$w/next', os.O_RDONLY)
def work():
    assert os.read(fd, 100) == b'20' and os.read(fd, 100) == b''
    os.close(fd)
t = threading.Thread(target=work)
t.start()
t.join()"
is "$(cat "$w/next")" 21 "which acknowledges"

# ---- leases that end
does "a short ack wait" sh -c "echo '{\"ack_wait\":300000000}' >'$w/config.json'"
echo lease >"$s/pub/S.a"
a=$(cat "$w/take")
gone() {
    ! ls "$w/inflight" | grep -q .
}
does "ends" await gone
fails "No such file\|Stale" "what is over cannot be acknowledged" rm "$w/inflight/$a"
is "$(cat "$w/ready/$a")" lease "it is ready again"
is "$(cat "$w/next")" lease "and is delivered again"

# ---- workers who race
work() { # NAME: takes until a line says stop
    while n=$(cat take); do
        text=$(cat "inflight/$n") || continue
        echo "$text" >>"$tmp/work.$1"
        rm "inflight/$n" || echo "rm $n" >>"$tmp/work.bad"
        [ "$text" = stop ] && return
    done
}
for workers in 2 8; do
    mkdir "$s/consumers/race$workers"
    echo "{\"seek\": \"$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)\"}" >"$s/consumers/race$workers/info.json"
    rm -f "$tmp"/work.*
    running=
    for i in $(seq 1 $workers); do
        (cd "$s/consumers/race$workers" && work $i) &
        running="$running $!"
    done
    seq 1 150 >"$s/pub/S.a"
    for i in $(seq 1 $workers); do echo stop; done >"$s/pub/S.a"
    wait $running
    cat "$tmp"/work.[0-9]* | grep -v stop | sort -n >"$tmp/done"
    is "$(seq 1 150 | cmp - "$tmp/done" && echo same)" same \
        "$workers workers did everything, and nothing twice"
    is "$(ls "$tmp" | grep -c work.bad)" 0 "and every message was theirs to the end"
    is "$(json "$s/consumers/race$workers/info.json" '["num_ack_pending"]')" 0 "nothing is left"
done

# ---- a work queue: what is done is gone
mkdir "$m/Q/consumers/q"
fails "not permitted" "a second consumer would want the same" mkdir "$m/Q/consumers/q2"
rm -f "$tmp"/work.*
seq 1 60 >"$m/Q/pub/Q.jobs"
running=
for i in 1 2 3; do
    (cd "$m/Q/consumers/q" && work $i) &
    running="$running $!"
done
seq 61 100 >"$m/Q/pub/Q.jobs"
for i in 1 2 3; do echo stop; done >"$m/Q/pub/Q.jobs"
wait $running
is "$(cat "$tmp"/work.[0-9]* | grep -v stop | sort -n | cmp - <(seq 1 100) && echo same)" same \
    "three workers empty a work queue"
is "$(json "$m/Q/info.json" '["messages"]')" 0 "nothing is left in the stream"
is "$(ls "$m/Q/seq" | wc -l)" 0 "and nothing is listed"

# ---- a worker that dies
mkdir "$s/consumers/d"
d=$s/consumers/d
echo '{"ack_wait":500000000}' >"$d/config.json"
echo "{\"seek\": \"$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)\"}" >"$d/info.json"
echo job >"$s/pub/S.a"
sh -c "n=\$(cat '$d/take'); echo \$n >'$tmp/got'; exec sleep 100" &
worker=$!
await test -s "$tmp/got"
kill -9 $worker
wait $worker 2>/dev/null || :
is "$(timeout 20 cat "$d/take")" "$(cat "$tmp/got")" "what a killed worker had comes again"
is "$(getfattr --only-values -n user.nats.delivered "$d/inflight/$(cat "$tmp/got")" 2>/dev/null)" 2 \
    "for the second time"
printf '%s\n' "$(cat "$tmp/got")" >"$d/ack"

# ---- readers who wait
threads=$(ls "/proc/$pid/task" | wc -l)
running=
for i in $(seq 1 200); do
    cat "$d/take" >"$tmp/wait.$i" &
    running="$running $!"
done
parked() {
    [ "$(json "$m/.jetfs/stats.json" '["parked"]')" -ge "$1" ]
}
does "200 readers wait" await parked 200
is "$(($(ls "/proc/$pid/task" | wc -l) - threads < 16))" 1 "without threads of their own"
first=${running# }
first=${first%% *}
kill -9 "$first"
wait "$first" 2>/dev/null
await sh -c "! [ -d /proc/$first ]"
seq 1 5 >"$s/pub/S.a"
got() {
    [ "$(cat "$tmp"/wait.* | wc -l)" = 5 ]
}
does "five messages wake five" await got
is "$(cat "$tmp"/wait.* | sort -u | wc -l)" 5 "each another one"
is "$(wc -c <"$tmp/wait.1")" 0 "the killed one took nothing"
kill $running 2>/dev/null
wait $running 2>/dev/null
does "killed, they are gone" await sh -c "! pgrep -f '^cat $d/take'"
does "the consumer goes when nothing is out" sh -c "ls '$d/inflight' >'$d/ack'; rmdir '$d'"
is "$(ls "$s/consumers" | grep -c '^d$')" 0 "and is gone"

# ---- again after unmounting, and read-only
seq 1 3 >"$s/pub/S.a"
mkdir "$s/consumers/r"
echo '{"seek": 1}' >"$s/consumers/r/info.json"
a=$(cat "$s/consumers/r/take")
rm "$s/consumers/r/inflight/$a"
a=$(cat "$s/consumers/r/take")
umount "$m"
mount_at 2 "$tmp/store" -o ro
r=$m/S/consumers/r
is "$(json "$r/info.json" '["ack_floor"]["stream_seq"]')" 1 "the floor is on disk"
is "$(ls "$r/inflight")" "$(name_of 2)" "and what is in flight"
fails "Read-only" "nothing can be taken" cat "$r/take"
fails "Read-only" "acknowledged" rm "$r/inflight/$(name_of 2)"
fails "Read-only" "or made" mkdir "$m/S/consumers/x"
umount "$m"
mount_at 3 "$tmp/store" -o rw
r=$m/S/consumers/r
fails "not permitted" "without allow_admin none can be made" mkdir "$m/S/consumers/x"
fails "not permitted" "or removed" rmdir "$r"
does "but messages can be acknowledged" rm "$r/inflight/$(name_of 2)"
is "$(cat "$r/next")" 3 "and taken"

finish
