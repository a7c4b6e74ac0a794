#!/usr/bin/env python3
"""The document's archiving of old messages against the job message_archive, on the same data, while an
application writes: how long it takes, what it writes, and what the application feels of it.

Every variant gets a fresh copy of one hub (3,000 chats, 300,000 old messages in all of them, all
indexes of the schema). The application writes a message into a random chat 40 times a second; its
latency counts from the moment at which it was due, so that queueing behind a lock is seen. Prints the
tables of docs/performance.md.

The second table shows whether the cost of a row grows with their number, without an application."""

import argparse
import pathlib
import re
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))
import support  # noqa: E402

RATE = 40
DOCUMENT = """BEGIN;
INSERT INTO messages_archive (id, session_id, user_id, content, is_from_user, metadata, created_at)
    SELECT id, session_id, user_id, content, is_from_user, metadata, created_at FROM messages
    WHERE created_at < CURRENT_DATE - INTERVAL '1 year';
DELETE FROM messages WHERE created_at < CURRENT_DATE - INTERVAL '1 year';
COMMIT"""
WRITE = """\\set chat random(1, {chats})
INSERT INTO messages (session_id, user_id, content)
    SELECT id, user_id, 'a message of the present' FROM chat_sessions
    WHERE id = ('00000000-0000-4000-8000-' || lpad(:chat::text, 12, '0'))::uuid;
"""


def progress(text):
    print(text, file=sys.stderr, flush=True)


def make_hub(postgres, name, rows, chats):
    postgres.create_hub(name)
    # The triggers would count every row by itself; the result is the same.
    postgres.psql(f"""
        SET session_replication_role = replica;
        INSERT INTO users (id, email, first_name, last_name)
            SELECT ('00000000-0000-4000-9000-' || lpad(u::text, 12, '0'))::uuid, u || '@example.org',
                   'User', 'U' || u FROM generate_series(1, 100) u;
        INSERT INTO chat_sessions (id, user_id, title, message_count, created_at, updated_at)
            SELECT ('00000000-0000-4000-8000-' || lpad(c::text, 12, '0'))::uuid,
                   ('00000000-0000-4000-9000-' || lpad((c % 100 + 1)::text, 12, '0'))::uuid,
                   'Chat ' || c, {rows} / {chats}, now() - interval '3 years',
                   now() - interval '1 year' FROM generate_series(1, {chats}) c;
        INSERT INTO messages (session_id, user_id, content, metadata, created_at)
            SELECT ('00000000-0000-4000-8000-' || lpad((m % {chats} + 1)::text, 12, '0'))::uuid,
                   ('00000000-0000-4000-9000-' || lpad((m % 100 + 1)::text, 12, '0'))::uuid,
                   'message ' || m || ' ' || md5(m::text) || ' about ' || md5((m * 7)::text),
                   jsonb_build_object('n', m),
                   now() - interval '1 year 2 days' - random() * interval '2 years'
            FROM generate_series(1, {rows}) m""", name)
    postgres.psql("VACUUM (ANALYZE)", name)


class Writers:
    """pgbench at a fixed rate; latencies in milliseconds, queueing included."""

    def __init__(self, postgres, folder, database, chats):
        self.folder = folder
        script = folder / "write.sql"
        script.write_text(WRITE.format(chats=chats))
        for old in folder.glob("latency*"):
            old.unlink()
        self.process = support.Process(
            [str(postgres.bin / "pgbench"), "-h", str(postgres.folder), "-p", str(postgres.port),
             "-U", "postgres", "-n", "-f", str(script), "-c", "8", "-j", "2", "-R", str(RATE),
             "-T", "3600", "-l", f"--log-prefix={folder}/latency", database], folder / "pgbench.log")

    def stop(self):
        # Transactions under way end first: pgbench writes its log line by line.
        self.process.stop(seconds=60) if self.process.alive() else None
        values = []
        for log in self.folder.glob("latency*"):
            for line in log.read_text().splitlines():
                fields = line.split()
                if len(fields) >= 6 and fields[2].isdigit():
                    values.append(int(fields[2]) / 1000)
        assert values, "the application wrote nothing: " + self.process.log()
        return values


def configuration(postgres, database, folder, mode):
    path = folder / f"{mode}.yaml"
    path.write_text(f"""servers:
  - name: hub
    conninfo: "host={postgres.folder} port={postgres.port} dbname={database} user=postgres"
jobs_state_directory: ""
jobs:
  message_archive:
    trigger_mode: {mode}
    confirm: false
""")
    return path


def archive_by_document(postgres, database, folder):
    postgres.psql(DOCUMENT, database)


def archive_by_job(mode):
    def run(postgres, database, folder):
        config = configuration(postgres, database, folder, mode)
        code, out, err = support.run("job", "run", "message_archive", "--config", config,
                                     timeout=3600)
        assert code == 0, out + err
    return run


