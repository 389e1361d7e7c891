#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Publishing and following through a mount: pub/, spool/, follow.*.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/store"
mount_at 1 "$tmp/store" -o allow_all
mkdir "$m/S"
s=$m/S

# ---- pub/: a line is a message
echo hi >>"$s/pub/S.new"
is "$(cat "$s/all.log")" hi "echo >> makes a message"
is "$(cut -f5 "$s/all.tsv")" S.new "on that subject"
printf 'one\ntwo\nthree\n' >"$s/pub/S"
is "$(tail -n 3 "$s/all.log" | tr '\n' ' ')" "one two three " "each line is one"
printf 'a\n\n\nb\n' >>"$s/pub/S"
is "$(wc -l <"$s/all.tsv")" 6 "empty lines are none"
printf 'no end' >>"$s/pub/S.partial"
is "$(tail -n 1 "$s/all.log")" "no end" "an unfinished line is published at close"
is "$(tail -n 1 "$s/all.jsonl" | python3 -c 'import json,sys; print(json.load(sys.stdin)["hdrs"])')" \
    "{'Jetfs-Partial': ['true']}" "and marked"
printf 'cr\r\n' >>"$s/pub/S.cr"
is "$(cat "$s/by-subject/S/cr/last.msg" | od -An -c | tr -d ' \n')" 'cr\r' "a CR before the LF is kept"
n=$(wc -l <"$s/all.tsv")
seq 1 100000 >"$tmp/lines"
does "100,000 lines" cp "$tmp/lines" "$s/pub/S.many"
does "are all there, in order" cmp "$tmp/lines" "$s/by-subject/S/many/own.log"
is "$(wc -l <"$s/all.tsv")" $((n + 100000)) "and no more"
for w in 1 2 3 4; do
    (for i in $(seq 1 200); do echo "$w $i"; done >>"$s/pub/S.w$w") &
    pids="$pids $!"
done
wait $pids
for w in 1 2 3 4; do
    is "$(cut -d' ' -f2 "$s/by-subject/S/w$w/own.log" | tr '\n' ' ')" "$(seq 1 200 | tr '\n' ' ')" \
        "writer $w kept its order and lost nothing"
done
does "tee -a" sh -c "echo tee | tee -a '$s/pub/S.tee' >/dev/null"
is "$(cat "$s/by-subject/S/tee/own.log")" tee "appends"
does "python prints" python3 -c "
import sys
with open('$s/pub/S.py', 'a') as f:
    for i in range(3000):
        print('line', i, file=f)"
is "$(wc -l <"$s/by-subject/S/py/own.log")" 3000 "each line is one however writes cut them"
fails "Invalid" "a wildcard is refused" sh -c "echo x >'$s/pub/S.*'"
fails "Invalid" "so is an empty token" sh -c "echo x >'$s/pub/S..a'"
fails "No such file" "and a subject that is not the stream's" bash -c "echo x >'$s/pub/OTHER'"
fails "too large" "a line above the limit" sh -c \
    "head -c 9000000 /dev/zero | tr '\\0' x >'$s/pub/S.big'"
is "$(ls "$s/by-subject/S" | grep -c '^big$')" 0 "leaves nothing"
is "$(cat "$s/pub/S")" "" "reading gives nothing"

# ---- spool/: a file is a message
head -c 3000000 /dev/urandom >"$tmp/blob"
does "cp" cp "$tmp/blob" "$s/spool/S.blob/"
does "keeps every byte" cmp "$tmp/blob" "$s/by-subject/S/blob/last.msg"
does "the name leads to the message" cmp "$tmp/blob" "$s/spool/S.blob/blob"
is "$(ls "$s/spool/S.blob")" blob "and is listed"
is "$(wc -l <"$s/by-subject/S/blob/own.tsv")" 1 "one file is one message"
fails "too large" "a file above the limit" dd if=/dev/zero of="$s/spool/S.huge/x" bs=1M count=9
is "$(ls "$s/by-subject/S" | grep -c '^huge$')" 0 "is no message"
touch "$s/spool/S.touch/t"
is "$(ls "$s/by-subject/S" | grep -c '^touch$')" 0 "touch makes none"
echo draft >"$s/spool/S.mv/.draft"
is "$(ls "$s/by-subject/S" | grep -c '^mv$')" 0 "a temporary name is not published"
does "until it is renamed" mv "$s/spool/S.mv/.draft" "$s/spool/S.mv/done"
is "$(cat "$s/by-subject/S/mv/last.msg")" draft "then it is"
{ /bin/echo x; /bin/echo y; echo z; } >"$s/spool/S.group/g"
is "$(cat "$s/by-subject/S/group/last.msg" | tr '\n' ' ')" "x y z " "a group of commands makes one"
is "$(wc -l <"$s/by-subject/S/group/own.tsv")" 1 "only one"
does "tar x" sh -c "mkdir '$tmp/t' && echo 1 >'$tmp/t/a' && echo 2 >'$tmp/t/b' &&
    tar cf '$tmp/t.tar' -C '$tmp/t' a b && tar xf '$tmp/t.tar' --no-same-owner -C '$s/spool/S.tar'"
