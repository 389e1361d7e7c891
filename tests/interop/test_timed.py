#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TTLs, delete markers and schedules: what a mount of jetfs wrote, with its thw.db and sched.db, goes on
in a real server at the right time, and what a server wrote goes on in a mount. test_interop.py does this,
too.

usage: test_timed.py JETFS PEERS
   PEERS    directory made by tests/peers/fetch.sh
"""
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from server import Server
from stores import compare_messages, copy_store, from_jetfs, from_server
from support.program import Jetfs, fuse_missing, wait_for
from support.tap import Tap, check, equal

VERSION = "2.15.1" # the first with all of it
WAIT = 20
HOUR = 3600 * 10**9
# A TTL is raised to that of the markers, unless a subject has one message alone.
STREAMS = {"TTL": {"subjects": ["ttl.>"], "allow_msg_ttl": True},
           "MARK": {"subjects": ["mark.>"], "allow_msg_ttl": True, "max_msgs_per_subject": 1,
                    "subject_delete_marker_ttl": HOUR},
           "SCHED": {"subjects": ["sched.>"], "allow_msg_schedules": True, "allow_msg_ttl": True}}
MARKER = {"Nats-Marker-Reason": ["MaxAge"], "Nats-TTL": ["1h0m0s"], "Nats-Rollup": ["sub"]}


def header(**fields):
    lines = ["Nats-%s: %s\r\n" % (name.replace("_", "-"), value) for name, value in fields.items()]
    return ("NATS/1.0\r\n" + "".join(lines) + "\r\n").encode()


def to_publish():
    """(subject, header, payload), in the order of the streams' sequences."""
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    return [("ttl.short", header(TTL="2s"), b"soon gone"),
            ("ttl.never", header(TTL="never"), b"stays"),
            ("ttl.long", header(TTL="1h"), b"stays for now"),
            ("ttl.plain", b"", b"stays, too"),
            ("mark.short", header(TTL="2s"), b"leaves a marker"),
            ("mark.long", header(TTL="1h"), b"stays for now"),
            ("sched.at", header(Schedule="@at " + soon, Schedule_Target="sched.once",
                                Schedule_TTL="5m"), b"made once"),
            ("sched.every", header(Schedule="@every 2s", Schedule_Target="sched.often"), b"again"),
            ("sched.late", header(Schedule="@every 50m", Schedule_Target="sched.much.later"), b"x")]


def store_files(store):
    """Which of the files that hold times are there."""
    return sorted("%s/%s" % (stream, name) for stream in STREAMS for name in ("thw.db", "sched.db")
                  if os.path.exists(os.path.join(store, "jetstream", "$G", "streams", stream, "msgs",
                                                 name)))


ALL_FILES = ["MARK/thw.db", "SCHED/sched.db", "SCHED/thw.db", "TTL/thw.db"]


def write_by_mount(jetfs, store):
    with jetfs.mounted(store, "rw", "allow_all") as point:
        for stream, config in STREAMS.items():
            os.mkdir(os.path.join(point, stream))
            with open(os.path.join(point, stream, "config.json"), "w", encoding="ascii") as file:
                json.dump(config, file)
        for subject, head, payload in to_publish():
            stream = subject.split(".")[0].upper()
            path = os.path.join(point, stream, "spool", subject, "x.msg")
            with open(path, "wb") as file:
                file.write((head or b"NATS/1.0\r\n\r\n") + payload)
    equal(store_files(store), ALL_FILES, "files beside index.db")


def write_by_server(binary, store):
    with Server(binary, store) as server, server.client() as client:
        for stream, config in STREAMS.items():
            client.create_stream(dict(config, name=stream, storage="file", num_replicas=1))
        for subject, head, payload in to_publish():
            client.js_publish(subject, payload, head)
        equal(server.complaints(), [], "warnings")
    equal(store_files(store), ALL_FILES, "files beside index.db")


def done(found):
    """True when what takes two seconds has happened."""
    subjects = {stream: [m["subject"] for m in found[stream]] for stream in STREAMS}
    marked = [m for m in found["MARK"] if m["subject"] == "mark.short" and not m["data"]]
    return ("ttl.short" not in subjects["TTL"] and marked and "sched.at" not in subjects["SCHED"] and
            "sched.often" in subjects["SCHED"])


