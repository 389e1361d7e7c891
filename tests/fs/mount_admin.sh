#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Administration through a mount: config.json, ctl, purging, moving, expected positions, TTLs.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/store"
mount_at 1 "$tmp/store" -o allow_all
mkdir "$m/A" "$m/B"
a=$m/A b=$m/B

# ---- config.json
does "config.json says what there is" grep -q '"subjects"' "$a/config.json"
does "a new one is taken" sh -c "echo '{\"subjects\":[\"a.>\"],\"max_msgs_per_subject\":100}' >$a/config.json"
does "and is in force" grep -q '"a.>"' "$a/config.json"
put() { # put TEXT FILE: cp tells what close says, a shell's redirection does not
    printf '%s\n' "$1" >"$tmp/text"
    cp "$tmp/text" "$2"
}
fails "Invalid" "nonsense is refused at close" put nonsense "$a/config.json"
does "with the reason in errors.log" grep -q "config.json" "$m/.jetfs/errors.log"
does "the old one stays" grep -q '"a.>"' "$a/config.json"
fails "not permitted" "what may not change" put '{"subjects":["a.>"],"retention":"workqueue"}' "$a/config.json"
fails "File exists" "subjects of another stream" put '{"subjects":["B"]}' "$a/config.json"
echo '{"subjects":["a.>","c"],"max_msgs":50}' >"$tmp/new"
threads() { # threads TEXT FILE [KEEP]: one thread opens and writes, another closes (and outlives it)
    python3 - "$@" <<'PY'
import os, sys, threading
opened, done = threading.Event(), threading.Event()
def write():
    global fd
    fd = os.open(sys.argv[2], os.O_WRONLY | os.O_TRUNC)
    os.write(fd, sys.argv[1].encode())
    opened.set()
    if len(sys.argv) > 3:
        done.wait()
t = threading.Thread(target=write)
t.start()
opened.wait()
if len(sys.argv) < 4:
    t.join()
try:
    os.close(fd)
except OSError as e:
    sys.exit(e.strerror)
finally:
    done.set()
PY
}
does "another thread may close it" threads '{"subjects":["a.>","t1"]}' "$a/config.json" keep
does "and it is in force" grep -q '"t1"' "$a/config.json"
fails "Invalid" "and learns what is wrong" threads '{' "$a/config.json" keep
does "the opening thread may be gone" threads '{"subjects":["a.>","t2"]}' "$a/config.json"
await grep -q '"t2"' "$a/config.json"
ok $? "and it is in force"
does "editors write beside it" cp "$tmp/new" "$a/config.json.tmp"
does "which can be read" cmp "$tmp/new" "$a/config.json.tmp"
does "and rename it" mv "$a/config.json.tmp" "$a/config.json"
does "it is in force" grep -q '"c"' "$a/config.json"
fails "No such file" "the other name is gone" stat "$a/config.json.tmp"
does "a bad one" sh -c "echo '{' >$a/config.json.bad"
fails "itself" "is not renamed"  mv "$a/config.json.bad" "$a/config.json"
does "and can be removed" rm "$a/config.json.bad"
fails "not permitted" "other files are not made" touch "$a/file"

# ---- publishing with conditions
header() { # header NAME HEADER...: a message with headers for spool/
    local name=$1
    shift
    printf 'NATS/1.0\r\n' >"$tmp/$name"
    printf '%s\r\n' "$@" >>"$tmp/$name"
    printf '\r\nbody' >>"$tmp/$name"
}
header m1.msg 'Nats-Msg-Id: one'
does "a message with an id" cp "$tmp/m1.msg" "$a/spool/a.x/1.msg"
does "the same again succeeds" cp "$tmp/m1.msg" "$a/spool/a.x/2.msg"
is "$(ls "$a/seq" | wc -l)" 1 "and is stored once"
header m2.msg 'Nats-Expected-Last-Sequence: 7'
fails "Stale" "an expected sequence that is another" cp "$tmp/m2.msg" "$a/spool/a.x/3.msg"
header m3.msg 'Nats-Expected-Last-Sequence: 1'
does "one that is right" cp "$tmp/m3.msg" "$a/spool/a.x/4.msg"
header m4.msg 'Nats-Expected-Last-Subject-Sequence: 0'
fails "exists" "only if there is none" cp "$tmp/m4.msg" "$a/spool/a.x/5.msg"
does "and there is none" cp "$tmp/m4.msg" "$a/spool/a.y/6.msg"
header m5.msg 'Nats-TTL: 5s'
fails "not permitted" "TTLs need allow_msg_ttl" cp "$tmp/m5.msg" "$a/spool/a.x/7.msg"

