#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the real program on stores of real servers: every exit code of every verb, bad input, and
# that JSON is JSON. TAP on standard output.
#
# usage: cli.sh JETFS GOLDEN
#   JETFS   the program
#   GOLDEN  directory for the golden stores; they are unpacked there if they are not yet
set -u
export LC_ALL=C

jetfs=$(realpath -- "${1:?usage: cli.sh JETFS GOLDEN}")
"$(dirname -- "$(realpath -- "$0")")/../golden/unpack.sh" "${2:?usage: cli.sh JETFS GOLDEN}" || exit 1
golden=$(realpath -- "$2")/2.15.1
tmp=$(mktemp -d /tmp/jetfs-cli.XXXXXX)
trap 'chmod -R u+rwx "$tmp"; rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
cd "$tmp" || exit 1

count=0
failed=0

# result NAME STATUS: one line of TAP; on failure what the program said.
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

skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

# expect NAME CODE ARG...: runs the program; standard input is the caller's.
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

is_json() {
    python3 -m json.tool <out >/dev/null
}

# py NAME TEXT: a python program that has the last output as `out`; asserts make it fail.
py() {
    printf 'import csv, io, json, sys\nout = open("out", newline="").read()\n%s\n' "$2" >check.py
    check "$1" python3 check.py
}

# said TEXT: standard error holds it, in the one form errors have.
said() {
    check "it says: $1" grep -qF -- "$1" err
    check "errors begin with the program's name" awk '!/^jetfs: /{bad = 1} END {exit bad}' err
}

copy_store() {
    rm -rf "$2"
    cp -r -- "$golden/$1/store" "$2"
    chmod -R u+w "$2"
}

plain=$golden/plain/store
copy_store plain work
printf 'corpus-secret-key\n' >key
printf 'another key\n' >wrong

# ---- help and usage ---------------------------------------------------------------------------

expect "--help ends with 0" 0 --help
check "--help names every verb" grep -q "verify" out
expect "--version ends with 0" 0 --version
check "--version prints the name and a number" grep -Eq '^jetfs [0-9]+\.[0-9]+' out
for verb in ls info dump verify pub; do
    expect "$verb --help ends with 0" 0 "$verb" --help
    check "$verb --help tells its exit codes" grep -q "^Exit" out
done
expect "no verb is a usage error" 1
said "a verb is missing"
expect "an unknown verb is a usage error" 1 frobnicate
said "frobnicate: unknown verb"
expect "verbs that are not built do not exist" 1 salvage
expect "ls without SOURCE" 1 ls
expect "info with too many arguments" 1 info a b
expect "dump with an unknown option" 8 dump "$plain" --nope
expect "dump with a bad range" 8 dump "$plain" --seq 9..5
expect "dump with a bad time" 8 dump "$plain" --since yesterday
expect "dump with a bad format" 8 dump "$plain" --format xml
expect "dump with a bad filter" 8 dump "$plain" --subject 'a..b'
expect "verify with an unknown option" 16 verify "$plain" --nope
expect "pub without a subject" 1 pub work:PLAIN </dev/null
expect "pub to a wildcard" 1 pub work:PLAIN 'a.*' </dev/null
expect "a live server is refused" 1 ls nats://127.0.0.1
said "not built in"

# ---- bad sources ------------------------------------------------------------------------------

mkdir empty
echo text >file
for code in "ls 1" "info 1" "dump 8" "verify 8"; do
    set -- $code
    expect "$1 of a missing path" "$2" "$1" missing
    said "missing: "
    expect "$1 of an empty directory" "$2" "$1" empty
    expect "$1 of a file that is no backup" "$2" "$1" file
    expect "$1 of a stream that is not there" "$2" "$1" "$plain:NOPE"
    said "NOPE"
done
expect "pub to a missing path creates nothing" 1 pub missing:S s </dev/null
check "nothing was created" test ! -e missing
expect "pub to an empty directory creates nothing" 1 pub empty s </dev/null
check "the directory is still empty" rmdir empty
expect "an account that is not there" 1 ls "$plain" --account NOPE
said "no such account: NOPE"

if [ "$(id -u)" != 0 ]; then
    as=()
elif command -v setpriv >/dev/null; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
if [ -n "${as+set}" ] && "${as[@]}" test -x "$jetfs"; then
    copy_store plain closed
    chmod 000 closed
    "${as[@]}" "$jetfs" ls closed >out 2>err
    check "ls of an unreadable directory ends with 2" test $? = 2
    said "permission denied"
    "${as[@]}" "$jetfs" verify closed >out 2>err
    check "verify of an unreadable directory ends with 8" test $? = 8
    chmod 755 closed
    chmod -R a+rX closed
    chmod 000 closed/jetstream/\$G/streams/PLAIN/msgs/1.blk
    "${as[@]}" "$jetfs" verify closed >out 2>err
    check "verify does not call an unreadable block clean" test $? != 0
