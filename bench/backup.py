#!/usr/bin/env python3
"""Taking and restoring a backup of the hub, side by side in one run: the job (verified, encrypted,
published) against pg_dump -Fc (the stock answer), pg_dump | zstd | age by hand (the limit, nothing is
verified), and a full backup by pgBackRest as a reference. Prints the tables of docs/performance.md.

Each variant runs --repeat times, in turns, and the median counts: on a shared machine the ratios of one
run say something, the seconds do not. Memory is the largest resident set of each program."""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/e2e"))
import support  # noqa: E402

WORDS = ("the quick answer of a model that was asked for a summary of the meeting and for the next steps "
         "with their owners and dates while the budget of the quarter stays within what was agreed upon ")
READ = """\\set message random(1, {rows})
SELECT content FROM messages WHERE id = ('00000000-0000-4000-7000-' || lpad(:message::text, 12, '0'))::uuid;
"""


def progress(text):
    print(text, file=sys.stderr, flush=True)


def make_hub(postgres, rows):
    postgres.create_hub("hub")
    postgres.psql(f"""
        SET session_replication_role = replica;
        INSERT INTO users (id, email, first_name, last_name)
            SELECT ('00000000-0000-4000-9000-' || lpad(u::text, 12, '0'))::uuid, u || '@example.org',
                   'User', 'U' || u FROM generate_series(1, 1000) u;
        INSERT INTO chat_sessions (id, user_id, title, message_count)
            SELECT ('00000000-0000-4000-8000-' || lpad(c::text, 12, '0'))::uuid,
                   ('00000000-0000-4000-9000-' || lpad((c % 1000 + 1)::text, 12, '0'))::uuid,
                   'Chat ' || c, {rows} / 10000 FROM generate_series(1, 10000) c;
        INSERT INTO messages (id, session_id, user_id, content, metadata, created_at)
            SELECT ('00000000-0000-4000-7000-' || lpad(m::text, 12, '0'))::uuid,
                   ('00000000-0000-4000-8000-' || lpad((m % 10000 + 1)::text, 12, '0'))::uuid,
                   ('00000000-0000-4000-9000-' || lpad((m % 1000 + 1)::text, 12, '0'))::uuid,
                   substr(repeat('{WORDS}', 4), (m * 7 % 150 + 1)::int, (200 + m % 250)::int) ||
                   md5(m::text) || ' ' || md5((m * 3)::text),
                   jsonb_build_object('model', 'm' || m % 5, 'tokens', m % 4000),
                   now() - m % 700 * interval '1 day'
            FROM generate_series(1, {rows}) m""", "hub")
    postgres.psql("VACUUM (ANALYZE)", "hub")


class Memory:
    """The largest resident set, by program, of all descendants of this process."""

    def __init__(self):
        self.peak = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.ended.wait(0.05):
            parents = {}
            for entry in pathlib.Path("/proc").glob("[0-9]*"):
                try:
                    fields = dict(line.split(":", 1) for line in
                                  (entry / "status").read_text().splitlines() if ":" in line)
                except OSError:
                    continue
                parents[int(entry.name)] = (int(fields["PPid"]), fields["Name"].strip(),
                                            int(fields.get("VmHWM", "0 kB").split()[0]))
            for pid, (_, name, peak) in parents.items():
                parent = pid
                while parent in parents and parent != os.getpid():
                    parent = parents[parent][0]
                if parent == os.getpid() and pid != os.getpid() and not name.startswith("postgres"):
                    self.peak[name] = max(self.peak.get(name, 0), peak)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def pipeline(*commands, output):
    """Like a shell with pipefail."""
    children = []
    with open(output, "wb") as file:
        source = subprocess.DEVNULL
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            child = subprocess.Popen(command, stdin=source, stdout=file if last else subprocess.PIPE)
            if source is not subprocess.DEVNULL:
                source.close()
            source = child.stdout
            children.append(child)
        codes = [child.wait() for child in children]
    assert not any(codes), codes


