# SPDX-License-Identifier: Apache-2.0
"""Running the jetfs program: verbs, and mounts that are always taken down again."""
import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import time

from support.tap import Failure

# Of one run of the program; stores in tests are small, sanitizers are slow.
TIMEOUT = 120


class Jetfs:
    def __init__(self, path):
        self.path = os.path.abspath(path)

    def run(self, *args, stdin=b""):
        """Runs a verb; returns (exit code, standard output, standard error)."""
        done = subprocess.run([self.path, *args], input=stdin, capture_output=True,
                              timeout=TIMEOUT, check=False)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")

    def need(self, *args, stdin=b"", code=0):
        """Runs a verb that must end with this code; returns its standard output."""
        got, out, err = self.run(*args, stdin=stdin)
        if got != code:
            raise Failure("jetfs %s ended with %d, expected %d\n%s%s" %
                          (" ".join(args), got, code, err,
                           out[:1500].decode("utf-8", "replace") if args[0] == "verify" else ""))
        return out

    def json(self, *args, code=0):
        return json.loads(self.need(*args, code=code))

    def lines(self, *args, code=0):
        """Standard output as a list of JSON objects, one a line."""
        return [json.loads(line) for line in self.need(*args, code=code).split(b"\n") if line]

    @contextlib.contextmanager
    def mounted(self, source, *options):
        """Mounts a source in a new directory and gives its path. Taken down at the end."""
        with tempfile.TemporaryDirectory(prefix="jetfs-mount.") as point:
            args = ["mount", source, point]
            if options:
                args += ["-o", ",".join(options)]
            # Output goes to a file: the process in the background would keep a pipe open.
            with tempfile.TemporaryFile() as log:
                done = subprocess.run([self.path, *args], stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=log, timeout=TIMEOUT, check=False)
                if done.returncode != 0:
                    log.seek(0)
                    raise Failure("jetfs %s ended with %d\n%s" %
                                  (" ".join(args), done.returncode,
                                   log.read().decode("utf-8", "replace")))
            try:
                yield point
            finally:
                unmount(point)


def unmount(point):
    """Unmounts, and waits until the mount is gone and its process has closed the store."""
    done = None
    for tool in (["fusermount3", "-u", point], ["umount", point], ["umount", "-l", point]):
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run(tool, capture_output=True, timeout=TIMEOUT, check=False)
            if done.returncode == 0:
                break
    else:
        raise Failure("cannot unmount %s: %s" % (point, done and done.stderr))
    wait_for(lambda: not is_mounted(point), 30, point + " to be unmounted")
    wait_for(lambda: not is_served(point), 60, "the process of %s to end" % point)


def is_mounted(point):
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        return any(line.split()[1] == point for line in mounts)


def is_served(point):
    """Is there a process whose command line names the mount point?"""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                if point.encode() in file.read().split(b"\0"):
                    return True
    return False


def wait_for(condition, seconds, what):
    """Waits until condition() is true; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure("waited %g s for %s" % (seconds, what))
        time.sleep(0.02)


def snapshot(directory):
    """Everything that can be seen of a directory: names, kinds, modes, sizes, times, content."""
    seen = {}
    for root, dirs, files in os.walk(directory):
        for name in [""] + dirs + files if root == directory else dirs + files:
            path = os.path.join(root, name) if name else root
            info = os.lstat(path)
            digest = None
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            seen[os.path.relpath(path, directory)] = (
                stat.filemode(info.st_mode), info.st_size, info.st_mtime_ns, info.st_ctime_ns,
                digest)
    return seen


def compare_snapshots(before, after):
    changed = sorted(path for path in before.keys() | after.keys()
                     if before.get(path) != after.get(path))
    if changed:
        raise Failure("changed: " + ", ".join(changed[:10]))


def fuse_missing():
    """Why nothing can be mounted here, or None."""
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    return None


def say(*text):
    print(*text, file=sys.stderr, flush=True)
