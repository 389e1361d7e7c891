#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Prints the address of the Debian archive that this machine installs from, read from its apt
# sources (one-line and deb822 form); of several the first that has this release's main section.
# Exit 1 when there is none.
#
# usage: debian_mirror.sh [APT_DIR]
set -euo pipefail

apt=${1:-/etc/apt}
[ "$(. /etc/os-release && echo "${ID:-}")" = debian ] || exit 1
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

one_line() {
    cat -- "$apt"/sources.list "$apt"/sources.list.d/*.list 2>/dev/null |
        sed -E 's/#.*//; s/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]*)?/deb /' |
        awk '$1 == "deb" {for (i = 4; i <= NF; i++) if ($i == "main") print $2, $3}' || true
}

deb822() {
    awk '
        function flush(   i, j) {
            if (types ~ /(^| )deb( |$)/ && enabled != "no" && comps ~ /(^| )main( |$)/)
                for (i = split(uris, u, " "); i > 0; i--)
                    for (j = split(suites, s, " "); j > 0; j--)
                        print u[i], s[j]
            types = uris = suites = comps = enabled = field = ""
        }
        FNR == 1 && NR > 1 {flush()}
        /^[ \t]*#/ {next}
        /^[ \t]*$/ {flush(); next}
        /^[ \t]/ {add($0); next}
        function add(text) {
            sub(/^[ \t]+/, "", text); sub(/[ \t]+$/, "", text)
            if (field == "types") types = types (types ? " " : "") text
            if (field == "uris") uris = uris (uris ? " " : "") text
            if (field == "suites") suites = suites (suites ? " " : "") text
            if (field == "components") comps = comps (comps ? " " : "") text
            if (field == "enabled") enabled = text
        }
        {field = tolower($0); sub(/:.*/, "", field); text = $0; sub(/^[^:]*:/, "", text); add(text)}
        END {flush()}' "$apt"/sources.list.d/*.sources /dev/null 2>/dev/null || true
}

uri=$({ deb822; one_line; } | awk -v release="$release" '$2 == release && !found {found = $1} END {print found}')
[ -n "$uri" ] || exit 1
echo "${uri%/}"