def measure(postgres, folder, template, chats, archive, idle_seconds):
    """(seconds, MiB of WAL, latencies, KiB of chat_sessions) of one variant on a fresh copy."""
    postgres.psql("DROP DATABASE IF EXISTS bench")
    postgres.psql(f"CREATE DATABASE bench TEMPLATE {template}")
    postgres.psql("CHECKPOINT")
    writers = Writers(postgres, folder, "bench", chats)
    time.sleep(3)  # connected and warm
    before = postgres.psql("SELECT pg_current_wal_insert_lsn()")
    start = time.monotonic()
    if archive:
        archive(postgres, "bench", folder)
    else:
        time.sleep(idle_seconds)
    seconds = time.monotonic() - start
    wal = float(postgres.psql(f"SELECT pg_current_wal_insert_lsn() - '{before}'::pg_lsn"))
    time.sleep(1)  # what waited at the end is seen too
    latencies = writers.stop()
    size = float(postgres.psql("SELECT pg_relation_size('chat_sessions')", "bench"))
    left = int(postgres.psql("SELECT count(*) FROM messages WHERE created_at < current_date - "
                             "interval '1 year'", "bench"))
    assert left == 0 or not archive, f"{left} old messages are left"
    return seconds, wal / 2**20, latencies, size / 1024


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def print_row(name, result, job):
    seconds, wal, latencies, size = result
    print(f"| {name} | {f'{seconds:.1f}' if job else ''} | {f'{wal:.0f}' if job else ''} | "
          f"{statistics.median(latencies):.1f} | {percentile(latencies, 99):.1f} | "
          f"{max(latencies):.0f} | {size:,.0f} |", flush=True)


def growth(postgres, folder, sizes, chats):
    """Rows per second of the job by number of rows, guard mode, no application."""
    print("\n| old rows | seconds | rows/s | ms per 1,000 rows |\n|---:|---:|---:|---:|")
    costs = []
    for rows in sizes:
        progress(f"{rows:,} rows")
        make_hub(postgres, "large", rows, max(chats, rows // 100))
        config = configuration(postgres, "large", folder, "guard")
        code, out, err = support.run("job", "run", "message_archive", "--config", config,
                                     timeout=7200)
        assert code == 0, out + err
        seconds = float(postgres.psql("SELECT extract(epoch FROM finished_at - started_at) FROM "
                                      "pgsteward.job_run", "large"))
        costs.append(seconds * 1e6 / rows)
        print(f"| {rows:,} | {seconds:.1f} | {rows / seconds:,.0f} | {costs[-1]:.1f} |", flush=True)
        postgres.psql("DROP DATABASE large")
    return costs


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--chats", type=int, default=3_000)
    parser.add_argument("--idle", type=int, default=20, help="seconds of the application alone")
    parser.add_argument("--sizes", default="100000,1000000,5000000",
                        help="rows of the second table; empty: none")
    options = parser.parse_args()
    goals = {}
    with support.temporary_folder() as name:
        folder = pathlib.Path(name)
        (folder / "pg").mkdir()
        postgres = support.Postgres(folder / "pg", settings=[
            "shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=1h"])
        postgres.start()
        progress("making the hub")
        make_hub(postgres, "template_hub", options.rows, options.chats)
        variants = [("application alone", None), ("document: INSERT, DELETE", archive_by_document),
                    ("job, guard", archive_by_job("guard")),
                    ("job, respect", archive_by_job("respect"))]
        results = {}
        print(f"| {options.rows:,} old rows, {options.chats:,} chats | seconds | WAL (MiB) | p50 (ms) "
              "| p99 (ms) | max (ms) | chat_sessions (KiB) |\n|---|---:|---:|---:|---:|---:|---:|")
        for variant, archive in variants:
            progress(variant)
            results[variant] = measure(postgres, folder, "template_hub", options.chats, archive,
                                       options.idle)
            print_row(variant, results[variant], archive)
        p99 = {variant: percentile(result[2], 99) for variant, result in results.items()}
        idle = p99["application alone"]
        goals["p99 within 1.3 times idle in guard mode"] = p99["job, guard"] <= 1.3 * idle
        goals["p99 within 15 ms of idle in respect mode"] = p99["job, respect"] <= idle + 15
        goals["guard mode in at most half the document's time"] = (
            results["job, guard"][0] <= results["document: INSERT, DELETE"][0] / 2)
        postgres.psql("DROP DATABASE bench")
        sizes = [int(size) for size in re.findall(r"\d+", options.sizes)]
        if sizes:
            costs = growth(postgres, folder, sizes, options.chats)
            goals["no growth of the cost per row (25 % is noise)"] = max(costs) <= 1.25 * costs[0]
        postgres.stop()
    for goal, reached in goals.items():
        progress(f"{'reached' if reached else 'MISSED '}  {goal}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
