# SPDX-License-Identifier: Apache-2.0
"""What a store holds, in one form, whoever is asked: a server or jetfs."""
import base64
import os
import shutil

from support import golden
from support.tap import check, equal


def parse_header(block):
    """{name: [values]} of a header block, as jsonl has it; None for no block."""
    if not block:
        return None
    fields = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.decode(), []).append(value.strip(b" ").decode())
    return fields


def message(seq, subject, time, header, payload):
    return {"seq": seq, "subject": subject, "time": golden.parse_time(time), "hdrs": header or None,
            "data": payload}


def from_server(client, stream):
    return [message(m["seq"], m["subject"], m["time"], parse_header(m["header"]), m["payload"])
            for m in client.get_messages(stream)]


def from_jetfs(jetfs, store, stream, key=()):
    found = []
    for line in jetfs.lines("dump", store + ":" + stream, *key):
        data = line["data"].encode() if "data" in line else base64.b64decode(line["data_b64"])
        found.append(message(line["seq"], line["subject"], line["time"], line.get("hdrs"), data))
    return found


def server_state(client, stream):
    state = client.stream_info(stream)["state"]
    return {"messages": state["messages"], "bytes": state["bytes"],
            "first_seq": state["first_seq"], "last_seq": state["last_seq"],
            "last_time": golden.parse_time(state["last_ts"]),
            # Of a stream that never had a message servers count sequence 0 as deleted.
            "deleted": (state.get("num_deleted") or 0) if state["messages"] else 0, "subjects": state.get("num_subjects") or 0}


def jetfs_state(jetfs, store, stream):
    info = jetfs.json("info", "--json", store + ":" + stream)
    equal(info["health"], "ok", "health")
    state = {name: info[name] for name in
             ("messages", "bytes", "first_seq", "last_seq", "deleted", "subjects")}
    state["last_time"] = golden.parse_time(info["last_time"])
    return state


def compare_messages(got, want, who):
    seqs, wanted = {m["seq"] for m in got}, {m["seq"] for m in want}
    check(seqs == wanted, "%s: too many: %s; missing: %s" %
          (who, sorted(seqs - wanted)[:20], sorted(wanted - seqs)[:20]))
    equal([m["seq"] for m in got], [m["seq"] for m in want], "order of " + who)
    for one, other in zip(got, want):
        equal(one, other, "message %d of %s" % (other["seq"], who))


def copy_store(store, tmp, without_index):
    copy = os.path.join(tmp, "copy")
    shutil.copytree(store, copy, symlinks=True)
    for root, dirs, files in os.walk(copy):
        os.chmod(root, 0o700)
        if without_index and "index.db" in files:
            os.unlink(os.path.join(root, "index.db"))
        if os.path.basename(root) == "streams":
            # The archive of golden stores keeps no empty folders.
            for name in dirs:
                os.makedirs(os.path.join(root, name, "obs"), exist_ok=True)
    return copy
