#!/usr/bin/env python3
"""pgsteward and postgres_exporter (Debian's package) side by side, on the same server in the same
run: latency of a scrape, CPU, memory, and what the server sees of being watched.

The server has the hub's database with sample data and a second database with 1,000 tables; both
sides measure both, every 15 s, and both are asked with gzip as Prometheus does. Scrapes of the two
alternate, so that a noisy machine is noisy for both. Prints the table of docs/performance.md."""

import argparse
import http.client
import os
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))
import support  # noqa: E402

DATABASE = "aio_creative_hub"
INTERVAL = 15
PEER = "prometheus-postgres-exporter"


def progress(text):
    print(text, file=sys.stderr, flush=True)


def make_databases(postgres, tables):
    postgres.create_hub(DATABASE)
    postgres.psql("CREATE DATABASE wide")
    postgres.psql("CREATE ROLE peer LOGIN IN ROLE pg_monitor")
    for name in ("roles.sql", "demo/sample_data.sql"):
        postgres.psql((support.ROOT / "schema" / name).read_text(), DATABASE)
    postgres.psql(f"""DO $$ BEGIN FOR i IN 1..{tables} LOOP
        EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, body text)', i);
        EXECUTE format('INSERT INTO t%s SELECT g, repeat(''x'', 50) FROM generate_series(1, 20) g', i);
        END LOOP; END $$""", "wide")
    for database in (DATABASE, "wide"):
        postgres.psql("VACUUM ANALYZE", database)


class Side:
    def __init__(self, name, process, port, application):
        self.name, self.process, self.port = name, process, port
        self.application = application  # as the server's log names its connections
        self.pid = process.child.pid
        self.latencies = []

    def scrape(self):
        """(seconds, body bytes on the wire) of one scrape over a fresh connection."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        reply = connection.getresponse()
        size = len(reply.read())
        seconds = time.perf_counter() - start
        connection.close()
        assert reply.status == 200, (self.name, reply.status)
        return seconds, size

    def series(self):
        page = support.http_get(f"http://127.0.0.1:{self.port}/metrics", timeout=30)[2]
        return [line.split(" ")[0] for line in page.splitlines() if line.startswith("pg_")]

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def start_peer(folder, postgres):
    port = support.free_port()
    # Two DSNs of one server make it answer 500 (duplicate series): it finds the second database
    # itself.
    names = f"postgresql://peer@127.0.0.1:{postgres.port}/{DATABASE}?sslmode=disable"
    queries = support.ROOT / "bench/peer_queries.yaml"
    process = support.Process([support.tool(PEER, PEER), f"--web.listen-address=127.0.0.1:{port}",
                               f"--extend.query-path={queries}", "--log.level=error",
                               "--auto-discover-databases",
                               "--exclude-databases=postgres,template0,template1"],
                              folder / "peer.log", env={**os.environ, "DATA_SOURCE_NAME": names})
    side = Side("postgres_exporter", process, port, "peer")

    def serves():
        try:
            return "pg_stat_user_tables_seq_scan" in support.http_get(
                f"http://127.0.0.1:{port}/metrics", timeout=30)[2]
        except OSError:
            return False
    support.wait_until(serves, 30, "the peer serves its tables")
    return side


def start_ours(folder, postgres, databases):
    names = [line.split()[0] for line in support.run("collectors")[1].splitlines()[1:]]
    every = "".join(f"  {n}: {{interval: {INTERVAL}s, timeout: 5s}}\n" for n in names)
    folder.mkdir()
    daemon = support.Daemon(folder, f"""servers:
  - name: hub
    conninfo: "host=127.0.0.1 port={postgres.port} dbname={DATABASE} user=pgsteward"
    databases: [{databases}]
collectors:
{every}""")
    support.wait_until(lambda: "pg_table_total_size_bytes" in daemon.page(), 30, "tables are measured")
    return daemon, Side("pgsteward", daemon.process, daemon.port, "pgsteward")


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def scrape_in_turn(sides, count):
    """CPU seconds that each side spent per scrape, besides filling its latencies."""
    for side in sides:
        side.scrape()  # warm up
    spent = {}
    for side in sides:
        side.latencies.clear()
        spent[side.name] = -side.cpu()
    for _ in range(count):
        for side in sides:
            side.latencies.append(side.scrape()[0])
    for side in sides:
        spent[side.name] += side.cpu()
    return {name: seconds / count for name, seconds in spent.items()}


def watch_quietly(sides, postgres, seconds):
    """Both scraped every 15 s for `seconds`: CPU per minute, and what the server's log counts."""
    log = postgres.folder / "postgres.log"
    offset = log.stat().st_size
    before = {side.name: side.cpu() for side in sides}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for side in sides:
            side.scrape()
        time.sleep(max(0, min(INTERVAL, end - time.monotonic())))
    result = {}
    with log.open(errors="replace") as lines:
        lines.seek(offset)
        text = lines.read()
    for side in sides:
        mine = [line for line in text.splitlines() if line.startswith(f"user={side.application} ")]
        # Simple statements are logged once, those with parameters when they are executed.
        statements = [x for x in mine if re.search(r" (statement|execute [^:]*): ", x)]
        connections = [x for x in mine if "connection authorized" in x]
        result[side.name] = {
            "cpu": (side.cpu() - before[side.name]) * 60 / seconds,
            "statements": len(statements) * 60 / seconds,
            "connections": len(connections) * 60 / seconds,
        }
    return result


