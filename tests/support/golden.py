# SPDX-License-Identifier: Apache-2.0
"""What a reader must find in the golden stores, made from the servers' own answers.

A manifest tells what the live server said. That is what a reader must find, except where the
directory cannot hold it: the exceptions stand in EXCEPTIONS with their reasons, and check_exceptions
proves that each is needed.
"""
import json
import os
import re
from datetime import datetime, timezone

VERSIONS = ("2.9.10", "2.10.27", "2.15.1")

# (version, scenario, stream): what differs from the live server's answer.
#   recovered   the state is the one that all servers find in the directory, not the live one
#   deleted     only the server's number of deleted messages is wrong
#   unreadable  the configuration cannot be read; the messages can
EXCEPTIONS = {
    ("2.9.10", "skip", "NOINT"): (
        "recovered",
        "2.9 writes the block's index before the last skips are in it; nothing else holds the "
        "position of this stream, so every server finds the older one"),
    ("2.9.10", "blocks", "BLK"): (
        "deleted", "2.9 does not count the sequences that lie between two blocks"),
    ("2.9.10", "blocks", "BLKGAP"): (
        "deleted", "2.9 does not count the sequences that lie between two blocks"),
    ("2.10.27", "converted", "CV"): (
        "deleted", "2.10.27 lists sequence 0 as deleted after a conversion between ciphers"),
    ("2.10.27", "metakey-lost", "MK"): (
        "unreadable", "2.10.27 replaced meta.key, so nothing can open meta.inf any more"),
}


def parse_time(text):
    """RFC 3339 in UTC to nanoseconds; 0 for "no time" (years before 1971 stand for it)."""
    match = re.fullmatch(r"(\d+-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", text or "")
    if not match:
        return 0
    when = datetime.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    if when.year < 1971:
        return 0
    return int(when.timestamp()) * 10**9 + int((match.group(2) or "0").ljust(9, "0"))


def parse_ranges(text):
    """"1-3,7" to [1, 2, 3, 7]."""
    seqs = []
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        seqs.extend(range(int(first), int(last or first) + 1))
    return seqs


def pick_recovery(manifest, name):
    """What the newest of the servers reported that kept most of a stream, of those that know the
    format: older servers misread what newer ones wrote."""
    best = None
    mine = VERSIONS.index(manifest["server_version"])
    for version in VERSIONS[mine:]:
        state = manifest["recovered_by"][version]["asis"]["streams"].get(name)
        if state and "live" in state and (best is None or state["messages"] >= best["messages"]):
            best = state
    return best


def expect_stream(manifest, account, name, answer):
    """One stream's expected state and messages."""
    key = (manifest["server_version"], manifest["scenario"], name)
    kind, reason = EXCEPTIONS.get(key, (None, None))
    state = answer["info"]["state"]
    messages = [expect_message(m) for m in answer["messages"]]
    consumers = {c["name"]: expect_consumer(c) for c in answer["consumers"] or []}
    subjects = state.get("subjects") or {}
    if manifest.get("shutdown") == "SIGKILL" or kind == "recovered":
        state = pick_recovery(manifest, name)
        known = {m["seq"]: m for m in messages}
        # What the live server had removed and the directory still has: nobody noted its content.
        messages = [known.get(seq, {"seq": seq}) for seq in parse_ranges(state["live"])]
        for consumer, got in state["consumers"].items():
            consumers[consumer] = {
                "name": consumer,
                "delivered": list(got["delivered"]), "ack_floor": list(got["ack_floor"]),
                "num_ack_pending": got["num_ack_pending"],
                "num_redelivered": got["num_redelivered"], "num_pending": got["num_pending"]}
        if any("subject" not in m for m in messages):
            subjects = None
    count = state["messages"]
    return {
        "account": account,
        "name": name,
        "exception": kind,
        "reason": reason,
        "messages": count,
        "bytes": state["bytes"],
        "first_seq": state["first_seq"],
        "last_seq": state["last_seq"],
        "first_time": parse_time(state["first_ts"]) if count else None,
        # A server whose rebuild ends at an erased record forgets the time; the one before it holds.
        "last_time": parse_time(state["last_ts"]) or (None if "live" in state else 0),
        "num_subjects": state.get("num_subjects") or 0,
        # A stream's removed sequences are those between its ends that are not there.
        "num_deleted": state["last_seq"] - state["first_seq"] + 1 - count if count else 0,
        "server_deleted": state.get("num_deleted") or 0,
        "server_deleted_list": state.get("deleted"),
        "subjects": subjects,
        "msgs": messages,
        "consumers": sorted(consumers.values(), key=lambda c: c["name"].encode()),
    }


def expect_message(message):
    return {"seq": message["seq"], "subject": message["subject"],
            "time": parse_time(message["time"]), "size": message["size"],
            "sha256": message["sha256"], "hdr_size": message["hdr_size"],
            "hdr_sha256": message["hdr_sha256"]}


def expect_consumer(info):
    pair = lambda p: [p["consumer_seq"], p["stream_seq"]]
    return {"name": info["name"], "delivered": pair(info["delivered"]),
            "ack_floor": pair(info["ack_floor"]), "num_ack_pending": info["num_ack_pending"],
            "num_redelivered": info["num_redelivered"], "num_pending": info["num_pending"]}


def cases(golden):
    """Every scenario of every version: name, source, key, streams."""
    found = []
    for version in VERSIONS:
        for scenario in sorted(os.listdir(os.path.join(golden, version))):
            path = os.path.join(golden, version, scenario)
            with open(os.path.join(path, "manifest.json"), encoding="utf-8") as file:
                manifest = json.load(file)
            backup = manifest.get("backup", False)
            if "accounts" in manifest:
                answers = [(account, name, answer)
                           for account, streams in manifest["accounts"].items()
                           for name, answer in streams.items()]
            else:
                account = "" if backup else manifest["account"]
                answers = [(account, name, answer)
                           for name, answer in manifest["streams"].items()]
            found.append({
                "name": version + "/" + scenario,
                "version": version,
                "scenario": scenario,
                "source": os.path.join(path, "stream.tar.s2" if backup else manifest["store"]),
                "directory": path,
                "backup": backup,
                "key": manifest.get("key"),
                "killed": manifest.get("shutdown") == "SIGKILL",
                "streams": sorted((expect_stream(manifest, *answer) for answer in answers),
                                  key=lambda s: (s["account"].encode(), s["name"].encode())),
            })
    return found


def check_exceptions(found):
    """Sentences about exceptions that are not needed, and about differences that are not listed."""
    wrong = []
    seen = set()
    for case in found:
        for stream in case["streams"]:
            key = (case["version"], case["scenario"], stream["name"])
            differs = stream["server_deleted"] != stream["num_deleted"]
            listed = stream["server_deleted_list"]
            if listed is not None and not differs and stream["messages"]:
                live = {m["seq"] for m in stream["msgs"]}
                span = range(stream["first_seq"], stream["last_seq"] + 1)
                if sorted(listed) != [seq for seq in span if seq not in live]:
                    differs = True
            if key in EXCEPTIONS:
                seen.add(key)
            if differs != (stream["exception"] == "deleted") and stream["messages"]:
                wrong.append("%s %s: deleted sequences: the server says %s, the messages %s" %
                             (case["name"], stream["name"], stream["server_deleted"],
                              stream["num_deleted"]))
    wrong.extend("%s is listed and not there" % (key,) for key in EXCEPTIONS if key not in seen)
    return wrong
