#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every golden store through the program and through a mount: state, messages and consumers are
those of the server that wrote it, and no byte or time of the store changes.

usage: test_corpus.py JETFS GOLDEN [--only VERSION/SCENARIO] [--no-mount]
       test_corpus.py --expect GOLDEN FILE    write what lib_corpus compares with
"""
import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from support import golden
from support.program import (Jetfs, compare_snapshots, fuse_missing, snapshot, wait_for)
from support.tap import Failure, Tap, check, equal


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def key_options(case):
    return ["--key-file", case["key_file"]] if case["key"] else []


def where(case, stream):
    """SOURCE:STREAM and what chooses it."""
    if case["backup"]:
        return [case["source"]] + key_options(case)
    args = [case["source"] + ":" + stream["name"]] + key_options(case)
    return args + ["--account", stream["account"]] if len(case["streams"]) > 1 else args


# ---- comparing --------------------------------------------------------------------------------

def compare_state(stream, info):
    """info: what ls --json or info.json say."""
    equal(info["messages"], stream["messages"], "messages")
    equal(info["bytes"], stream["bytes"], "bytes")
    equal(info["first_seq"], stream["first_seq"], "first_seq")
    equal(info["last_seq"], stream["last_seq"], "last_seq")
    if stream["first_time"] is not None:
        equal(golden.parse_time(info["first_time"]), stream["first_time"], "first_time")
    if stream["last_time"] is not None:
        equal(golden.parse_time(info["last_time"]), stream["last_time"], "last_time")
    if stream["exception"] == "unreadable":
        check(info["health"] not in ("ok", "torn_tail"), "an unreadable meta.inf is told")
    else:
        equal(info["health"], "ok", "health")


def compare_more_state(stream, info):
    if stream["subjects"] is not None:
        equal(info["subjects"], stream["num_subjects"], "subjects")
    equal(info["deleted"], stream["num_deleted"], "deleted")
    equal(info["lost"], 0, "lost")
    if all("size" in m for m in stream["msgs"]):
        equal(info["payload_bytes"], sum(m["size"] for m in stream["msgs"]), "payload_bytes")


def compare_header(message, header):
    """header: the stored block, or None."""
    if message["hdr_sha256"] is None:
        check(not header, "seq %d has no headers" % message["seq"])
    else:
        equal(len(header or b""), message["hdr_size"], "header bytes of seq %d" % message["seq"])
        equal(sha256(header), message["hdr_sha256"], "header hash of seq %d" % message["seq"])


def compare_lines(stream, lines):
    """lines: objects of jsonl."""
    equal([line["seq"] for line in lines], [m["seq"] for m in stream["msgs"]], "sequences")
    counts = {}
    for line, message in zip(lines, stream["msgs"]):
        seq = "of seq %d" % message["seq"]
        data = line["data"].encode() if "data" in line else base64.b64decode(line["data_b64"])
        subject = (line["subject"].encode() if "subject" in line else
                   base64.b64decode(line["subject_b64"])).decode("utf-8", "surrogateescape")
        counts[subject] = counts.get(subject, 0) + 1
        if "subject" not in message:
            continue
        equal(subject, message["subject"], "subject " + seq)
        equal(golden.parse_time(line["time"]), message["time"], "time " + seq)
        equal(len(data), message["size"], "size " + seq)
        equal(sha256(data), message["sha256"], "payload hash " + seq)
        # A block that is nothing but its version line and its end has no headers to show.
        equal("hdrs" in line or "hdrs_b64" in line,
              message["hdr_size"] > len(b"NATS/1.0\r\n\r\n"), "headers " + seq)
        if "hdrs_b64" in line:
            compare_header(message, base64.b64decode(line["hdrs_b64"]))
    if stream["subjects"] is not None:
        equal(counts, stream["subjects"], "messages per subject")


def compare_consumer(want, info):
    pair = lambda value: [value["consumer_seq"], value["stream_seq"]]
    equal(pair(info["delivered"]), want["delivered"], "delivered")
    equal(pair(info["ack_floor"]), want["ack_floor"], "ack_floor")
    equal(info["num_ack_pending"], want["num_ack_pending"], "num_ack_pending")
    equal(info["num_redelivered"], want["num_redelivered"], "num_redelivered")
    equal(info["num_pending"], want["num_pending"], "num_pending")


# ---- through the program ----------------------------------------------------------------------

def test_ls(jetfs, case):
    listed = jetfs.json("ls", "--json", case["source"], *key_options(case))
    got = [(account["name"], stream) for account in listed["accounts"]
           for stream in account["streams"]]
    if not case["backup"]:
        equal([(account, s["name"]) for account, s in got],
              [(s["account"], s["name"]) for s in case["streams"]], "streams")
    for (_, info), stream in zip(got, case["streams"]):
        compare_state(stream, info)
        equal(info["consumers"], [c["name"] for c in stream["consumers"]], "consumers")


def test_info(jetfs, case, stream):
    info = jetfs.json("info", "--json", *where(case, stream))
    compare_state(stream, info)
    compare_more_state(stream, info)
    equal(info["name"], stream["name"], "name")
    if not case["backup"]:
        equal(info["account"], stream["account"], "account")


def test_dump(jetfs, case, stream):
    compare_lines(stream, jetfs.lines("dump", *where(case, stream)))


def test_verify(jetfs, case):
    code, out, err = jetfs.run("verify", case["source"], *key_options(case))
    want = (4, 8) if any(s["exception"] == "unreadable" for s in case["streams"]) else (0,)
    check(code in want, "exit code %d, expected one of %s\n%s%s" %
          (code, want, out.decode("utf-8", "replace"), err))


def test_keys(jetfs, case):
    """Without the key, and with another one, nothing is called damage."""
    with tempfile.NamedTemporaryFile() as wrong:
        wrong.write(b"not the key\n")
        wrong.flush()
        for options, health, text in (([], "no_key", "no key"),
                                      (["--key-file", wrong.name], "wrong_key", "wrong key")):
            listed = jetfs.json("ls", "--json", case["source"], *options)
            for account in listed["accounts"]:
                for stream in account["streams"]:
                    equal(stream["health"], health, "health of " + stream["name"])
            for verb in ("dump", "verify"):
                code, _, err = jetfs.run(verb, case["source"], *options)
                equal(code, 8, "exit code of %s" % verb)
                check(text in err, "%s says %r: %s" % (verb, text, err))


# ---- through a mount --------------------------------------------------------------------------

@contextlib.contextmanager
def mounted(jetfs, case):
    """Gives a function from a stream to its directory."""
    options = ["ro"]
    if case["key"]:
        options.append("key_file=" + case["key_file"])
    if len({s["account"] for s in case["streams"]}) > 1:
        options.append("account=all")
    with jetfs.mounted(case["source"], *options) as point:
        if case["backup"]:
            yield lambda stream: point
        elif "account=all" in options:
            yield lambda stream: os.path.join(point, stream["account"], stream["name"])
        else:
            yield lambda stream: os.path.join(point, stream["name"])


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def split_full(data, message):
    """The stored header block and the payload of a full/ file."""
    # The three lines that the mount adds stand last in the block.
    head, added, rest = data.partition(b"Nats-Sequence: %d\r\nNats-Subject: " % message["seq"])
    check(added, "seq %d has no Nats-Sequence" % message["seq"])
    added, end, payload = rest.partition(b"\r\n\r\n")
    check(end, "seq %d: the header block has no end" % message["seq"])
    subject, _, stamp = added.partition(b"\r\nNats-Time-Stamp: ")
    equal(subject.decode(), message["subject"], "Nats-Subject")
    equal(golden.parse_time(stamp.decode()), message["time"], "Nats-Time-Stamp")
    return head + b"\r\n", payload


def test_mounted_files(directory, stream):
    names = ["%016d" % m["seq"] for m in stream["msgs"]]
    equal(os.listdir(os.path.join(directory, "seq")), names, "names in seq/, in order")
    equal(os.listdir(os.path.join(directory, "full")), [n + ".msg" for n in names],
          "names in full/, in order")
    for name, message in zip(names, stream["msgs"]):
        data = read(directory, "seq", name)
        equal(os.stat(os.path.join(directory, "seq", name)).st_size, len(data), "st_size")
        if "sha256" not in message:
            continue
        equal(sha256(data), message["sha256"], "payload of seq/" + name)
        header, payload = split_full(read(directory, "full", name + ".msg"), message)
        equal(sha256(payload), message["sha256"], "payload of full/" + name)
        if message["hdr_sha256"] is not None:
            compare_header(message, header)
        else:
            equal(header, b"NATS/1.0\r\n\r\n", "headers of full/" + name)


def test_mounted_views(jetfs, case, directory, stream):
    data = read(directory, "all.jsonl")
    compare_lines(stream, [json.loads(line) for line in data.split(b"\n") if line])
    equal(os.stat(os.path.join(directory, "all.jsonl")).st_size, len(data), "size of all.jsonl")
    _, dumped, _ = jetfs.run("dump", *where(case, stream))
    check(data == dumped, "all.jsonl is what dump prints")
    log = read(directory, "all.log")
    rows = read(directory, "all.tsv").split(b"\n")[:-1]
    equal(len(rows), stream["messages"], "lines of all.tsv")
    equal(len(log), sum(int(row.split(b"\t")[2]) + 1 for row in rows), "bytes of all.log")


def test_mounted_info(jetfs, case, directory, stream):
    text = read(directory, "info.json")
    info = json.loads(text)
    compare_state(stream, info)
    compare_more_state(stream, info)
    equal(json.loads(jetfs.need("info", "--json", *where(case, stream))), info,
          "info.json against jetfs info")
    config = json.loads(read(directory, "config.json"))
    if stream["exception"] != "unreadable":
        equal(config["name"], stream["name"], "name in config.json")


def test_mounted_consumers(directory, stream):
    names = [c["name"] for c in stream["consumers"]]
    equal(os.listdir(os.path.join(directory, "consumers")), names, "names in consumers/")
    for consumer in stream["consumers"]:
        at = os.path.join(directory, "consumers", consumer["name"])
        compare_consumer(consumer, json.loads(read(at, "info.json")))
        json.loads(read(at, "config.json"))
        inflight = [n for n in os.listdir(os.path.join(at, "inflight")) if "." not in n]
        # Only what the stream still has can be shown.
        check(len(inflight) <= consumer["num_ack_pending"], "inflight of " + consumer["name"])


def run_mounted(tap, jetfs, case):
    try:
        with mounted(jetfs, case) as directory_of:
            for stream in case["streams"]:
                name = "%s %s%s mounted: " % (
                    case["name"], stream["account"] + "/" if stream["account"] else "",
                    stream["name"])
                directory = directory_of(stream)
                tap.run(name + "a file per message", test_mounted_files, directory, stream)
                tap.run(name + "views", test_mounted_views, jetfs, case, directory, stream)
                tap.run(name + "info.json", test_mounted_info, jetfs, case, directory, stream)
                tap.run(name + "consumers", test_mounted_consumers, directory, stream)
    except Failure as failure:
        tap.not_ok(case["name"] + " can be mounted", failure)


# ---- a read-only file system ------------------------------------------------------------------

@contextlib.contextmanager
def read_only_bind(directory):
    with tempfile.TemporaryDirectory(prefix="jetfs-ro.") as point:
        subprocess.run(["mount", "--bind", directory, point], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", point], check=True)
            yield point
        finally:
            wait_for(lambda: subprocess.run(["umount", point], check=False).returncode == 0, 30,
                     "the bind mount to be taken down")


def test_read_only(jetfs, found, mount):
    """Opening works where nothing can be written, for every case at once."""
    root = os.path.dirname(os.path.dirname(found[0]["directory"]))
    with read_only_bind(root) as point:
        try:
            with open(os.path.join(point, "probe"), "wb"):
                raise Failure("the bind mount is writable")
        except OSError:
            pass
        for case in found:
            moved = dict(case, source=os.path.join(point, os.path.relpath(case["source"], root)))
            test_ls(jetfs, moved)
            test_verify(jetfs, moved)
            if mount and case["scenario"] in ("plain", "aes", "backup"):
                with mounted(jetfs, moved) as directory_of:
                    for stream in case["streams"]:
                        test_mounted_files(directory_of(stream), stream)


# ---- all --------------------------------------------------------------------------------------

def run_case(tap, jetfs, case, mount):
    before = snapshot(case["directory"])
    tap.run(case["name"] + " ls", test_ls, jetfs, case)
    tap.run(case["name"] + " verify is clean", test_verify, jetfs, case)
    for stream in case["streams"]:
        name = "%s %s%s " % (case["name"], stream["account"] + "/" if stream["account"] else "",
                             stream["name"])
        tap.run(name + "info", test_info, jetfs, case, stream)
        tap.run(name + "dump", test_dump, jetfs, case, stream)
    if case["key"]:
        tap.run(case["name"] + " without the key and with a wrong one", test_keys, jetfs, case)
    if mount:
        run_mounted(tap, jetfs, case)
    tap.run(case["name"] + " nothing on disk changed",
            lambda: compare_snapshots(before, snapshot(case["directory"])))


def write_expectations(path, found):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file)


def test_exceptions(found):
    wrong = golden.check_exceptions(found)
    check(not wrong, "\n".join(wrong))


def main(argv):
    if argv[1:2] == ["--expect"]:
        write_expectations(argv[3], golden.cases(argv[2]))
        return 0
    only = argv[argv.index("--only") + 1] if "--only" in argv else None
    jetfs, found = Jetfs(argv[1]), golden.cases(os.path.abspath(argv[2]))
    tap = Tap()
    tap.run("every exception is needed, and none is missing", test_exceptions, found)
    mount = "--no-mount" not in argv
    if mount and fuse_missing():
        tap.skip("golden stores through a mount", fuse_missing())
        mount = False
    with tempfile.TemporaryDirectory() as tmp:
        for number, case in enumerate(found):
            if case["key"]:
                case["key_file"] = os.path.join(tmp, str(number))
                with open(case["key_file"], "w", encoding="utf-8") as file:
                    file.write(case["key"] + "\n")
        chosen = [case for case in found if only in (None, case["name"])]
        for case in chosen:
            run_case(tap, jetfs, case, mount)
        if os.geteuid() == 0:
            tap.run("everything opens on a read-only file system", test_read_only, jetfs, chosen,
                    mount)
        else:
            tap.skip("everything opens on a read-only file system", "needs root")
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
