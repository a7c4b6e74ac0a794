"""Every dashboard obeys dashboard_lint.py and holds queries that Prometheus can parse."""

import copy
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

import dashboard_lint

FOLDER = Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))


def load(path):
    return json.loads(path.read_text())


def promtool_check(expressions):
    rules = {"groups": [{"name": "queries", "rules": [
        {"record": f"query:{n}", "expr": expr} for n, expr in enumerate(expressions)]}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(rules, file)  # JSON is YAML
        file.flush()
        return subprocess.run(["promtool", "check", "rules", "--lint=none", file.name],
                              capture_output=True, text=True, check=False)


class Dashboards(unittest.TestCase):
    maxDiff = None

    def test_there_are_some_with_their_own_uid(self):
        uids = [load(path)["uid"] for path in FILES]
        self.assertIn("pgsteward-hub-overview", uids)
        self.assertEqual(len(uids), len(set(uids)))

    def test_rules(self):
        for path in FILES:
            self.assertEqual(list(dashboard_lint.check_dashboard(load(path))), [], path.name)

    def test_queries_parse(self):
        for path in FILES:
            done = promtool_check(dashboard_lint.expressions(load(path)))
            self.assertEqual(done.returncode, 0, f"{path.name}: {done.stdout}{done.stderr}")
        self.assertNotEqual(promtool_check(["sum(pg_up{)"]).returncode, 0)


class Lint(unittest.TestCase):
    """Each rule fires on the overview with one thing spoilt."""

    def setUp(self):
        self.dashboard = copy.deepcopy(load(FOLDER / "hub-overview.json"))
        self.panel = next(p for p in self.dashboard["panels"] if p["title"] == "Blocked sessions")

    def messages(self):
        return list(dashboard_lint.check_dashboard(self.dashboard))

    def expect(self, *messages):
        self.assertEqual(self.messages(), list(messages))

    def spoil_expression(self, expr, *messages):
        self.panel["targets"][0]["expr"] = expr
        self.expect(*(f"Blocked sessions: A: {message}" for message in messages))

    def test_dashboard_settings(self):
        for key, value, message in (
            ("id", 7, "id is not None"), ("editable", True, "editable is not False"),
            ("schemaVersion", 41, "schemaVersion is not 39"),
            ("timezone", "utc", "timezone is not browser"), ("uid", "Hub", "uid Hub"),
            ("tags", [], "tags"), ("__inputs", [], "__inputs do not work with provisioning"),
        ):
            with self.subTest(key):
                self.setUp()
                self.dashboard[key] = value
                self.expect(message)

    def test_variables(self):
        variables = self.dashboard["templating"]["list"]
        variables[1]["refresh"] = 1
        variables[2]["allValue"] = None
        self.expect("variable job: refresh is not 2", "variable instance: allValue is not .+")
        variables.reverse()
        self.assertIn("variables are not datasource, job, instance, server", self.messages())

    def test_panel_settings(self):
        defaults = self.panel["fieldConfig"]["defaults"]
        for change, message in (
            (lambda: self.panel.update(description=""), "no description"),
            (lambda: self.panel.update(datasource={"uid": "x"}), "data source is not the variable"),
            (lambda: self.panel.update(targets=[]), "no target"),
            (lambda: defaults.update(unit="percent"), "unit percent"),
            (lambda: defaults.update(noValue=""), "no text for missing data"),
            (lambda: defaults["thresholds"]["steps"].append({"color": "red", "value": 80}),
             "thresholds missing or Grafana's default"),
            (lambda: defaults["thresholds"]["steps"][0].update(color="green"),
             "missing data would be green"),
        ):
            with self.subTest(message):
                self.setUp()
                defaults = self.panel["fieldConfig"]["defaults"]
                change()
                self.expect(f"Blocked sessions: {message}")

    def test_layout(self):
        self.panel["gridPos"]["x"] = 22
        self.assertEqual(self.messages()[0], "Blocked sessions: wider than the page")
        self.panel["gridPos"]["x"] = 13
        self.expect("Blocked sessions: overlaps Connections used")
        self.panel["id"] = 1
        self.assertIn("panel ids are not unique", self.messages())

    def test_selectors(self):
        all_of_it = 'job=~"$job",instance=~"$instance",server=~"$server"'
        self.spoil_expression("sum(pg_blocked_sessions)", "no selector",
                              "pg_blocked_sessions without a selector")
        self.spoil_expression('sum(pg_blocked_sessions{job=~"$job",server="a"})',
                              'pg_blocked_sessions without instance=~"$instance"',
                              'pg_blocked_sessions without server=~"$server"')
        self.spoil_expression(f"a{{{all_of_it}}} / on (pg_x) pg_y", "pg_y without a selector")
        self.spoil_expression('process_open_fds{job=~"$job",instance=~"$instance"}')

    def test_windows_and_counters(self):
        all_of_it = 'job=~"$job",instance=~"$instance",server=~"$server"'
        self.spoil_expression(f"rate(pg_x_total{{{all_of_it}}}[$__rate_interval])")
        self.spoil_expression(f"rate(pg_x_total{{{all_of_it}}}[10m])")
        self.spoil_expression(f"rate(pg_x_total{{{all_of_it}}}[7m])",
                              "rate() over 7m instead of $__rate_interval")
        self.spoil_expression(f"delta(pg_x{{{all_of_it}}}[$__rate_interval])",
                              "$__rate_interval in delta()")
        self.spoil_expression(f"sum(pg_x_total{{{all_of_it}}})",
                              "pg_x_total is a counter outside of rate()")


if __name__ == "__main__":
    unittest.main()