def statements_by_scrapes(side, postgres, count):
    """How many more statements the server sees while pgsteward is scraped `count` times in a row."""
    log = postgres.folder / "postgres.log"

    def count_in(run):
        offset = log.stat().st_size
        start = time.monotonic()
        run()
        elapsed = time.monotonic() - start
        with log.open(errors="replace") as lines:
            lines.seek(offset)
            seen = [x for x in lines if x.startswith(f"user={side.application} ")]
        return len(seen), elapsed
    # Right after a round of collectors nothing is due for seconds.
    quiet = lambda: (log.stat().st_size, time.sleep(2))[0] == log.stat().st_size
    support.wait_until(quiet, 60, "a pause between two rounds of collectors")
    return count_in(lambda: [side.scrape() for _ in range(count)])[0]


def row(name, ours, peer, form, ratio=True):
    share = f"1/{peer / ours:.1f}" if ratio and ours > 0 and peer > ours else (
        f"{ours / peer:.2f}" if ratio and peer > 0 else "")
    print(f"| {name} | {form.format(ours)} | {form.format(peer)} | {share} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scrapes", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=120, help="of the quiet watch")
    parser.add_argument("--tables", type=int, default=1000)
    options = parser.parse_args()
    with support.temporary_folder() as name:
        folder = pathlib.Path(name)
        (folder / "pg").mkdir()
        postgres = support.Postgres(folder / "pg", settings=[
            "log_min_duration_statement=0", "log_connections=on", "log_line_prefix=user=%u ",
            "max_connections=200"])
        postgres.start()
        progress("making the databases")
        make_databases(postgres, options.tables)
        progress("hub database alone: memory")
        small, side = start_ours(folder / "small", postgres, "")
        for _ in range(50):
            side.scrape()
        time.sleep(INTERVAL + 2)
        hub_resident = side.resident()
        small.stop()

        progress("both databases, both sides")
        daemon, ours = start_ours(folder / "ours", postgres, "wide")
        peer = start_peer(folder, postgres)
        sides = [ours, peer]
        series = {s.name: len(s.series()) for s in sides}
        table_series = {s.name: sum("relname=" in x for x in s.series()) for s in sides}
        progress(f"{options.scrapes} scrapes in turn")
        per_scrape = scrape_in_turn(sides, options.scrapes)
        sizes = {s.name: s.scrape()[1] / 1024 for s in sides}
        progress(f"{options.seconds} s at one scrape per {INTERVAL} s")
        watched = watch_quietly(sides, postgres, options.seconds)
        by_scrapes = statements_by_scrapes(ours, postgres, 20)
        resident = {s.name: s.resident() for s in sides}
        daemon.stop()
        peer.process.stop()
        postgres.stop()

    a, b = ours.name, peer.name
    print(f"| hub database and {options.tables:,} tables | {a} | {b} | ratio |")
    print("|---|---:|---:|---:|")
    row("`pg_*` series", series[a], series[b], "{:,.0f}", ratio=False)
    row("of them about tables", table_series[a], table_series[b], "{:,.0f}", ratio=False)
    row("page, compressed (KiB)", sizes[a], sizes[b], "{:,.0f}", ratio=False)
    ms = {s.name: [x * 1000 for x in s.latencies] for s in sides}
    row("scrape p50 (ms)", statistics.median(ms[a]), statistics.median(ms[b]), "{:.2f}")
    row("scrape p99 (ms)", percentile(ms[a], 99), percentile(ms[b], 99), "{:.2f}")
    row("CPU per scrape (ms)", per_scrape[a] * 1000, per_scrape[b] * 1000, "{:.2f}")
    row("whole CPU per minute, collection included (ms)", watched[a]["cpu"] * 1000,
        watched[b]["cpu"] * 1000, "{:.0f}")
    row("statements per minute", watched[a]["statements"], watched[b]["statements"], "{:.0f}")
    row("connections per minute", watched[a]["connections"], watched[b]["connections"], "{:.0f}")
    row("resident memory (MiB)", resident[a], resident[b], "{:.1f}")
    print(f"\nOn the hub database alone {a} has {hub_resident:.1f} MiB resident. "
          f"20 scrapes in a row caused {by_scrapes} statements.")

    goals = {
        "scrape p50 at most 1/20": statistics.median(ms[a]) <= statistics.median(ms[b]) / 20,
        "scrape p99 at most 1/10": percentile(ms[a], 99) <= percentile(ms[b], 99) / 10,
        "at least as many series": series[a] >= series[b],
        "no statement caused by a scrape": by_scrapes == 0,
        "less than 20 MiB on the hub database": hub_resident < 20,
        "whole CPU at most half": watched[a]["cpu"] <= watched[b]["cpu"] / 2,
    }
    for goal, reached in goals.items():
        progress(f"{'reached' if reached else 'MISSED '}  {goal}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
