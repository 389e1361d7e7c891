#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Packs a directory of server-written stores into corpus.tar.xz. The same input gives the same
# bytes: sorted names, one time, one owner, one mode per kind, one thread.
#
# usage: pack.sh DIR    DIR holds <server version>/<scenario>/
set -euo pipefail
export LC_ALL=C

from=$(realpath -- "${1:?usage: pack.sh DIR}")
here=$(dirname -- "$(realpath -- "$0")")
cd "$from"
tar --create --sort=name --format=posix --pax-option=delete=atime,delete=ctime,delete=mtime \
    --mtime='2026-01-01 00:00:00Z' --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
    -- 2.9.10 2.10.27 2.15.1 | xz -9e --threads=1 >"$here/corpus.tar.xz.new"
mv -- "$here/corpus.tar.xz.new" "$here/corpus.tar.xz"
sha256sum -- "$here/corpus.tar.xz"