class Bench:
    def __init__(self, folder, postgres):
        self.folder = folder
        self.postgres = postgres
        self.store = folder / "store"
        self.store.mkdir()
        self.recipients = [support.age_key(folder / f"{name}.key") for name in ("one", "two")]
        self.target = folder / "backups"
        self.config = folder / "pgsteward.yaml"
        self.config.write_text(f"""servers:
  - name: hub
    conninfo: "{postgres.conninfo("hub")}"
jobs_state_directory: ""
jobs:
  backup:
    target: {self.target}
    recipients: [{", ".join(self.recipients)}]
    keep_last: 1
""")
        code, out, err = support.run("backup", "init", self.target)
        assert code == 0, out + err

    def dump_argv(self, *more):
        return ["pg_dump", "-h", str(self.postgres.folder), "-p", str(self.postgres.port), "-U",
                "postgres", "-d", "hub", *more]

    def stock(self):
        pipeline(self.dump_argv("-Fc"), output=self.store / "stock.dump")
        return (self.store / "stock.dump").stat().st_size

    def by_hand(self):
        age = ["age"]
        for recipient in self.recipients:
            age += ["-r", recipient]
        pipeline(self.dump_argv("-Fc", "-Z0"), ["zstd", "-q", "-3", "-T2"], age,
                 output=self.store / "hand.dump.zst.age")
        return (self.store / "hand.dump.zst.age").stat().st_size

    def job(self):
        code, out, err = support.run("backup", "run", "--config", self.config, timeout=3600)
        assert code == 0, out + err
        newest = max(self.folders(), key=lambda folder: folder.name)
        return sum(file.stat().st_size for file in newest.iterdir())

    def folders(self):
        return [path.parent for path in (self.target / "hub").glob("2*/manifest.json")]

    def pgbackrest(self, command, *more):
        argv = [*self.postgres.drop, "pgbackrest", "--stanza=hub", f"--repo1-path={self.store}/rest",
                f"--pg1-path={self.postgres.data}", f"--pg1-port={self.postgres.port}",
                f"--pg1-socket-path={self.postgres.folder}", "--pg1-user=postgres",
                f"--lock-path={self.store}/lock", f"--log-path={self.store}/log",
                "--log-level-console=warn", "--log-level-file=off", f"--config={os.devnull}", *more,
                command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def reference(self):
        shutil.rmtree(self.store / "rest", ignore_errors=True)
        for name in ("rest", "lock", "log"):
            (self.store / name).mkdir(exist_ok=True)
            if self.postgres.drop:
                shutil.chown(self.store / name, "postgres", "postgres")
        cipher = ["--repo1-cipher-type=aes-256-cbc"]
        os.environ["PGBACKREST_REPO1_CIPHER_PASS"] = "only for the measurement"
        self.pgbackrest("stanza-create", *cipher)
        start = time.monotonic()
        self.pgbackrest("backup", "--type=full", "--process-max=2", "--compress-type=zst",
                        "--compress-level=3", "--start-fast", "--no-archive-check",
                        "--repo1-retention-full=1", *cipher)
        self.reference_seconds = time.monotonic() - start
        return sum(file.stat().st_size for file in (self.store / "rest").rglob("*")
                   if file.is_file())


def take(bench, repeat):
    variants = {"pgsteward backup run": bench.job, "pg_dump -Fc": bench.stock,
                "pg_dump, zstd, age by hand": bench.by_hand, "pgBackRest, full": bench.reference}
    seconds = {name: [] for name in variants}
    size, peaks = {}, {name: {} for name in variants}
    for turn in range(repeat):
        for name, run in variants.items():
            progress(f"{turn + 1}/{repeat} {name}")
            with Memory() as memory:
                start = time.monotonic()
                size[name] = run()
                took = time.monotonic() - start
            seconds[name].append(bench.reference_seconds if run == bench.reference else took)
            for program, peak in memory.peak.items():
                peaks[name][program] = max(peaks[name].get(program, 0), peak)
    print("| | seconds | MiB stored | peak memory (MiB) |\n|---|---:|---:|---|")
    for name in variants:
        memory = ", ".join(f"{program} {peak / 1024:.0f}"
                           for program, peak in sorted(peaks[name].items())
                           if program not in ("setpriv",))
        print(f"| {name} | {statistics.median(seconds[name]):.1f} | {size[name] / 2**20:.0f} | "
              f"{memory} |", flush=True)
    return {name: statistics.median(values) for name, values in seconds.items()}, size, peaks


def restore(bench, repeat):
    """Into a new database of the same server: pg_restore -j2 of the stock dump, and ours."""
    variants = {"pgsteward backup restore": None, "pg_restore -j2 of pg_dump -Fc": None}
    seconds = {name: [] for name in variants}
    newest = max(bench.folders(), key=lambda folder: folder.name).name
    for turn in range(repeat):
        progress(f"{turn + 1}/{repeat} restore")
        for name in variants:
            bench.postgres.psql("DROP DATABASE IF EXISTS restored")
            start = time.monotonic()
            if name.startswith("pgsteward"):
                code, out, err = support.run(
                    "backup", "restore", newest, "--config", bench.config, "--identity",
                    bench.folder / "one.key", "--database", "hub", "--as", "restored", "--jobs", "2",
                    "--scratch", bench.folder, timeout=3600)
                assert code == 0, out + err
            else:
                bench.postgres.psql("CREATE DATABASE restored TEMPLATE template0")
                subprocess.run(["pg_restore", "-h", str(bench.postgres.folder), "-p",
                                str(bench.postgres.port), "-U", "postgres", "-d", "restored", "-j",
                                "2", str(bench.store / "stock.dump")], check=True)
                bench.postgres.psql("ANALYZE", "restored")
            seconds[name].append(time.monotonic() - start)
    bench.postgres.psql("DROP DATABASE IF EXISTS restored")
    print("\n| | seconds |\n|---|---:|")
    for name, values in seconds.items():
        print(f"| {name}, ANALYZE included | {statistics.median(values):.1f} |", flush=True)


def foreground(bench, rows, rate, repeat):
    """p99 of single-row reads while a dump runs."""
    script = bench.folder / "read.sql"
    script.write_text(READ.format(rows=rows))
    p99 = {"pg_dump -Fc": [], "pgsteward backup run": []}
    for turn in range(repeat):
        for name, run in (("pg_dump -Fc", bench.stock), ("pgsteward backup run", bench.job)):
            progress(f"{turn + 1}/{repeat} application beside {name}")
            for old in bench.folder.glob("latency*"):
                old.unlink()
            load = support.Process(
                [str(bench.postgres.bin / "pgbench"), "-h", str(bench.postgres.folder), "-p",
                 str(bench.postgres.port), "-U", "postgres", "-n", "-f", str(script), "-c", "4", "-R",
                 str(rate), "-T", "3600", "-l", f"--log-prefix={bench.folder}/latency", "hub"],
                bench.folder / "pgbench.log")
            time.sleep(2)
            run()
            load.stop(seconds=60)
            values = sorted(int(line.split()[2]) / 1000 for log in bench.folder.glob("latency*")
                            for line in log.read_text().splitlines() if len(line.split()) >= 6)
            assert values, load.log()
            p99[name].append(values[int(len(values) * 0.99)])
    print(f"\n| {rate} reads/s beside | p99 (ms), median of {repeat} |\n|---|---:|")
    for name, values in p99.items():
        print(f"| {name} | {statistics.median(values):.2f} |", flush=True)
    return {name: statistics.median(values) for name, values in p99.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_200_000, help="messages; the default is 1.2 GB")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--restores", type=int, default=1, help="how often to restore; 0: not at all")
    parser.add_argument("--rate", type=int, default=200, help="reads per second of the application")
    options = parser.parse_args()
    for name, package in (("age", "age"), ("zstd", "zstd"), ("pgbackrest", "pgbackrest")):
        support.tool(name, package)
    with support.temporary_folder() as name:
        folder = pathlib.Path(name)
        (folder / "pg").mkdir()
        postgres = support.Postgres(folder / "pg", settings=[
            "shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=1h", "archive_mode=on",
            "archive_command=/bin/true"])
        postgres.start()
        progress("making the hub")
        make_hub(postgres, options.rows)
        size = int(postgres.psql("SELECT pg_database_size('hub')"))
        progress(f"{size / 2**30:.2f} GiB")
        bench = Bench(folder, postgres)
        print(f"{options.rows:,} messages, {size / 2**30:.2f} GiB in the database\n", flush=True)
        seconds, stored, peaks = take(bench, options.repeat)
        if options.restores:
            restore(bench, options.restores)
        p99 = foreground(bench, options.rows, options.rate, options.repeat)
        postgres.stop()
    ours, stock, hand = "pgsteward backup run", "pg_dump -Fc", "pg_dump, zstd, age by hand"
    goals = {
        "at least 3 times faster than pg_dump -Fc": seconds[ours] * 3 <= seconds[stock],
        "no more bytes than pg_dump -Fc": stored[ours] <= stored[stock],
        "within 1.3 times of the pipeline by hand": seconds[ours] <= 1.3 * seconds[hand],
        "memory of pgsteward under 100 MiB": peaks[ours].get("pgsteward", 0) < 100 * 1024,
        "p99 of the application no worse than beside pg_dump -Fc": p99[ours] <= 1.05 * p99[stock],
    }
    for goal, reached in goals.items():
        progress(f"{'reached' if reached else 'MISSED '}  {goal}")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
