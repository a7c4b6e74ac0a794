"""Shows that links.py finds a dead link in each form, and nothing else."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent

BAD = {
    "README.md": "# a\n\n[one](docs/none.md), [two](docs/page.md), [three](none/)\n[r]: none.txt",
    "docs/page.md": "```\n[code](none.md)\n```\n[`x`](README.md#part) [t](no.md \"title\")",
    "docs/deep/page.md": "[out](../../../etc/passwd)\n[root](/README.md)\n![image](image.png)",
}

EXPECTED = """\
README.md:3: docs/none.md is not in the tree
README.md:3: none/ is not in the tree
README.md:4: none.txt is not in the tree
docs/deep/page.md:1: ../../../etc/passwd is not in the tree
docs/deep/page.md:2: /README.md is not in the tree
docs/deep/page.md:3: image.png is not in the tree
docs/page.md:4: README.md#part is not in the tree
docs/page.md:4: no.md is not in the tree
"""

GOOD = {
    "README.md": "[a](docs/page.md) [b](docs/) [c](docs/deep/page.md#part)\n[r]: docs/page.md",
    "docs/page.md": "[here](#part) [web](https://example.org/x.md) [m](mailto:a@example.org)\n"
    "~~~\n[code](none.md)\n~~~\n`[code](none.md)` ``a ` [code](none.md)`` [s](with%20space.txt)",
    "docs/with space.txt": "",
    "docs/deep/page.md": "[up](../page.md) [root](../../README.md) [t](../page.md \"title\")",
    "elsewhere/page.md": "[dead](none.md)",
}


def run(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, HERE / "links.py", root], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout


class Links(unittest.TestCase):
    maxDiff = None

    def test_dead_links_are_found(self):
        self.assertEqual(run(BAD), (1, EXPECTED))

    def test_what_is_there_passes(self):
        self.assertEqual(run(GOOD), (0, "links: no breach\n"))

    def test_an_empty_tree_is_no_success(self):
        self.assertEqual(run({"core/a.cc": ""})[0], 1)


if __name__ == "__main__":
    unittest.main()
