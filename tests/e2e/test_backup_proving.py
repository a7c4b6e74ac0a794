"""`pgsteward backup verify|restore` with the built binary: a backup taken by it, damaged, restored beside
the live database, over it, and into a cluster of its own."""

import json
import pathlib
import shutil
import subprocess
import unittest

import support


class BackupProvingTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = support.temporary_folder()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        (self.root / "pg").mkdir()
        self.postgres = support.Postgres(self.root / "pg")
        self.postgres.start()
        self.addCleanup(self.postgres.stop)
        self.postgres.create_hub("hub")
        self.postgres.psql("ALTER DATABASE hub SET work_mem = '7MB'")
        self.postgres.psql("INSERT INTO users (email, first_name, last_name) SELECT u || '@x', 'a', 'b' "
                           "FROM generate_series(1, 300) u", "hub")
        recipients = [support.age_key(self.root / f"{name}.key") for name in ("one", "two")]
        self.identity = self.root / "one.key"
        self.target = self.root / "backups"
        self.config = self.root / "pgsteward.yaml"
        self.config.write_text(f"""servers:
  - name: hub
    conninfo: "{self.postgres.conninfo("hub")}"
jobs_state_directory: ""
jobs:
  backup:
    target: {self.target}
    recipients: [{", ".join(recipients)}]
""")
        self.assertEqual(support.run("backup", "init", self.target)[0], 0)
        code, _, err = support.run("backup", "run", "--config", self.config)
        self.assertEqual(code, 0, err)
        self.backup = next((self.target / "hub").glob("2*"))

    def run_backup(self, *arguments, key=True):
        more = ["--identity", self.identity] if key else []
        return support.run("backup", *arguments, "--config", self.config, *more)

    def users(self, database):
        return self.postgres.psql("SELECT count(*) FROM users WHERE email LIKE '%@x'", database)

    def test_verify_names_what_is_damaged(self):
        for key in (False, True):
            code, out, err = self.run_backup("verify", "latest", "--output", "json", key=key)
            self.assertEqual((code, err), (0, ""), out + err)
            json.loads(out)
        dump = next(self.backup.glob("hub-*.dump.zst.age"))
        whole = dump.read_bytes()
        dump.write_bytes(whole[:-1])
        code, out, err = self.run_backup("verify", "latest")
        self.assertEqual(code, 3, out + err)
        self.assertIn(dump.name, out + err)
        code, out, err = self.run_backup("restore", "latest", "--database", "hub", "--as", "copy")
        self.assertNotEqual(code, 0)
        self.assertIn(dump.name, out + err)
        self.assertEqual(self.postgres.psql("SELECT count(*) FROM pg_database WHERE datname = 'copy'"), "0")
        # And it recovers.
        dump.write_bytes(whole)
        self.assertEqual(self.run_backup("verify", "latest")[0], 0)

    def test_restore_beside_and_over_the_live_database(self):
        self.postgres.psql("DELETE FROM users WHERE email LIKE '%@x'", "hub")
        code, out, err = self.run_backup("restore", "latest", "--database", "hub")
        self.assertEqual(code, 4, out + err)
        self.assertEqual(self.users("hub"), "0")
        code, out, err = self.run_backup("restore", "latest", "--database", "hub", "--overwrite", "hup")
        self.assertIn(code, (2, 4), out + err)
        code, out, err = self.run_backup("restore", "latest", "--database", "hub", "--as", "copy",
                                         "--jobs", "2", "--scratch", self.root)
        self.assertEqual(code, 0, out + err)
        self.assertEqual(self.users("copy"), "300")
        self.assertEqual(self.postgres.psql("SHOW work_mem", "copy"), "7MB")
        self.assertEqual(self.users("hub"), "0")
        self.assertEqual(support.run("schema", "check", "--dsn", self.postgres.conninfo("copy"))[0], 0)
        code, out, err = self.run_backup("restore", "latest", "--database", "hub", "--overwrite", "hub")
        self.assertEqual(code, 0, out + err)
        self.assertEqual(self.users("hub"), "300")
        # The one that was there stays, under another name.
        names = self.postgres.psql("SELECT datname FROM pg_database WHERE datname LIKE 'hub%' AND datname "
                                   "<> 'hub'").split()
        self.assertEqual(len(names), 1)
        self.assertEqual(self.users(names[0]), "0")

    def test_restore_into_a_cluster_of_its_own(self):
        home = self.root / "home"
        home.mkdir()
        if self.postgres.drop:
            shutil.chown(home, "postgres", "postgres")
        cluster = home / "cluster"
        code, out, err = self.run_backup("restore", "latest", "--cluster", cluster, "--scratch", home)
        self.assertEqual(code, 0, out + err)
        self.assertTrue((cluster / "PG_VERSION").exists() or list(cluster.glob("*/PG_VERSION")),
                        list(cluster.iterdir()))

    def test_gpg_instead_of_age(self):
        home = self.root / "gnupg"
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
        for name in ("drill", "offline"):
            subprocess.run([*gpg, "--quick-gen-key", f"{name}@example.org"], check=True, capture_output=True)
        listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], check=True, capture_output=True,
                                text=True).stdout.splitlines()
        # Of each key the line after "pub": its subkeys have fingerprints too.
        keys = [after.split(":")[9] for line, after in zip(listed, listed[1:]) if line.startswith("pub")]
        self.assertEqual(len(keys), 2)
        self.addCleanup(subprocess.run, ["gpgconf", "--homedir", home, "--kill", "all"])
        text = self.config.read_text()
        start = text.index("    recipients: ")
        self.config.write_text(text[:start] + f"""    encryption: gpg
    gpg_home: {home}
    recipients: [{", ".join(keys)}]
""")
        code, _, err = support.run("backup", "run", "--config", self.config)
        self.assertEqual(code, 0, err)
        with_key = ["latest", "--config", self.config, "--gpg-home", home]
        code, out, err = support.run("backup", "verify", *with_key)
        self.assertEqual(code, 0, out + err)
        self.assertIn("read to the end", out)
        code, out, err = support.run("backup", "restore", *with_key, "--database", "hub", "--as", "copy")
        self.assertEqual(code, 0, out + err)
        self.assertEqual(self.users("copy"), "300")

    def test_the_plan_changes_nothing(self):
        code, out, err = self.run_backup("restore", "latest", "--database", "hub", "--as", "copy", "--plan",
                                         key=False)
        self.assertEqual((code, err), (0, ""), out + err)
        for word in ("age --decrypt", "zstd --decompress", "pg_restore"):
            self.assertIn(word, out)
        self.assertEqual(self.postgres.psql("SELECT count(*) FROM pg_database WHERE datname = 'copy'"), "0")


if __name__ == "__main__":
    unittest.main()
