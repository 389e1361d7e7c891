#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the engine wrote in each of the ported tests, opened by real servers: the same state, the same
messages, and no word of complaint; with index.db and without.

Each test ran with every cipher and compression (tests/core/permutations.h); those that servers read are
compared: all with index.db, two kinds also without it.

usage: test_written.py JETFS PEERS PROGRAM...
   PROGRAM  a test that writes what it leaves to JETFS_EXPORT (tests/core/ported.h)

All of them go into one store, each as the stream of an account of its own, so that a server starts
once for all. test_interop.py does this, too.
"""
import base64
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
from server import Server
from support import golden
from support.program import Jetfs
from support.tap import Failure, Tap, check, equal
from stores import compare_messages, copy_store, message, parse_header, server_state

VERSIONS = ("2.10.27", "2.15.1")
WHOLE = 120  # a stream of up to so many messages is compared whole, of others a part

# Servers are right to see these differently.
EXPECTED = {
    "time": "servers take out what is too old as they start",
    "damage": "there is damage, which servers cut off",
    "unknown": "newer features: a server without them does not open the stream",
}

# How many bytes an index.db has that knows of no message (core/store/fill.c): servers find it old.
BLANK = {"aes": 66, "chacha": 74}

# What a test planted from outside is still there at its end.
PLANTED = {
    "test_file_store_corrupted_non_ordered_sequences": "sequences that go back",
    "test_file_store_recover_only_blk_files": "10.blk.tmp and the like: 2.10 opens no such stream",
    "test_file_store_purge_ex_with_subject": "an index.db from before the purge",
    "test_file_store_remove_block_with_stale_stream_state": "a block taken away",
    "test_file_store_initial_first_seq": "first_seq in meta.inf: 2.10 purges at every start",
}

# Here the planted thing is plain, which servers do not take for theirs in an encrypted stream.
PLANTED_PLAIN = {"test_file_store_restart_with_expire_and_locking_bug": "a plain meta.inf"}

# These end with messages that limits, or the list of another replica, took out: by the format only
# index.db tells of such removals. Without it the messages are back, for everybody.
BACK = (
    "a_list_that_another_replica_deleted_goes",
    "test_jet_stream_recovers_stream_first_seq_when_not_empty",
    "test_store_delete_range",
    "test_store_delete_slice",
    "test_store_max_msgs_per_update_bug",
)

# 2.10 without index.db has all messages of these, and the right end. But it does not count what a record
# of skipped sequences stands for, and does not move on first_seq over blocks that are empty
# (docs/format-notes.md).
COUNTED_WRONG = (
    "a_filter_takes_its_messages_out_of_many_blocks",
    "test_file_store_async_flush_on_skip_msgs",
    "test_file_store_check_skip_first_block_bug",
    "test_file_store_delete_blocks_with_single_message_blocks",
    "test_file_store_detect_delete_gap_with_last_skip_msg",
    "test_file_store_purge_ex_no_tombs_on_block_removal",
    "test_file_store_restore_delete_tombstones_exceeding_max_blk_size",
    "test_file_store_select_next_first",
    "test_file_store_skip_msgs",
)
# Here the last record is gone, and its tombstone alone tells how far the sequences went: 2.10 goes by records.
ENDS_EARLIER = ("removing_the_newest_block_bit_by_bit",)
# And of these it brings back messages of which tombstones in later blocks tell that they are gone.
BROUGHT_BACK = ("test_file_store_select_block_with_first_seq_removals",)


def export(programs, directory):
    for program in programs:
        done = subprocess.run([program], env=dict(os.environ, JETFS_EXPORT=directory),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise Failure("%s ended with %d\n%s" % (program, done.returncode,
                                                    done.stdout.decode(errors="replace")))


KEY = "s3cr3t"  # of tests/core/ported.c


def reason_to_leave_out(jetfs, source, config, keys):
    if config.get("max_age") or config.get("allow_msg_ttl") or config.get("allow_msg_schedules"):
        return "time"
    if config.get("compression") not in (None, "none", "s2"):
        return "unknown"
    if jetfs.json("info", "--json", source, *keys)["health"] != "ok":
        return "damage"
    return None


class Case:
    """What one test left: an account of the store that has all."""

    def __init__(self, jetfs, store, account, name, keys):
        self.account, self.name, self.keys = account, name, keys
        self.test = name.split(".")[0]
        msgs = os.path.join(store, "jetstream", account, "streams", "S", "msgs")
        index = os.path.join(msgs, "index.db")
        self.has_index = os.path.exists(index)
        self.blank = self.has_index and os.path.getsize(index) == BLANK.get(name.split(".")[1])
        self.blocks = len([file for file in os.listdir(msgs) if file.endswith(".blk")])
        source = "%s/jetstream/%s:S" % (store, account)
        self.read(jetfs, source)

    def read(self, jetfs, source):
        info = jetfs.json("info", "--json", source, *self.keys)
        self.state = {key: info[key] for key in ("messages", "bytes", "first_seq", "last_seq",
                                                 "deleted", "subjects")}
        self.state["last_time"] = golden.parse_time(info["last_time"]) if info["last_time"] else None
        self.messages = {line["seq"]: line for line in jetfs.lines("dump", source, *self.keys)}

    def without_index(self, jetfs, store):
        """The case without index.db: the same, but for what only index.db told of."""
        case = copy.copy(self)
        case.read(jetfs, "%s/jetstream/%s:S" % (store, self.account))
        if self.test in BACK:
            differs = {key for key in case.state if case.state[key] != self.state[key]}
            if case.state["messages"] <= self.state["messages"] or "last_seq" in differs:
                raise Failure("%s: listed, but nothing is back without index.db" % self.name)
        else:
            equal(case.state, self.state, "%s: our own state without index.db" % self.name)
        return case

    def check(self, server, state_only, counted_wrong, ends_earlier):
        with server.client(self.account) as client:
            state = server_state(client, "S")
            want = dict(self.state)
            if want["last_time"] is None:
                want["last_time"] = state["last_time"]
            if counted_wrong:
                if state == want:
                    raise Failure("listed as counted wrong, but it is right")
                for key in ("first_seq", "deleted"):
                    want[key] = state[key]
            if ends_earlier:
                check(state["last_seq"] < want["last_seq"], "listed as ending earlier, but it is right")
                for key in ("last_seq", "deleted", "last_time"):
                    want[key] = state[key]
            equal(state, want, "the server's state")
            if state_only:
                return
            seqs = sorted(self.messages)
            if len(seqs) > WHOLE:
                seqs = seqs[:WHOLE // 3] + seqs[WHOLE:-WHOLE:WHOLE] + seqs[-WHOLE // 3:]
            got = [client.get_message("S", seq) for seq in seqs]
            got = [message(m["seq"], m["subject"], m["time"], parse_header(m["header"]),
                           m["payload"]) for m in got if m]
            compare_messages(got, [self.as_message(seq) for seq in seqs], "the server's messages")

    def as_message(self, seq):
        line = self.messages[seq]
        data = line["data"].encode() if "data" in line else base64.b64decode(line["data_b64"])
        return message(seq, line["subject"], line["time"], line.get("hdrs"), data)


def gather(jetfs, directory, store, kind, keys, tap):
    """One store of all that was exported of a kind ("aes.s2"); the cases in it."""
    cases = []
    for name in sorted(os.listdir(directory)):
        account = name.split(".")[0]
        stream = os.path.join(directory, name, "s", "jetstream", account, "streams", "S")
        if not name.endswith("." + kind) or not os.path.exists(os.path.join(stream, "meta.inf")):
            continue
        target = os.path.join(store, "jetstream", account, "streams", "S")
        shutil.copytree(stream, target)
        # What is sealed has a plain brother, but for tests that run on encrypted streams alone; those use no time.
        plain = os.path.join(stream.replace("." + kind, ".none.none"), "meta.inf")
        config = {}
        if os.path.exists(plain):
            with open(plain, encoding="utf-8") as file:
                config = json.load(file)
        left_out = reason_to_leave_out(jetfs, "%s/jetstream/%s:S" % (store, account), config, keys)
        left_out = PLANTED.get(account) or EXPECTED.get(left_out)
        if keys:
            left_out = left_out or PLANTED_PLAIN.get(account)
        if left_out:
            tap.note("%s is left out: %s" % (name, left_out))
            shutil.rmtree(os.path.join(store, "jetstream", account))
            continue
        cases.append(Case(jetfs, store, account, name, keys))
    return cases


def misled(version, case, without):
    """2.10 looks for a message by halves in more than 32 blocks, and is misled by those at the end
    that hold tombstones alone, unless index.db says what is in them."""
    return version.startswith("2.10.") and without and case.blocks > 32


def quiet(complaints, blank):
    """Nothing is said but that so many index.db are old."""
    old = [line for line in complaints if line.endswith("index errored: prior state file")]
    equal(len(old), blank, "streams whose index.db is old")
    equal([line for line in complaints
           if line not in old and "detected prior state" not in line and "outdated" not in line], [],
          "warnings")


def serve(tap, jetfs, version, binary, store, cases, without, options):
    with tempfile.TemporaryDirectory(prefix="jetfs-written.") as tmp:
        copied = copy_store(store, tmp, without)
        if without:
            cases = [case.without_index(jetfs, copied) for case in cases]
        with Server(binary, copied, accounts=[case.account for case in cases], **options) as server:
            for case in cases:
                limited = version.startswith("2.10.") and (without or case.blank or not case.has_index)
                what = "%s serves %s%s" % (version, case.name, " without index.db" if without else "")
                if limited and case.test in BROUGHT_BACK:
                    tap.note(what + ": not compared, 2.10 brings removed messages back")
                    continue
                tap.run(what, case.check, server, misled(version, case, without),
                        limited and case.test in COUNTED_WRONG, limited and case.test in ENDS_EARLIER)
            blank = 0 if without else sum(case.blank for case in cases)
            tap.run("%s says nothing of %s%s" % (version, cases[0].name.split(".", 1)[1],
                                                 " without index.db" if without else ""),
                    quiet, server.complaints(), blank)


def run_written(tap, jetfs, peers, programs):
    """peers: {version: program}"""
    with tempfile.TemporaryDirectory(prefix="jetfs-written.") as tmp:
        key_file = os.path.join(tmp, "key")
        with open(key_file, "w", encoding="ascii") as file:
            file.write(KEY)
        exported = os.path.join(tmp, "exported")
        os.mkdir(exported)
        if not tap.run("the ported tests run", export, programs, exported):
            return
        for cipher in ("none", "chacha", "aes"):
            for compression in ("none", "s2"):
                kind = "%s.%s" % (cipher, compression)
                store = os.path.join(tmp, kind)
                keys = [] if cipher == "none" else ["--key-file", key_file]
                options = {} if cipher == "none" else {"key": KEY, "cipher": cipher}
                cases = gather(jetfs, exported, store, kind, keys, tap)
                for version in VERSIONS:
                    for without in (False, True) if version in peers else ():
                        if not without or kind in ("none.none", "aes.none"):
                            serve(tap, jetfs, version, peers[version], store, cases, without, options)


def main(argv):
    tap = Tap()
    peers = {version: os.path.join(argv[2], version, "nats-server") for version in VERSIONS}
    run_written(tap, Jetfs(argv[1]), peers, argv[3:])
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
