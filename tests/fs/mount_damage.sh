#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A damaged store through a mount: one record is hit, its message alone cannot be read.
. "$(dirname "$0")/lib.sh"

cp -r "$golden/2.10.27/plain/store" "$tmp/store"
chmod -R u+w "$tmp/store"
block="$tmp/store/jetstream/\$G/streams/PLAIN/msgs/1.blk"
mount_at 1 "$tmp/store"
n=$(ls "$m/PLAIN/seq" | wc -l)
hit=$(sed -n 5p "$m/PLAIN/all.tsv" | cut -f1)
for f in "$m"/PLAIN/seq/*; do
    [ "$(basename "$f")" = "$hit" ] || sha256sum <"$f"
done >"$tmp/before"
unmount "$m"
python3 - "$block" "$hit" <<'EOF'
import struct, sys
path, hit = sys.argv[1], int(sys.argv[2])
data = bytearray(open(path, "rb").read())
at = 0
while struct.unpack_from("<Q", data, at + 4)[0] != hit:
    at += struct.unpack_from("<I", data, at)[0] & 0x7fffffff
data[at + 12] ^= 1  # its time
open(path, "wb").write(data)
EOF
mount_at 2 "$tmp/store"
s=$m/PLAIN
is "$(ls "$s/seq" | wc -l)" "$n" "every name is still listed"
fails "Input/output error" "the hit message cannot be read" cat "$s/seq/$hit"
does "but it can be looked at" stat "$s/seq/$hit"
if command -v getfattr >/dev/null; then
    does "and says why" sh -c \
        "getfattr --only-values -n user.nats.damage '$s/seq/$hit' | grep -q 'damaged: msgs/1.blk'"
fi
for f in "$s"/seq/*; do
    [ "$(basename "$f")" = "$hit" ] || sha256sum <"$f"
done >"$tmp/after"
does "all others are as before" cmp "$tmp/before" "$tmp/after"
is "$(wc -l <"$s/all.tsv")" $((n - 1)) "views leave it out"
is "$(python3 -c 'import json,sys; i = json.load(open(sys.argv[1])); print(i["health"], i["lost"])' \
    "$s/info.json")" "damaged 1" "info.json tells"
is "$(status "$jetfs" verify "$tmp/store")" 4 "so does verify"
unmount "$m"
finish
