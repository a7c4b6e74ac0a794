#!/usr/bin/env python3
"""What `promtool check metrics` says of a page, less what is allowed with a reason.

    promlint.py [URL] [--allowed FILE] [--print]

Reads the page from URL or from standard input. Exit 1 on a finding that the list (default:
promlint_allowed.txt beside this file) does not have, or when promtool cannot parse the page.
--print writes all findings as lines for the list; the reasons are for people to write.
"""

import argparse
import re
import subprocess
import sys
import urllib.request
from fnmatch import fnmatchcase
from pathlib import Path

FINDING = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$")
ALLOWED = Path(__file__).with_name("promlint_allowed.txt")
PARSED = (0, 3)  # exit codes of promtool: clean, findings; anything else: no metrics page


def read_page(url):
    if url is None:
        return sys.stdin.buffer.read()
    with urllib.request.urlopen(url, timeout=30) as reply:
        return reply.read()


class Unreadable(Exception):
    pass


def findings(page):
    """[(metric, text)] of promtool."""
    if not page.strip():
        raise Unreadable("the page is empty")
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True,
                          check=False)
    text = (done.stdout + done.stderr).decode(errors="replace").strip()
    matches = [FINDING.match(line) for line in text.splitlines() if line.strip()]
    if done.returncode not in PARSED or not all(matches):
        raise Unreadable(text or f"promtool: exit code {done.returncode}")
    return [(match[1], match[2]) for match in matches]


def read_allowed(path):
    """[(metric pattern, text)] of lines "metric or pattern: text  # reason"."""
    allowed = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        entry, _, reason = line.partition(" # ")
        pattern, _, text = (part.strip() for part in entry.partition(": "))
        if not (pattern and text and reason.strip()):
            raise SystemExit(f"{path}:{number}: expected: metric: finding # reason")
        allowed.append((pattern, text))
    return allowed


def is_allowed(finding, allowed):
    metric, text = finding
    return any(fnmatchcase(metric, pattern) and text == what for pattern, what in allowed)


def problems(page, allowed=ALLOWED):
    """"metric: finding" for each that is not allowed; a page that cannot be parsed is one problem."""
    entries = read_allowed(allowed)
    try:
        found = findings(page.encode() if isinstance(page, str) else page)
    except Unreadable as error:
        return [str(error)]
    return [f"{metric}: {text}" for metric, text in found if not is_allowed((metric, text), entries)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?")
    parser.add_argument("--allowed", type=Path, default=ALLOWED)
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    page = read_page(options.url)
    if options.print:
        print("\n".join(f"{metric}: {text}" for metric, text in findings(page)))
        return 0
    new = problems(page, options.allowed)
    print("\n".join([*new, f"promlint: {len(new)} problems"]))
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