# ---- purging
for i in $(seq 10); do
    echo "x$i" >>"$a/pub/a.x"
    echo "y$i" >>"$a/pub/a.y.z"
done
is "$(wc -l <"$a/by-subject/a/x/own.log")" 12 "messages of a subject"
does "rm own.log purges it" rm "$a/by-subject/a/x/own.log"
is "$(find "$a/seq" -type f | wc -l)" 11 "what is left"
does "rm all.log purges what lies below" rm "$a/by-subject/a/y/all.log"
is "$(find "$a/seq" -type f | wc -l)" 0 "nothing is left"
fails "not permitted" "all.log of the stream stays" rm "$a/all.log"

# ---- ctl
for i in $(seq 20); do
    echo "l$i" >>"$a/pub/a.q"
done
ctl() { # ctl STREAM TEXT: writes, and prints the reply
    python3 - "$1/ctl" "$2" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    os.write(fd, sys.argv[2].encode())
except OSError as e:
    print(e.strerror)
    sys.exit(1)
print(os.read(fd, 1000).decode().strip())
PY
}
is "$(ctl "$a" 'purge subject=a.q keep=15
')" "purged 5" "ctl purge"
first=$(readlink "$a/first")
seq=${first##*/}
seq=$((10#$seq))
does "ctl delete" sh -c "echo 'delete $seq' >$a/ctl"
is "$(ctl "$a" "delete $seq
")" "No such file or directory" "which was removed"
does "ctl erase" sh -c "echo 'erase $((seq + 1))' >$a/ctl"
does "ctl sync and rotate" sh -c "printf 'sync\nrotate\n' >$a/ctl"
is "$(ctl "$a" dance)" "Invalid argument" "an unknown verb"
is "$(ctl "$a" 'purge seq=x
')" "Invalid argument" "a bad argument"
for words in subject= seq=0 keep=0; do
    is "$(ctl "$a" "purge $words
")" "Invalid argument" "ctl purge $words is not everything"
done
is "$(ctl "$a" 'delete 0
')" "No such file or directory" "ctl delete 0 says what is wrong"
is "$(find "$a/seq" -type f | wc -l)" 13 "what is left"
last=$(readlink "$a/last")
last=$((10#${last##*/}))
does "ctl truncate" sh -c "echo 'truncate $((last - 3))' >$a/ctl"
is "$(find "$a/seq" -type f | wc -l)" 10 "what is left"

# ---- moving
does "mv moves messages" sh -c "echo '{\"subjects\":[\"b.>\",\"a.>\"]}' >$b/config.json 2>/dev/null || true"
echo '{"subjects":["b.>"]}' >"$b/config.json"
n=$(ls "$a/seq" | head -1)
want=$(cat "$a/seq/$n")
does "mv into another stream's spool" mv "$a/seq/$n" "$b/spool/b.moved/"
is "$(cat "$b/all.log")" "$want" "it is there"
fails "No such file" "and not here" stat "$a/seq/$n"
n=$(ls "$a/full" | head -1)
fails "No such file\|No such" "a subject that is not covered" mv "$a/full/$n" "$b/spool/any.d/"
does "then it stays" stat "$a/full/$n"
mkdir "$m/C"
header d1.msg 'Nats-Msg-Id: twice'
sed 's/body/another/' "$tmp/d1.msg" >"$tmp/d2.msg"
cp "$tmp/d1.msg" "$a/spool/a.id/1.msg"
cp "$tmp/d2.msg" "$m/C/spool/C/1.msg"
does "a message with an id moves" mv "$a/by-subject/a/id/msgs.d/"* "$b/spool/b.moved/"
n=$(ls "$m/C/seq")
fails "not unique" "another one with this id does not" mv "$m/C/seq/$n" "$b/spool/b.moved/"
is "$(cat "$m/C/seq/$n")" another "it stays"
n=$(ls "$a/full" | head -1)
does "deny_delete" put '{"subjects":["a.>","c"],"deny_delete":true}' "$a/config.json"
before=$(ls "$b/seq" | wc -l)
fails "not permitted" "what may not leave is not moved" mv "$a/full/$n" "$b/spool/b.moved/"
is "$(ls "$b/seq" | wc -l)" "$before" "nor copied"

# ---- names that are escaped
does "mkdir" mkdir "$m/half%25full"
does "the name is that of the directory" test -d "$tmp/store/jetstream/\$G/streams/half%full"
does "the stream can be used" stat "$m/half%25full/config.json"
does "rmdir" rmdir "$m/half%25full"
fails "Invalid" "what is no name" mkdir "$m/half%full"

# ---- sealed
does "ctl seal" sh -c "echo seal >$b/ctl"
fails "not permitted" "nothing is stored any more" cp "$tmp/new" "$b/spool/b.x/"
fails "not permitted" "nor removed" sh -c "rm $b/seq/*1"
unmount "$m"

# ---- without permission
mount_at 1 "$tmp/store" -o rw
a=$m/A
fails "not permitted" "config.json needs allow_admin" sh -c "echo '{}' >$a/config.json"
fails "not permitted" "purging needs allow_delete" rm "$a/by-subject/a/q/all.log"
is "$(ctl "$a" purge)" "Operation not permitted" "ctl purge, too"
does "ctl sync does not" sh -c "echo sync >$a/ctl"
unmount "$m"
mount_at 1 "$tmp/store"
fails "Read-only" "a read-only mount changes nothing" sh -c "echo sync >$m/A/ctl"
unmount "$m"

# ---- what ctl was asked for is on disk when it is closed
mkdir "$tmp/kill" "$tmp/m4"
"$jetfs" mount "$tmp/kill" "$tmp/m4" -f -o allow_all &
pid=$!
await mountpoint -q "$tmp/m4"
mkdir "$tmp/m4/K"
printf 'x\ny\nz\n' >"$tmp/m4/K/pub/K"
is "$(wc -l <"$tmp/m4/K/all.log")" 3 "messages"
does "ctl purge" sh -c "echo purge >$tmp/m4/K/ctl"
kill -9 $pid
wait $pid 2>/dev/null
umount -l "$tmp/m4"
is "$("$jetfs" dump "$tmp/kill:K" | wc -l)" 0 "a process that dies then brings nothing back"

# ---- umount(8) does not wait until the store is closed
mount_at 4 "$tmp/kill" -o allow_all
printf "z\n" >"$m/K/pub/K"
mkdir "$tmp/m5"
"$jetfs" mount "$tmp/kill" "$tmp/m5" -o allow_all &
pid=$!
read -r -t 0.3 _ <>"$tmp/never" || :
umount "$tmp/m4"
wait $pid
ok $? "the next mount waits for the one that ends"
unmount "$tmp/m5"

# ---- encrypted, and expiry
mkdir "$tmp/enc"
printf 'secret' >"$tmp/key"
mount_at 2 "$tmp/enc" -o allow_all,cipher=chacha,key_file="$tmp/key"
mkdir "$m/E"
echo '{"subjects":["e"],"max_age":300000000}' >"$m/E/config.json"
for i in 1 2 3; do
    echo "secret text $i" >>"$m/E/pub/e"
done
is "$(grep -c secret "$m/E/all.log")" 3 "an encrypted stream is written and read"
does "on disk nothing is readable" sh -c "! grep -r 'secret text' $tmp/enc"
await sh -c "[ \"\$(ls $m/E/seq | wc -l)\" = 0 ]"
ok $? "max_age takes messages out"
unmount "$m"
does "verify" "$jetfs" verify "$tmp/enc" --key-file "$tmp/key"
does "verify the other" "$jetfs" verify "$tmp/store"
finish
