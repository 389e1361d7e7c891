#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Administration through a mount: streams made and removed, messages removed.
. "$(dirname "$0")/lib.sh"

cp -r "$golden/2.10.27/plain/store" "$tmp/store"
mount_at 1 "$tmp/store" -o rw
fails "not permitted" "mkdir needs allow_admin" mkdir "$m/NEW"
fails "not permitted" "rm needs allow_delete" rm -f "$m/PLAIN/seq/0000000000000003"
fails "not permitted\|denied" "a message is not written to" dd if=/dev/zero of="$m/PLAIN/seq/0000000000000003" count=1 conv=notrunc
fails "not permitted" "links are not made" ln -s x "$m/PLAIN/x"
mkdir -p "$tmp/m2"
is "$(status "$jetfs" mount "$tmp/store" "$tmp/m2" -o rw)" 1 "a second writer is refused"
does "and told whose process it is" grep -q "process [0-9]" "$tmp/said"
unmount "$m"

mount_at 1 "$tmp/store" -o allow_all
s=$m/PLAIN
n=$(ls "$s/seq" | wc -l)
stat "$s/seq/0000000000000003" "$s/full/0000000000000003.msg" >/dev/null
exec 5<"$s/seq/0000000000000003"
want=$(sha256sum <"$s/seq/0000000000000003")
log=$(stat -c %i "$s/all.log")
does "rm removes a message" rm "$s/seq/0000000000000003"
is "$(python3 -c 'import hashlib, os; print(hashlib.sha256(os.pread(5, 1 << 20, 0)).hexdigest())')" \
    "${want%% *}" "who had it open reads it still"
exec 5<&-
is "$(ls "$s/seq" | wc -l)" $((n - 1)) "it is gone from the listing"
fails "No such file" "and by name" stat "$s/seq/3"
await sh -c "! stat $s/full/0000000000000003.msg"
ok $? "also where its name was known"
is "$([ "$(stat -c %i "$s/all.log")" != "$log" ] && echo new)" new "all.log is another file"
is "$(wc -l <"$s/all.tsv")" $((n - 1)) "all.tsv has a line less"
is "$(readlink "$s/first")" seq/0000000000000001 "the first is the first"
does "rm of the first" rm "$s/seq/0000000000000001"
is "$(readlink "$s/first")" seq/0000000000000002 "first moves on"

does "mkdir makes a stream" mkdir "$m/NEW"
is "$(ls "$m/NEW/seq")" "" "it is empty"
fails "No such file" "first is not there in an empty stream" stat "$m/NEW/first"
is "$(ls "$m/NEW" | grep -c '^first$')" 0 "nor listed"
fails "exists" "a second one of that name" mkdir "$m/NEW"
fails "Invalid" "a name with a dot" mkdir "$m/A.B"
fails "not empty" "rmdir of a stream with messages" rmdir "$m/PLAIN"
does "rmdir of an empty one" rmdir "$m/NEW"
fails "No such file" "it is gone" stat "$m/NEW"
does "it can be made anew" mkdir "$m/NEW"
does "and listed" ls -l "$m/NEW"
unmount "$m"

mount_at 1 "$tmp/store"
is "$(ls "$m/PLAIN/seq" | wc -l)" $((n - 2)) "what was removed stays removed"
does "what was made stays made" test -d "$m/NEW"
unmount "$m"

mkdir "$tmp/fresh"
mount_at 3 "$tmp/fresh" -o allow_all
does "an empty directory becomes a store" mkdir "$m/FIRST"
is "$(ls "$m")" "FIRST
info.json" "with a stream"
unmount "$m"
does "on disk" test -e "$tmp/fresh/jetstream/\$G/streams/FIRST/meta.inf"
finish