else
    skip "unreadable sources" "cannot become another user"
fi

# ---- ls and info ------------------------------------------------------------------------------

expect "ls of a store" 0 ls "$plain"
py "ls prints a row per stream, fields divided by tabs" '
rows = [line.split("\t") for line in out.splitlines()]
assert rows[0][:4] == ["ACCOUNT", "STREAM", "MESSAGES", "BYTES"], rows
assert rows[1][:3] == ["$G", "PLAIN", "42"] and rows[1][8] == "ok", rows'
expect "ls --json" 0 ls --json -- "$plain"
py "ls --json holds the same" '
a = json.loads(out)["accounts"]
assert a[0]["name"] == "$G" and a[0]["streams"][0]["messages"] == 42, a'
expect "ls of one stream" 0 ls "$plain:PLAIN"
expect "ls of two accounts" 0 ls "$golden/accounts/store"
check "both are listed" test "$(grep -c SAME out)" = 2
expect "a stream of two accounts needs --account" 1 ls "$golden/accounts/store:SAME"
said "A, ACC-B"
expect "--account chooses" 0 ls "$golden/accounts/store:SAME" --account A
check "one is listed" test "$(grep -c SAME out)" = 1
expect "ls shows a stream whose key is missing" 0 ls "$golden/chacha/store"
check "its health is no_key" grep -q no_key out
expect "ls of a jetstream directory" 0 ls "$plain/jetstream"
expect "ls of an account's directory" 0 ls "$plain/jetstream/\$G"
expect "ls of a stream's directory" 0 ls "$plain/jetstream/\$G/streams/PLAIN"
check "it is found" grep -q PLAIN out
ln -s "$plain" "with:colon"
expect "a path that exists is not split" 0 ls with:colon
expect "the last colon splits" 0 ls with:colon:PLAIN

expect "info of a store" 0 info "$plain"
check "info shows the messages" grep -Eq '^messages +42$' out
expect "info --json of a store" 0 info --json "$plain"
check "info --json of a store is JSON" is_json
expect "info --json of a stream" 0 info --json "$plain:PLAIN"
py "info --json of a stream has its state" '
i = json.loads(out)
assert i["messages"] == 42 and i["health"] == "ok" and i["name"] == "PLAIN", i'
expect "info of a backup" 0 info "$golden/backup/stream.tar.s2" --json
check "info of a backup is JSON" is_json

# ---- dump -------------------------------------------------------------------------------------

expect "dump of a stream" 0 dump "$plain:PLAIN"
cp out plain.jsonl
py "dump gives every message as the server did" "
import hashlib, base64
want = json.load(open('$golden/plain/manifest.json'))['streams']['PLAIN']['messages']
got = [json.loads(line) for line in out.splitlines()]
assert [m['seq'] for m in got] == [m['seq'] for m in want]
assert [m['subject'] for m in got] == [m['subject'] for m in want]
for m, w in zip(got, want):
    data = base64.b64decode(m['data_b64']) if 'data_b64' in m else m['data'].encode()
    assert hashlib.sha256(data).hexdigest() == w['sha256'], w['seq']
