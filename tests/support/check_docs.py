#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every test that docs/ported-tests.md and docs/hazards.md name exists, in the file they say.

usage: check_docs.py SOURCE_ROOT      (TAP)
"""
import pathlib
import re
import sys

NAME = re.compile(r"`([a-z][a-z0-9_]+)`(?: \((test_\w+\.c)[,)])?")


def tests_of(root):
    """{name of a test: files in which it runs}"""
    found = {}
    for path in sorted((root / "tests").rglob("*.c")):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"cmocka_unit_test\w*\(\s*(\w+)", text):
            found.setdefault(name, set()).add(path.name)
    return found


def wrong_in(path, tests):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith(("|", "*")):
            continue
        for name, file in NAME.findall(line):
            if name not in tests:
                yield "%s:%d: there is no test %s" % (path.name, number, name)
            elif file and file not in tests[name]:
                yield "%s:%d: %s is not in %s" % (path.name, number, name, file)


def main():
    root = pathlib.Path(sys.argv[1])
    tests = tests_of(root)
    failed = False
    print("TAP version 13\n1..3")
    for number, name in enumerate(("ported-tests.md", "hazards.md"), 1):
        wrong = list(wrong_in(root / "docs" / name, tests))
        for text in wrong:
            print("# " + text)
        print("%s %d - %s" % ("not ok" if wrong else "ok", number, name))
        failed |= bool(wrong)
    text = (root / "docs" / "hazards.md").read_text(encoding="utf-8")
    numbers = [int(n) for n in re.findall(r"(?m)^\| (\d+) \|", text)]
    whole = numbers == list(range(1, 141))
    print("%s 3 - hazards 1 to 140" % ("ok" if whole else "not ok"))
    return failed or not whole


if __name__ == "__main__":
    sys.exit(main())
