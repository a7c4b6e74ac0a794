"""`pgsteward backup init|run` with the built binary, and a restore by RESTORE.txt to the letter: with
stock tools only, into another server."""

import json
import pathlib
import re
import subprocess
import unittest

import support


class BackupTakingTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = support.temporary_folder()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.postgres = self.server("one")
        self.postgres.create_hub("hub")
        self.postgres.psql("""
            CREATE ROLE app LOGIN PASSWORD 'of the application';
            ALTER DATABASE hub SET work_mem = '7MB'""")
        self.postgres.psql("""
            INSERT INTO users (email, first_name, last_name)
                SELECT u || '@example.org', 'O''Neil', E'tab\\there' FROM generate_series(1, 500) u;
            GRANT SELECT ON users TO app;
            SELECT lo_from_bytea(0, 'a large object')""", "hub")
        self.keys = [support.age_key(self.root / f"{name}.key") for name in ("one", "two")]
        self.target = self.root / "backups"
        self.config = self.root / "pgsteward.yaml"
        self.config.write_text(f"""servers:
  - name: hub
    conninfo: "{self.postgres.conninfo("hub")}"
jobs_state_directory: ""
jobs:
  backup:
    target: {self.target}
    recipients: [{", ".join(self.keys)}]
""")

    def server(self, name):
        (self.root / name).mkdir()
        server = support.Postgres(self.root / name)
        server.start()
        self.addCleanup(server.stop)
        return server

    def backup(self, *arguments):
        return support.run("backup", *arguments, "--config", self.config)

    def test_the_first_steps(self):
        code, out, err = self.backup("run")
        self.assertEqual(code, 5)
        self.assertEqual(err, "pgsteward: note: backup is not enabled; a run by hand begins all the same\n"
                              f"pgsteward: job run: the target of backups is not there: {self.target}: "
                              "No such file or directory; hint: Mount it, or make it with: pgsteward "
                              "backup init.\n")
        code, out, err = support.run("backup", "init", self.target)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.splitlines()[0], f"Made {self.target}. Backups will lie there once a job "
                                              "of type backup says:")
        self.assertEqual(support.run("backup", "init", self.target)[0], 2)
        code, out, _ = self.backup("run", "--dry-run")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"(?m)^dump hub \(\d+ bytes\) by \S+/pg_dump 15\.")
        self.assertEqual([path.name for path in self.target.iterdir()], ["PGSTEWARD-BACKUPS"])
        code, out, err = self.backup("run")
        self.assertEqual(code, 0, err)
        code, out, _ = self.backup("list", "--output", "json")
        self.assertEqual([each["state"] for each in json.loads(out)["backups"]], ["unproven"])

    def test_restore_txt_to_the_letter(self):
        self.assertEqual(support.run("backup", "init", self.target)[0], 0)
        code, _, err = self.backup("run")
        self.assertEqual(code, 0, err)
        folder = next((self.target / "hub").glob("2*"))
        text = (folder / "RESTORE.txt").read_text()
        commands = re.findall(r"(?m)^    (.+)$", text)
        self.assertEqual(commands[0], "KEY=/path/to/age-key.txt")
        commands[0] = f"KEY={self.root}/two.key"
        self.postgres.stop()
        other = self.server("other")
        script = "set -e\n" + "\n".join(commands)
        # Neither our program nor anything but the stock tools is in its PATH.
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False,
            env={"PATH": f"{other.bin}:/usr/bin:/bin", "PGHOST": str(other.folder),
                 "PGPORT": str(other.port), "PGUSER": "postgres", "HOME": "/nonexistent"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        sums = [line for line in done.stdout.splitlines() if line.endswith(": OK")]
        self.assertEqual(len(sums), 3, done.stdout)
        self.assertEqual(other.psql("SELECT count(*), min(first_name), min(last_name) FROM users "
                                    "WHERE email LIKE '%@example.org'", "hub"), "500|O'Neil|tab\there")
        self.assertEqual(other.psql("SELECT convert_from(lo_get(oid), 'UTF8') FROM "
                                    "pg_largeobject_metadata", "hub"), "a large object")
        self.assertEqual(other.psql("SHOW work_mem", "hub"), "7MB")
        self.assertEqual(other.psql("SELECT has_table_privilege('app', 'users', 'SELECT')", "hub"), "t")
        self.assertEqual(other.psql("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE "
                                    "rolname = 'app'"), "t")
        code, out, _ = support.run("schema", "check", "--dsn", other.conninfo("hub"))
        self.assertEqual(code, 0, out)


if __name__ == "__main__":
    unittest.main()
