#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Compression and encryption by command: every way from one to another keeps every message.
#
# usage: cli_crypto.sh JETFS GOLDEN
set -u
export LC_ALL=C

jetfs=$(realpath -- "${1:?usage: cli_crypto.sh JETFS GOLDEN}")
golden=$(realpath -- "${2:?usage: cli_crypto.sh JETFS GOLDEN}")
tmp=$(mktemp -d /tmp/jetfs-crypto.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 1
count=0
failed=0
printf 'old key' >k1
printf 'new key' >k2

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

expect() {
    local name=$1 code=$2 got
    shift 2
    "$jetfs" "$@" >out 2>err </dev/null
    got=$?
    [ "$got" = "$code" ] || echo "exit code $got, not $code" >>err
    [ "$got" = "$code" ]
    result "$name" $?
}

# same NAME STORE KEYFILE: the messages are those of `want`
same() {
    "$jetfs" dump "$2" ${3:+--key-file "$3"} >got 2>err
    cmp want got >>err 2>&1
    result "$1: the same messages" $?
    expect "$1: verify" 0 verify "$2" ${3:+--key-file "$3"}
}

# algorithms STREAM_DIR: how the blocks begin
algorithms() {
    for b in "$1"/msgs/*.blk; do
        head -c 4 "$b" | od -An -c | tr -d ' \n'
        echo
    done | sort | uniq -c | sort -rn | head -1
}

# a stream of several blocks with something removed in each
expect "a stream" 0 stream add s:S --config <(echo '{"subjects":["s.>"],"max_bytes":4000000}')
for i in 1 2 3 4; do
    seq 1 20000 | sed "s/^/this is line $i of a text that can be compressed /" |
        "$jetfs" pub s:S "s.$i" --lines >/dev/null
done
expect "some are removed" 0 rm s:S 79990 60001 60002 59999
d=s/jetstream/\$G/streams/S
j=s/jetstream/\$G/jetfs/S
[ "$(ls $d/msgs/*.blk | wc -l)" -gt 1 ]
result "there are several blocks" $?
"$jetfs" dump s >want 2>err
plain=$(du -sb $d/msgs | cut -f1)

# ---- compression
expect "to s2" 0 compact s:S --compression s2
same "s2" s
algorithms $d | grep -q 'cmp001'
result "the blocks are s2" $?
[ "$(du -sb $d/msgs | cut -f1)" -lt $((plain * 2 / 3)) ]
result "and smaller" $?
expect "to lz4" 0 compact s:S --compression lz4
same "lz4" s
[ -d "$j" ] && [ ! -e "$d" ]
result "the stream lies where servers do not look" $?
algorithms $j | grep -q 'cmpL'
result "the blocks are lz4" $?
expect "ls shows it" 0 ls s
grep -q S out
result "by its name" $?
echo more | "$jetfs" pub s:S s.more >/dev/null 2>err
result "it is written to" $?
"$jetfs" dump s >want
expect "lz4 again" 0 compact s:S
same "lz4 again" s
last=$(ls -S $j/msgs/*.blk | head -1)
cp -r s damaged
printf 'XXXX' | dd of="damaged/${last#s/}" bs=1 seek=5000 conv=notrunc 2>/dev/null
"$jetfs" verify damaged >out 2>err
[ $? = 4 ]
result "damage in it is found" $?
n=$("$jetfs" dump damaged 2>/dev/null | wc -l)
all=$(wc -l <want)
[ "$n" -lt "$all" ] && [ "$n" -gt $((all - 1500)) ]
result "and costs one piece ($((all - n)) messages)" $?
expect "back to none" 0 compact s:S --compression none
same "none" s
[ -d "$d" ] && [ ! -e "$j" ]
result "the stream lies where it was" $?
expect "an unknown kind" 1 compact s:S --compression zip

# ---- encryption
expect "plain to chacha" 0 rekey s --key-file k1 --cipher chacha
same "chacha" s k1
! grep -raq 'this is line' s
result "nothing is readable" $?
expect "without a key" 8 verify s
expect "another key" 0 rekey s --key-file k2 --prev-key-file k1
same "new key" s k2
expect "the old key is no use" 8 verify s --key-file k1
expect "once more changes nothing" 0 rekey s --key-file k2 --prev-key-file k1
grep -q unchanged out
result "and says so" $?
expect "compressed and encrypted" 0 compact s:S --compression s2 --key-file k2
same "s2 and chacha" s k2
expect "chacha to aes" 0 rekey s --key-file k2 --cipher aes
same "aes" s k2
expect "lz4 and aes" 0 compact s:S --compression lz4 --key-file k2
same "lz4 and aes" s k2
expect "back" 0 compact s:S --compression s2 --key-file k2
expect "a message is removed" 0 rm s:S 79995 --key-file k2
"$jetfs" dump s --key-file k2 >want
expect "to plain" 0 rekey s --key-file k2 --cipher none
same "plain again" s
[ ! -e $d/meta.key ] && ! ls $d/msgs/*.key >/dev/null 2>&1
result "no key files are left" $?
[ "$(ls -A s/jetstream/\$G/streams)" = S ]
result "nothing else is left" $?
expect "a key is needed" 1 rekey s --cipher aes

# ---- consumers that only servers make
cp -r "$golden/2.15.1/consumers/store" c
expect "a push consumer" 0 consumer info c:CONS push
cp out push.want
expect "to aes" 0 rekey c --key-file k1 --cipher aes
expect "is there" 0 consumer info c:CONS push --key-file k1
cmp out push.want >>err 2>&1
result "as it was" $?
expect "under another name" 0 backup c:CONS c.s2 --key-file k1
expect "from a backup" 0 restore c.s2 c2 --name OTHER
expect "it is there, too" 0 consumer info c2:OTHER push
sed 's/"OTHER"/"CONS"/' out | cmp - push.want >>err 2>&1
result "as it was" $?

# ---- interrupted
cp -r s i
cp -r "i/jetstream/\$G/streams/S" "i/jetstream/\$G/streams/.S.convert"
expect "the first time" 0 rekey s --key-file k1 --cipher aes
rm -r "i/jetstream/\$G/streams/S"
cp -r "s/jetstream/\$G/streams/S" "i/jetstream/\$G/streams/S"
expect "done but for the old stream" 0 rekey i --key-file k1 --cipher aes
! grep -raq 'this is line' i
result "nothing is readable after the second time" $?
expect "and back" 0 rekey s --key-file k1 --cipher none

# ---- keys that do not fit

# flip FILE OFFSET: changes the byte there. Bytes of a key file are random: a fixed one may stand there.
flip() {
    local byte
    byte=$(od -An -tu1 -j"$2" -N1 "$1")
    printf "\\x$(printf %02x $((byte ^ 64)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

expect "encrypted" 0 rekey s --key-file k1 --cipher aes
for f in meta.key $(cd $d && ls msgs/*.key | head -1); do
    cp -r s t
    flip "t/jetstream/\$G/streams/S/$f" 20
    find t -type f -exec md5sum {} + | sort >before
    "$jetfs" verify t --key-file k1 >out 2>err
    code=$?
    # Without the stream's own seed nothing can be looked at.
    [ $code = 4 ] || { [ $f = meta.key ] && [ $code = 8 ]; }
    result "a flipped byte in $f is told" $?
    echo x | "$jetfs" pub t:S s.x --key-file k1 >out 2>err
    [ $? = 1 ]
    result "nothing is stored then" $?
    find t -type f -exec md5sum {} + | sort | cmp - before 2>>err
    result "and nothing was written" $?
    rm -rf t
done
for k in k2 ''; do
    find s -type f -exec md5sum {} + | sort >before
    echo x | "$jetfs" pub s:S s.x ${k:+--key-file $k} >out 2>err
    [ $? = 1 ]
    result "nothing is stored with ${k:-no} key" $?
    find s -type f -exec md5sum {} + | sort | cmp - before 2>>err
    result "and nothing was written" $?
done

echo "1..$count"
[ "$failed" = 0 ]
