"""What the lint checks share: which files are ours, and C++ text without comments and literals."""

import re
from pathlib import Path

FOLDERS = ("core", "schema", "collectors", "jobs", "daemon", "tests", "bench")
SUFFIXES = (".cc", ".h")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)

_SKIPPED = re.compile(
    r"""
      ^[ \t]*\#[ \t]*include[^\n]*            # kept: its quotes are no literal
    | (?P<raw>R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)")
    | (?P<string>"(?:\\.|[^"\\\n])*")
    | (?P<number>\b\d[\w']*)                  # kept: 1'000 opens no character literal
    | (?P<char>'(?:\\.|[^'\\\n])+')
    | (?P<line>//[^\n]*)
    | (?P<block>/\*.*?\*/)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def code_only(text):
    """`text` with comments and literals blanked out, every line and column in its place."""

    def blank(match):
        if match.lastgroup is None or match["number"]:
            # An include may end in a comment.
            return re.sub(r"//.*|/\*.*?\*/", lambda m: " " * len(m[0]), match[0])
        return re.sub(r"[^\n]", " ", match[0])

    return _SKIPPED.sub(blank, text)


def source_files(root):
    """Paths below `root`, relative, in order."""
    root = Path(root)
    found = []
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.suffix in SUFFIXES and path.is_file():
                found.append(path.relative_to(root))
    return sorted(found)


def includes(code):
    """(line number, name, quoted) of each #include in `code`."""
    for match in INCLUDE.finditer(code):
        # The match may begin with the blanks of the lines before it.
        line = code.count("\n", 0, match.end()) + 1
        yield line, match[1] or match[2], match[1] is not None


def line_of(code, position):
    return code.count("\n", 0, position) + 1
