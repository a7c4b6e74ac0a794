#!/usr/bin/env python3
"""Every relative link of README.md and docs/**/*.md leads to something in the tree.

    links.py [ROOT]

Prints "file:line: message" for each breach; exit 1 if there is one.
"""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(
    r"""
      \]\(\s* <?([^()\s<>]+)>? (?:\s+"[^"]*")? \s*\)    # [text](page.md "title")
    | ^[ ]{0,3}\[[^]]+\]:\s+ <?([^\s<>]+)>?             # [text]: page.md
    """,
    re.VERBOSE | re.MULTILINE,
)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)  # or on the same page
CODE = re.compile(
    r"""
      ^[ ]{0,3}(```+|~~~+) .*? ^[ ]{0,3}\1[ \t]*$
    | (?<!`)(`+)(?!`) [^\n]*? (?<!`)\2(?!`)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


def pages(root):
    readme = [root / "README.md"] if (root / "README.md").is_file() else []
    return readme + sorted((root / "docs").rglob("*.md"))


def check(root, page):
    # Lines keep their numbers.
    text = CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), page.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        link = match[1] or match[2]
        if ELSEWHERE.match(link):
            continue
        target = (page.parent / unquote(re.split("[#?]", link)[0])).resolve()
        if not target.is_relative_to(root) or not target.exists():
            line = text.count("\n", 0, match.start()) + 1
            yield f"{page.relative_to(root)}:{line}: {link} is not in the tree"


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    found = pages(root)
    if not found:
        print(f"{root}: no pages found")
        return 1
    breaches = [breach for page in found for breach in check(root, page)]
    print("\n".join(breaches) if breaches else "links: no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
