#!/usr/bin/env python3
"""The demo: a private PostgreSQL with the hub's schema and living data, pgsteward measuring it,
Prometheus scraping that. Without arguments it runs until Ctrl-C; --check verifies and ends."""

import argparse
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

import support

DATABASE = "aio_creative_hub"
DASHBOARDS = support.ROOT / "grafana/dashboards"


def say(text):
    print(text, flush=True)


class Step:
    """Progress: what is being done, then how long it took."""

    def __init__(self, text):
        self.text = text

    def __enter__(self):
        print(f"{self.text} ... ", end="", flush=True)
        self.start = time.monotonic()
        return self

    def __exit__(self, kind, value, trace):
        say("failed" if kind else f"ok ({time.monotonic() - self.start:.1f} s)")


class Life(threading.Thread):
    """Users at work: a round of schema/demo/life.sql every second, on one connection's worth of
    psql each, until stopped."""

    def __init__(self, postgres, pause=1.0):
        super().__init__(daemon=True)
        self.postgres, self.pause = postgres, pause
        self.round = (support.ROOT / "schema/demo/life.sql").read_text()
        self.ended = threading.Event()
        self.rounds = 0

    def run(self):
        while not self.ended.is_set():
            try:
                self.postgres.psql(self.round, DATABASE)
                self.rounds += 1
            except AssertionError:
                pass  # the check stops the server for a moment
            self.ended.wait(self.pause)

    def stop(self):
        self.ended.set()
        self.join(30)


