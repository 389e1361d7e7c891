# SPDX-License-Identifier: Apache-2.0
"""Test results as TAP lines on standard output: ok / not ok / # SKIP, and the plan at the end."""
import sys
import traceback

# Lines of explanation below a failed test; the rest is cut.
MAX_LINES = 25


class Failure(Exception):
    """A check that did not hold; its text is for the reader of the log."""


class Tap:
    def __init__(self, stream=None):
        self.stream = stream or sys.stdout
        self.count = 0
        self.failed = 0
        self.skipped = 0

    def _line(self, text):
        self.stream.write(text + "\n")
        self.stream.flush()

    def note(self, text):
        lines = str(text).splitlines()
        for line in lines[:MAX_LINES]:
            self._line("# " + line[:500])
        if len(lines) > MAX_LINES:
            self._line("# ... %d more lines" % (len(lines) - MAX_LINES))

    def ok(self, name):
        self.count += 1
        self._line("ok %d - %s" % (self.count, _one_line(name)))

    def not_ok(self, name, why):
        self.count += 1
        self.failed += 1
        self._line("not ok %d - %s" % (self.count, _one_line(name)))
        self.note(why)

    def skip(self, name, reason):
        self.count += 1
        self.skipped += 1
        self._line("ok %d - %s # SKIP %s" % (self.count, _one_line(name), _one_line(reason)))

    def run(self, name, function, *args, **kwargs):
        """Runs one test: it passes unless it raises. Returns True if it passed."""
        try:
            function(*args, **kwargs)
        except Failure as failure:
            self.not_ok(name, failure)
        except Exception:  # pylint: disable=broad-except
            self.not_ok(name, traceback.format_exc())
        else:
            self.ok(name)
            return True
        return False

    def finish(self):
        """Prints the plan; returns the exit code."""
        self._line("1..%d" % self.count)
        return 1 if self.failed or not self.count else 0


def _one_line(text):
    return " ".join(str(text).replace("#", "").split())


def equal(got, want, what):
    if got != want:
        raise Failure("%s is %s, expected %s" % (what, _short(got), _short(want)))


def check(condition, what):
    if not condition:
        raise Failure(what)


def _short(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:200] + " ... " + text[-90:]
