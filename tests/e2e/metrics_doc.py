#!/usr/bin/env python3
"""docs/metrics.md from the running program: every collector is run once against a server with the
hub's schema, and what it exports is written down. --check compares instead (a test)."""

import argparse
import difflib
import pathlib
import re
import sys

import handmade_backup
import support

DOCUMENT = support.ROOT / "docs/metrics.md"
# Families that are as many as the server has settings: shown as one row.
PATTERN = {"settings": ("pg_settings_*", "gauge", "The settings that are a number or a switch, in base "
                        "units: `_seconds`, `_bytes`; on is 1. One metric per setting.")}
# Rows of these exist only while something happens on the server: no test server shows them.
ONLY_SOMETIMES = {
    "replication_slots": "only with replication slots",
    "stat_progress_vacuum": "only while a VACUUM runs",
    "stat_replication": "only with standbys",
}
OF_JOBS = ("pgsteward_job", "pgsteward_scheduler")
OF_BACKUPS = ("pgsteward_backup",)
# One that is held at a gate and overlaps, one that must not begin, and one that waits for a person: so
# that every label is seen.
JOBS = """jobs:
  session_cleanup: {enabled: true, confirm: false, schedule: every 1s, deadline: 2s,
                    throttle_query: SELECT true}
  vacuum_analyze: {enabled: true, schedule: every 1s, blackout: ["00:00-24:00"]}
  orphan_purge: {schedule: manual}
"""
BACKUPS = """  backup: {{enabled: true, schedule: manual, target: {target}, recipients: [{recipients}],
           offsite_remote: "s3:pg"}}
"""
HEAD = """# Metrics

Written by `tests/e2e/metrics_doc.py` from a running pgsteward, and checked by a test: change the HELP
texts in the collectors, not here.

Every series about a server has the label `server`, the name in the configuration. A collector's
series vanish when it has not succeeded for three intervals. Names that begin with `pg_` have
postgres_exporter's names, types and labels where the meaning is the same; some of them break
Prometheus' naming rules and are kept for your dashboards' sake.
"""


def families(page):
    """{name: (type, help, label names)} of a text page."""
    found = {}
    for line in page.splitlines():
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            found[name] = ["", text, set()]
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            found[name][0] = kind
        elif line:
            name = re.match(r"[a-zA-Z0-9_]+", line).group()
            found[name][2].update(re.findall(r'[{,]([a-zA-Z0-9_]+)="', line))
    return found


def rows(found):
    for name, (kind, text, labels) in sorted(found.items()):
        shown = ", ".join(f"`{label}`" for label in sorted(labels - {"server"}))
        yield f"| `{name}` | {kind} | {shown} | {text} |"


def job_families(daemon):
    """Of several pages: some rows are there only while a job is held."""
    source = (support.ROOT / "jobs/runner/job_metrics.cc").read_text()
    wanted = set(re.findall(rf'"((?:{"|".join(OF_JOBS)})\w+)"', source))
    found = {}

    def complete():
        for name, (kind, text, labels) in families(daemon.page()).items():
            if name.startswith(OF_JOBS):
                found.setdefault(name, (kind, text, set()))[2].update(labels)
        return wanted <= found.keys()

    try:
        support.wait_until(complete, 60, "each metric of jobs has a row")
    except AssertionError:
        raise SystemExit(f"no row of {sorted(wanted - found.keys())}")
    return found


def make_backups(folder, system_identifier):
    """A target with one proven backup; the job that looks after it."""
    target = folder / "target"
    backup = target / "hub" / handmade_backup.backup_id(1)
    backup.mkdir(parents=True)
    (target / "PGSTEWARD-BACKUPS").write_text(handmade_backup.SENTINEL)
    (backup / "manifest.json").write_text(handmade_backup.manifest(1, system_identifier))
    return BACKUPS.format(target=target, recipients=", ".join(handmade_backup.RECIPIENTS))


