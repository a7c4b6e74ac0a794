"""promlint.py against real promtool: what it lets pass, and what not."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent

CLEAN = """\
# HELP pg_up Whether.
# TYPE pg_up gauge
pg_up{server="hub"} 1
"""
COMPAT = """\
# HELP pg_stat_database_xact_commit Commits.
# TYPE pg_stat_database_xact_commit counter
pg_stat_database_xact_commit{datname="hub"} 7
"""
ALLOWED = """\
# comment
pg_stat_database_*: counter metrics should have "_total" suffix # name of postgres_exporter
"""


class Promlint(unittest.TestCase):
    def run_lint(self, page, *options, allowed=ALLOWED):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(allowed)
            file.flush()
            done = subprocess.run(
                [sys.executable, HERE / "promlint.py", "--allowed", file.name, *options],
                input=page, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_a_clean_page_passes(self):
        self.assertEqual(self.run_lint(CLEAN), (0, "promlint: 0 problems\n", ""))

    def test_what_is_allowed_passes(self):
        self.assertEqual(self.run_lint(CLEAN + COMPAT), (0, "promlint: 0 problems\n", ""))

    def test_anything_else_is_a_finding(self):
        page = COMPAT + "# TYPE pg_stat_database_age_days gauge\npg_stat_database_age_days 1\n"
        code, out, _ = self.run_lint(page)
        self.assertEqual(code, 1)
        self.assertEqual(out, "pg_stat_database_age_days: no help text\n"
                         'pg_stat_database_age_days: use base unit "seconds" instead of "days"\n'
                         "promlint: 2 problems\n")

    def test_the_list_can_be_printed(self):
        self.assertEqual(self.run_lint(COMPAT, "--print"), (
            0, 'pg_stat_database_xact_commit: counter metrics should have "_total" suffix\n', ""))

    def test_a_page_that_prometheus_would_refuse_fails(self):
        for page, words in (
            ("", "the page is empty"),
            ("\n", "the page is empty"),
            ("pg_up{server=hub} 1\n", "expected '\"' at start of label value"),
            (CLEAN + CLEAN, 'second HELP line for metric name "pg_up"'),
        ):
            code, out, _ = self.run_lint(page)
            self.assertEqual((code, out.splitlines()[-1]), (1, "promlint: 1 problems"), page)
            self.assertIn(words, out)

    def test_an_entry_without_a_reason_is_refused(self):
        code, _, err = self.run_lint(CLEAN, allowed="pg_up: no help text\n")
        self.assertEqual(code, 1)
        self.assertIn(":1: expected: metric: finding # reason", err)


if __name__ == "__main__":
    unittest.main()
