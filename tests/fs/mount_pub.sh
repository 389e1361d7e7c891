#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Publishing and following through a mount: pub/, spool/, follow.log.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/store"
mount_at 1 "$tmp/store" -o allow_all
mkdir "$m/NEW"
s=$m/NEW
messages() {
    wc -l <"$s/all.tsv"
}

echo one >>"$s/pub/NEW"
is "$(cat "$s/all.log")" one "echo >> stores a line"
printf 'a\nb\n\nc\n' >>"$s/pub/NEW"
is "$(messages)" 4 "lines are messages, empty ones are not"
printf 'rest' >>"$s/pub/NEW"
is "$(tail -c 5 "$s/all.log")" rest "an end without line feed is stored at close"
does "and is marked" grep -q "Jetfs-Partial: true" "$s/full/0000000000000005.msg"
seq 1 200000 | cat >>"$s/pub/NEW"
is "$(messages)" 200005 "cat of 200000 lines"
is "$(tail -n 200000 "$s/all.log" | sha256sum)" "$(seq 1 200000 | sha256sum)" "in order, all of them"
seq 1 50 | tee -a "$s/pub/NEW" >/dev/null
is "$(messages)" 200055 "tee -a"
n=200055
seq 1 40 | dd of="$s/pub/NEW" bs=7 conv=notrunc oflag=append 2>/dev/null
is "$(messages)" $((n + 40)) "dd cutting lines anywhere"
n=$((n + 40))
writers=
for w in 1 2 3 4; do
    seq -f "w$w-%g" 1 2000 >>"$s/pub/NEW" &
    writers="$writers $!"
done
wait $writers
is "$(messages)" $((n + 8000)) "four writers at once lose nothing"
n=$((n + 8000))
for w in 1 2 3 4; do
    is "$(grep "^w$w-" "$s/all.log" | sha256sum)" "$(seq -f "w$w-%g" 1 2000 | sha256sum)" \
        "writer $w is in order"
done
fails "No such file" "a subject that is not covered" stat "$s/pub/other"
fails "Invalid" "a wildcard" stat "$s/pub/NEW.*"
fails "too large" "a line over the limit" \
    python3 -c "import os
f = os.open('$s/pub/NEW', os.O_WRONLY | os.O_APPEND)
b = b'x' * 65536
for i in range(2000): os.write(f, b)"
n=$((n + 1))
is "$(messages)" "$n" "what was accepted of it is stored at close"
does "and marked as partial" grep -aq "Jetfs-Partial: true" "$s/full/$(basename "$(readlink "$s/last")").msg"

head -c 3000 /dev/urandom >"$tmp/small"
cp "$tmp/small" "$s/spool/NEW/a"
n=$((n + 1))
is "$(messages)" "$n" "cp of a small file is one message"
does "its name leads to the message" cmp "$tmp/small" "$s/spool/NEW/a"
does "which has its bytes" cmp "$tmp/small" "$s/last"
touch "$s/spool/NEW/t"
is "$(messages)" "$n" "touch stores nothing"
cp "$tmp/small" "$s/spool/NEW/b.tmp"
is "$(messages)" "$n" "a temporary name is not stored at close"
does "but when it is renamed" mv "$s/spool/NEW/b.tmp" "$s/spool/NEW/b"
n=$((n + 1))
is "$(messages)" "$n" "as one message"
cp "$tmp/small" "$s/spool/NEW/c.tmp"
rm "$s/spool/NEW/c.tmp"
is "$(messages)" "$n" "rm of a staged file stores nothing"
(echo x; /bin/true; echo y) >"$s/spool/NEW/sub"
await sh -c "[ \$(wc -l <$s/all.tsv) -gt $n ]"
is "$(stat -L -c %s "$s/last")" 4 "what children of the opener write is one message"
printf 'NATS/1.0\nA: b\nNats-Subject: NEW\n\nbody' >"$s/spool/any.d/1.msg"
is "$(cat "$s/last")" body "any.d takes the subject from the file"
does "and its headers" grep -q "^A: b" "$s/full/$(basename "$(readlink "$s/last")").msg"
fails "." "a .msg file without a block is refused at close" cp "$tmp/small" "$s/spool/NEW/x.msg"
head -c 3000000 /dev/urandom >"$tmp/big"
"$jetfs" --version >/dev/null
if cp "$tmp/big" "$s/spool/NEW/big" 2>"$tmp/err"; then
    does "3 MB arrive" cmp "$tmp/big" "$s/last"
else
    grep -q "too large" "$tmp/err"
    ok $? "3 MB are over the limit: EFBIG"
fi

cat "$s/follow.log" >"$tmp/followed" &
pids="$pids $!"
follower=$!
await sh -c "grep -q follow.log /proc/$follower/cmdline && ls -l /proc/$follower/fd | grep -q follow.log"
echo news >>"$s/pub/NEW"
await grep -q news "$tmp/followed"
ok $? "follow.log shows a message at once"
kill -9 $follower
wait $follower 2>/dev/null
ok 0 "a reader that waits can be killed"
is "$(python3 -c "import os
f = os.open('$s/follow.jsonl', os.O_RDONLY | os.O_NONBLOCK)
try: os.read(f, 10)
except BlockingIOError: print('again')
import select
p = select.poll(); p.register(f, select.POLLIN)
print(len(p.poll(0)))
open('$s/pub/NEW', 'a').write('polled\n')
print(len(p.poll(5000)), b'data' in os.read(f, 1000))")" "again
0
1 True" "O_NONBLOCK and poll"
readers=
for i in $(seq 50); do
    cat "$s/follow.log" >/dev/null 2>&1 &
    readers="$readers $!"
done
does "ls works beside 50 waiting readers" timeout 10 ls "$s/pub" "$s/spool" "$m"
kill -9 $readers
wait $readers 2>/dev/null
n=$(messages)
unmount "$m"

mount_at 1 "$tmp/store"
is "$(messages)" "$n" "all is there in the next mount"
fails "Read-only" "a read-only mount refuses pub" sh -c "echo x >>$s/pub/NEW"
fails "Read-only" "and spool" cp "$tmp/small" "$s/spool/NEW/a"
cat "$s/follow.log" >/dev/null 2>&1 &
reader=$!
await sh -c "ls -l /proc/$reader/fd | grep -q follow.log"
umount -l "$m"
kill -9 $reader 2>/dev/null
wait $reader 2>/dev/null
await is_unmounted "$m"
ok $? "unmounting with a waiting reader"
finish
