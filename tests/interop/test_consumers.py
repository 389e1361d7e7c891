#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Consumers that real servers and jetfs work through in turn: each goes on where the other stopped,
with the same numbers, the same pending messages and the same counts of deliveries. test_interop.py
does this, too.

usage: test_consumers.py JETFS PEERS
   PEERS    directory made by tests/peers/fetch.sh
"""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from server import Server
from support import golden
from support.program import Jetfs, fuse_missing, wait_for
from support.tap import Tap, check, equal

MESSAGES = 20  # on each of two subjects, in turn: s.a has the odd sequences, s.b the even ones
KEY = "consumers"
SECOND = 10 ** 9


# ---- the server's side ------------------------------------------------------------------------

class Delivered:
    """A message that a consumer delivered; what it is stands in its reply subject."""

    def __init__(self, reply, payload):
        words = reply.split(".")
        self.reply, self.payload = reply, payload
        self.count, self.seq, self.consumer_seq = (int(word) for word in words[-5:-2])


def fetch(client, stream, consumer):
    """The next message, or None."""
    got = client.pull(stream, consumer)
    return Delivered(*got) if got else None


def answer(client, reply, word):
    """Acknowledges and waits until the server has it."""
    client.request(reply, word)


def numbers(info):
    """What both tell. A server's number of pending messages is a running one, which on a stream
    with retention by interest is now and then too low (2.15.1): see without_pending."""
    return {"delivered": [info["delivered"]["consumer_seq"], info["delivered"]["stream_seq"]],
            "ack_floor": [info["ack_floor"]["consumer_seq"], info["ack_floor"]["stream_seq"]],
            "num_ack_pending": info["num_ack_pending"],
            "num_redelivered": info["num_redelivered"], "num_pending": info["num_pending"]}


def make_by_server(binary, store, retention, options):
    """A stream with a consumer of the server's, half worked through; the consumer's numbers."""
    with Server(binary, store, **options) as server, server.client() as client:
        client.create_stream({"name": "S", "subjects": ["s.>"], "storage": "file",
                              "retention": retention})
        client.api("CONSUMER.CREATE.S.theirs", {"stream_name": "S", "config": {
            "durable_name": "theirs", "ack_policy": "explicit", "ack_wait": 600 * SECOND,
            "filter_subject": "s.a"}})
        if retention == "interest":
            client.api("CONSUMER.CREATE.S.ours", {"stream_name": "S", "config": {
                "durable_name": "ours", "ack_policy": "explicit", "ack_wait": 2 * SECOND,
                "filter_subject": "s.b"}})
        for number in range(MESSAGES):
            client.js_publish("s.a", b"a %d" % number)
            client.js_publish("s.b", b"b %d" % number)
        got = [fetch(client, "S", "theirs") for _ in range(6)]
        equal([m.seq for m in got], [1, 3, 5, 7, 9, 11], "what the server delivers")
        for index in (0, 1, 3):
            answer(client, got[index].reply, b"+ACK")
        answer(client, got[4].reply, b"-NAK")
        again = wait_for(lambda: fetch(client, "S", "theirs"), 20, "the refused message")
        equal((again.seq, again.count), (9, 2), "the refused message")
        info = numbers(client.consumer_info("S", "theirs"))
        server.stop()
    return info


def without_pending(found, retention):
    if retention == "interest":
        return {name: value for name, value in found.items() if name != "num_pending"}
    return found


# ---- our side ---------------------------------------------------------------------------------

def jetfs_numbers(jetfs, store, name, keys):
    return numbers(jetfs.json("consumer", "info", store + ":S", name, *keys))


def work_in_mount(jetfs, store, keys):
    """Takes five from "ours": two are acknowledged, one is refused and taken again."""
    options = ["rw"] + (["key_file=" + keys[1]] if keys else [])
    with jetfs.mounted(store, *options) as point:
        consumer = os.path.join(point, "consumers", "ours") if os.path.exists(
            os.path.join(point, "consumers")) else os.path.join(point, "S", "consumers", "ours")

        def take():
            with open(os.path.join(consumer, "take"), encoding="ascii") as file:
                return file.read().strip()

        taken = [take() for _ in range(5)]
        equal([int(name) for name in taken], [2, 4, 6, 8, 10], "what the mount gives")
        with open(os.path.join(consumer, "inflight", taken[0]), "rb") as file:
            equal(file.read(), b"b 0", "its payload")
        os.unlink(os.path.join(consumer, "inflight", taken[0]))
        os.unlink(os.path.join(consumer, "inflight", taken[2]))
        os.rename(os.path.join(consumer, "inflight", taken[3]),
                  os.path.join(consumer, "nak", taken[3]))
        equal(take(), taken[3], "what was refused comes again")


# ---- in turn ----------------------------------------------------------------------------------

def go_on_in_server(binary, store, options, retention, mine, theirs):
    """The server sees what jetfs left, and goes on with the right message and the right counts."""
    with Server(binary, store, **options) as server, server.client() as client:
        equal(without_pending(numbers(client.consumer_info("S", "theirs")), retention),
              without_pending(theirs, retention), "the server's view of theirs")
        new = fetch(client, "S", "theirs")
        equal((new.seq, new.count), (15, 1), "theirs goes on")
        answer(client, new.reply, b"+ACK")
        # Three of ours are out: 4, 8 for the second time, and 10.
        equal(without_pending(numbers(client.consumer_info("S", "ours")), retention),
              without_pending(mine, retention), "the server's view of ours")
        seen = {}

        def all_again():
            message = fetch(client, "S", "ours")
            if message:
                seen[message.seq] = message.count
                answer(client, message.reply, b"+ACK")
            return len(seen) == MESSAGES - 2

        wait_for(all_again, 30, "what was in flight to come again")
        equal({seq for seq, count in seen.items() if count == 1}, set(range(12, 41, 2)), "new ones")
        equal({seq: seen[seq] for seq in (4, 8, 10)}, {4: 2, 8: 3, 10: 2}, "deliveries")
        for number in range(3):
            client.js_publish("s.b", b"more %d" % number)
        # The server counts what is new for a consumer a little later.
        wait_for(lambda: client.consumer_info("S", "ours")["num_pending"] == 3, 30,
                 "the server to count what is new")
        found = {name: numbers(client.consumer_info("S", name)) for name in ("ours", "theirs")}
        equal(found["ours"]["num_ack_pending"], 0, "what is pending in the end")
        check(not any("consumer" in line.lower() for line in server.complaints()),
              "\n".join(server.complaints()))
        server.stop()
    return found


def in_turn(jetfs, binary, retention, cipher):
    with tempfile.TemporaryDirectory(prefix="jetfs-consumers.") as tmp:
        store, keys, options = os.path.join(tmp, "store"), [], {}
        if cipher:
            options = {"key": KEY, "cipher": cipher}
            keys = ["--key-file", os.path.join(tmp, "key")]
            with open(keys[1], "w", encoding="ascii") as file:
                file.write(KEY)
        theirs = make_by_server(binary, store, retention, options)
        seen = jetfs_numbers(jetfs, store, "theirs", keys)
        equal(seen["num_pending"], MESSAGES - 6, "what is to come")
        equal(without_pending(seen, retention), without_pending(theirs, retention),
              "jetfs' view of theirs")
        if retention != "interest":
            jetfs.need("consumer", "add", store + ":S", "ours", "--filter", "s.b", "--wait", "2s",
                       *keys)
        out = jetfs.need("next", store + ":S", "theirs", *keys)
        equal(out, b"a 6\n", "what jetfs takes from theirs")
        theirs = jetfs_numbers(jetfs, store, "theirs", keys)
        equal(theirs["delivered"][1], 13, "what jetfs delivered from theirs")
        work_in_mount(jetfs, store, keys)
        mine = jetfs_numbers(jetfs, store, "ours", keys)
        equal((mine["num_ack_pending"], mine["num_redelivered"]), (3, 1), "jetfs' view of ours")
        # A state kept beside is none of the servers' business.
        state = [os.path.join(root, "o.dat") for root, _, names in os.walk(store)
                 if root.endswith("obs/ours") and "o.dat" in names][0]
        shutil.copy(state, state + ".prev")
        found = go_on_in_server(binary, store, options, retention, mine, theirs)
        check(os.path.exists(state + ".prev"), "o.dat.prev went")
        for name, want in found.items():
            seen = jetfs_numbers(jetfs, store, name, keys)
            equal(seen["num_pending"], {"ours": 3, "theirs": MESSAGES - 8}[name], "what is to come")
            equal(without_pending(seen, retention), without_pending(want, retention),
                  "jetfs' view of %s then" % name)
        out = jetfs.need("next", store + ":S", "ours", *keys)
        equal(out, b"more 0\n", "what jetfs goes on with")
        jetfs.need("verify", store, *keys)
        left = json.loads(jetfs.need("info", store + ":S", "--json", *keys))["messages"]
        # Five of theirs are done, and all of ours but the last two.
        equal(left, 2 * MESSAGES + 3 - (0 if retention == "limits" else 5 + MESSAGES + 1),
              "messages left")


# ---- configurations ------------------------------------------------------------------------------

CONFIGS = {
    "plain": {},
    "one": {"filter_subject": "s.a", "description": "words", "sample_freq": "50%"},
    "many": {"filter_subjects": ["s.a", "s.b.>"], "max_deliver": 5, "backoff": [SECOND, 2 * SECOND]},
    "none": {"ack_policy": "none", "deliver_policy": "new"},
    "all": {"ack_policy": "all", "deliver_policy": "by_start_sequence", "opt_start_seq": 3},
    "time": {"deliver_policy": "by_start_time", "opt_start_time": "2020-01-01T00:00:00Z"},
    "last": {"deliver_policy": "last_per_subject", "filter_subject": "s.>", "headers_only": True},
    "limits": {"max_ack_pending": 7, "max_waiting": 9, "max_batch": 3, "max_bytes": 1000,
               "max_expires": 60 * SECOND, "inactive_threshold": 3600 * SECOND,
               "replay_policy": "original", "metadata": {"a": "b"}},
    "paused": {"pause_until": "2099-01-01T00:00:00Z"},
}
SINCE_2_11 = ("pause_until",)


def configurations(jetfs, version, binary):
    """Servers load every kind of configuration that jetfs writes, see in it what was asked for, and
    begin such a consumer of their own where jetfs begins."""
    with tempfile.TemporaryDirectory(prefix="jetfs-consumers.") as store:
        config = os.path.join(store, "config")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"subjects": ["s.>"]}, file)
        source = os.path.join(store, "store") + ":S"
        jetfs.need("stream", "add", source, "--config", config)
        jetfs.need("pub", source, "s.a", "--lines", stdin=b"1\n2\n3\n4\n")
        for name, wish in CONFIGS.items():
            with open(config, "w", encoding="ascii") as file:
                json.dump(wish, file)
            jetfs.need("consumer", "add", source, name, "--config", config)
        with Server(binary, os.path.join(store, "store")) as server, server.client() as client:
            for name, wish in CONFIGS.items():
                info = client.consumer_info("S", name)
                for field, value in wish.items():
                    if field in SINCE_2_11 and version == "2.10.27":
                        continue
                    got = info["config"].get(field)
                    if field == "metadata":
                        got = {key: text for key, text in got.items() if not key.startswith("_nats")}
                    equal(got, value, "%s of %s" % (field, name))
                own = client.api("CONSUMER.CREATE.S.own-" + name, {"stream_name": "S", "config": {
                    "durable_name": "own-" + name, "ack_policy": "explicit", **wish}})
                want, got = numbers(own), numbers(info)
                if version == "2.10.27":
                    # Its floor begins at 0 wherever the consumer does.
                    del want["ack_floor"], got["ack_floor"]
                equal(got, want, "what the server makes of " + name)
            equal(server.complaints(), [], "warnings")


def run_consumers(tap, jetfs, peers):
    """peers: {version: program}"""
    for version, binary in peers.items():
        # 2.9.10 has one filter only.
        if version != "2.9.10":
            tap.run("%s loads every configuration of a consumer" % version, configurations, jetfs,
                    version, binary)
    missing = fuse_missing()
    if missing:
        tap.skip("consumers in turn", missing)
        return
    for version, binary in peers.items():
        for retention in ("limits", "workqueue", "interest"):
            # 2.9.10 does not know tombstones.
            if retention != "limits" and version == "2.9.10":
                continue
            for cipher in (None, "chacha", "aes"):
                if cipher and retention != "limits" and version != "2.15.1":
                    continue
                tap.run("%s and jetfs work through consumers in turn, %s%s" %
                        (version, retention, ", " + cipher if cipher else ""),
                        in_turn, jetfs, binary, retention, cipher)


def main(argv):
    tap = Tap()
    peers = {version: os.path.join(argv[2], version, "nats-server") for version in golden.VERSIONS}
    run_consumers(tap, Jetfs(argv[1]), {version: binary for version, binary in peers.items()
                                        if os.access(binary, os.X_OK)})
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
