#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs what is missing, builds, and runs all tests. The last line printed is
# "N passed, N failed, N skipped"; the exit status says the same: 0 if nothing failed.
#
# usage: tests/run.sh [--quick]
#   --quick   one build without sanitizers, and no servers
#
# Everything goes below build/. Skips are told with their reasons. With CI=true in the environment
# a missing server is a failure.
set -uo pipefail
exec </dev/null
export LC_ALL=C.UTF-8 CMOCKA_MESSAGE_OUTPUT=TAP

quick=no
case "${1:-}" in
--quick) quick=yes ;;
'') ;;
*)
    echo "usage: tests/run.sh [--quick]" >&2
    exit 2
    ;;
esac

root=$(dirname -- "$(dirname -- "$(realpath -- "$0")")")
cd -- "$root" || exit 1
build=$root/build
logs=()

# fail TEXT: ends the run with one failure and the promised last line.
fail() {
    echo "FAILED: $1"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}

step() {
    printf '\n==== %s (%d s)\n' "$1" "$SECONDS"
}

# build NAME MESON_OPTION...: configures (again only if needed) and compiles build/NAME.
build() {
    local dir=$build/$1
    shift
    step "building $dir"
    if [ -f "$dir/build.ninja" ]; then
        meson configure "$dir" -Dtests=true -Dpeers="$build/peers" "$@" || return 1
    else
        meson setup "$dir" -Dtests=true -Dpeers="$build/peers" "$@" || return 1
    fi
    # The program has dependencies that the library has not: without them meson leaves it out.
    ninja -C "$dir" all meson-test-prereq && tests/golden/unpack.sh "$dir/tests/golden" && [ -x "$dir/fs/jetfs" ]
}

# check NAME MESON_TEST_OPTION...: runs the tests of build/NAME.
check() {
    local name=$1
    local dir=$build/$name
    shift
    step "testing $dir"
    rm -rf "$dir/meson-logs/testlog.json" "$dir/reports"
    mkdir -p "$dir/reports"
    # A mount's process is in the background: what a sanitizer says about it goes to a file.
    # No address randomisation: the thread sanitizer of some compilers cannot stand it.
    ASAN_OPTIONS=detect_leaks=1:log_path=$dir/reports/asan \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$dir/reports/ubsan \
        TSAN_OPTIONS=halt_on_error=1:log_path=$dir/reports/tsan \
        setarch "$(uname -m)" -R meson test -C "$dir" --no-rebuild --num-processes 2 "$@" ||
        echo "(meson test ended with $?; the sums are below)"
    logs+=("$name=$dir")
}

mount-scripts/install-packages.sh --tests || fail "packages are missing"
mkdir -p "$build"

suites=(--no-suite interop --no-suite fuzzing)
if [ "$quick" = no ]; then
    step "fetching servers"
    tests/peers/fetch.sh "$build/peers" && echo "all there"
    suites=()
fi
build release -Dbuildtype=release || fail "the build"
# Each call fails once here; under sanitizers 40 of each script (docs/testing.md).
FAULT_TRIES=1000000 check release "${suites[@]}"

if [ "$quick" = yes ]; then
    echo "not run with --quick: real servers, sanitizers"
else
    build asan -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false ||
        fail "the build with sanitizers"
    check asan --no-suite interop --no-suite fuzzing --timeout-multiplier 3
    build tsan -Dbuildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false ||
        fail "the build with the thread sanitizer"
    check tsan --suite threads --suite mount --timeout-multiplier 5
fi

step "results"
python3 tests/support/count.py "${logs[@]}"