def table(lines):
    return "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *lines]) + "\n"


def write(folder):
    (folder / "pg").mkdir()
    postgres = support.Postgres(folder / "pg", settings=["shared_preload_libraries="])
    postgres.start()
    postgres.create_hub("hub")
    postgres.psql((support.ROOT / "tests/schema/seed_small.sql").read_text(), "hub")
    postgres.psql("VACUUM ANALYZE; SELECT pg_create_physical_replication_slot('doc', true)", "hub")
    config = folder / "once.yaml"
    config.write_text(f'servers:\n  - name: hub\n    conninfo: "{postgres.conninfo("hub")}"\n')
    listed = support.run("collectors")[1].splitlines()
    header, listed = listed[0], listed[1:]
    reads_at = header.index("READS")
    sections = []
    with_one = families(support.run("metrics", "--config", config, "--collector", "static")[1])
    common = {name for name in with_one if name != "pg_static"}
    for line in listed:
        name, interval, timeout, scope = line.split()[:4]
        code, page, err = support.run("metrics", "--config", config, "--collector", name)
        if code:
            raise SystemExit(f"collector {name}: {err}")
        own = {n: f for n, f in families(page).items() if n not in common}
        lines = list(rows(own))
        if name in PATTERN:
            metric, kind, text = PATTERN[name]
            lines = [f"| `{metric}` | {kind} |  | {text} |"]
        if not lines and name in ONLY_SOMETIMES:
            lines = [f"|  |  |  | {ONLY_SOMETIMES[name]} |"]
        if not lines:
            raise SystemExit(f"collector {name} exported nothing")
        sections.append(f"\n## {name}\n\nReads {line[reads_at:].strip()}. Every {interval}, timeout "
                        f"{timeout}, once per {'database' if scope == 'database' else 'server'}.\n\n"
                        + table(lines))
    backup = make_backups(folder, postgres.psql("SELECT system_identifier FROM pg_control_system()"))
    daemon = support.Daemon(
        folder, config.read_text() + f"jobs_state_directory: {folder}\n" + JOBS + backup)
    support.wait_until(lambda: "pg_scrape_collector_success" in daemon.page(), 15, "collectors ran")
    jobs = job_families(daemon)
    support.wait_until(lambda: "pgsteward_backup_target_available" in daemon.page(), 15,
                       "backups were looked at")
    backups = {n: f for n, f in families(daemon.page()).items() if n.startswith(OF_BACKUPS)}
    collected = set()
    for line in listed:
        page = support.run("metrics", "--config", config, "--collector", line.split()[0])[1]
        collected |= {n for n in families(page) if n not in common}
    own = {n: f for n, f in families(daemon.page()).items()
           if n not in collected and not n.startswith(OF_JOBS + OF_BACKUPS)}
    daemon.stop()
    postgres.stop()
    sections.append("\n## jobs\n\nOf each server that has jobs in the configuration, see [jobs.md](jobs.md) "
                    "and [scheduling.md](scheduling.md).\n\n" + table(rows(jobs)))
    sections.append("\n## backups\n\nOf each job that takes backups and is switched on, read every minute, "
                    "also while the database is away; see [backups.md](backups.md).\n\n"
                    + table(rows(backups)))
    sections.append("\n## the daemon itself\n\n" + table(rows(own)))
    return HEAD + "".join(sections)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with support.temporary_folder() as folder:
        text = write(pathlib.Path(folder))
    if not options.check:
        DOCUMENT.write_text(text)
        return 0
    old = DOCUMENT.read_text() if DOCUMENT.exists() else ""
    difference = list(difflib.unified_diff(old.splitlines(), text.splitlines(), "docs/metrics.md",
                                           "the program", lineterm=""))
    print("\n".join(difference) or "docs/metrics.md says what the program exports")
    if difference:
        print("\nhint: Run tests/e2e/metrics_doc.py to write it anew.")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
