#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the peer of the benchmarks: nats-server's own file store, in process, driven by
# file_store_test.go beside this script. The compiler and the sources are Debian's packages (golang,
# golang-github-nats-io-nats-server-dev and what they need) of the release named below, unpacked
# below DEST; nothing is installed and the machine's own apt state is left alone. The benchmark is
# laid into the package by an overlay, so the unpacked tree stays as it came. A second call is instant.
#
# usage: build.sh DEST        (downloads about 90 MB, builds for about two minutes)
# exit:  0 DEST/peer_bench is there; 77 it is not (why stands on standard error)
set -uo pipefail
export LC_ALL=C

here=$(dirname -- "$(realpath -- "$0")")
mkdir -p -- "${1:?usage: build.sh DEST}" || exit 77
dest=$(realpath -- "$1")
suite=forky
module=github.com/nats-io/nats-server/v2
root=$dest/root
bench=$here/file_store_test.go

exec 9>"$dest/.lock"
flock 9

give_up() {
    echo "NO PEER: $1" >&2
    exit 77
}

# Packages of DEST's release that a package depends on, those of Go only: the rest of a Debian
# system is not needed to compile. Names on standard input, closure on standard output.
closure() {
    local todo done='' name
    mapfile -t todo
    while [ ${#todo[@]} -gt 0 ]; do
        name=${todo[0]}
        todo=("${todo[@]:1}")
        case " $done " in *" $name "*) continue ;; esac
        done+=" $name"
        mapfile -t -O ${#todo[@]} todo < <(apt-cache depends -i "$name" | sed -n 's/^ *Depends: *//p' |
            grep -E '^golang-([0-9.]+-(go|src)|go|src|.*-dev)$')
    done
    tr ' ' '\n' <<<"$done" | grep .
}

fetch() {
    local tool mirror tmp packages
    for tool in apt-get apt-cache apt-config dpkg-deb; do
        command -v "$tool" >/dev/null || give_up "no $tool on this machine"
    done
    mirror=$("$here/../../peers/debian_mirror.sh") ||
        give_up "no Debian archive in this machine's apt sources"
    tmp=$dest/apt
    rm -rf -- "$tmp" "$root" "$root.new"
    mkdir -p "$tmp"/{empty,state/lists/partial,cache/archives/partial,debs} "$root.new"
    : >"$tmp/state/status"
    cat /usr/share/keyrings/debian-archive-*.gpg >"$tmp/keys.gpg" 2>/dev/null
    [ -s "$tmp/keys.gpg" ] || give_up "no debian-archive-keyring on this machine"

    # The machine's configuration is not read, but for its proxies (see tests/peers/fetch.sh).
    cat >"$tmp/apt.conf" <<END
Dir::Etc::main "/dev/null";
Dir::Etc::parts "$tmp/empty";
Dir::Etc::sourcelist "$tmp/sources.list";
Dir::Etc::sourceparts "$tmp/empty";
Dir::Etc::preferencesparts "$tmp/empty";
Dir::Etc::preferences "/dev/null";
Dir::State "$tmp/state";
Dir::State::status "$tmp/state/status";
Dir::Cache "$tmp/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
END
    apt-config dump | grep -iE '^Acquire::[a-z:/.-]*proxy[a-z-]* ".+"' >>"$tmp/apt.conf"
    echo "deb [signed-by=$tmp/keys.gpg check-valid-until=no] $mirror $suite main" >"$tmp/sources.list"
    export APT_CONFIG=$tmp/apt.conf

    apt-get -q update >"$tmp/log" 2>&1 || tail -n 5 "$tmp/log" >&2
    mapfile -t packages < <(printf '%s\n' golang-go golang-github-nats-io-nats-server-dev | closure)
    (cd "$tmp/debs" && apt-get -q download "${packages[@]}") >"$tmp/log" 2>&1 || {
        tail -n 5 "$tmp/log" >&2
        give_up "cannot download Debian's packages of $suite: ${packages[*]}"
    }
    for tool in "$tmp"/debs/*.deb; do
        dpkg-deb -x "$tool" "$root.new" || give_up "cannot unpack ${tool##*/}"
    done
    dpkg-deb -f "$tmp"/debs/golang-github-nats-io-nats-server-dev_*.deb Version >"$root.new/version"
    rm -rf -- "$tmp"
    mv -- "$root.new" "$root"
}

compile() {
    local server go name
    server=$root/usr/share/gocode/src/$module/server
    [ -d "$server" ] || server=$(find "$root" -type d -path '*/nats-io/nats-server*/server' | head -n 1)
    [ -d "$server" ] || give_up "the package holds no directory server"
    go=$(find "$root"/usr/lib/go-*/bin -name go | head -n 1)
    [ -n "$go" ] || give_up "the packages hold no go"
    "$go" version 2>/dev/null | awk '{print $3}' >"$dest/compiler"
    # Our test file in, the package's own test files out (an empty replacement means no such file).
    {
        printf '{"Replace": {"%s/jetfs_bench_test.go": "%s"' "$server" "$bench"
        find "$server" -name '*_test.go' -printf ',\n"%p": ""'
        printf '}}\n'
    } >"$dest/overlay.json"
    name=${server#"$root/usr/share/gocode/src/"}
    (cd "$server" &&
        env GOROOT="${go%/bin/go}" GOPATH="$root/usr/share/gocode" GOCACHE="$dest/cache" \
            GO111MODULE=off GOFLAGS= GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local CGO_ENABLED=0 \
            "$go" test -c -vet=off -overlay "$dest/overlay.json" -o "$dest/peer_bench.new" "$name") \
        >"$dest/build.log" 2>&1 || {
        tail -n 20 "$dest/build.log" >&2
        give_up "it does not compile"
    }
    mv -- "$dest/peer_bench.new" "$dest/peer_bench"
}

[ -x "$dest/peer_bench" ] && [ "$dest/peer_bench" -nt "$bench" ] && exit 0
[ -f "$root/version" ] || fetch
compile
