"""The alert rules: promtool's own tests, and a runbook for each alert and no other."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "grafana" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
# Those that read the service's configuration or log in as its role, and the one for the owner.
COMMAND = re.compile(
    r"\bpgsteward (locks|check-config|metrics(?= --)|schema (?:apply|check|status)|"
    r"backup (?:list|show|expire|keep|unkeep|run|verify)|"
    r"job (?:history|list|run(?= \S+ --dry-run)|show|why-not))")


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stdout + done.stderr


class Alerts(unittest.TestCase):
    def setUp(self):
        self.text = (FOLDER / "pgsteward.rules.yml").read_text()
        self.alerts = re.findall(r"^  - alert: (\w+)$", self.text, re.M)
        self.assertGreater(len(self.alerts), 10)

    def test_rules_are_valid(self):
        code, text = promtool("check", "rules", "--lint=all", "--lint-fatal", "pgsteward.rules.yml")
        self.assertEqual(code, 0, text)

    def test_rules_do_what_they_say(self):
        code, text = promtool("test", "rules", "pgsteward.rules.test.yml")
        self.assertEqual(code, 0, text)

    def test_every_alert_is_tested_when_it_fires(self):
        tests = (FOLDER / "pgsteward.rules.test.yml").read_text()
        fires = re.findall(r"alertname: (\w+)\n    exp_alerts:\n    - ", tests)
        self.assertEqual(set(self.alerts) - set(fires), set())

    def test_the_example_of_a_configuration_is_valid(self):
        code, text = promtool("check", "config", "prometheus.yml")
        self.assertEqual(code, 0, text)

    def test_every_rule_has_severity_and_texts(self):
        rules = self.text.split("  - alert: ")[1:]
        self.assertEqual(len(rules), len(self.alerts))
        for name, rule in zip(self.alerts, rules):
            self.assertRegex(rule, r"labels: \{severity: (critical|warning|info)\}", name)
            self.assertRegex(rule, r"summary: [A-Z].*\.\n", name)
            self.assertRegex(rule, r"description: '.*Next: .*'\n", name)
            self.assertIn(f"runbook_url: file:///usr/share/doc/pgsteward/runbooks/{name}.md\n", rule)

    def test_every_alert_has_a_runbook_and_every_runbook_an_alert(self):
        self.assertEqual({path.stem for path in RUNBOOKS.glob("*.md")}, set(self.alerts))

    def test_commands_run_as_the_user_who_may(self):
        texts = {path.name: path.read_text() for path in RUNBOOKS.glob("*.md")}
        texts["pgsteward.rules.yml"] = self.text
        seen = 0
        for name, text in texts.items():
            for line in text.splitlines():
                for match in COMMAND.finditer(line):
                    before, after = line[:match.start()], line[match.end():]
                    if match[1] == "schema apply":
                        self.assertTrue(after.startswith(" --dsn "), f"{name}: {line}")
                    else:
                        self.assertRegex(before, "sudo -u pgsteward $", f"{name}: {line}")
                    seen += 1
        self.assertGreater(seen, 15)

    def test_runbooks_have_all_parts_and_no_dead_links(self):
        for path in RUNBOOKS.glob("*.md"):
            text = path.read_text()
            self.assertEqual(text.splitlines()[0], f"# {path.stem}")
            self.assertEqual(re.findall(r"^## .*$", text, re.M), HEADINGS, path.name)
            for part in re.split(r"^## .*$", text, flags=re.M)[1:]:
                self.assertGreater(len(part.strip()), 40, path.name)
            for link in re.findall(r"\]\(([^)]+)\)", text):
                self.assertTrue((RUNBOOKS / link).exists(), f"{path.name}: {link}")


if __name__ == "__main__":
    unittest.main()