def check_done(found):
    equal([m["subject"] for m in found["TTL"]], ["ttl.never", "ttl.long", "ttl.plain"], "what stays")
    equal([(m["subject"], m["hdrs"], m["data"]) for m in found["MARK"]],
          [("mark.long", {"Nats-TTL": ["1h"]}, b"stays for now"), ("mark.short", MARKER, b"")],
          "what stays, and the marker")
    made = [m for m in found["SCHED"] if m["subject"] == "sched.once"]
    equal([(m["hdrs"], m["data"]) for m in made],
          [({"Nats-Scheduler": ["sched.at"], "Nats-Schedule-Next": ["purge"], "Nats-TTL": ["5m"]},
            b"made once")], "what was made once")
    often = [m for m in found["SCHED"] if m["subject"] == "sched.often"]
    for m in often:
        equal((m["hdrs"]["Nats-Scheduler"], m["data"]), (["sched.every"], b"again"), "made again")
    check("sched.much.later" not in [m["subject"] for m in found["SCHED"]], "made too early")


def ask_server(client):
    return {stream: from_server(client, stream) for stream in STREAMS}


def ask_jetfs(jetfs, store):
    return {stream: from_jetfs(jetfs, store, stream) for stream in STREAMS}


def goes_on_in_server(binary, store, complete):
    with Server(binary, store) as server, server.client() as client:
        wait_for(lambda: done(ask_server(client)), WAIT, "the server to do what is due")
        check_done(ask_server(client))
        if complete: # else it says that it looks for what is missing
            equal(server.complaints(), [], "warnings")


def goes_on_in_mount(jetfs, store):
    with jetfs.mounted(store, "rw") as point:
        for stream in STREAMS: # a stream is opened when it is looked into
            os.listdir(os.path.join(point, stream))
        wait_for(lambda: done(ask_jetfs(jetfs, store)), WAIT, "the mount to do what is due")
    found = ask_jetfs(jetfs, store)
    check_done(found)
    jetfs.need("verify", store)
    return found


def remove_files(store):
    for name in store_files(store):
        stream, name = name.split("/")
        os.unlink(os.path.join(store, "jetstream", "$G", "streams", stream, "msgs", name))


def ours_in_server(jetfs, binary):
    """As we leave a store, without index.db, and without the files beside it."""
    with tempfile.TemporaryDirectory(prefix="jetfs-timed.") as tmp:
        store = os.path.join(tmp, "store")
        write_by_mount(jetfs, store)
        for i, (without_index, without_files) in enumerate(((False, False), (True, False),
                                                            (False, True))):
            place = os.path.join(tmp, str(i))
            os.mkdir(place)
            copy = copy_store(store, place, without_index)
            if without_files:
                remove_files(copy)
            goes_on_in_server(binary, copy, not (without_index or without_files))


def servers_in_ours(jetfs, binary):
    """A server's store, with all files and without; then the server again."""
    with tempfile.TemporaryDirectory(prefix="jetfs-timed.") as tmp:
        store = os.path.join(tmp, "store")
        write_by_server(binary, store)
        before = ask_jetfs(jetfs, store)
        for i, without_files in enumerate((False, True)):
            place = os.path.join(tmp, str(i))
            os.mkdir(place)
            copy = copy_store(store, place, False)
            if without_files:
                remove_files(copy)
            found = goes_on_in_mount(jetfs, copy)
        # Who only reads takes nothing out.
        compare_messages(ask_jetfs(jetfs, store)["TTL"], before["TTL"], "what was only read")
        last = found["SCHED"][-1]["seq"]
        with Server(binary, copy) as server, server.client() as client:
            wait_for(lambda: client.stream_info("SCHED")["state"]["last_seq"] > last, WAIT,
                     "the server to go on with the schedule")
            check_done(ask_server(client))
            equal(server.complaints(), [], "warnings")


