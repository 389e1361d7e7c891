# SPDX-License-Identifier: Apache-2.0
"""A minimal NATS client for tests: one blocking connection, requests, and the JetStream API calls
that the interop tests need. Standard library only."""
import base64
import json
import secrets
import socket

TIMEOUT = 20


class NatsError(Exception):
    """The server refused something, or the connection broke."""


class Client:
    def __init__(self, host, port, user=None, password=None):
        self.sock = socket.create_connection((host, port), timeout=TIMEOUT)
        self.file = self.sock.makefile("rb")
        line = self._line()
        if not line.startswith(b"INFO "):
            raise NatsError("no INFO: %r" % line)
        self.info = json.loads(line[5:])
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "lang": "python", "version": "0", "protocol": 1}
        if user:
            options.update(user=user, **{"pass": password})
        self._send(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        self._expect_pong()
        self.inbox = "_INBOX." + secrets.token_hex(8)
        self.next_reply = 0
        self.reply = None
        self._send(b"SUB %s.* 1\r\n" % self.inbox.encode())

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, data):
        self.sock.sendall(data)

    def _line(self):
        line = self.file.readline()
        if not line:
            raise NatsError("the server closed the connection")
        return line.rstrip(b"\r\n")

    def _expect_pong(self):
        while True:
            line = self._line()
            if line == b"PONG":
                return
            if line.startswith(b"-ERR"):
                raise NatsError(line.decode())

    def _message(self):
        """The next message: (subject, header block or b"", payload)."""
        while True:
            line = self._line()
            if line == b"PING":
                self._send(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise NatsError(line.decode())
            elif line.startswith((b"MSG ", b"HMSG ")):
                words = line.split()
                total = int(words[-1])
                head = int(words[-2]) if words[0] == b"HMSG" else 0
                data = self.file.read(total + 2)[:total]
                # The subject that the message wants its answer on; None if it wants none.
                numbers = 2 if words[0] == b"HMSG" else 1
                self.reply = words[3].decode() if len(words) == 4 + numbers else None
                return words[1].decode(), data[:head], data[head:]

    def publish(self, subject, payload, reply="", header=b""):
        if header:
            line = "HPUB %s %s %d %d\r\n" % (subject, reply, len(header), len(header) + len(payload))
        else:
            line = "PUB %s %s %d\r\n" % (subject, reply, len(payload))
        self._send(line.encode() + header + payload + b"\r\n")

    def request(self, subject, payload=b"", header=b""):
        """Sends a request and returns the answer's payload."""
        self.next_reply += 1
        reply = "%s.%d" % (self.inbox, self.next_reply)
        self.publish(subject, payload, reply, header)
        while True:
            got, head, data = self._message()
            if got != reply:
                continue
            if head.startswith(b"NATS/1.0 503"):
                raise NatsError("nobody answers " + subject)
            return data

    # ---- JetStream ----

    def api(self, name, request=None):
        """One call of the JetStream API; raises NatsError with the server's own words."""
        data = json.dumps(request).encode() if request is not None else b""
        answer = json.loads(self.request("$JS.API." + name, data))
        if "error" in answer:
            error = answer["error"]
            raise NatsError("%s: %s (%s)" % (name, error.get("description"), error.get("err_code")))
        return answer

    def stream_names(self):
        return self.api("STREAM.NAMES", {}).get("streams") or []

    def stream_info(self, stream):
        return self.api("STREAM.INFO." + stream, {"deleted_details": True, "subjects_filter": ">"})

    def create_stream(self, config):
        return self.api("STREAM.CREATE." + config["name"], config)

    def consumer_info(self, stream, consumer):
        return self.api("CONSUMER.INFO.%s.%s" % (stream, consumer))

    def js_publish(self, subject, payload, header=b""):
        """Publishes and waits for the acknowledgement; returns the sequence."""
        answer = json.loads(self.request(subject, payload, header))
        if "error" in answer:
            raise NatsError("publish: " + answer["error"].get("description", ""))
        return answer["seq"]

    def pull(self, stream, consumer):
        """The next message of a consumer, (reply subject, payload), or None if there is none now."""
        request = {"batch": 1, "no_wait": True}
        self.publish("$JS.API.CONSUMER.MSG.NEXT.%s.%s" % (stream, consumer),
                     json.dumps(request).encode(), self.inbox + ".pull")
        _, head, payload = self._message()
        return (self.reply, payload) if not head.startswith(b"NATS/1.0 4") else None

    def get_message(self, stream, seq):
        """One stored message, or None when there is none: seq, subject, time, header, payload."""
        try:
            message = self.api("STREAM.MSG.GET." + stream, {"seq": seq})["message"]
        except NatsError as error:
            if "(10037)" in str(error):
                return None
            raise
        return {"seq": message["seq"], "subject": message["subject"], "time": message["time"],
                "header": base64.b64decode(message.get("hdrs", "")),
                "payload": base64.b64decode(message.get("data", ""))}

    def get_messages(self, stream):
        """All stored messages, in order."""
        state = self.stream_info(stream)["state"]
        found = (self.get_message(stream, seq)
                 for seq in range(max(state["first_seq"], 1), state["last_seq"] + 1))
        return [message for message in found if message is not None]
