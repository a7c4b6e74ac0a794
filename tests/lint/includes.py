#!/usr/bin/env python3
"""The dependency rules of the house, read off the #include lines, and a few banned words.

    includes.py [ROOT]

Prints "file:line: message" for each breach; exit 1 if there is one.
"""

import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from sources import FOLDERS, code_only, includes, line_of, source_files

# Who may include whom. schema/ is a small library between core and the rest.
MAY_INCLUDE = {
    "core": {"core"},
    "schema": {"core", "schema"},
    "collectors": {"core", "schema", "collectors"},
    "jobs": {"core", "schema", "jobs"},
    "daemon": {"core", "schema", "collectors", "jobs", "daemon"},
    "bench": {"core", "schema", "collectors", "jobs", "daemon", "bench"},
    "tests": set(FOLDERS),
}

# Written by CMake at the root of its own folder, and who may include it.
GENERATED = {"version.h": "daemon"}

# Third-party headers that have one home each: (header, homes, name of the home for people).
# Tests may use what they test with, except where the header itself is the trap.
FENCES = [
    ("libpq-fe.h", ("core/pg_*",), "core/pg_*"),
    ("yaml-cpp/*", ("daemon/config*",), "daemon/config*"),
    ("CLI/*", ("daemon/main.cc", "daemon/commands*"), "daemon/main.cc and daemon/commands*"),
    ("spdlog/*", ("core/log.cc",), "core/log.cc"),
    ("prometheus/*", ("core/metrics*", "core/store*"), "core/metrics* and core/store*"),
    ("boost/json*", ("core/json.cc",), "core/json.cc"),
    ("boost/beast*", ("daemon/http*",), "daemon/http*"),
    ("date/*", ("core/time_zone*",), "core/time_zone*"),
    ("openssl/*", ("core/sha256.cc",), "core/sha256.cc"),
    ("zstd.h", ("core/zstd_*",), "core/zstd_*"),
]
FENCES_FOR_TESTS_TOO = [
    ("boost/asio.hpp", (), "no file: include the single headers"),
    ("boost/asio/experimental/awaitable_operators.hpp", ("core/wait.cc",), "core/wait.cc"),
]

BANNED = [
    (r"\basio::detached\b", "asio::detached loses errors; spawn through a TaskGroup"),
    (r"\bstd::system\s*\(", "std::system runs a shell; use core/process.h"),
    (r"(?<![\w.>])(?:::\s*)?popen\s*\(", "popen runs a shell; use core/process.h"),
    (r"\busing\s+namespace\s+std\s*;", "using namespace std"),
]


def check_includes(path, code):
    folder = path.parts[0]
    fences = FENCES_FOR_TESTS_TOO + ([] if folder == "tests" else FENCES)
    for line, name, quoted in includes(code):
        target = name.split("/")[0]
        if quoted and GENERATED.get(name) == folder:
            continue
        if quoted and target not in FOLDERS:
            yield line, f'"{name}": quoted includes start at the root of the tree'
        elif quoted and target not in MAY_INCLUDE[folder]:
            yield line, f'{folder} must not include {target} ("{name}")'
        for header, homes, home in fences:
            if not fnmatchcase(name, header):
                continue
            if not any(fnmatchcase(path.as_posix(), pattern) for pattern in homes):
                yield line, f"{name} belongs in {home}"


def check_words(code):
    for pattern, message in BANNED:
        for match in re.finditer(pattern, code):
            yield line_of(code, match.start()), message


def check(root):
    breaches = []
    for path in source_files(root):
        code = code_only((Path(root) / path).read_text(encoding="utf-8"))
        found = [*check_includes(path, code), *check_words(code)]
        breaches += [f"{path}:{line}: {message}" for line, message in sorted(found)]
    return breaches


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]
    if not source_files(root):
        print(f"{root}: no sources found")
        return 1
    breaches = check(root)
    print("\n".join(breaches) if breaches else "includes: no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
