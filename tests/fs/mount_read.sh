#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Reading a mounted store with ordinary tools.
. "$(dirname "$0")/lib.sh"

plain=$golden/2.10.27/plain
before=$(cd "$plain/store" && find . -type f -exec sha256sum {} + | sort; find "$plain/store" -printf '%p %T@\n' | sort)
mount_at 1 "$plain/store"
s=$m/PLAIN

# Sequences and payloads, as the server told them.
manifest '[format(x["seq"], "016d") for x in m["streams"]["PLAIN"]["messages"]]' \
    "$plain/manifest.json" >"$tmp/seqs"
ls -f "$s/seq" | grep -v '^\.' >"$tmp/listed"
does "ls -f lists every sequence in order" cmp "$tmp/seqs" "$tmp/listed"
manifest '[x["sha256"] for x in m["streams"]["PLAIN"]["messages"]]' "$plain/manifest.json" >"$tmp/sums"
(cd "$s/seq" && sha256sum -- * | cut -d' ' -f1) >"$tmp/got"
does "every payload is the server's" cmp "$tmp/sums" "$tmp/got"
manifest '[x["size"] for x in m["streams"]["PLAIN"]["messages"]]' "$plain/manifest.json" >"$tmp/sizes"
stat -c %s "$s"/full/* >"$tmp/fullsizes"
cat "$s"/full/* | wc -c >"$tmp/a"
awk '{n += $1} END {print n}' "$tmp/fullsizes" >"$tmp/b"
does "sizes of full/ are true" cmp "$tmp/a" "$tmp/b"
cat "$s"/seq/* | wc -c >"$tmp/a"
stat -c %s "$s"/seq/* | awk '{n += $1} END {print n}' >"$tmp/b"
does "sizes of seq/ are true" cmp "$tmp/a" "$tmp/b"

# Names.
first=$(head -1 "$tmp/seqs")
last=$(tail -1 "$tmp/seqs")
is "$(readlink "$s/first")" "seq/$first" "first leads to the first message"
is "$(readlink "$s/last")" "seq/$last" "last leads to the last message"
does "any width of a sequence is accepted" cmp "$s/seq/$((10#$first))" "$s/seq/$first"
fails "No such file" "a future sequence is not there" cat "$s/seq/999999"
fails "No such file" "a name that is no sequence is not there" cat "$s/seq/x"
is "$(stat -c %i "$s/seq/$first")" "$(stat -Lc %i "$s/first")" "one message has one inode"
subject=$(manifest 'm["streams"]["PLAIN"]["messages"][0]["subject"]' "$plain/manifest.json")
dir=$s/by-subject/${subject//./\/}
is "$(ls "$dir/msgs.d" | head -1)" "$first" "msgs.d holds the subject's messages"
is "$(stat -c %i "$dir/msgs.d/$first")" "$(stat -c %i "$s/seq/$first")" "and they are the same inodes"
is "$(readlink "$dir/last.msg")" "msgs.d/$(ls "$dir/msgs.d" | tail -1)" "last.msg is the newest of the subject"
is "$(find "$s/by-subject" -path '*/msgs.d/*' | wc -l)" "$(wc -l <"$tmp/seqs")" "every message is in one msgs.d"
is "$(cat "$s/by-subject/$(printf 'nosuch')/all.log" 2>&1 | grep -c 'No such')" 1 "a subject without messages is not there"

# Attributes.
is "$(stat -c '%a %h %F' "$s/seq/$first")" "444 2 regular file" "a message has mode 444 and two links"
python3 - "$s" "$plain/manifest.json" >"$tmp/out" 2>&1 <<'P'
import errno, json, os, sys
s, man = sys.argv[1], json.load(open(sys.argv[2]))["streams"]["PLAIN"]["messages"]
for x in man:
    p = "%s/seq/%016d" % (s, x["seq"])
    get = lambda n: os.getxattr(p, "user.nats." + n).decode()
    assert get("seq") == str(x["seq"]) and get("subject") == x["subject"] and get("stream") == "PLAIN"
    assert get("time")[:19] == x["time"][:19], (get("time"), x["time"])
    for n in os.listxattr(p):
        os.getxattr(p, n)
for name, want in (("security.selinux", errno.EOPNOTSUPP), ("user.none", errno.ENODATA)):
    try:
        os.getxattr(p, name)
    except OSError as e:
        assert e.errno == want, (name, e)
    else:
        raise AssertionError(name)
P
ok $? "xattrs say sequence, subject, time and stream"
is "$(stat -f -c '%l' "$s")" 255 "statfs: names of 255 bytes"
is "$(stat -f -c '%c' "$s" | awk '{print ($1 > 0)}')" 1 "statfs: files"

# Views.
cat "$s"/seq/* >/dev/null
for q in "$s" "$s/from/1" "$s/since/2000-01-01" "$s/tail/100000" "$s/match/>"; do
    awk -v RS='\0' '{print}' /dev/null
    (for f in "$s"/seq/*; do cat "$f"; echo; done) >"$tmp/want"
    does "all.log of ${q#"$s"} is every payload and LF" cmp "$tmp/want" "$q/all.log"
    is "$(stat -c %s "$q/all.log")" "$(stat -c %s "$tmp/want")" "and its size is true"
done
is "$(wc -l <"$s/all.jsonl")" "$(wc -l <"$tmp/seqs")" "all.jsonl has a line for each message"
cut -f1 "$s/all.tsv" >"$tmp/got"
does "all.tsv has every sequence" cmp "$tmp/seqs" "$tmp/got"
is "$(python3 -c 'import json,sys; print([json.loads(l)["subject"] for l in open(sys.argv[1])][0])' "$s/all.jsonl")" \
    "$subject" "all.jsonl is JSON"
is "$(ls "$s/tail/3/seq" | wc -l)" 3 "tail/3 has three messages"
is "$(ls "$s/tail/3/seq" | tail -1)" "$last" "and the last is the stream's"
is "$(ls "$s/match/$subject/seq")" "$(ls "$dir/msgs.d")" "match/ finds what msgs.d has"
is "$(ls "$s/from/$((10#$last))/match/>/seq")" "$last" "queries nest"
is "$(ls -A "$s/since" "$s/match" 2>/dev/null | grep -vc ':$\|^$')" 0 "parameter directories list nothing"
fails "Invalid" "a malformed time is EINVAL" ls "$s/since/yesterdayish"
fails "Invalid" "a malformed filter is EINVAL" ls "$s/match/a..b"
cat "$s"/segments/*.log >"$tmp/got"
does "the segments make the whole" cmp "$tmp/want" "$tmp/got"
cmp -s "$s/segments/000001.raw" "$plain/store/jetstream/\$G/streams/PLAIN/msgs/1.blk"
ok $? "raw segments are the block files"

# Texts.
is "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["messages"])' "$s/info.json")" \
    "$(wc -l <"$tmp/seqs")" "info.json counts"
is "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["name"])' "$s/config.json")" PLAIN \
    "config.json is the stream's"
is "$(stat -c %s "$s/info.json")" "$(wc -c <"$s/info.json")" "the size of info.json is true"
does ".jetfs/version" grep -q jetfs "$m/.jetfs/version"
does ".jetfs/metrics" grep -q 'jetfs_operations_total{op="read"}' "$m/.jetfs/metrics"
does ".jetfs/stats.json" python3 -m json.tool "$m/.jetfs/stats.json"
does ".jetfs/health.json" python3 -m json.tool "$m/.jetfs/health.json"
is "$(ls -A "$m" | grep -c jetfs)" 0 ".jetfs is not listed"

# Tools.
is "$(grep -rl "$(head -c 9 "$s/seq/$first")" "$s/seq" | head -1)" "$s/seq/$first" "grep -r finds"
is "$(head -c 5 "$s/all.log")" "$(head -c 5 "$tmp/want")" "head -c"
is "$(tail -n 1 "$s/all.tsv" | cut -f1)" "$last" "tail -n"
is "$(dd if="$s/all.log" bs=7 skip=3 count=2 2>/dev/null | od -c)" \
    "$(dd if="$tmp/want" bs=7 skip=3 count=2 2>/dev/null | od -c)" "dd reads at an offset"
does "cp -a copies a stream" cp -a "$s/seq" "$tmp/copy"
is "$(diff -r "$s/seq" "$tmp/copy" && echo same)" same "and diff -r agrees"
is "$(stat -c %Y "$tmp/copy/$first")" "$(stat -c %Y "$s/seq/$first")" "cp -a keeps the time"
does "tar packs full/" tar cf "$tmp/x.tar" -C "$s" full
is "$(tar tf "$tmp/x.tar" | grep -c msg)" "$(wc -l <"$tmp/seqs")" "with every message"
if command -v rsync >/dev/null; then
    does "rsync copies" rsync -a "$s/segments/" "$tmp/rs/"
    does "what rsync copied is the same" diff -r "$s/segments" "$tmp/rs"
else
    echo "# rsync is not installed"
fi
does "ls -lR" ls -lR "$m"
does "find -size" find "$m" -size +1k
does "du" du -s "$m"
fails "Read-only" "rm on a read-only mount is EROFS" rm -f "$s/seq/$first"
fails "Read-only" "mkdir on a read-only mount is EROFS" mkdir "$m/NEW"
fails "Read-only" "writing a message is EROFS" dd if=/dev/null of="$s/seq/$first" conv=notrunc

does "umount" unmount "$m"
after=$(cd "$plain/store" && find . -type f -exec sha256sum {} + | sort; find "$plain/store" -printf '%p %T@\n' | sort)
is "$after" "$before" "the store is unchanged, to the byte and the time"
finish