assert 'stream' not in got[0], got[0]"
expect "dump --json is jsonl" 0 dump --json "$plain:PLAIN"
check "and says the same" cmp out plain.jsonl
expect "dump of two streams names them" 0 dump "$golden/accounts/store"
py "every line has account and stream" '
lines = [json.loads(line) for line in out.splitlines()]
assert {l["account"] for l in lines} == {"A", "ACC-B"}, lines[0]
assert {l["stream"] for l in lines} == {"SAME"}, lines[0]'
expect "dump --seq" 0 dump "$plain:PLAIN" --seq 3..5
py "both ends belong to it" '
assert [json.loads(l)["seq"] for l in out.splitlines()] == [3, 4, 5]'
expect "dump --seq with an open end" 0 dump "$plain:PLAIN" --seq 40..
check "goes to the end" test "$(tail -n 1 out)" = "$(tail -n 1 plain.jsonl)"
subject=$(python3 -c 'import json; print(json.loads(open("plain.jsonl").readline())["subject"])')
expect "dump --subject" 0 dump "$plain:PLAIN" --subject "$subject"
py "only that subject comes, all of it" "
want = [l for l in open('plain.jsonl') if json.loads(l)['subject'] == '$subject']
assert want and out.splitlines(True) == want"
expect "dump --subject that nothing matches" 0 dump "$plain:PLAIN" --subject no.such.subject
check "prints nothing" test ! -s out
time=$(sed -n 5p plain.jsonl | python3 -c 'import json, sys; print(json.load(sys.stdin)["time"])')
expect "dump --since" 0 dump "$plain:PLAIN" --since "$time"
check "includes the time itself" test "$(head -n 1 out)" = "$(sed -n 5p plain.jsonl)"
expect "dump --until" 0 dump "$plain:PLAIN" --until "$time"
check "includes the time itself" test "$(tail -n 1 out)" = "$(sed -n 5p plain.jsonl)"
expect "dump --since now" 0 dump "$plain:PLAIN" --since -1s
check "prints nothing" test ! -s out
expect "dump --format raw" 0 dump "$plain:PLAIN" --format raw
python3 - <<'PY'
import base64, json
with open("want", "wb") as f:
    for line in open("plain.jsonl"):
        m = json.loads(line)
        f.write(base64.b64decode(m["data_b64"]) if "data_b64" in m else m["data"].encode())
        f.write(b"\n")
PY
check "raw is each payload and a line feed" cmp out want
expect "dump --format csv" 0 dump "$plain:PLAIN" --format csv
py "csv is read back" '
rows = list(csv.reader(io.StringIO(out, newline="")))
assert rows[0] == "seq,time,subject,hdr_size,size,encoding,data".split(","), rows[0]
want = [json.loads(l) for l in open("plain.jsonl")]
assert len(rows) == len(want) + 1
for r, w in zip(rows[1:], want):
    assert int(r[0]) == w["seq"] and r[2] == w["subject"]
    assert r[6] == (w["data_b64"] if "data_b64" in w else w["data"]) or r[5] == "base64"
assert out.count("\r\n") >= len(rows)'
expect "dump --format records" 0 dump "$plain:PLAIN" --format records
cp out records
py "records have their places, in order" '
rs = [json.loads(l) for l in out.splitlines()]
assert sum(r["live"] for r in rs) == 42
assert all(r["length"] > 0 and len(r["checksum"]) == 16 for r in rs)
assert rs == sorted(rs, key=lambda r: (r["block"], r["offset"]))'
expect "dump of a backup" 0 dump "$golden/backup/stream.tar.s2"
check "has its 244 messages" test "$(wc -l <out)" = 244

"$jetfs" dump "$golden/accounts/store" 2>err | head -n 1 >out
check "a reader that goes away is no error" test "${PIPESTATUS[0]} $(wc -c <err)" = "0 0"
"$jetfs" dump "$plain" 2>err >/dev/full
check "a full disk is told" test $? = 8
said "No space left on device"
"$jetfs" ls "$plain" 2>err >/dev/full
check "a full disk is a system error of ls" test $? = 2
"$jetfs" ls "$plain" 2>err >&-
check "a closed standard output is told" test $? = 2

# ---- keys -------------------------------------------------------------------------------------

crypt=$golden/chacha/store:MIX
expect "dump with the key" 0 dump "$crypt" --key-file key
check "has its 243 messages" test "$(wc -l <out)" = 243
expect "the key from standard input" 0 dump "$crypt" --key-file - <key
expect "the key as the previous one" 0 dump "$crypt" --key-file wrong --prev-key-file key
expect "dump without a key" 8 dump "$crypt"
said "encrypted, and no key was given (give the server's jetstream key with --key-file)"
check "prints no message" test ! -s out
expect "dump with a wrong key" 8 dump "$crypt" --key-file wrong
said "wrong key (check --key-file"
expect "verify with the key" 0 verify "$crypt" --key-file key
expect "verify without a key" 8 verify "$crypt"
said "encrypted, and no key was given"
expect "verify with a wrong key" 8 verify "$crypt" --key-file wrong
said "wrong key"
expect "a key file that is missing" 1 ls "$crypt" --key-file no-such-file
said "no-such-file: no such file or directory"
: >nothing
expect "a key file that is empty" 1 ls "$crypt" --key-file nothing
said "the key file is empty"

# ---- verify -----------------------------------------------------------------------------------

