# SPDX-License-Identifier: Apache-2.0
# For tests that mount: usage  . "$(dirname "$0")/lib.sh"  with $1 = jetfs, $2 = golden stores.
# TAP on standard output; everything that was mounted is unmounted at the end, whatever happens.

jetfs=$1
golden=$2
tmp=$(mktemp -d)
count=0
failed=0
pids=

cleanup() {
    for p in $pids; do
        kill "$p" 2>/dev/null
    done
    for d in "$tmp"/m*; do
        # A mount whose process died is no mountpoint for mountpoint(1), but it is there.
        umount "$d" 2>/dev/null || umount -l "$d" 2>/dev/null
    done
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

[ -c /dev/fuse ] && [ -r /dev/fuse ] || skip_all "no /dev/fuse"
[ -x "$jetfs" ] || { echo "Bail out! no program $jetfs"; exit 1; }

# ok STATUS NAME
ok() {
    count=$((count + 1))
    if [ "$1" = 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        failed=$((failed + 1))
    fi
}

# is GOT WANTED NAME
is() {
    [ "$1" = "$2" ]
    ok $? "$3"
    [ "$1" = "$2" ] || printf '# got    "%s"\n# wanted "%s"\n' "$1" "$2"
}

# does NAME COMMAND...: the command succeeds
does() {
    name=$1
    shift
    if "$@" >"$tmp/out" 2>"$tmp/err"; then
        ok 0 "$name"
    else
        ok 1 "$name"
        sed 's/^/# /' "$tmp/err"
    fi
}

# fails WORDS NAME COMMAND...: the command fails and says WORDS
fails() {
    words=$1
    name=$2
    shift 2
    if "$@" >"$tmp/out" 2>"$tmp/err"; then
        ok 1 "$name"
        echo "# it succeeded"
    else
        grep -q "$words" "$tmp/err"
        ok $? "$name"
        grep -q "$words" "$tmp/err" || sed 's/^/# /' "$tmp/err"
    fi
}

# status COMMAND...: prints its exit status; what it said is in $tmp/said
status() {
    "$@" >"$tmp/out" 2>"$tmp/said"
    echo $?
}

# Tries COMMAND until it succeeds, at most 10 s. No fixed waits: the test goes on at once.
await() {
    end=$(($(date +%s) + 10))
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt $end ] || return 1
        read -r -t 0.02 _ <>"$tmp/never" || :
    done
}
mkfifo "$tmp/never"

# mount_at NAME SOURCE [ARGS...]: mounts at $tmp/mNAME, whose path goes into $m. Returns when usable.
mount_at() {
    m=$tmp/m$1
    src=$2
    shift 2
    mkdir -p "$m"
    # An earlier mount may still be putting away what it wrote.
    await "$jetfs" mount "$src" "$m" "$@" || echo "# mount failed: $src"
}

is_unmounted() {
    ! mountpoint -q "$1"
}

unmount() {
    await umount "$1" && await is_unmounted "$1"
}

# manifest EXPRESSION FILE: evaluates a python expression on the manifest, as m
manifest() {
    python3 -c 'import json,sys
m = json.load(open(sys.argv[2]))
r = eval(sys.argv[1])
print(r if isinstance(r, (str, int)) else "\n".join(map(str, r)))' "$1" "$2"
}

finish() {
    echo "1..$count"
    [ $failed = 0 ]
    exit $?
}
