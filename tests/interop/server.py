# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping a real nats-server on loopback, on a store directory of the test's own."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile

from natsmini import Client
from support.program import wait_for
from support.tap import Failure

START_SECONDS = 60


class Server:
    """A running server. Use as a context manager."""

    def __init__(self, binary, store, key=None, cipher=None, accounts=(), sync=None):
        self.binary, self.store, self.accounts = binary, store, list(accounts)
        self.dir = tempfile.TemporaryDirectory(prefix="jetfs-server.")
        self.log_path = os.path.join(self.dir.name, "log")
        self.port = None
        self._write_config(key, cipher, sync)
        self.process = None

    def _write_config(self, key, cipher, sync):
        lines = ["server_name: jetfs-test", "jetstream {", '  store_dir: "%s"' % self.store,
                 "  max_mem: 67108864", "  max_file: 1073741824"]
        if key:
            lines.append('  key: "%s"' % key)
            lines.append("  cipher: %s" % (cipher or "chacha"))
        if sync:
            lines.append("  sync_interval: %s" % sync)
        lines.append("}")
        if self.accounts:
            lines.append("accounts {")
            for account in self.accounts:
                lines.append('  "%s": {jetstream: enabled, users: [{user: "%s", password: pw}]}' %
                             (account, account))
            lines.append("}")
        self.config = os.path.join(self.dir.name, "server.conf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        # -1 lets the server choose a free port; it tells which in its ports file.
        self.process = subprocess.Popen(
            [self.binary, "-c", self.config, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir",
             self.dir.name, "-l", self.log_path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.port = wait_for(self._ready_port, START_SECONDS, "the server to be ready")
        except Failure as failure:
            log = self.log()
            self.kill()
            raise Failure("%s\n%s" % (failure, log)) from None
        return self

    def _ready_port(self):
        if self.process.poll() is not None:
            raise Failure("the server ended with %d\n%s" % (self.process.returncode, self.log()))
        log = self.log()
        match = re.search(r"Listening for client connections on [^\n]*:(\d+)\n", log)
        if not match or "Server is ready" not in log:
            return None
        port = int(match.group(1))
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return port
        return None

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        return ""

    def complaints(self):
        """Warnings and errors in the log, but for those that every start has."""
        usual = ("Plaintext passwords detected", "JetStream Resources")
        return [line for line in self.log().splitlines()
                if ("[WRN]" in line or "[ERR]" in line or "[FTL]" in line) and
                not any(text in line for text in usual)]

    def client(self, account=None):
        if account:
            return Client("127.0.0.1", self.port, account, "pw")
        return Client("127.0.0.1", self.port)

    def stop(self):
        """Stops in order, as an operator does; the store is complete afterwards."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure("the server did not stop\n" + self.log()) from None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            self.dir.cleanup()
