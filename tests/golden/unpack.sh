#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks corpus.tar.xz into DIR (made if missing): DIR/2.15.1/plain/store ...
# A second call with the same archive does nothing; parallel calls wait for each other.
#
# usage: unpack.sh DIR
set -euo pipefail

here=$(dirname -- "$(realpath -- "$0")")
mkdir -p -- "${1:?usage: unpack.sh DIR}"
cd -- "$1"
exec 9>.lock
flock 9
sum=$(sha256sum <"$here/corpus.tar.xz")
if [ -f .unpacked ] && [ "$(cat .unpacked)" = "$sum" ]; then
    exit 0
fi
rm -rf -- .unpacked 2.9.10 2.10.27 2.15.1
tar --extract --xz --no-same-owner --file "$here/corpus.tar.xz"
echo "$sum" >.unpacked