# What is read, but not written: the field that the refusal names, and one message.
NOT_WRITTEN = {"allow_atomic": ({"allow_atomic": True}, header(Batch_Id="b", Batch_Sequence=1,
                                                               Batch_Commit=1), b"one"),
               "subject_transform": ({"subject_transform": {"src": "n.>", "dest": "moved.>"}}, b"",
                                     b"one")}


def not_written(jetfs, binary):
    """Streams of kinds that are not built: a server's are read, and nobody writes to them or makes one."""
    with tempfile.TemporaryDirectory(prefix="jetfs-timed.") as tmp:
        for field, (config, head, data) in NOT_WRITTEN.items():
            store = os.path.join(tmp, field)
            with Server(binary, store) as server, server.client() as client:
                client.create_stream(dict(config, name="N", subjects=["n.>"], storage="file",
                                          num_replicas=1))
                client.js_publish("n.a", data, head)
                want = from_server(client, "N")
            equal([m["data"] for m in want], [data], "what is there")
            compare_messages(from_jetfs(jetfs, store, "N"), want, "jetfs' messages")
            jetfs.need("verify", store)
            code, _, text = jetfs.run("pub", store + ":N", "n.b", stdin=b"x")
            check(code == 1 and field in text, "pub ended with %d: %s" % (code, text))
            code, _, text = jetfs.run("rm", store + ":N", "1")
            check(code == 1 and field in text, "rm ended with %d: %s" % (code, text))
            path = os.path.join(tmp, "config")
            with open(path, "w", encoding="ascii") as file:
                json.dump(dict(config, subjects=["o.>"]), file)
            code, _, text = jetfs.run("stream", "add", store + ":O", "--config", path)
            check(code == 1 and field in text, "stream add ended with %d: %s" % (code, text))
            compare_messages(from_jetfs(jetfs, store, "N"), want, "jetfs' messages afterwards")


def counted(jetfs, binary):
    """A counter that a server began, we went on with, and the server again."""
    with tempfile.TemporaryDirectory(prefix="jetfs-timed.") as tmp:
        store = os.path.join(tmp, "store")
        path = os.path.join(tmp, "config")
        with open(path, "w", encoding="ascii") as file:
            json.dump({"subjects": ["c.>"], "allow_msg_counter": True}, file)
        jetfs.need("stream", "add", store + ":OURS", "--config", path)
        jetfs.need("pub", store + ":OURS", "c.a", "-H", "Nats-Incr:40")
        with Server(binary, store) as server, server.client() as client:
            client.create_stream({"name": "N", "subjects": ["n.>"], "storage": "file",
                                  "num_replicas": 1, "allow_msg_counter": True})
            client.js_publish("n.a", b"", header(Incr=5))
            client.js_publish("c.a", b"", header(Incr=2))
            equal(from_server(client, "OURS")[-1]["data"], b'{"val":"42"}', "ours")
            equal(server.complaints(), [], "warnings")
        jetfs.need("pub", store + ":N", "n.a", "-H", "Nats-Incr:-7")
        with Server(binary, store) as server, server.client() as client:
            client.js_publish("n.a", b"", header(Incr=100))
            equal([m["data"] for m in from_server(client, "N")],
                  [b'{"val":"5"}', b'{"val":"-2"}', b'{"val":"98"}'], "the server's")


def run_timed(tap, jetfs, peers, missing):
    if VERSION not in peers:
        return
    tap.run("what jetfs cannot write is only read", not_written, jetfs, peers[VERSION])
    tap.run("counters go on", counted, jetfs, peers[VERSION])
    if missing:
        tap.skip("TTLs and schedules of a mount", missing)
        return
    tap.run("what a mount wrote goes on in " + VERSION, ours_in_server, jetfs, peers[VERSION])
    tap.run("what %s wrote goes on in a mount" % VERSION, servers_in_ours, jetfs, peers[VERSION])


def main(argv):
    tap = Tap()
    binary = os.path.join(argv[2], VERSION, "nats-server")
    run_timed(tap, Jetfs(argv[1]), {VERSION: binary} if os.access(binary, os.X_OK) else {},
              fuse_missing())
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