is "$(wc -l <"$s/by-subject/S/tar/own.tsv")" 2 "a message for each member"
printf 'NATS/1.0\r\nX-A: 1\r\nNats-Subject: S.any\r\n\r\nbody' >"$s/spool/any.d/m.msg"
is "$(cat "$s/by-subject/S/any/last.msg")" body "any.d takes the subject from the header"
is "$(grep -c 'X-A: 1' "$s/full/$(basename "$(readlink "$s/last")").msg")" 1 "and keeps the others"
printf 'NATS/1.0\r\n\r\nx' >"$tmp/n.msg"
fails "Invalid" "without one it is refused" cp "$tmp/n.msg" "$s/spool/any.d/n.msg"
is "$(python3 -c '
import os, sys
def put(name, seq):
    fd = os.open(sys.argv[1] + name, os.O_CREAT | os.O_WRONLY)
    os.setxattr(fd, "user.nats.expect_last_seq", seq)
    os.write(fd, b"x")
    try:
        os.close(fd)
    except OSError as e:
        return e.strerror
last = os.readlink(sys.argv[2]).split("/")[-1].lstrip("0")
print(put("/one", b"1"), put("/two", last.encode()))' "$s/spool/S.expect" "$s/last")" \
    "Stale file handle None" "an expected sequence by xattr"
if command -v rsync >/dev/null; then
    does "rsync" rsync "$tmp/blob" "$s/spool/S.rsync/"
    is "$(wc -l <"$s/by-subject/S/rsync/own.tsv")" 1 "makes one message"
fi

# ---- by-subject/: directories before there is a message
b=$s/by-subject/S
does "mkdir -p below by-subject/" mkdir -p "$b/made/below"
is "$(ls "$b" | grep -c '^made$')" 1 "lists the new directory"
is "$(ls "$b/made" | grep -v '[.]')" below "and what is in it"
is "$(cat "$b/made/all.log")" "" "which holds no message"
fails "exists" "one that is there" mkdir "$b/made"
fails "exists" "and one of messages" mkdir "$b/blob"
fails "Invalid" "a wildcard" mkdir "$b/*"
fails "Invalid" "a name with a dot" mkdir "$b/a.b"
fails "Permission" "what the stream does not take" mkdir "$s/by-subject/OTHER"
fails "not empty" "rmdir with another below" rmdir "$b/made"
does "rmdir" rmdir "$b/made/below" "$b/made"
is "$(ls "$b" | grep -c '^made$')" 0 "takes it away"
does "mkdir" mkdir "$b/filled"
echo x >"$s/pub/S.filled"
is "$(ls "$b" | grep -c '^filled$')" 1 "with a message it is listed once"
fails "not empty" "and cannot be removed" rmdir "$b/filled"
is "$(python3 -c '
import errno, os, sys
made = 0
try:
    while made < 5000:
        os.mkdir("%s/n%d" % (sys.argv[1], made))
        made += 1
except OSError as e:
    print(made, errno.errorcode[e.errno])' "$b")" "4095 ENOSPC" "4,096 are remembered"
is "$(ls "$b" | grep -c '^n[0-9]*$')" 4095 "and listed"

# ---- follow.*: waits
echo first >>"$s/pub/S.f"
cat "$s/by-subject/S/f/follow.log" >"$tmp/followed" &
follower=$!
others=
for i in $(seq 1 50); do
    cat "$s/follow.jsonl" >/dev/null &
    others="$others $!"
done
await sh -c "for p in $follower $others; do ls -l /proc/\$p/fd 2>/dev/null | grep -q follow || exit 1; done"
ok $? "51 readers wait"
does "and the mount works" ls "$s/seq"
echo second >>"$s/pub/S.f"
echo elsewhere >>"$s/pub/S.g"
await sh -c "[ \"\$(cat $tmp/followed)\" = second ]"
ok $? "a new message comes at once, and only of that subject"
is "$(dd if="$s/follow.log" iflag=nonblock bs=100 2>&1 >/dev/null | grep -c 'temporarily unavailable')" 1 \
    "without waiting it is EAGAIN"
kill $follower
wait $follower 2>/dev/null
ok 0 "a waiting reader can be killed"
last=$(wc -l <"$s/all.tsv")
disown $others
kill -9 $others

unmount "$m"
is "$("$jetfs" verify "$tmp/store" >/dev/null 2>&1; echo $?)" 0 "the store is clean"
mount_at 1 "$tmp/store"
is "$(wc -l <"$m/S/all.tsv")" "$last" "everything is there after a new mount"
fails "Read-only" "a read-only mount takes nothing" sh -c "echo x >'$m/S/pub/S'"
fails "Read-only" "nor in the spool" sh -c "echo x >'$m/S/spool/S/x'"
cat "$m/S/follow.log" >/dev/null 2>"$tmp/err" &
reader=$!
await sh -c "ls -l /proc/$reader/fd | grep -q follow"
umount -l "$m" 2>/dev/null || fusermount3 -uz "$m"
kill $reader 2>/dev/null
wait $reader 2>/dev/null
ok 0 "a reader that waits does not hold the end up"
finish
