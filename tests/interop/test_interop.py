#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores that jetfs wrote or appended to, opened by real servers; and jetfs reading a directory
that a server is writing. Servers always work on copies.

usage: test_interop.py JETFS GOLDEN PEERS [--only TEXT] [PROGRAM...]
   PEERS    directory made by tests/peers/fetch.sh
   PROGRAM  tests whose stores are given to servers, too (test_written.py)
"""
import json
import os
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from natsmini import NatsError
from server import Server
from stores import (compare_messages, copy_store, from_jetfs, from_server, jetfs_state, server_state)
from test_consumers import run_consumers
from test_kinds import run_kinds
from test_timed import run_timed
from test_written import run_written
from support import golden
from support.program import Jetfs, fuse_missing, wait_for
from support.tap import Failure, Tap, check, equal

VERSIONS = golden.VERSIONS
HEADER = b"NATS/1.0\r\nNats-Msg-Id: one\r\nX-Twice: a\r\nX-Twice: b\r\n\r\n"
BINARY = bytes(range(256)) * 40


# ---- a store opened by a server ---------------------------------------------------------------

def check_served(context, binary, store, subjects, without_index=False):
    """A server on a copy of the store serves what jetfs sees in it, goes on from there, and jetfs
    then sees what the server did. subjects: {stream: a subject to publish on}."""
    jetfs = context.jetfs
    with tempfile.TemporaryDirectory(prefix="jetfs-interop.") as tmp:
        copy = copy_store(store, tmp, without_index)
        want = {name: from_jetfs(jetfs, store, name) for name in subjects}
        states = {name: jetfs_state(jetfs, store, name) for name in subjects}
        with Server(binary, copy) as server, server.client() as client:
            names = client.stream_names()
            for name, subject in subjects.items():
                check(name in names, "the server does not know %s:\n%s" % (name, server.log()))
                equal(server_state(client, name), states[name], "the server's state of " + name)
                compare_messages(from_server(client, name), want[name], "the server's " + name)
                # Another message id: the server knows those that jetfs stored as duplicates.
                seq = client.js_publish(subject, b"from the server",
                                        HEADER.replace(b"one", b"from-the-server"))
                equal(seq, states[name]["last_seq"] + 1, "the next sequence of " + name)
                want[name] = from_server(client, name)
            equal(server.complaints(), [], "warnings")
        with Server(binary, copy) as server, server.client() as client:
            for name in subjects:
                compare_messages(from_server(client, name), want[name],
                                 "the restarted server's " + name)
                states[name] = server_state(client, name)
            equal(server.complaints(), [], "warnings after the restart")
        for name in subjects:
            compare_messages(from_jetfs(jetfs, copy, name), want[name], "jetfs' " + name)
            equal(jetfs_state(jetfs, copy, name), states[name], "jetfs' state of " + name)
        jetfs.need("verify", copy)


# ---- stores that jetfs makes ------------------------------------------------------------------

def write(path, data, mode="wb"):
    with open(path, mode) as file:
        file.write(data)


def make_by_mount(jetfs, store, remove):
    """A new store, made through a mount alone."""
    with jetfs.mounted(store, "rw", "allow_all") as point:
        orders = os.path.join(point, "ORDERS")
        os.mkdir(orders)
        os.mkdir(os.path.join(point, "EMPTY"))
        write(os.path.join(orders, "pub", "ORDERS.new"), b"hello\nworld\n", "ab")
        for number in range(40):
            write(os.path.join(orders, "pub", "ORDERS.many.%d" % (number % 5)),
                  b"line %d\n" % number, "ab")
        write(os.path.join(orders, "spool", "ORDERS.file", "picture"), BINARY)
        write(os.path.join(orders, "spool", "ORDERS.file", "mail.msg"), HEADER + b"with headers")
        for seq in remove:
            os.unlink(os.path.join(orders, "seq", "%016d" % seq))
        left = len(os.listdir(os.path.join(orders, "seq")))
        equal(left, 44 - len(remove), "messages in the mount")


def make_by_pub(jetfs, store):
    """Streams by mkdir in a mount, messages by the program."""
    with jetfs.mounted(store, "rw", "allow_all") as point:
        os.mkdir(os.path.join(point, "ORDERS"))
        os.mkdir(os.path.join(point, "EMPTY"))
    source = store + ":ORDERS"
    jetfs.need("pub", source, "ORDERS", stdin=b"")
    jetfs.need("pub", source, "ORDERS.bin", "-H", "A: 1", "-H", "B:2", stdin=BINARY)
    jetfs.need("pub", source, "ORDERS.lines", "--lines",
               stdin=b"".join(b"%d\n" % n for n in range(1000)))


def make_by_pub_and_remove(jetfs, store):
    """Removals in a store that was closed in between, so that its index is read back first."""
    make_by_pub(jetfs, store)
    with jetfs.mounted(store, "rw", "allow_delete") as point:
        for seq in (1, 2, 500, 501, 502, 1001, 1002):
            os.unlink(os.path.join(point, "ORDERS", "seq", str(seq)))
    left = jetfs.lines("dump", store + ":ORDERS")
    equal(len(left), 1002 - 7, "messages left")


def make_blocks(jetfs, store):
    """More than one block: 8 MiB is where a stream without limits goes on to the next."""
    with jetfs.mounted(store, "rw", "allow_all") as point:
        os.mkdir(os.path.join(point, "ORDERS"))
        os.mkdir(os.path.join(point, "EMPTY"))
    for number in range(20):
        jetfs.need("pub", store + ":ORDERS", "ORDERS.%d" % number,
                   stdin=bytes([number]) * 900000)
    blocks = [name for root, _, names in os.walk(store) for name in names if name.endswith(".blk")]
    check(len(blocks) >= 3, "blocks: %s" % blocks)


MADE = {
    "made by a mount": lambda jetfs, store: make_by_mount(jetfs, store, []),
    "made by a mount, removed inside": lambda jetfs, store: make_by_mount(jetfs, store, [3, 7, 8]),
    "made by a mount, removed at the ends":
        lambda jetfs, store: make_by_mount(jetfs, store, [1, 2, 43, 44]),
    "made by a mount, all removed":
        lambda jetfs, store: make_by_mount(jetfs, store, range(1, 45)),
    "made by jetfs pub": make_by_pub,
    "made by jetfs pub, removed through a mount": make_by_pub_and_remove,
    "made in several blocks": make_blocks,
}


def run_made(context, tap):
    for name, make in MADE.items():
        with tempfile.TemporaryDirectory(prefix="jetfs-made.") as store:
            if not tap.run("a store %s" % name, make, context.jetfs, store):
                continue
            tap.run("a store %s is clean" % name, context.jetfs.need, "verify", store)
            for version, binary in context.peers.items():
                if version == "2.9.10" and "removed" in name:
                    continue
                for without in (False, True):
                    tap.run("%s opens a store %s%s" %
                            (version, name, ", without index.db" if without else ""),
                            check_served, context, binary, store,
                            {"ORDERS": "ORDERS.more", "EMPTY": "EMPTY"}, without)


# ---- stores that a server made and jetfs appends to -------------------------------------------

# Scenario: streams with a subject to publish on, and whether 2.9.10 can read the result.
APPENDED = {
    "plain": True,
    "headers": True,
    "big": True,
    "deletes": False,
    "blocks": False,
    "purge": False,
}


def subjects_of(jetfs, store, names):
    """A literal subject that each stream covers."""
    found = {}
    for name in names:
        config = json.loads(jetfs_config(jetfs, store, name))
        subject = (config.get("subjects") or [name])[0]
        found[name] = ".".join("jetfs" if token in ("*", ">") else token
                               for token in subject.split("."))
    return found


def jetfs_config(jetfs, store, name):
    del jetfs
    for root, dirs, _ in os.walk(store):
        if os.path.basename(root) == "streams" and name in dirs:
            with open(os.path.join(root, name, "meta.inf"), encoding="utf-8") as file:
                return file.read()
    raise Failure("no meta.inf of " + name)


def append_and_serve(context, case, version, binary):
    jetfs = context.jetfs
    with tempfile.TemporaryDirectory(prefix="jetfs-append.") as tmp:
        store = os.path.join(tmp, "store")
        shutil.copytree(case["source"], store, symlinks=True)
        subjects = subjects_of(jetfs, store, [s["name"] for s in case["streams"]])
        for stream in case["streams"]:
            name = stream["name"]
            before = from_jetfs(jetfs, store, name)
            jetfs.need("pub", store + ":" + name, subjects[name], "-H", "A:1", stdin=b"appended")
            jetfs.need("pub", store + ":" + name, subjects[name], "--lines", stdin=b"x\ny\n")
            after = from_jetfs(jetfs, store, name)
            compare_messages(after[:len(before)], before, "what was there in " + name)
            equal([m["data"] for m in after[len(before):]], [b"appended", b"x", b"y"],
                  "what was appended to " + name)
            equal(after[-1]["seq"], stream["last_seq"] + 3, "last sequence of " + name)
        del version
        check_served(context, binary, store, subjects)


def run_appended(context, tap, golden_dir):
    for case in golden.cases(golden_dir):
        if case["scenario"] not in APPENDED:
            continue
        for version, binary in context.peers.items():
            # A server is not asked to read what a newer one wrote.
            if VERSIONS.index(version) < VERSIONS.index(case["version"]):
                continue
            if version == "2.9.10" and not APPENDED[case["scenario"]]:
                continue
            tap.run("%s opens %s after jetfs appended" % (version, case["name"]),
                    append_and_serve, context, case, version, binary)


# ---- a directory that a server is writing -----------------------------------------------------

class Writer(threading.Thread):
    """Publishes until told to stop, at a pace at which the store stays small."""

    PAUSE = 0.004

    def __init__(self, server):
        super().__init__()
        self.client = server.client()
        self.ended = threading.Event()
        self.count = 0
        self.error = None

    def run(self):
        try:
            while not self.ended.wait(self.PAUSE):
                self.client.js_publish("live.%d" % (self.count % 7),
                                       b"message %d " % self.count + b"x" * (self.count % 3000))
                self.count += 1
        except (NatsError, OSError) as error:
            self.error = error

    def finish(self):
        self.ended.set()
        self.join()
        self.client.close()
        if self.error:
            raise Failure("the writer failed: %s" % self.error)


def read_live(context, binary, mount):
    jetfs = context.jetfs
    with tempfile.TemporaryDirectory(prefix="jetfs-live.") as store:
        with Server(binary, store) as server:
            with server.client() as client:
                client.create_stream({"name": "LIVE", "subjects": ["live.>"], "storage": "file"})
                writer = Writer(server)
                writer.start()
                try:
                    grown = looks = 0
                    until = time.monotonic() + 30
                    while looks < 15 or (grown <= 10 and time.monotonic() < until):
                        looks += 1
                        lines = jetfs.lines("dump", store + ":LIVE")
                        check(len(lines) >= grown, "messages went away")
                        equal([line["seq"] for line in lines], list(range(1, len(lines) + 1)),
                              "sequences while the server writes")
                        grown = len(lines)
                        jetfs.need("verify", store)
                    check(grown > 10, "messages appear while the server writes")
                    code, _, err = jetfs.run("pub", store + ":LIVE", "live.x", stdin=b"no")
                    equal(code, 1, "exit code of pub on a server's store (%s)" % err)
                    if mount:
                        read_live_mount(jetfs, store, writer, client)
                finally:
                    writer.finish()
                want = from_server(client, "LIVE")
                wait_for(lambda: len(from_jetfs(jetfs, store, "LIVE")) == len(want), 20,
                         "jetfs to see all that the server has")
                compare_messages(from_jetfs(jetfs, store, "LIVE"), want, "jetfs' LIVE")
            server.stop()
        jetfs.need("verify", store)
        compare_messages(from_jetfs(jetfs, store, "LIVE"), want, "jetfs' LIVE in the end")


def read_live_mount(jetfs, store, writer, client):
    """One mount sees new messages, and those that the server removes go."""
    with jetfs.mounted(store, "ro") as point:
        seq = os.path.join(point, "LIVE", "seq")
        log = os.path.join(point, "LIVE", "all.jsonl")
        start = len(os.listdir(seq))
        wait_for(lambda: len(os.listdir(seq)) > start + 20, 30, "new messages in seq/")
        with open(log, "rb") as file:
            lines = file.read().split(b"\n")
        equal(lines[-1], b"", "the end of all.jsonl")
        equal([json.loads(line)["seq"] for line in lines[:-1]], list(range(1, len(lines))),
              "sequences in all.jsonl")
        writer.finish()
        last = client.js_publish("live.last", b"the last one")
        path = os.path.join(seq, "%016d" % last)
        wait_for(lambda: os.path.exists(path), 20, "the last message in seq/")
        with open(path, "rb") as file:
            equal(file.read(), b"the last one", "the last message")
        client.api("STREAM.MSG.DELETE.LIVE", {"seq": 2, "no_erase": True})
        wait_for(lambda: "%016d" % 2 not in os.listdir(seq), 30, "the removed message to go")
        info = json.loads(open(os.path.join(point, "LIVE", "info.json"), "rb").read())
        equal(info["health"], "ok", "health while a server writes")


def run_live(context, tap):
    for version, binary in context.peers.items():
        tap.run("jetfs reads while %s writes" % version, read_live, context, binary,
                context.mount and version != "2.9.10")


# ---- all --------------------------------------------------------------------------------------

class Context:
    def __init__(self, jetfs, peers, mount):
        self.jetfs, self.peers, self.mount = jetfs, peers, mount


def find_peers(tap, directory):
    """{version: program}; what is missing is told, and is a failure where tests must be whole."""
    found = {}
    for version in VERSIONS:
        binary = os.path.join(directory, version, "nats-server")
        if os.access(binary, os.X_OK):
            found[version] = binary
        elif os.environ.get("CI") == "true":
            tap.not_ok("nats-server %s is there" % version, "missing: " + binary)
        else:
            tap.skip("everything with nats-server %s" % version, "the server is missing")
    return found


def main(argv):
    tap = Tap()
    if "--only" in argv:
        at = argv.index("--only")
        only = argv[at + 1]
        argv = argv[:at] + argv[at + 2:]
        run = tap.run
        tap.run = lambda name, *args: run(name, *args) if only in name or "opens" not in name else 0
    missing = fuse_missing()
    context = Context(Jetfs(argv[1]), find_peers(tap, argv[3]), not missing)
    if missing:
        tap.skip("stores made through a mount", missing)
    else:
        run_made(context, tap)
    run_appended(context, tap, os.path.abspath(argv[2]))
    run_live(context, tap)
    run_consumers(tap, context.jetfs, context.peers)
    run_kinds(tap, context.jetfs, context.peers)
    run_timed(tap, context.jetfs, context.peers, missing)
    run_written(tap, context.jetfs, context.peers, argv[4:])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
