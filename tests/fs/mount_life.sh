#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Mounting and unmounting: exit codes, choices of the root, refusals, shutdown.
. "$(dirname "$0")/lib.sh"

plain=$golden/2.10.27/plain/store
accounts=$golden/2.10.27/accounts
mkdir -p "$tmp/m1"

is "$(status "$jetfs" mount)" 1 "no arguments: exit 1"
is "$(status "$jetfs" mount "$plain" "$tmp/m1" -o bogus)" 1 "unknown option: exit 1"
does "and it is named" grep -q bogus "$tmp/said"
is "$(status "$jetfs" mount "$tmp/nothing" "$tmp/m1")" 1 "no such source: exit 1"
mkdir "$tmp/empty"
is "$(status "$jetfs" mount "$tmp/empty" "$tmp/m1")" 1 "not a store: exit 1"
is "$(wc -l <"$tmp/said")" 1 "with one line"
is "$(ls -A "$tmp/empty")" "" "and nothing was made in it"
is "$(status "$jetfs" mount "$plain" "$tmp/nomount")" 1 "no mount point: exit 1"
cp -r "$plain" "$tmp/inside"
mkdir "$tmp/inside/m"
is "$(status "$jetfs" mount "$tmp/inside" "$tmp/inside/m")" 1 "a mount inside its source is refused"
is "$(status "$jetfs" mount "$tmp/inside" "$tmp")" 1 "a source inside its mount is refused"
is "$(status "$jetfs" mount "$plain" "$tmp/m1" -o key_file="$tmp/nokey")" 1 "a missing key file: exit 1"

# The root.
mount_at 2 "$plain"
is "$(ls "$m")" "PLAIN
info.json" "a store shows its account's streams"
unmount "$m"
mount_at 2 "$plain/jetstream/\$G/streams/PLAIN"
does "a stream's directory is the root itself" test -e "$m/seq/1"
does "with .jetfs in it" test -e "$m/.jetfs/version"
unmount "$m"
mount_at 2 "$plain/jetstream"
does "the jetstream directory is a source" test -d "$m/PLAIN"
unmount "$m"
if [ -d "$accounts" ]; then
    one=$(ls "$accounts/store/jetstream" | grep -v SYS | head -1)
    is "$(status "$jetfs" mount "$accounts/store" "$tmp/m1")" 1 "several accounts: a choice is asked for"
    does "the accounts are listed" grep -qF "$one" "$tmp/said"
    mount_at 3 "$accounts/store" -o "account=$one"
    is "$(ls "$m" | grep -vc '\.json')" "$(ls "$accounts/store/jetstream/$one/streams" | wc -l)" \
        "account= chooses"
    unmount "$m"
    mount_at 3 "$accounts/store" -o account=all
    does "account=all shows accounts" test -d "$m/$one"
    does "with their streams" test -e "$m/$one/$(ls "$accounts/store/jetstream/$one/streams" | head -1)/seq"
    unmount "$m"
    is "$(status "$jetfs" mount "$accounts/store" "$tmp/m1" -o account=nosuch)" 1 "an unknown account: exit 1"
fi

# The end.
mkdir -p "$tmp/m4"
"$jetfs" mount "$plain" "$tmp/m4" -f 2>"$tmp/log" &
pid=$!
pids=$pid
await test -d "$tmp/m4/PLAIN"
ok $? "-f stays in the foreground and serves"
exec 5<"$tmp/m4/PLAIN/seq/1"
kill -TERM $pid
wait $pid
is $? 0 "SIGTERM ends it with exit 0, with a file open"
exec 5<&-
does "and nothing is mounted" is_unmounted "$tmp/m4"
"$jetfs" mount "$plain" "$tmp/m4" -f 2>"$tmp/log" &
pid=$!
pids=$pid
await test -d "$tmp/m4/PLAIN"
umount "$tmp/m4"
wait $pid
is $? 0 "umount ends the process with exit 0"
"$jetfs" mount "$plain" "$tmp/m4" -o threads=1 >"$tmp/out" 2>&1
is "$(ls "$tmp/m4")" "PLAIN
info.json" "one thread serves, and the tree is there when the command returns"
does "umount" unmount "$tmp/m4"
finish
