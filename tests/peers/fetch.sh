#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Fetches the servers that interop tests run against: Debian's nats-server of three releases.
# They are unpacked into DEST/<version>/nats-server; nothing is installed, and the machine's own
# apt state is left alone. A second call is instant.
#
# usage: fetch.sh DEST
# exit:  0 all are there; 77 at least one is missing (which and why stands on standard error)
set -uo pipefail
export LC_ALL=C

here=$(dirname -- "$(realpath -- "$0")")
mkdir -p -- "${1:?usage: fetch.sh DEST}" || exit 77
dest=$(realpath -- "$1")
suites=(bookworm trixie forky)
versions=(2.9.10 2.10.27 2.15.1)

exec 9>"$dest/.lock"
flock 9

missing() {
    local version
    for version in "${versions[@]}"; do
        [ -x "$dest/$version/nats-server" ] || echo "$version"
    done
}

give_up() {
    echo "MISSING PEERS: nats-server $(missing | tr '\n' ' ')- $1" >&2
    exit 77
}

[ -z "$(missing)" ] && exit 0
for tool in apt-get apt-cache apt-config dpkg-deb; do
    command -v "$tool" >/dev/null || give_up "no $tool on this machine"
done
mirror=$("$here/debian_mirror.sh") || give_up "no Debian archive in this machine's apt sources"

tmp=$(mktemp -d) || give_up "no temporary directory"
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{empty,state/lists/partial,cache/archives/partial,debs}
: >"$tmp/state/status"

# The machine's keys as one file: several key rings may hold the archive's keys of other releases.
cat /usr/share/keyrings/debian-archive-*.gpg >"$tmp/keys.gpg" 2>/dev/null
[ -s "$tmp/keys.gpg" ] || give_up "no debian-archive-keyring on this machine"

# The machine's configuration is not read, but for its proxies.
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
# An old list is fine, as a mirror or snapshot that stood still has it: the versions wanted are fixed,
# and what they weigh and hash to is still proved by the archive's signature.
for suite in "${suites[@]}"; do
    echo "deb [signed-by=$tmp/keys.gpg check-valid-until=no] $mirror $suite main"
done >"$tmp/sources.list"
export APT_CONFIG=$tmp/apt.conf

# One release that cannot be read must not cost the others.
apt-get -q update >"$tmp/log" 2>&1 || tail -n 5 "$tmp/log" >&2
for version in $(missing); do
    full=$(apt-cache madison nats-server | awk -v v="$version" '
        {f = $3; u = f; sub(/-[^-]*$/, "", u); if (u == v && !found) found = f} END {print found}')
    if [ -z "$full" ]; then
        echo "nats-server $version is in none of: ${suites[*]}" >&2
        continue
    fi
    rm -rf "$tmp/root"
    if (cd "$tmp/debs" && apt-get -q download "nats-server=$full") >"$tmp/log" 2>&1 &&
        dpkg-deb -x "$tmp"/debs/nats-server_"${full/:/%3a}"_*.deb "$tmp/root"; then
        mkdir -p "$dest/$version"
        binary=$(find "$tmp/root" -type f -name nats-server -perm -u+x | head -n 1)
        if "$binary" --version 2>/dev/null | grep -qF "$version"; then
            cp -- "$binary" "$dest/$version/nats-server.new"
            mv -- "$dest/$version/nats-server.new" "$dest/$version/nats-server"
        else
            echo "the nats-server of package $full does not run here or is not $version" >&2
        fi
    else
        tail -n 5 "$tmp/log" >&2
    fi
done
[ -z "$(missing)" ] || give_up "see above"
