#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The verbs that change a store: streams, messages, backups; plain and encrypted.
#
# usage: cli_admin.sh JETFS GOLDEN
set -u
export LC_ALL=C

jetfs=$(realpath -- "${1:?usage: cli_admin.sh JETFS GOLDEN}")
golden=$(realpath -- "${2:?usage: cli_admin.sh JETFS GOLDEN}")
tmp=$(mktemp -d /tmp/jetfs-admin.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
count=0
failed=0

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

# expect NAME CODE ARG...: the program ends so
expect() {
    local name=$1 code=$2 got
    shift 2
    "$jetfs" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || echo "exit code $got, not $code" >>err
    [ "$got" = "$code" ]
    result "$name" $?
}

# says NAME TEXT: in out or err
says() {
    cat out err | grep -qF -- "$2"
    result "$1" $?
}

# lines FILE N: N numbered lines
publish() {
    seq 1 "$3" | sed 's/^/line /' | "$jetfs" pub "$1" "$2" --lines ${4:+--key-file "$4"} >/dev/null
}

# ---- streams
expect "stream add makes the store" 0 stream add s:A --subject 'a.>'
says "and tells the name" A
expect "twice is refused" 1 stream add s:A
expect "overlapping subjects are refused" 1 stream add s:B --subject 'a.x'
says "with the other stream" "of the stream A"
expect "a bad field is refused" 1 stream add s:B --config <(echo '{"max_age":5}')
says "with the field" max_age
expect "by a configuration" 0 stream add s:B --config <(echo '{"subjects":["b"],"max_msgs":5}')
expect "no stream named" 1 stream add s
publish s:A a.x 100
publish s:B b 9
expect "limits hold" 0 info s:B --json
says "five are left" '"messages": 5'
expect "edit" 0 stream edit s:B --config <(echo '{"max_msgs":2}')
expect "at once" 0 dump s:B
[ "$(wc -l <out)" = 2 ]
result "two are left" $?
expect "the name cannot change" 1 stream edit s:B --config <(echo '{"name":"C"}')
expect "retention cannot become workqueue" 1 stream edit s:B --config <(echo '{"retention":"workqueue"}')
says "and it says why" workqueue
expect "stream ls" 0 stream ls s

# ---- messages
expect "rm" 0 rm s:A 3 5 7
says "counts" 3
expect "rm again" 1 rm s:A 3
expect "rm past the end" 1 rm s:A 1000
expect "rm of no number" 1 rm s:A x
expect "rm --erase" 0 rm s:A 11 --erase
! grep -aq 'line 11$' s/jetstream/\$G/streams/A/msgs/1.blk
result "the bytes are gone" $?
expect "purge a subject" 0 purge s:A --subject a.y
says "nothing matches" 0
expect "purge --keep" 0 purge s:A --keep 90 --json
says "counts in JSON" '{"purged": 6}'
expect "purge --seq" 0 purge s:A --seq 51
expect "state" 0 info s:A --json
says "first" '"first_seq": 51'
expect "compact" 0 compact s
expect "verify" 0 verify s
expect "purge" 0 purge s:A
expect "the last sequence stays" 0 info s:A --json
says "last" '"last_seq": 100'
publish s:A a.x 1
expect "the next one" 0 dump s:A
says "follows" '"seq":101'
expect "deny_delete" 0 stream edit s:A --config <(echo '{"deny_delete":true,"deny_purge":true}')
expect "rm is refused" 1 rm s:A 101
expect "purge is refused" 1 purge s:A
says "with a reason" "does not allow"

# ---- backups
publish s:A a.x 20
expect "backup" 0 backup s:A a.tar.s2
expect "a backup is a source" 0 verify a.tar.s2
expect "restore where it is" 1 restore a.tar.s2 s
says "exists" exists
expect "restore elsewhere" 0 restore a.tar.s2 t
"$jetfs" dump s:A >a.1 && "$jetfs" dump t:A >a.2 && cmp a.1 a.2 2>>err
result "the same messages" $?
expect "restore as another" 0 restore a.tar.s2 t --name C --account ACC
"$jetfs" dump t:C --account ACC | sed 's/"stream":"C"//' >a.2
cut -c1-60 a.1 | cmp - <(cut -c1-60 a.2) 2>>err
result "the same messages again" $?
"$jetfs" backup s:A - >b.tar.s2 2>err
result "backup to standard output" $?
mkfifo pipe
cat pipe >c.tar.s2 &
reader=$!
expect "backup to a pipe" 0 backup s:A pipe
[ -p pipe ]
kept=$?
[ $kept = 0 ] || kill $reader
wait $reader
[ $kept = 0 ] && "$jetfs" verify c.tar.s2 >/dev/null 2>>err
result "goes through it, and it stays a pipe" $?
mkdir dir
expect "a directory is no file" 1 backup s:A dir
head -c 300 a.tar.s2 >cut.tar.s2
expect "a cut backup is refused" 1 restore cut.tar.s2 u
[ -z "$(ls -A u/jetstream/\$G/streams 2>/dev/null)" ]
result "and leaves nothing" $?
expect "no backup" 1 restore s u

# A message that is damaged in the backup is left out, and the user is told; a consumer that cannot be read is
# not passed over, neither here nor where a stream is stored anew.
expect "add, to be damaged" 0 stream add d:D --subject 'd.>'
publish d:D d.x 9
sed -i 's/line 5/line Z/' d/jetstream/\$G/streams/D/msgs/1.blk
expect "backup of a damaged stream" 0 backup d:D d.tar.s2
expect "restored under another name" 0 restore d.tar.s2 dd --name X
grep -q '^jetfs: d.tar.s2: 1 messages of the backup are damaged' err
result "it says what is missing" $?
[ "$("$jetfs" dump dd:X | wc -l)" = 8 ]
result "the others are there" $?
expect "add, with a consumer" 0 stream add o:O --subject 'o.>'
publish o:O o.x 9
expect "a consumer" 0 consumer add o:O c
"$jetfs" next o:O c -n 3 >/dev/null

expect "backup with a consumer" 0 backup o:O o.tar.s2
printf '\026\377\377' >o/jetstream/\$G/streams/O/obs/c/o.dat
rm -f o/jetstream/\$G/streams/O/obs/c/o.dat.prev
find o -type f -exec cksum {} + | sort >o.before
expect "no backup that lacks a consumer's state" 1 backup o:O o2.tar.s2
printf secret >k
expect "no conversion that lacks it" 1 rekey o --key-file k --cipher aes
find o -type f -exec cksum {} + | sort | grep -v index.db >o.after
grep -v index.db o.before | cmp - o.after
result "all is as it was" $?
cp -r "$golden"/2.15.1/backup bk && chmod -R u+w bk
for f in bk/*.tar.s2 bk/*/*.tar.s2; do
    [ -f "$f" ] && break
done
expect "a server's backup" 0 restore "$f" v
expect "is whole" 0 verify v

# ---- what would mean everything
expect "a stream that may be purged" 0 stream add pz:P --subject 'p.>'
publish pz:P p.x 3
for option in --seq --keep; do
    expect "purge $option 0" 1 purge pz:P $option 0
    [ "$("$jetfs" dump pz | wc -l)" = 3 ]
    result "takes nothing" $?
done

# ---- encrypted
printf 'secret' >k
printf 'other' >k2
for cipher in chacha aes; do
    expect "$cipher: add" 0 stream add "e$cipher:E" --cipher $cipher --key-file k
    publish e$cipher:E E.x 50 k
    expect "$cipher: rm" 0 rm e$cipher:E 7 --key-file k
    expect "$cipher: verify" 0 verify e$cipher --key-file k
    ! grep -raq 'line 9' e$cipher
    result "$cipher: nothing is readable" $?
    expect "$cipher: without key" 1 rm e$cipher:E 8
    says "$cipher: it says so" "no key"
    expect "$cipher: the wrong key" 1 rm e$cipher:E 8 --key-file k2
    says "$cipher: it says so" "wrong key"
    expect "$cipher: backup without key" 1 backup e$cipher:E e$cipher.s2
    says "$cipher: it says so" "no key"
    expect "$cipher: backup" 0 backup e$cipher:E e$cipher.s2 --key-file k
    expect "$cipher: restore plain" 0 restore e$cipher.s2 p$cipher
    "$jetfs" dump e$cipher --key-file k >a.1 && "$jetfs" dump p$cipher >a.2 && cmp a.1 a.2 2>>err
    result "$cipher: the same messages" $?
    expect "$cipher: restore encrypted" 0 restore e$cipher.s2 q$cipher --cipher aes --key-file k2
    "$jetfs" dump q$cipher --key-file k2 >a.2 && cmp a.1 a.2 2>>err
    result "$cipher: the same messages again" $?
done
expect "a cipher without key" 1 stream add x:E --cipher aes
expect "an unknown cipher" 1 stream add x:E --cipher rot13 --key-file k

# Only one of them would be loaded by a server.
for key in '--key-file k' '--prev-key-file k --key-file k2'; do
    rm -rf eo
    expect "encrypted: a stream" 0 stream add eo:A --subject 'x.>' --cipher aes --key-file k
    # shellcheck disable=SC2086
    expect "encrypted: overlapping subjects" 1 stream add eo:B --subject x.y --cipher aes $key
    says "encrypted: with the other stream" "of the stream A"
done

# What fails leaves no store behind that was made for it.
expect "a bad configuration" 1 stream add fresh:S --config <(echo '{"subjects":["a..b"]}')
[ ! -e fresh ]
result "leaves no store" $?
echo nonsense >bad.tar
expect "a bad backup" 1 restore bad.tar fresh
[ ! -e fresh ]
result "leaves none either" $?
mkdir mine
expect "a bad backup into a directory that was there" 1 restore bad.tar mine
[ -d mine ]
result "leaves that" $?

# A file in obs/ is nobody's consumer.
expect "a stream" 0 stream add st:S --subject 'q.>'
expect "a consumer" 0 consumer add st:S C
touch st/jetstream/\$G/streams/S/obs/stray
expect "a stray file: consumer ls" 0 consumer ls st:S
expect "a stray file: verify" 0 verify st

# Half of an update of a consumer's configuration: the sum is staged.
o=st/jetstream/\$G/streams/S/obs/C
cp $o/meta.sum $o/meta.sum.tmp
printf '0123456789abcdef' >$o/meta.sum
expect "a staged sum counts" 0 verify st
rm $o/meta.sum.tmp
expect "a wrong one does not" 4 verify st

# ---- deleting
expect "stream rm without --force" 1 stream rm s:B
expect "stream rm" 0 stream rm s:B --force
[ ! -e s/jetstream/\$G/streams/B ]
result "it is gone" $?
expect "again" 1 stream rm s:B --force

echo "1..$count"
[ "$failed" = 0 ]
