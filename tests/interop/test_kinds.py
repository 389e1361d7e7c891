#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compressed and encrypted stores that jetfs wrote, removed from, compacted, backed up and converted,
opened by real servers on copies, with and without index.db, and what the servers did with them read by
jetfs; places that servers must leave alone. test_interop.py does this, too.

usage: test_kinds.py JETFS PEERS
   PEERS    directory made by tests/peers/fetch.sh
"""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from server import Server
from stores import compare_messages, copy_store, from_jetfs, from_server, server_state
from support import golden
from support.program import Jetfs
from support.tap import Tap, check, equal

KEY = "kinds of blocks"
CIPHERS = ("none", "chacha", "aes")
COMPRESSIONS = ("none", "s2")
STREAM = "KINDS"


class Kind:
    """A store of one kind in a directory of its own."""

    def __init__(self, jetfs, directory, cipher, compression):
        self.jetfs, self.cipher, self.compression = jetfs, cipher, compression
        self.store = os.path.join(directory, "store")
        key_file = os.path.join(directory, "key")
        with open(key_file, "w", encoding="ascii") as file:
            file.write(KEY)
        self.key = () if cipher == "none" else ("--key-file", key_file)
        self.server_key = {} if cipher == "none" else {"key": KEY, "cipher": cipher}

    def do(self, *args, stdin=b""):
        return self.jetfs.need(*args, *self.key, stdin=stdin)

    @property
    def source(self):
        return self.store + ":" + STREAM

    def make(self):
        """Several blocks, each with something removed."""
        config = {"subjects": ["k.>"], "max_bytes": 400000, "discard": "new",
                  "compression": self.compression}
        cipher = () if self.cipher == "none" else ("--cipher", self.cipher)
        path = os.path.join(os.path.dirname(self.store), "config")
        with open(path, "w", encoding="ascii") as file:
            json.dump(config, file)
        self.do("stream", "add", self.source, "--config", path, *cipher)
        for i in range(6):
            lines = b"".join(b"line %d of batch %d, which has some text in it\n" % (n, i)
                             for n in range(300))
            self.do("pub", self.source, "k.%d" % (i % 3), "--lines", stdin=lines)
            self.do("pub", self.source, "k.head", "-H", "X-Batch:%d" % i, stdin=os.urandom(700))
        self.do("rm", self.source, *[str(seq) for seq in range(7, 1700, 53)])
        self.do("rm", self.source, "11", "640", "--erase")
        self.do("purge", self.source, "--seq", "5")
        self.do("compact", self.store)
        self.do("rm", self.source, "1000", "1806")
        self.do("pub", self.source, "k.last", stdin=b"the last one")
        self.do("consumer", "add", self.source, "worker")

    def messages(self, store):
        return from_jetfs(self.jetfs, store, STREAM, self.key)

    def state(self, store):
        info = json.loads(self.jetfs.need("info", "--json", store + ":" + STREAM, *self.key))
        equal(info["health"], "ok", "health")
        return {name: info[name] for name in
                ("messages", "bytes", "first_seq", "last_seq", "deleted", "subjects")}

    def serve(self, binary, without_index):
        """A server opens a copy, goes on, and jetfs reads that."""
        with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
            copy = copy_store(self.store, tmp, without_index)
            want = self.messages(self.store)
            with Server(binary, copy, **self.server_key) as server, server.client() as client:
                check(STREAM in client.stream_names(), "not there:\n" + server.log())
                state = server_state(client, STREAM)
                equal({n: state[n] for n in self.state(self.store)}, self.state(self.store), "state")
                compare_messages(from_server(client, STREAM), want, "the server's messages")
                equal(client.consumer_info(STREAM, "worker")["name"], "worker", "consumer")
                seq = client.js_publish("k.server", b"from the server")
                equal(seq, state["last_seq"] + 1, "the next sequence")
                want = from_server(client, STREAM)
                equal(server.complaints(), [], "warnings")
            compare_messages(self.messages(copy), want, "jetfs' messages")
            self.jetfs.need("verify", copy, *self.key)
            # We go on, and the server once more.
            self.jetfs.need("pub", copy + ":" + STREAM, "k.again", *self.key, stdin=b"once more")
            self.jetfs.need("rm", copy + ":" + STREAM, "1500", str(seq), *self.key)
            self.jetfs.need("compact", copy, *self.key)
            want = self.messages(copy)
            with Server(binary, copy, **self.server_key) as server, server.client() as client:
                compare_messages(from_server(client, STREAM), want, "the server's messages again")
                equal(server.complaints(), [], "warnings again")


def convert(kind, binary):
    """Through every other kind and back: a server reads each."""
    for cipher in CIPHERS:
        if cipher == kind.cipher:
            continue
        with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
            copy = copy_store(kind.store, tmp, False)
            want = kind.messages(kind.store)
            key_file = os.path.join(os.path.dirname(kind.store), "key")
            kind.jetfs.need("rekey", copy, "--key-file", key_file, "--cipher", cipher)
            settings = {} if cipher == "none" else {"key": KEY, "cipher": cipher}
            with Server(binary, copy, **settings) as server, server.client() as client:
                compare_messages(from_server(client, STREAM), want, "after rekey to " + cipher)
                equal(client.consumer_info(STREAM, "worker")["name"], "worker", "consumer")
                equal(server.complaints(), [], "warnings")


def other_key(kind, binary):
    """After another key the server is given that one."""
    with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
        copy = copy_store(kind.store, tmp, False)
        new = os.path.join(tmp, "new")
        with open(new, "w", encoding="ascii") as file:
            file.write("another key")
        kind.jetfs.need("rekey", copy, "--key-file", new, "--prev-key-file", kind.key[1])
        with Server(binary, copy, key="another key", cipher=kind.cipher) as server, \
                server.client() as client:
            compare_messages(from_server(client, STREAM), kind.messages(kind.store), "messages")
            equal(server.complaints(), [], "warnings")


def restored(kind, binary):
    """A backup of ours, restored by a server through its API."""
    with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
        archive = os.path.join(tmp, "backup")
        kind.do("backup", kind.source, archive)
        want = kind.messages(kind.store)
        info = json.loads(kind.do("info", "--json", kind.source))
        with Server(binary, os.path.join(tmp, "store")) as server, server.client() as client:
            request = {"config": {"name": STREAM, "subjects": ["k.>"], "storage": "file",
                                  "retention": "limits", "max_bytes": 400000, "discard": "new",
                                  "num_replicas": 1, "max_msgs": -1, "max_consumers": -1,
                                  "max_age": 0, "max_msg_size": -1, "max_msgs_per_subject": -1},
                       "state": {"messages": info["messages"], "bytes": info["bytes"],
                                 "first_seq": info["first_seq"], "last_seq": info["last_seq"],
                                 "consumer_count": 1}}
            if kind.compression != "none":
                request["config"]["compression"] = kind.compression
            subject = client.api("STREAM.RESTORE." + STREAM, request)["deliver_subject"]
            with open(archive, "rb") as file:
                while piece := file.read(100000):
                    answer = client.request(subject, piece)
                    check(not answer or b"error" not in answer, "a piece: %r" % answer)
            answer = json.loads(client.request(subject, b""))
            check("error" not in answer, "restore: %s\n%s" % (answer, server.log()))
            compare_messages(from_server(client, STREAM), want, "restored messages")
            equal(client.consumer_info(STREAM, "worker")["name"], "worker", "consumer")


def fingerprint(path):
    found = {}
    for root, _, files in os.walk(path):
        for name in files:
            with open(os.path.join(root, name), "rb") as file:
                found[os.path.relpath(os.path.join(root, name), path)] = file.read()
    return found


def left_alone(jetfs, binary, without_index):
    """An LZ4 stream in jetfs/, and quarantine/, while a server starts, makes a stream of the same
    name, purges, and starts again."""
    with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
        kind = Kind(jetfs, tmp, "none", "none")
        kind.make()
        kind.do("compact", kind.source, "--compression", "lz4")
        other = kind.store + ":OTHER"
        kind.do("stream", "add", other, "--subject", "other")
        for _ in range(3):
            kind.do("pub", other, "other", stdin=b"payload")
        streams = os.path.join(kind.store, "jetstream", "$G", "streams")
        # A torn end, as a crash leaves it: kept in quarantine by the next write.
        block = os.path.join(streams, "OTHER", "msgs", "1.blk")
        with open(block, "r+b") as file:
            file.truncate(os.path.getsize(block) - 5)
        kind.do("pub", other, "other", stdin=b"after the crash")
        quarantine = os.path.join(streams, "OTHER", "quarantine")
        equal(len(os.listdir(quarantine)), 1, "files in quarantine")
        world = os.path.join(kind.store, "jetstream", "$G", "jetfs")
        copy = copy_store(kind.store, tmp, without_index)
        places = [os.path.join(copy, os.path.relpath(p, kind.store)) for p in (world, quarantine)]
        before = [fingerprint(place) for place in places]
        check(all(before), "there is something to look at")
        for turn in range(2):
            with Server(binary, copy) as server, server.client() as client:
                if turn == 0:
                    equal(client.stream_names(), ["OTHER"], "streams")
                    client.create_stream({"name": STREAM, "subjects": ["k.>"], "storage": "file",
                                          "retention": "limits", "num_replicas": 1})
                equal(len(from_server(client, "OTHER")), 3 - turn * 3, "messages")
                client.js_publish("k.x", b"of the server")
                client.api("STREAM.PURGE.OTHER")
                equal(server.complaints(), [], "warnings")
        equal([fingerprint(place) for place in places], before, "what lies there")


def crashed(jetfs, binary, cipher, written):
    """A stream was made, perhaps messages were stored, and we were killed: index.db is that of its
    making. A server finds it old; without one 2.10 would lose the stream at its second start."""
    with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
        kind = Kind(jetfs, tmp, cipher, "none")
        kind.do("stream", "add", kind.source, "--subject", "k.>", "--cipher", cipher)
        index = os.path.join(kind.store, "jetstream", "$G", "streams", STREAM, "msgs", "index.db")
        with open(index, "rb") as file:
            first = file.read()
        for _ in range(3 if written else 0):
            kind.do("pub", kind.source, "k.x", stdin=b"payload")
        with open(index, "wb") as file:
            file.write(first)
        want = kind.messages(kind.store)
        equal(len(want), 3 if written else 0, "messages")
        for turn in range(3):
            with Server(binary, kind.store, **kind.server_key) as server, server.client() as client:
                check(STREAM in client.stream_names(), "not there:\n" + server.log())
                compare_messages(from_server(client, STREAM), want, "messages")
                client.js_publish("k.server", b"from the server")
                want = from_server(client, STREAM)
                equal([line for line in server.complaints()
                       if turn or "prior state" not in line and "outdated" not in line], [],
                      "warnings")
            compare_messages(kind.messages(kind.store), want, "jetfs' messages")


def run_kinds(tap, jetfs, peers):
    for cipher in CIPHERS:
        for compression in COMPRESSIONS:
            with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
                kind = Kind(jetfs, tmp, cipher, compression)
                name = "%s, %s" % (cipher, compression)
                if not tap.run("jetfs makes a store: " + name, kind.make):
                    continue
                for version, binary in peers.items():
                    if version.startswith("2.9"):
                        continue # it knows neither tombstones nor compression
                    for without in (False, True):
                        # 2.10 loses an encrypted stream without index.db at its second start.
                        if without and version.startswith("2.10") and cipher != "none":
                            continue
                        tap.run("%s opens %s%s" % (version, name, ", without index.db" if without
                                                   else ""), kind.serve, binary, without)
                    tap.run("%s restores a backup of %s" % (version, name), restored, kind, binary)
                    if version.startswith("2.15"):
                        tap.run("%s opens what was converted from %s" % (version, name), convert,
                                kind, binary)
                        if cipher != "none":
                            tap.run("%s opens %s with another key" % (version, name), other_key,
                                    kind, binary)
    for version, binary in peers.items():
        for cipher in CIPHERS[1:]:
            for written in (False, True):
                if not version.startswith("2.9"):
                    tap.run("%s opens what a crash after making a stream left: %s%s" %
                            (version, cipher, ", with messages" if written else ""), crashed,
                            jetfs, binary, cipher, written)
        for without in (False, True):
            if version.startswith("2.9") and without:
                continue
            if version.startswith("2.9"):
                tap.run("%s leaves our places alone" % version, left_alone_by_29, jetfs, binary)
            else:
                tap.run("%s leaves our places alone%s" % (version, ", without index.db" if without
                                                          else ""), left_alone, jetfs, binary,
                        without)


def left_alone_by_29(jetfs, binary):
    """The same for 2.9, which reads no stream that had removals: only the places matter."""
    with tempfile.TemporaryDirectory(prefix="jetfs-kinds.") as tmp:
        kind = Kind(jetfs, tmp, "none", "none")
        kind.make()
        kind.do("compact", kind.source, "--compression", "lz4")
        copy = copy_store(kind.store, tmp, False)
        world = os.path.join(copy, "jetstream", "$G", "jetfs")
        before = fingerprint(world)
        for turn in range(2):
            with Server(binary, copy) as server, server.client() as client:
                if turn == 0:
                    client.create_stream({"name": STREAM, "subjects": ["k.>"], "storage": "file",
                                          "retention": "limits", "num_replicas": 1})
                client.js_publish("k.x", b"of the server")
                equal(server.complaints(), [], "warnings")
        equal(fingerprint(world), before, "what lies there")


def main(argv):
    tap = Tap()
    peers = {}
    for version in golden.VERSIONS:
        binary = os.path.join(argv[2], version, "nats-server")
        if os.access(binary, os.X_OK):
            peers[version] = binary
        else:
            tap.skip("everything with nats-server %s" % version, "the server is missing")
    run_kinds(tap, Jetfs(argv[1]), peers)
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
