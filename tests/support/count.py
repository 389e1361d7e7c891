#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the results of all test programs of one or more meson runs.

usage: count.py NAME=BUILD_DIRECTORY...
What lies in BUILD_DIRECTORY/reports are reports of sanitizers; each is a failure. Prints failures and skips with their reasons, and as its last line "N passed, N failed, N skipped".
Ends with 1 if anything failed or nothing passed.
"""
import json
import os
import re
import sys

RESULT = re.compile(r"^\s*(not ok|ok)\b[ \t]*(\d+)?[ \t]*-?[ \t]*(.*)$")
MAX_NOTES = 20


def results(entry):
    """(kind, text) of every result of one program: its TAP lines, and its exit code."""
    found = []
    for line in entry.get("stdout", "").splitlines():
        match = RESULT.match(line)
        if match:
            skip = re.search(r"#\s*SKIP\b\s*(.*)$", line, re.IGNORECASE)
            kind = "skipped" if skip else "passed" if match.group(1) == "ok" else "failed"
            found.append([kind, match.group(3), []])
        elif found and line.lstrip().startswith("#") and found[-1][0] == "failed":
            found[-1][2].append(line.strip())
    good = entry["result"] in ("OK", "SKIP")
    if not good and all(kind != "failed" for kind, _, _ in found):
        notes = (entry.get("stdout", "") + "\n" + entry.get("stderr", "")).strip().splitlines()
        found.append(["failed", "the program ended with %s (%s)" %
                      (entry.get("returncode"), entry["result"]), notes[-MAX_NOTES:]])
    elif entry["result"] == "SKIP" and not found:
        found.append(["skipped", "the program skipped itself", []])
    elif good and not found:
        found.append(["failed", "the program reported no result", []])
    return found


def read_log(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return [json.loads(line) for line in log if line.strip()]
    except FileNotFoundError:
        return []


def print_reports(name, directory):
    """Prints what sanitizers wrote; returns how many reports there are."""
    found = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    for file in found:
        print("FAILED %s: a sanitizer's report: %s" % (name, os.path.join(directory, file)))
        with open(os.path.join(directory, file), encoding="utf-8", errors="replace") as report:
            for line in report.readlines()[:MAX_NOTES]:
                print("    " + line.rstrip()[:300])
    return len(found)


def main(argv):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for arg in argv[1:]:
        name, _, directory = arg.partition("=")
        total["failed"] += print_reports(name, os.path.join(directory, "reports"))
        entries = read_log(os.path.join(directory, "meson-logs", "testlog.json"))
        if not entries:
            total["failed"] += 1
            print("FAILED %s: no test ran" % name)
        for entry in entries:
            program = "%s/%s" % (name, entry["name"].split(" / ")[-1].split(":")[-1])
            counts = {"passed": 0, "failed": 0, "skipped": 0}
            for kind, text, notes in results(entry):
                counts[kind] += 1
                if kind != "passed":
                    print("%s %s: %s" % (kind.upper(), program, text))
                for note in notes[:MAX_NOTES]:
                    print("    " + note[:300])
            print("%s: %d passed, %d failed, %d skipped in %.1f s" %
                  (program, counts["passed"], counts["failed"], counts["skipped"],
                   entry.get("duration", 0)))
            for kind, count in counts.items():
                total[kind] += count
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % total)
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