def script(name, *arguments):
    """Exit code and output of a script beside this one."""
    done = subprocess.run([sys.executable, pathlib.Path(__file__).with_name(name), *arguments],
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def prometheus_config(folder, daemon):
    """Scrapes every second: the demo should show lines soon."""
    rules = support.ROOT / "grafana/prometheus/pgsteward.rules.yml"
    path = folder / "prometheus.yml"
    path.write_text(f"""global: {{scrape_interval: 1s, evaluation_interval: 5s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: pgsteward
    static_configs: [{{targets: ["127.0.0.1:{daemon.port}"]}}]
""")
    return path


class Demo:
    def __init__(self, folder, interval):
        self.folder = pathlib.Path(folder)
        self.interval = interval
        (self.folder / "pg").mkdir()
        self.started = []  # what has a stop(), in the order of starting

    def start(self):
        with Step("private PostgreSQL"):
            self.postgres = support.Postgres(self.folder / "pg")
            self.postgres.start()
            self.started.append(self.postgres)
        with Step("hub schema"):
            self.postgres.create_hub(DATABASE)
            for roles in ("schema/roles.sql", "schema/job_roles.sql"):
                self.postgres.psql((support.ROOT / roles).read_text(), DATABASE)
        with Step("sample data"):
            self.postgres.psql((support.ROOT / "schema/demo/sample_data.sql").read_text(), DATABASE)
            self.postgres.psql("VACUUM ANALYZE", DATABASE)
        with Step("pgsteward"):
            self.daemon = support.Daemon(self.folder, self.config())
            self.started.append(self.daemon)
        with Step("life in the database"):
            self.life = Life(self.postgres)
            self.life.start()
            self.started.append(self.life)
        with Step("Prometheus"):
            self.prometheus_port = support.free_port()
            self.prometheus = support.Process(
                [support.tool("prometheus", "prometheus"),
                 f"--config.file={prometheus_config(self.folder, self.daemon)}",
                 f"--storage.tsdb.path={self.folder}/prometheus-data",
                 f"--web.listen-address=127.0.0.1:{self.prometheus_port}"],
                self.folder / "prometheus.log")
            self.started.append(self.prometheus)
            support.wait_until(self.target_up, 60, "Prometheus scrapes pgsteward")

    def config(self):
        conninfo = self.postgres.conninfo(DATABASE, "pgsteward")
        # The hub's numbers are counted more often than by default: somebody is looking.
        slow = "".join(f"  {name}: {{interval: {self.interval}s, timeout: {self.interval}s}}\n"
                       for name in ("active_users", "tool_uses", "table_size", "schema_drift"))
        return f"""servers:
  - name: hub
    conninfo: "{conninfo}"
    jobs_conninfo: "{self.postgres.conninfo(DATABASE, "pgsteward_jobs")}"
jobs_state_directory: {self.folder}
jobs:
  message_archive: {{enabled: true, confirm: false, schedule: every 10s}}
  session_cleanup: {{enabled: true, confirm: false, schedule: every 10s}}
collectors:
{slow}"""

    def ask_prometheus(self, path, **arguments):
        url = f"http://127.0.0.1:{self.prometheus_port}/api/v1/{path}"
        if arguments:
            url += "?" + urllib.parse.urlencode(arguments)
        return json.loads(support.http_get(url)[2])["data"]

    def target_up(self):
        try:
            targets = self.ask_prometheus("targets")["activeTargets"]
        except (OSError, ValueError):
            return False
        return bool(targets) and all(t["health"] == "up" for t in targets)

    def stop(self):
        """Newest first; the exit code of pgsteward."""
        code = 0
        for thing in reversed(self.started):
            result = thing.stop()
            if thing is getattr(self, "daemon", None):
                code = result
        return code

    def addresses(self):
        say(f"""
  metrics      {self.daemon.url()}
  status       {self.daemon.url("/")}
  prometheus   http://127.0.0.1:{self.prometheus_port}/graph?g0.expr=hub_tool_uses
  database     psql "{self.postgres.conninfo(DATABASE)}"
  lock tree    {support.binary()} locks --config {self.daemon.config}
  logs         {self.folder}
""")


def check(demo):
    """Raises at the first thing that is not as it must be."""
    daemon, postgres = demo.daemon, demo.postgres

    with Step("every collector succeeds"):
        def failing():
            return {s: v for s, v in daemon.samples().items()
                    if s.startswith("pg_scrape_collector_success") and v != 1}
        support.wait_until(lambda: "pg_scrape_collector_success" in daemon.page(), 15, "collectors ran")
        support.wait_until(lambda: not failing(), 15, "no collector fails")

    with Step("numbers are the database's"):
        found = daemon.samples()
        assert found['pg_up{server="hub"}'] == 1
        counts = {
            "tool_uses": ("SELECT count(*) FROM tools_usage", "hub_tool_uses"),
            "active_users": ("SELECT count(DISTINCT user_id) FROM messages WHERE created_at >="
                             " CURRENT_DATE - interval '7 days'",
                             'hub_active_users{server="hub",window="7d"}'),
        }
        for collector, (sql, series) in counts.items():
            # Between a count before the collection and one after it: users are at work.
            before, start = int(postgres.psql(sql, DATABASE)), time.time()
            stamp = ('pgsteward_collector_last_success_timestamp_seconds{server="hub",'
                     f'datname="{DATABASE}",collector="{collector}"}}')
            support.wait_until(lambda: daemon.samples().get(stamp, 0) > start + 1, 60, stamp)
            value = sum(v for s, v in daemon.samples().items() if s.startswith(series))
            after = int(postgres.psql(sql, DATABASE))
            assert 0 < before <= value <= after, (collector, before, value, after)
        drift = {v for s, v in found.items() if s.startswith("hub_schema_drift_objects")}
        assert drift == {0}, drift

    with Step("the database lives"):
        inserted = next(s for s in daemon.samples()
                        if s.startswith("pg_stat_user_tables_n_tup_ins") and '"messages"' in s)
        first = daemon.samples()[inserted]
        support.wait_until(lambda: daemon.samples()[inserted] > first, 90, "messages are written")

    with Step("jobs run on their schedule"):
        for job in ("message_archive", "session_cleanup"):
            ok = f'pgsteward_job_runs_total{{server="hub",job_name="{job}",status="ok"}}'
            support.wait_until(lambda: daemon.samples().get(ok, 0) > 0, 60, ok)
        old = "SELECT count(*) FROM messages WHERE created_at < now() - interval '1 year 2 days'"
        archived = int(postgres.psql("SELECT count(*) FROM messages_archive", DATABASE))
        assert int(postgres.psql(old, DATABASE)) == 0 < archived, archived

    with Step("schema check and status"):
        for command in ("check", "status"):
            code, out, err = support.run("schema", command, "--config", daemon.config)
            assert code == 0, out + err

    with Step("page passes promtool"):
        code, output = script("promlint.py", daemon.url())
        assert code == 0, output

    with Step("every panel of the dashboards has data"):
        url = f"http://127.0.0.1:{demo.prometheus_port}"
        dashboards = sorted(map(str, DASHBOARDS.glob("*.json")))
        try:
            support.wait_until(lambda: script("panels.py", url, *dashboards)[0] == 0, 120,
                               "no panel is empty")
        except AssertionError:
            say(script("panels.py", url, *dashboards)[1])
            raise

    with Step("PostgreSQL away: the daemon says so and stays"):
        demo.life.ended.set()
        postgres.stop()
        daemon.wait_sample('pg_up{server="hub"}', 0, 60)
        daemon.wait_sample('pgsteward_server_state{server="hub",state="unreachable"}', 1, 60)
        assert support.http_get(daemon.url("/-/ready"))[0] == 200
    with Step("PostgreSQL back: measured again"):
        postgres.start()
        daemon.wait_sample('pg_up{server="hub"}', 1, 60)
        support.wait_until(lambda: not failing(), 60, "no collector fails")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="verify unattended and end")
    options = parser.parse_args()
    code = 0
    # A polite kill ends everything that was started, like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with support.temporary_folder() as folder:
        demo = Demo(folder, interval=5)
        try:
            demo.start()
            demo.addresses()
            if options.check:
                check(demo)
            else:
                say("Ctrl-C ends it and removes everything.")
                while demo.daemon.process.alive():
                    time.sleep(1)
                say(demo.daemon.process.log())
                code = 1
        except KeyboardInterrupt:
            say("")
            code = 1 if options.check else 0  # a check that was stopped has not succeeded
        except (AssertionError, SystemExit) as failure:
            say(f"FAILED: {failure}")
            if hasattr(demo, "daemon"):
                say(demo.daemon.process.log())
            code = 1
        if demo.stop() != 0:
            say("FAILED: pgsteward did not end with 0")
            code = 1
    if options.check:
        say("demo check: " + ("FAILED" if code else "ok"))
    return code


if __name__ == "__main__":
    sys.exit(main())
