#!/usr/bin/env python3
"""Asks a Prometheus what every panel of Grafana dashboards asks, and says which get no answer.

    panels.py PROMETHEUS_URL DASHBOARD.json... [--range 30m] [--allowed FILE]

One line for each variable, target and annotation. Exit 1 if a query fails, or if one without data
is not in the list of those that may be empty (default: panels_allowed.txt beside this file).
"""

import argparse
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

SCRAPE_INTERVAL = 15  # seconds; as in grafana/provisioning
WIDTH = 800  # points of a graph
ALLOWED = Path(__file__).with_name("panels_allowed.txt")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
REFERENCE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$([A-Za-z_]\w*)")
LABEL_VALUES = re.compile(r"label_values\(\s*(?:(?P<selector>.+?)\s*,)?\s*(?P<label>\w+)\s*\)")


class QueryError(Exception):
    pass


class Prometheus:
    def __init__(self, url):
        self.url = url.rstrip("/")

    def get(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(json.load(error).get("error", str(error))) from None

    def series(self, expr, instant, end, span, step):
        """How many series have at least one number."""
        if instant:
            result = self.get("query", query=expr, time=end)["result"]
        else:
            result = self.get("query_range", query=expr, start=end - span, end=end, step=step)[
                "result"
            ]
        count = 0
        for one in result:
            samples = one["values"] if "values" in one else [one["value"]]
            count += any(value != "NaN" for _, value in samples)
        return count


def seconds(text):
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"not a duration: {text}")
    return int(match[1]) * UNITS[match[2]]


def builtins(span):
    """Grafana's own variables, for a graph of the last `span` seconds."""
    step = max(SCRAPE_INTERVAL, span // WIDTH)
    rate = max(step + SCRAPE_INTERVAL, 4 * SCRAPE_INTERVAL)
    values = {"__interval": f"{step}s", "__rate_interval": f"{rate}s", "__range": f"{span}s"}
    return step, values


def substitute(text, values):
    def value(match):
        name = match[1] or match[2]
        if name not in values:
            raise QueryError(f"unknown variable ${name}")
        return values[name]

    return REFERENCE.sub(value, text)


def all_panels(dashboard):
    """Panels with queries, those of collapsed rows too."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def read_allowed(path):
    """{(uid, title)} of lines "uid | title  # why it may be empty"."""
    allowed = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        entry, _, reason = line.partition(" # ")
        if not line.strip() or line.startswith("#"):
            continue
        uid, _, title = (part.strip() for part in entry.partition("|"))
        if not (uid and title and reason.strip()):
            raise SystemExit(f"{path}:{number}: expected: uid | panel title # reason")
        allowed.add((uid, title))
    return allowed


class Check:
    def __init__(self, prometheus, dashboard, allowed, span, quiet):
        self.prometheus = prometheus
        self.quiet = quiet
        self.dashboard = dashboard
        self.allowed = allowed
        self.span = span
        self.end = time.time()
        self.step, self.values = builtins(span)
        self.failures = 0

    def report(self, verdict, where, what):
        if verdict in ("EMPTY", "FAILED"):
            self.failures += 1
        if not self.quiet:
            print(f"{verdict:<7} {self.dashboard['title']} | {where} | {what}")

    def variables(self):
        for variable in self.dashboard["templating"]["list"]:
            name = variable["name"]
            if variable["type"] == "datasource":
                self.values[name] = "prometheus"
                continue
            if variable["type"] != "query":
                self.values[name] = variable.get("current", {}).get("value", "")
                continue
            query = variable["query"]
            query = query["query"] if isinstance(query, dict) else query
            try:
                match = LABEL_VALUES.fullmatch(substitute(query, self.values))
                if not match:
                    raise QueryError("only label_values() is understood")
                parameters = {"match[]": match["selector"]} if match["selector"] else {}
                found = self.prometheus.get(
                    f"label/{match['label']}/values",
                    start=self.end - self.span, end=self.end, **parameters,
                )
            except QueryError as error:
                self.report("FAILED", f"variable {name}", f"{query}: {error}")
                continue
            self.values[name] = variable.get("allValue") or "|".join(map(re.escape, found))
            self.report("ok" if found else "EMPTY", f"variable {name}", ", ".join(found) or query)

    def query(self, where, expr, instant, may_be_empty):
        try:
            real = substitute(expr, self.values)
            count = self.prometheus.series(real, instant, self.end, self.span, self.step)
        except QueryError as error:
            self.report("FAILED", where, f"{expr}: {error}")
            return
        if count:
            self.report("ok", where, f"{count} series")
        else:
            self.report("empty" if may_be_empty else "EMPTY", where, real)

    def run(self):
        uid = self.dashboard["uid"]
        self.variables()
        titles = set()
        for panel in all_panels(self.dashboard):
            titles.add(panel["title"])
            for target in panel.get("targets", []):
                self.query(f"{panel['title']} | {target['refId']}", target["expr"],
                           target.get("instant", False), (uid, panel["title"]) in self.allowed)
        for annotation in self.dashboard["annotations"]["list"]:
            if "expr" in annotation:
                self.query(f"annotation {annotation['name']}", annotation["expr"], False, True)
        for allowed_uid, title in sorted(self.allowed):
            if allowed_uid == uid and title not in titles:
                self.report("FAILED", title, "allowed to be empty, but there is no such panel")
        return self.failures


def evaluate(url, dashboards, quiet=False, span=seconds("30m"), allowed=ALLOWED):
    """Whether every panel that must have data has some."""
    may_be_empty = read_allowed(allowed)
    failures = 0
    for path in dashboards:
        dashboard = json.loads(Path(path).read_text())
        failures += Check(Prometheus(url), dashboard, may_be_empty, span, quiet).run()
    if not quiet:
        print(f"panels: {failures} without data or failing" if failures else "panels: all have data")
    return failures == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("dashboards", nargs="+")
    parser.add_argument("--range", type=seconds, default=seconds("30m"))
    parser.add_argument("--allowed", type=Path, default=ALLOWED)
    options = parser.parse_args()
    good = evaluate(options.url, options.dashboards, span=options.range, allowed=options.allowed)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
