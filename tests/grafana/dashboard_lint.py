"""What a dashboard of ours must be: the rules of Grafana's dashboard-linter and our own."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import panels  # noqa: E402

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = [("datasource", "Data source"), ("job", "Job"), ("instance", "Instance"),
             ("server", "Server")]
# About the daemon or the alerts, not about a server: no label `server` to select by.
WITHOUT_SERVER = re.compile(r"up|ALERTS|process_.*|pgsteward_build_info|pgsteward_config_.*|"
                            r"pgsteward_log_.*|pgsteward_http_.*")
UNITS = {"none", "short", "s", "bytes", "percentunit", "ops", "rps", "wps", "opm", "wpm",
         "dateTimeFromNow"}
FIXED_WINDOWS = {"5m", "10m"}  # allowed in stats: a number of the last minutes, whatever the range

SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
RANGED = re.compile(r"\b(\w+)\s*\(\s*[^()]*\[([^\]]+)\]")
RATES = {"rate", "irate", "increase"}


def check_expression(expr, kind):
    found = SELECTOR.findall(expr)
    if not found:
        yield "no selector"
    for metric, matchers in found:
        wanted = ['job=~"$job"', 'instance=~"$instance"']
        if not WITHOUT_SERVER.fullmatch(metric):
            wanted.append('server=~"$server"')
        for matcher in wanted:
            if matcher not in matchers.split(","):
                yield f"{metric} without {matcher}"
    # A metric's name that no selector follows.
    rest = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", expr)
    rest = re.sub(r'"[^"]*"', '""', SELECTOR.sub("", rest))
    for name in re.findall(r"\b((?:pg|hub|pgsteward|process)_\w+)", rest):
        yield f"{name} without a selector"
    for function, window in RANGED.findall(expr):
        if window == "$__rate_interval":
            if function not in RATES:
                yield f"$__rate_interval in {function}()"
        elif kind != "stat" or window not in FIXED_WINDOWS:
            yield f"{function}() over {window} instead of $__rate_interval"
    for metric, _ in found:
        if metric.endswith("_total") and not re.search(
                rf"\b(?:{'|'.join(RATES)})\(\s*{metric}\{{", expr):
            yield f"{metric} is a counter outside of rate()"


def check_panel(panel):
    defaults = panel["fieldConfig"]["defaults"]
    if not panel.get("title"):
        yield "no title"
    if not panel.get("description"):
        yield "no description"
    if panel.get("datasource") != DATASOURCE:
        yield "data source is not the variable"
    if defaults.get("unit") not in UNITS:
        yield f"unit {defaults.get('unit')}"
    steps = defaults.get("thresholds", {}).get("steps", [])
    if not steps or any(step["color"] == "red" and step["value"] == 80 for step in steps):
        yield "thresholds missing or Grafana's default"
    if not defaults.get("noValue"):
        yield "no text for missing data"
    if panel["type"] == "stat" and panel["options"]["colorMode"] == "background":
        if steps[0]["color"] in ("green", "orange"):
            yield f"missing data would be {steps[0]['color']}"
    if not panel.get("targets"):
        yield "no target"
    for target in panel.get("targets", []):
        if target.get("datasource") != DATASOURCE:
            yield f"{target['refId']}: data source is not the variable"
        for message in check_expression(target["expr"], panel["type"]):
            yield f"{target['refId']}: {message}"


def check_layout(shown):
    cells = {}
    for panel in shown:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']}: wider than the page"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if cells.setdefault((x, y), panel["title"]) != panel["title"]:
                    yield f"{panel['title']}: overlaps {cells[x, y]}"
                    return


def check_dashboard(dashboard):
    fixed = {"id": None, "editable": False, "schemaVersion": 39, "timezone": "browser",
             "graphTooltip": 1, "version": 1}
    for key, value in fixed.items():
        if dashboard.get(key, "missing") != value:
            yield f"{key} is not {value}"
    if not re.fullmatch(r"pgsteward-[a-z0-9-]{1,30}", dashboard["uid"]):
        yield f"uid {dashboard['uid']}"
    if dashboard["tags"] != ["pgsteward", "postgresql"]:
        yield "tags"
    if "__inputs" in dashboard or "${DS_" in str(dashboard):
        yield "__inputs do not work with provisioning"
    variables = dashboard["templating"]["list"]
    if [(v["name"], v["label"]) for v in variables[:4]] != VARIABLES:
        yield "variables are not datasource, job, instance, server"
    for variable in variables[1:]:
        if variable["type"] != "query":
            continue
        wanted = {"refresh": 2, "multi": True, "includeAll": True, "allValue": ".+",
                  "datasource": DATASOURCE}
        for key, value in wanted.items():
            if variable.get(key) != value:
                yield f"variable {variable['name']}: {key} is not {value}"
    for annotation in dashboard["annotations"]["list"]:
        if annotation.get("builtIn"):
            continue
        if annotation["datasource"] != DATASOURCE:
            yield f"annotation {annotation['name']}: data source is not the variable"
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        yield "panel ids are not unique"
    yield from check_layout(dashboard["panels"])
    for panel in panels.all_panels(dashboard):
        for message in check_panel(panel):
            yield f"{panel.get('title') or panel['id']}: {message}"


def expressions(dashboard):
    """All queries as Prometheus would get them."""
    _, values = panels.builtins(3 * 3600)
    values.update({name: ".+" for name, _ in VARIABLES})
    for panel in panels.all_panels(dashboard):
        for target in panel["targets"]:
            yield panels.substitute(target["expr"], values)
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield panels.substitute(annotation["expr"], values)
