"""panels.py against a Prometheus of canned answers: exact output, and every way to fail."""

import http.server
import json
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse
from pathlib import Path

HERE = Path(__file__).resolve().parent


class FakePrometheus(http.server.BaseHTTPRequestHandler):
    queries = []

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parameters = dict(urllib.parse.parse_qsl(url.query))
        path = url.path.removeprefix("/api/v1/")
        status, body = 200, {"data": {"result": []}}
        if path.startswith("label/"):
            self.queries.append((path, parameters["match[]"]))
            body = {"data": [] if "empty" in self.path else ["a", "b.c"]}
        else:
            expr = parameters["query"]
            self.queries.append((path, expr))
            if "bad" in expr:
                status, body = 400, {"error": "parse error"}
            elif "empty" not in expr:
                value = "NaN" if "nan" in expr else "1"
                key, sample = ("value", [1, value]) if path == "query" else ("values", [[1, value]])
                body = {"data": {"result": [{"metric": {}, key: sample}]}}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args):
        pass


def variable(name, query, **more):
    return {"name": name, "type": "query", "query": {"query": query}, **more}


def panel(title, *targets):
    return {"type": "stat", "title": title, "targets": [
        {"refId": chr(65 + i), **target} for i, target in enumerate(targets)]}


class Panels(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakePrometheus)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        FakePrometheus.queries = []
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_panels(self, panels, variables=(), allowed=""):
        dashboard = {"uid": "u", "title": "T", "panels": panels,
                     "templating": {"list": [{"name": "datasource", "type": "datasource"},
                                             *variables]},
                     "annotations": {"list": [{"name": "builtin"},
                                              {"name": "n", "expr": "empty_annotation"}]}}
        (self.folder / "d.json").write_text(json.dumps(dashboard))
        (self.folder / "allowed").write_text(allowed)
        url = f"http://127.0.0.1:{self.server.server_port}/"
        done = subprocess.run(
            [sys.executable, HERE / "panels.py", url, self.folder / "d.json", "--range", "1h",
             "--allowed", self.folder / "allowed"], capture_output=True, text=True, check=False)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def test_variables_are_put_into_queries_and_all_panels_are_asked(self):
        variables = [variable("job", "label_values(up, job)", allValue=".+"),
                     variable("server", 'label_values(pg_up{job=~"$job"}, server)')]
        panels = [
            panel("One", {"expr": 'x{job=~"$job",server=~"${server:regex}"}', "instant": True}),
            {"type": "row", "title": "Closed", "panels": [
                panel("Two", {"expr": "rate(y[$__rate_interval])"},
                      {"expr": 'label_replace(z, "a", "$1", "b", "(.*)")'})]},
        ]
        self.assertEqual(self.run_panels(panels, variables), (0, """\
ok      T | variable job | a, b.c
ok      T | variable server | a, b.c
ok      T | One | A | 1 series
ok      T | Two | A | 1 series
ok      T | Two | B | 1 series
empty   T | annotation n | empty_annotation
panels: all have data
"""))
        self.assertEqual(FakePrometheus.queries, [
            ("label/job/values", "up"),
            ("label/server/values", 'pg_up{job=~".+"}'),
            ("query", 'x{job=~".+",server=~"a|b\\.c"}'),
            ("query_range", "rate(y[60s])"),
            ("query_range", 'label_replace(z, "a", "$1", "b", "(.*)")'),
            ("query_range", "empty_annotation"),
        ])

    def test_no_data_no_number_errors_and_unknown_variables_fail(self):
        panels = [panel("P", {"expr": "empty"}, {"expr": "nan", "instant": True}, {"expr": "bad"},
                        {"expr": "x{a=~\"$nobody\"}"})]
        variables = [variable("job", "label_values(empty, job)")]
        self.assertEqual(self.run_panels(panels, variables), (1, """\
EMPTY   T | variable job | label_values(empty, job)
EMPTY   T | P | A | empty
EMPTY   T | P | B | nan
FAILED  T | P | C | bad: parse error
FAILED  T | P | D | x{a=~"$nobody"}: unknown variable $nobody
empty   T | annotation n | empty_annotation
panels: 5 without data or failing
"""))

    def test_a_panel_may_be_allowed_to_be_empty_but_not_to_fail(self):
        allowed = "# comment\nu | P # good when empty\nu | Gone # was renamed\nother | Q # not here\n"
        panels = [panel("P", {"expr": "empty"}, {"expr": "bad"})]
        self.assertEqual(self.run_panels(panels, allowed=allowed), (1, """\
empty   T | P | A | empty
FAILED  T | P | B | bad: parse error
empty   T | annotation n | empty_annotation
FAILED  T | Gone | allowed to be empty, but there is no such panel
panels: 2 without data or failing
"""))


if __name__ == "__main__":
    unittest.main()
