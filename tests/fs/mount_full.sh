#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Publishing into a stream that is full (full=fail, full=block), and publishing a message twice.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/store"
mount_at 1 "$tmp/store" -o allow_all
mkdir "$m/S"
s=$m/S
echo '{"subjects":["S","S.>"],"max_msgs":3,"discard":"new"}' >"$s/config.json"
printf '1\n2\n3\n' >"$s/pub/S"
echo 4 >"$tmp/line"
fails "quota" "without full=block a full stream takes no line" cp "$tmp/line" "$s/pub/S"
fails "quota" "and no file" cp "$tmp/line" "$s/spool/S/x"
is "$(tr '\n' ' ' <"$s/all.log")" "1 2 3 " "and keeps what it has"
unmount "$m"

mount_at 2 "$tmp/store" -o allow_all,full=block
s=$m/S
ls "$s" >/dev/null
# waits N: so many requests are parked
waits() {
    await grep -q "^jetfs_parked_requests $1\$" "$m/.jetfs/metrics"
}
(printf '4\n5\n' >"$s/pub/S.a" && echo stored >"$tmp/lines") &
waits 1
ok $? "a writer of lines waits"
rm "$s/seq/1"
await grep -q 4 "$s/by-subject/S/a/own.log"
ok $? "until there is room for the first line"
is "$(cat "$tmp/lines" 2>/dev/null)" "" "it still waits for the second"
rm "$s/seq/2"
await grep -q stored "$tmp/lines"
ok $? "then it is done"
is "$(tr '\n' ' ' <"$s/all.log")" "3 4 5 " "nothing is there twice"
(printf 'no end' >"$s/pub/S.b" && echo stored >"$tmp/rest") &
waits 1
ok $? "an unfinished line waits at close"
rm "$s/seq/3"
await grep -q stored "$tmp/rest"
ok $? "until there is room"
is "$(cat "$s/by-subject/S/b/own.log")" "no end" "and is stored"
(echo file >"$s/spool/S.c/x" && echo stored >"$tmp/file") &
waits 1
ok $? "so does a file"
rm "$s/seq/4"
await grep -q stored "$tmp/file"
ok $? "until there is room for it"
is "$(cat "$s/spool/S.c/x")" file "its name leads to the message"
is "$(wc -l <"$s/all.tsv")" 3 "three messages"
fails "temporarily unavailable" "who does not wait is told to try again" python3 -c "
import os
os.write(os.open('$s/pub/S.d', os.O_WRONLY | os.O_NONBLOCK), b'line\\n')"
python3 -c "
import os
fd = os.open('$s/pub/S.e', os.O_WRONLY)
os.write(fd, b'never stored\n')" &
writer=$!
waits 1
ok $? "another writer waits"
kill -9 $writer
wait $writer 2>/dev/null
waits 0
ok $? "and can be killed"
is "$(wc -l <"$s/all.tsv")" 3 "it left nothing"

# ---- the same message twice
mkdir "$m/D"
attr() {
    python3 -c 'import os, sys
try:
    print(os.getxattr(sys.argv[1], "user.nats." + sys.argv[2]).decode())
except OSError as e:
    print(e.strerror)' "$@"
}
echo first >"$m/D/spool/D/one"
is "$(attr "$m/D/spool/D/one" duplicate)" "No data available" "a receipt is of no duplicate"
printf 'NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\nhello' >"$m/D/spool/D/a.msg"
printf 'NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\nagain' >"$m/D/spool/D/b.msg"
is "$(wc -l <"$m/D/all.tsv")" 2 "a duplicate is not stored"
is "$(attr "$m/D/spool/D/b.msg" seq)" 2 "its receipt leads to the first one"
is "$(attr "$m/D/spool/D/b.msg" duplicate)" true "and says so"
is "$(python3 -c 'import os, sys; print(*os.listxattr(sys.argv[1]))' "$m/D/spool/D/b.msg" |
    grep -c user.nats.duplicate)" 1 "in the list, too"
is "$(python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
os.write(fd, b"NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\nonce more")
os.close(os.dup(fd)) # commits
print(os.getxattr(fd, "user.nats.seq").decode(), os.getxattr(fd, "user.nats.duplicate").decode())' \
    "$m/D/spool/D/c.msg")" "2 true" "its descriptor says it without the name"
unmount "$m"
is "$("$jetfs" verify "$tmp/store" >/dev/null 2>&1; echo $?)" 0 "the store is clean"
finish
