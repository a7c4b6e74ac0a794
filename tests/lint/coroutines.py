#!/usr/bin/env python3
"""Finds the co_await statements that g++ 12 miscompiles, with clang-query.

    coroutines.py BUILD_DIR [ROOT]

In a full expression with co_await, g++ 12 destroys temporaries of aggregate, closure and
class-typed ?: twice, so such a statement may hold only names, literals, calls and constructor
calls. How each file is compiled is read from BUILD_DIR/compile_commands.json; verdicts are kept in
BUILD_DIR/coroutine-lint. Prints "file:line: message"; exit 1 if there is one.
"""

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import code_only, includes, source_files

CLANG_QUERY = "clang-query-14"
JOBS = 2

# Name for people, and what must not be below a full expression with co_await. The type of ?: is
# desugared, or std::string would pass; without a temporary ?: is harmless.
FORMS = [
    ("aggregate", "cxxBindTemporaryExpr(has(initListExpr()))"),
    ("lambda with captures that have destructors", "cxxBindTemporaryExpr(has(lambdaExpr()))"),
    ("initializer list", "cxxStdInitializerListExpr()"),
    (
        "?: of class type",
        "conditionalOperator(hasType(hasUnqualifiedDesugaredType(recordType())),"
        " hasDescendant(cxxBindTemporaryExpr()))",
    ),
]
MATCHER = (
    'm exprWithCleanups(isExpansionInFileMatching("^{root}/"), hasDescendant(coawaitExpr()),'
    ' hasDescendant({form}.bind("f{number}")))'
)
FOUND = re.compile(r'^(/[^\n]*?):(\d+):\d+: note: "f(\d)" binds here$', re.MULTILINE)
FAILED = re.compile(r"^.*: (?:fatal )?error: .*$", re.MULTILINE)


def query_script(root):
    pattern = re.sub(r"([][.^$*+?(){}|\\])", r"\\\1", str(root))
    lines = ["set output diag", "set bind-root false"]
    for number, (_, form) in enumerate(FORMS):
        lines.append(MATCHER.format(root=pattern, form=form, number=number))
    return "\n".join(lines) + "\n"


def clang_arguments(entry):
    """What decides the meaning of the code; warnings and optimisation of g++ stay behind."""
    words = entry.get("arguments") or shlex.split(entry["command"])
    kept = []
    for word, following in zip(words, words[1:] + [""]):
        if word in ("-isystem", "-include", "-I", "-D", "-U"):
            kept += [word, following]
        elif word.startswith(("-I", "-D", "-U", "-std=", "-isystem")):
            kept.append(word)
    return kept


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = source_files(root)
        self.code = {path: code_only((root / path).read_text("utf-8")) for path in self.files}

    def closure(self, path, seen=None):
        """`path` and all files of ours that it includes."""
        seen = set() if seen is None else seen
        if path in self.code and path not in seen:
            seen.add(path)
            for _, name, quoted in includes(self.code[path]):
                if quoted:
                    self.closure(Path(name), seen)
        return seen

    def suspends(self, path):
        return re.search(r"\bco_await\b", self.code[path]) is not None


def run_query(tree, path, arguments, script):
    """(findings, problem): findings as [file, line, form number], problem as text or None."""
    with tempfile.NamedTemporaryFile("w", suffix=".query") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            [CLANG_QUERY, "-f", file.name, str(tree.root / path), "--", *arguments, "-w"],
            capture_output=True,
            text=True,
            check=False,
        )
    # clang-query exits 0 even when it could not parse anything.
    errors = FAILED.findall(done.stderr)
    answers = re.findall(r"^\d+ match(?:es)?\.$", done.stdout, re.MULTILINE)
    if errors or done.returncode != 0 or len(answers) != len(FORMS):
        return [], errors[0] if errors else (done.stdout + done.stderr).strip()
    found = {(m[1], int(m[2]), int(m[3])) for m in FOUND.finditer(done.stdout)}
    return [[str(Path(f).relative_to(tree.root)), line, n] for f, line, n in sorted(found)], None


def check(build, root):
    tree = Tree(root)
    entries = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        entries.setdefault((Path(entry["directory"]) / entry["file"]).resolve(), entry)
    script = query_script(root)
    cache = build / "coroutine-lint"
    cache.mkdir(exist_ok=True)

    # Each file that suspends; and for a header that none of those includes, one file that does.
    units, covered = [], set()
    compiled = [p for p in tree.files if p.suffix == ".cc" and root / p in entries]
    for path in sorted(compiled, key=lambda p: not tree.suspends(p)):
        closure = sorted(tree.closure(path))
        if tree.suspends(path) or any(tree.suspends(f) and f not in covered for f in closure):
            units.append((path, clang_arguments(entries[root / path]), closure))
            covered.update(closure)
    messages = set()
    for path in tree.files:
        if tree.suspends(path) and path not in covered:
            messages.add((str(path), 1, "has co_await, but no target compiles it: not checked"))

    def verdict(unit):
        path, arguments, closure = unit
        key = hashlib.sha256(json.dumps([script, arguments, str(path)]).encode())
        for file in closure:
            key.update((root / file).read_bytes())
        kept = cache / f"{key.hexdigest()}.json"
        if kept.exists():
            return path, kept, json.loads(kept.read_text()), None
        findings, problem = run_query(tree, path, arguments, script)
        if problem is None:
            kept.write_text(json.dumps(findings))
        return path, kept, findings, problem

    used = set()
    with ThreadPoolExecutor(JOBS) as pool:
        for path, kept, findings, problem in pool.map(verdict, units):
            used.add(kept)
            if problem is not None:
                messages.add((str(path), 1, f"{CLANG_QUERY} cannot read it: {problem}"))
            for file, line, form in findings:
                messages.add((file, line, f"{FORMS[form][0]} in a statement with co_await"))
    for old in set(cache.iterdir()) - used:
        old.unlink()
    return len(units), sorted(messages)


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    root = Path(sys.argv[2] if len(sys.argv) == 3 else Path(__file__).parents[2]).resolve()
    count, messages = check(Path(sys.argv[1]).resolve(), root)
    for file, line, message in messages:
        print(f"{file}:{line}: {message}")
    if messages:
        print("Build the value in the line before (g++ 12 destroys such a temporary twice).")
    elif count == 0:
        print("no file with co_await found")
    else:
        print(f"coroutines: {count} files, no finding")
    return 1 if messages or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
