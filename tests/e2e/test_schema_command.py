"""`pgsteward schema apply|status|check` as a person runs it: output, exit codes, interruptions."""

import json
import os
import pathlib
import re
import signal
import subprocess
import unittest

import support

OWN_APPLIED = """\
pgsteward 1.0.0 lease.sql ... ok
pgsteward 1.0.0 jobs.sql ... ok
pgsteward 1.0.0 retention.sql ... ok
pgsteward 1.0.0 remediation.sql ... ok
pgsteward 1.1.0 backups.sql ... ok
pgsteward's tables are at 1.1.0: 2 versions applied, 0 indexes built
"""
APPLIED = """\
1.0.0 create_tables.sql ... ok
1.0.0 create_functions.sql ... ok
1.0.0 create_views.sql ... ok
1.0.0 create_triggers.sql ... ok
1.0.0 create_indexes.sql ... ok
1.0.0 initial_data.sql ... ok
1.0.0 idx_users_email_active ... ok
1.0.0 idx_messages_session_created ... ok
1.0.0 idx_artifacts_user_created ... ok
1.0.0 idx_tools_usage_tool_created ... ok
1.0.0 idx_messages_content_fts ... ok
1.1.0 google_drive_files.sql ... ok
1.2.0 messages_archive.sql ... ok
1.2.0 guarded_triggers.sql ... ok
1.2.0 activity_counts.sql ... ok
1.2.0 row_level_security.sql ... ok
1.2.0 email_encryption.sql ... ok
1.2.0 idx_messages_created_id ... ok
the hub is at 1.2.0: 3 versions applied, 6 indexes built
""" + OWN_APPLIED
NOTHING_TO_DO = """\
nothing to do, the hub is at 1.2.0
nothing to do, pgsteward's tables are at 1.1.0
"""
NO_HUB = "this database has no hub schema; create it with: pgsteward schema apply\n"
NOTHING_OWN = ("this database has no tables of pgsteward's own; create them with: pgsteward schema apply"
               " --component pgsteward\n")
BUILDING = ("SELECT count(*) FROM pg_stat_progress_create_index"
            " WHERE phase LIKE 'waiting for old snapshots%'")


def without_durations(text):
    return re.sub(r" \(\d+ ms\)$", "", text, flags=re.MULTILINE)


def without_times(text):
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00", "TIME", text)


class SchemaCommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = support.temporary_folder()
        root = pathlib.Path(cls.folder.name)
        (root / "pg").mkdir()
        cls.postgres = support.Postgres(root / "pg")
        cls.postgres.start()
        cls.postgres.create_hub("applied")

    @classmethod
    def tearDownClass(cls):
        cls.postgres.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.postgres.psql("CREATE DATABASE hub")
        self.dsn = self.postgres.conninfo("hub")

    def tearDown(self):
        self.postgres.psql("DROP DATABASE hub WITH (FORCE)")

    def use_applied_hub(self):
        self.postgres.psql("DROP DATABASE hub WITH (FORCE)")
        self.postgres.psql("CREATE DATABASE hub TEMPLATE applied")

    def schema(self, *arguments, env=None):
        return support.run("schema", *arguments, "--dsn", self.dsn, env=env)

    def start_apply(self):
        """The command while an old snapshot keeps its last index build waiting, and who holds it."""
        code, _, err = self.schema("apply", "--to", "1.1.0")
        self.assertEqual((code, err), (0, ""))
        holder = subprocess.Popen(
            ["psql", *self.postgres.client(), "-d", "hub", "-q"], stdin=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL)
        self.addCleanup(holder.wait)
        self.addCleanup(holder.stdin.close)
        holder.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n")
        holder.stdin.flush()
        support.wait_until(
            lambda: self.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE"
                                       " state = 'idle in transaction'", "hub") == "1",
            10, "the snapshot is held")
        command = subprocess.Popen([support.binary(), "schema", "apply", "--dsn", self.dsn],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(command.kill)
        support.wait_until(lambda: self.postgres.psql(BUILDING, "hub") == "1", 20,
                           "the index build waits")
        return command, holder

    def finish(self, command):
        out, err = command.communicate(timeout=30)
        return command.returncode, out, err

    def test_apply_then_nothing_to_do(self):
        code, out, err = self.schema("apply")
        self.assertEqual((code, without_durations(out), err), (0, APPLIED, ""))
        self.assertEqual(self.schema("apply"), (0, NOTHING_TO_DO, ""))

    def test_one_component(self):
        """Own tables where there is no hub, whatever else is there; then the hub beside them."""
        self.postgres.psql("CREATE TABLE lease (id int)", "hub")
        own = ("--component", "pgsteward")
        self.assertEqual(self.schema("apply", *own, "--dry-run"), (0, """\
-- pgsteward 1.0.0 lease.sql (pending)
-- pgsteward 1.0.0 jobs.sql (pending)
-- pgsteward 1.0.0 retention.sql (pending)
-- pgsteward 1.0.0 remediation.sql (pending)
-- pgsteward 1.1.0 backups.sql (pending)
""", ""))
        self.assertEqual(self.schema("check", *own), (3, NOTHING_OWN, ""))
        code, out, err = self.schema("apply", *own)
        self.assertEqual((code, without_durations(out), err), (0, OWN_APPLIED, ""))
        self.assertEqual(self.schema("apply", *own),
                         (0, NOTHING_TO_DO.splitlines(keepends=True)[1], ""))
        self.assertEqual(
            self.postgres.psql("SELECT string_agg(tablename, ' ') FROM pg_tables"
                               " WHERE schemaname = 'public'", "hub"), "lease")
        self.assertEqual(self.schema("apply", *own, "--dry-run")[1], "-- nothing to do\n")
        self.assertEqual(self.schema("check", *own), (0, "no differences\n", ""))
        self.assertEqual(self.schema("check"), (0, NO_HUB + "no differences\n", ""))
        self.assertEqual(self.schema("check", "--component", "hub"), (3, NO_HUB, ""))
        self.assertEqual([self.schema("status", "--component", name)[0]
                          for name in ("pgsteward", "hub", "all")], [0, 3, 3])

        code, out, err = self.schema("apply", "--component", "hub")
        self.assertEqual((code, without_durations(out) + OWN_APPLIED, err), (0, APPLIED, ""))
        self.assertEqual([self.schema("status", "--component", name)[0]
                          for name in ("pgsteward", "hub", "all")], [0, 0, 0])
        self.assertEqual(self.schema("apply", *own, "--to", "1.1.0")[0], 0)
        self.assertEqual(self.schema("apply", *own, "--baseline", "1.1.0"),
                         (0, "0 versions recorded; go on with: pgsteward schema apply\n", ""))

    def test_a_hub_of_before(self):
        """--to is of the hub, as it was when there was nothing else; a plain apply adds the rest."""
        code, out, err = self.schema("apply", "--to", "1.2.0")
        self.assertEqual((code, without_durations(out) + OWN_APPLIED, err), (0, APPLIED, ""))
        self.assertEqual(self.schema("check"), (0, NOTHING_OWN + "no differences\n", ""))
        code, out, err = self.schema("apply")
        self.assertEqual((code, without_durations(out), err),
                         (0, "nothing to do, the hub is at 1.2.0\n" + OWN_APPLIED, ""))

    def test_status(self):
        code, out, err = self.schema("status")
        self.assertEqual((code, out, err), (3, """\
COMPONENT  VERSION  STATE    STARTED  COMPLETED  BY  WITH
hub        1.0.0    pending
hub        1.1.0    pending
hub        1.2.0    pending
pgsteward  1.0.0    pending
pgsteward  1.1.0    pending
""", ""))
        self.use_applied_hub()
        version = self.postgres.psql("SELECT DISTINCT daemon_version FROM pgsteward.schema_version",
                                     "hub")
        self.postgres.psql("UPDATE pgsteward.schema_version SET completed_at = NULL"
                           " WHERE component = 'hub' AND version = '1.0.0';"
                           "UPDATE pgsteward.schema_version SET checksum = 'other'"
                           " WHERE version = '1.1.0';"
                           "UPDATE pgsteward.schema_version SET checksum = 'other'"
                           " WHERE component = 'pgsteward'", "hub")
        time = " " * len("2026-01-01 00:00:00+00")
        code, out, err = self.schema("status")
        self.assertEqual((code, err), (3, ""))
        expected = f"""\
COMPONENT  VERSION  STATE       STARTED{time[7:]}  COMPLETED{time[9:]}  BY        WITH
hub        1.0.0    incomplete  TIME  {time}  postgres  {version}
hub        1.1.0    applied     TIME  TIME  postgres  {version}
hub        1.2.0    applied     TIME  TIME  postgres  {version}
pgsteward  1.0.0    applied     TIME  TIME  postgres  {version}
pgsteward  1.1.0    applied     TIME  TIME  postgres  {version}
1.0.0: index builds are outstanding; go on with: pgsteward schema apply
warning: 1.1.0 was applied with other SQL than this pgsteward has; compare with: pgsteward schema check
warning: pgsteward 1.0.0 was applied with other SQL than this pgsteward has; compare with: pgsteward schema check
warning: pgsteward 1.1.0 was applied with other SQL than this pgsteward has; compare with: pgsteward schema check
"""
        self.assertEqual(without_times(out), expected)

        self.assertEqual(self.schema("apply")[0], 0)
        code, out, err = self.schema("status", "--output", "json")
        self.assertEqual((code, err), (0, ""))
        versions = json.loads(without_times(out))["versions"]
        self.assertEqual(versions, [
            {"component": component, "version": name, "state": "applied", "started_at": "TIME",
             "completed_at": "TIME", "applied_by": "postgres", "daemon_version": version,
             "changed": (component, name) != ("hub", "1.0.0") and name != "1.2.0"}
            for component, name in (("hub", "1.0.0"), ("hub", "1.1.0"), ("hub", "1.2.0"),
                                    ("pgsteward", "1.0.0"), ("pgsteward", "1.1.0"))])
        code, out, err = self.schema("status", "--output", "json", "--component", "pgsteward")
        self.assertEqual(json.loads(without_times(out))["versions"], versions[3:])

    def test_check(self):
        self.assertEqual(self.schema("check"), (
            3, NO_HUB + NOTHING_OWN, ""))
        self.use_applied_hub()
        self.assertEqual(self.schema("check"), (0, "no differences\n", ""))
        self.postgres.psql("""
            ALTER TABLE users ADD COLUMN "new ""line" text DEFAULT E'a\\nb', DROP COLUMN bio,
                ADD COLUMN U&"red\\001b[31m" int;
            ALTER TABLE users FORCE ROW LEVEL SECURITY;
            CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid AS 'SELECT NULL::uuid' LANGUAGE sql;
            ALTER TABLE pgsteward.lease ALTER COLUMN holder DROP NOT NULL;
            DELETE FROM pgsteward.schema_version WHERE component = 'pgsteward' OR version = '1.2.0'""",
                           "hub")
        self.assertEqual(self.schema("check"), (3, """\
pending versions: 1.2.0, pgsteward 1.0.0, pgsteward 1.1.0
column  users.bio               missing
    expected  text NULL
column  users.new "line         unexpected
    found     text NULL DEFAULT 'a b'::text
column  users.red\\x1b[31m       unexpected
    found     integer NULL
table   users                   differs
    expected  table logged row_security=on force=off
    found     table logged row_security=on force=on
column  pgsteward.lease.holder  differs
    expected  text NOT NULL
    found     text NULL
note: function auth.uid() is not ours, which is allowed
5 differences
""", ""))
        code, out, err = self.schema("check", "--output", "json")
        self.assertEqual((code, err), (3, ""))
        found, own = json.loads(out)["components"]
        self.assertEqual((found["component"], found["present"], found["pending"]),
                         ("hub", True, ["1.2.0"]))
        self.assertEqual(own, {
            "component": "pgsteward", "present": True, "pending": ["1.0.0", "1.1.0"], "differences": [
                {"kind": "column", "name": "pgsteward.lease.holder", "drift": "differs",
                 "expected": "text NOT NULL", "found": "text NULL"}],
            "information": []})
        self.assertEqual(found["differences"], [
            {"kind": "column", "name": "users.bio", "drift": "missing", "expected": "text NULL",
             "found": None},
            {"kind": "column", "name": 'users.new "line', "drift": "unexpected", "expected": None,
             "found": "text NULL DEFAULT 'a b'::text"},
            {"kind": "column", "name": "users.red\x1b[31m", "drift": "unexpected",
             "expected": None, "found": "integer NULL"},
            {"kind": "table", "name": "users", "drift": "differs",
             "expected": "table logged row_security=on force=off",
             "found": "table logged row_security=on force=on"}])
        self.assertEqual([known["name"] for known in found["information"]], ["auth.uid()"])

    def test_dry_run_is_a_script(self):
        code, out, err = self.schema("apply", "--dry-run", "--to", "1.0.0")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.splitlines()[0], "-- 1.0.0 create_tables.sql (pending)")
        self.assertEqual(out.splitlines()[-1], "-- 1.0.0 idx_messages_content_fts (missing)")
        code, script, err = self.schema("apply", "--dry-run", "--verbose")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.postgres.psql("SELECT count(*) FROM pg_tables WHERE schemaname IN"
                                            " ('public', 'pgsteward')", "hub"), "0")
        self.postgres.psql(script, "hub")
        self.assertEqual(self.schema("check")[1],
                         "pending versions: 1.0.0, 1.1.0, 1.2.0, pgsteward 1.0.0, pgsteward 1.1.0\nno differences\n")
        self.assertEqual(self.schema("apply", "--baseline", "1.1.0", "--component", "pgsteward"), (
            0, """\
  pgsteward 1.0.0 recorded as applied
  pgsteward 1.1.0 recorded as applied
2 versions recorded; go on with: pgsteward schema apply
""", ""))
        code, out, err = self.schema("apply", "--baseline", "1.2.0")
        self.assertEqual((code, out, err), (0, """\
  1.0.0 recorded as applied
  1.1.0 recorded as applied
  1.2.0 recorded as applied
3 versions recorded; go on with: pgsteward schema apply
""", ""))
        self.assertEqual(self.schema("apply", "--dry-run")[1], "-- nothing to do\n")

    def test_made_by_hand(self):
        for name in ("create_tables", "create_functions", "create_views", "create_triggers",
                     "create_indexes", "initial_data", "concurrent_indexes"):
            path = support.ROOT / f"schema/v1.0.0/{name}.sql"
            self.postgres.psql(path.read_text(), "hub")
        code, out, err = self.schema("apply")
        self.assertEqual((code, without_durations(out)),
                         (1, "1.0.0 create_tables.sql ... failed\n"))
        self.assertEqual(err, (
            "pgsteward: schema apply: 1.0.0 create_tables.sql: relation \"users\" already exists"
            " (SQLSTATE 42P07); hint: If this database has all of 1.0.0 already, record that with:"
            " pgsteward schema apply --baseline 1.0.0. If not, move away what is in the way, see"
            " docs/database.md.\n"))
        self.assertEqual(self.schema("apply", "--baseline", "1.0.0")[0], 0)
        code, out, err = self.schema("apply")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("\nthe hub is at 1.2.0: 2 versions applied, 1 index built\n", out)
        self.assertEqual(self.schema("check"), (0, "no differences\n", ""))

    def test_two_at_once(self):
        commands = [subprocess.Popen([support.binary(), "schema", "apply", "--dsn", self.dsn],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    for _ in range(3)]
        ends = [self.finish(command) for command in commands]
        self.assertEqual([(code, err) for code, _, err in ends], [(0, "")] * 3)
        # Whoever waited for its turn.
        waited = re.compile(r"^  waiting up to .*\n", re.MULTILINE)
        self.assertEqual(sorted(waited.sub("", without_durations(out)) for _, out, _ in ends),
                         [APPLIED] + [NOTHING_TO_DO] * 2)
        self.assertEqual(self.schema("check"), (0, "no differences\n", ""))

    def test_interrupt(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.postgres.psql("DROP DATABASE hub WITH (FORCE)")
                self.postgres.psql("CREATE DATABASE hub")
                command, holder = self.start_apply()
                command.send_signal(number)
                code, out, err = self.finish(command)
                self.assertEqual((code, err), (
                    128 + number,
                    "pgsteward: schema apply: interrupted; run it again and it goes on\n"))
                self.assertEqual(self.postgres.psql(BUILDING, "hub"), "0")
                holder.stdin.close()
                holder.wait()
                code, out, err = self.schema("apply")
                self.assertEqual((code, without_durations(out), err), (0, """\
  idx_messages_created_id is invalid, it is built again
1.2.0 idx_messages_created_id ... ok
the hub is at 1.2.0: 0 versions applied, 1 index built
""" + OWN_APPLIED, ""))
                self.assertEqual(self.schema("check"), (0, "no differences\n", ""))

    def test_killed(self):
        """The server notices within seconds, and the next one waits for that."""
        command, holder = self.start_apply()
        command.kill()
        command.communicate()
        holder.stdin.write("ROLLBACK;\nBEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n")
        code, out, err = self.schema("apply", "--wait", "0s")
        if code == 1:  # its session is still there
            self.assertIn("the schema is being applied by pid", err)
        holder.stdin.close()
        holder.wait()
        code, out, err = self.schema("apply")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.schema("check"), (0, "no differences\n", ""))

    def test_a_wait_is_explained(self):
        command, holder = self.start_apply()
        pid = self.postgres.psql("SELECT pid FROM pg_stat_activity WHERE"
                                 " state = 'idle in transaction'", "hub")
        lines = []
        while not lines or "waiting" not in lines[-1]:
            lines.append(command.stdout.readline())
        holder.stdin.close()
        code, out, err = self.finish(command)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(without_durations("".join(lines[-2:]) + out), f"""\
1.2.0 idx_messages_created_id ...\u0020
  waiting for pid {pid} (psql, role postgres, idle in transaction)
1.2.0 idx_messages_created_id ... ok
the hub is at 1.2.0: 1 version applied, 1 index built
{OWN_APPLIED}""")

    def test_configuration(self):
        self.use_applied_hub()
        config = pathlib.Path(self.folder.name) / "pgsteward.yaml"
        config.write_text("servers:\n"
                          f"  - name: none\n    conninfo: \"{self.postgres.conninfo('nothing')}\"\n"
                          f"  - name: hub\n    conninfo: \"{self.dsn}\"\n")
        self.assertEqual(support.run("schema", "check", "-c", config, "--server", "hub"),
                         (0, "no differences\n", ""))
        code, out, err = support.run("schema", "check", "-c", config)
        self.assertEqual((code, out), (5, ""))
        self.assertIn('cannot connect: ', err)
        self.assertIn('database "nothing" does not exist', err)
        self.assertEqual(support.run("schema", "check", "-c", config, "--server", "x")[0], 2)
        self.assertEqual(support.run("schema", "status", "-c", config.parent / "no.yaml")[0], 78)
        self.assertEqual(support.run("schema", "status", "-c", config, "--dsn", self.dsn)[0], 2)

    def test_wrong_usage(self):
        self.assertEqual(support.run("schema", "check", "--dsn", "host=/tmp password=hunter2"), (
            2, "", "pgsteward: --dsn: a password on the command line is seen by all; hint: Put it"
            " into a file that PGPASSFILE names, or into ~/.pgpass.\n"))
        self.assertEqual(support.run("schema", "check", "--dsn", "postgres://u:hunter2@h/d")[0], 2)
        self.assertEqual(support.run("schema", "check", "--dsn", "host=x what=y")[0], 2)
        self.assertEqual(support.run("schema")[0], 2)
        for arguments in (("--to", "1.3.0"), ("--baseline", "7"), ("--wait", "soon"),
                          ("--timeout", "60"), ("--baseline", "1.0.0", "--dry-run"),
                          ("--component", "hubs"), ("--component", "pgsteward", "--to", "1.2.0")):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.schema("apply", *arguments)[0], 2)
        for option in ("--to", "--baseline"):
            self.assertEqual(self.schema("apply", option, "1.0.0", "--component", "all"), (
                2, "", "pgsteward: --component: --to and --baseline are of one component; hint: Say"
                " --component hub or --component pgsteward.\n"))
        self.assertEqual(self.schema("check", "--output", "xml")[0], 2)
        self.assertEqual(self.postgres.psql("SELECT count(*) FROM pg_namespace"
                                            " WHERE nspname = 'pgsteward'", "hub"), "0")

    def test_not_reachable(self):
        for command in ("apply", "status", "check"):
            with self.subTest(command=command):
                code, out, err = support.run(
                    "schema", command, "--dsn", f"host={self.postgres.folder} port=1")
                self.assertEqual((code, out), (5, ""))
                self.assertIn("cannot connect", err)


if __name__ == "__main__":
    unittest.main()