find work -type f -exec stat -c '%n %s %y' {} + | sort >before
find work -type f -exec sha256sum {} + | sort >>before
expect "verify of a clean store" 0 verify work
check "it says clean" grep -q 'PLAIN: clean (ok): 42 live' out
expect "verify --json" 0 verify work --json
py "verify --json holds the same" '
v = json.loads(out)
assert v["exit"] == 0 and v["streams"][0]["live"] == 42 and not v["streams"][0]["problems"], v'
find work -type f -exec stat -c '%n %s %y' {} + | sort >after
find work -type f -exec sha256sum {} + | sort >>after
check "verify changed nothing" cmp before after

# A byte of the 10th record's payload, by the place that `records` gives.
python3 - "work/jetstream/\$G/streams/PLAIN/msgs" <<'PY'
import json, sys
r = [json.loads(l) for l in open("records")][9]
path = "%s/%d.blk" % (sys.argv[1], r["block"])
data = bytearray(open(path, "rb").read())
data[r["offset"] + r["length"] - 9] ^= 1
open(path, "wb").write(data)
open("hit", "w").write(str(r["seq"]))
PY
hit=$(cat hit)
expect "verify of a damaged store" 4 verify work
check "it names the block" grep -q 'damaged msgs/1.blk' out
expect "verify --json of a damaged store" 4 verify work --json
py "with place and sequence" "
s = json.loads(out)['streams'][0]
p = [p for p in s['problems'] if p['block'] == 1][0]
assert s['live'] == 41 and s['lost'] == 1 and s['result'] == 'damaged', s
assert p['seq_first'] == $hit and p['verdict'] == 'damaged' and p['length'] > 0, p"
expect "dump of a damaged store goes on" 4 dump work
py "all other messages are there" "
want = [l for l in open('plain.jsonl') if json.loads(l)['seq'] != $hit]
assert out.splitlines(True) == want"
said "damaged messages left out: 1"
expect "dump of another part of it" 0 dump work --seq "$((hit + 1))..$((hit + 3))"
expect "records of a damaged store" 4 dump work --format records
py "the damaged stretch is among them" '
assert [r for r in map(json.loads, out.splitlines()) if r["kind"] == "damage"]'
expect "ls of a damaged store" 0 ls work
check "shows its health" grep -q damaged out

copy_store plain torn
truncate -s -5 "torn/jetstream/\$G/streams/PLAIN/msgs/1.blk"
expect "verify of a torn tail" 4 verify torn --json
py "calls it torn, not damaged" '
s = json.loads(out)["streams"][0]
assert s["health"] == "torn_tail" and s["live"] == 41, s'
expect "dump of a torn tail" 4 dump torn
check "has what was before the tear" test "$(wc -l <out)" = 41

# ---- pub --------------------------------------------------------------------------------------

copy_store plain work
printf 'hello\nworld' >message
expect "pub of one message" 0 pub work:PLAIN "$subject" -H 'A: b' -H c:d <message
check "prints its sequence" grep -Eq '^[0-9]+$' out
seq=$(cat out)
expect "dump of what was published" 0 dump work --seq "$seq"
py "payload, subject and headers are there" "
m = json.loads(out)
assert m['data'] == 'hello\nworld' and m['subject'] == '$subject', m
assert m['hdrs'] == {'A': ['b'], 'c': ['d']}, m"
printf 'one\n\ntwo\r\nthree' >lines
expect "pub --lines" 0 pub work:PLAIN "$subject" --lines --json <lines
py "tells first and last" "
p = json.loads(out)
assert p['messages'] == 3 and p['first_seq'] == $seq + 1 and p['last_seq'] == $seq + 3, p"
expect "dump of the lines" 0 dump work --seq "$((seq + 1)).."
py "each line is a message" '
assert [json.loads(l)["data"] for l in out.splitlines()] == ["one", "two\r", "three"], out'
expect "pub of an empty message" 0 pub work:PLAIN "$subject" </dev/null
expect "pub to a subject that is not the stream's" 1 pub work:PLAIN other.subject </dev/null
said "not bound"
expect "pub to a stream that is not there" 1 pub work:NOPE "$subject" </dev/null
head -c 9000000 /dev/zero >big
expect "pub of more than 8 MiB" 1 pub work:PLAIN "$subject" <big
said "too large"
expect "pub with a bad header" 1 pub work:PLAIN "$subject" -H nocolon </dev/null
expect "pub to a backup" 1 pub "$golden/backup/stream.tar.s2:BK" bk.a </dev/null
flock -n "work/jetstream/\$G/streams/PLAIN" \
    "$jetfs" pub work:PLAIN "$subject" >out 2>err </dev/null
check "pub to a stream that is locked ends with 1" test $? = 1
said "in use"
expect "the store is clean afterwards" 0 verify work

echo "1..$count"
[ "$failed" = 0 ]
