"""`pgsteward backup list|show|expire|keep|unkeep` over backups made by hand, and their metrics."""

import json
import pathlib
import subprocess
import unittest

import support
from handmade_backup import RECIPIENTS, SENTINEL, backup_id, manifest


class BackupKeepingTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = support.temporary_folder()
        cls.root = pathlib.Path(cls.folder.name)
        (cls.root / "pg").mkdir()
        cls.postgres = support.Postgres(cls.root / "pg")
        cls.postgres.start()
        cls.postgres.create_hub("hub")
        cls.system = cls.postgres.psql("SELECT system_identifier FROM pg_control_system()")

    @classmethod
    def tearDownClass(cls):
        cls.postgres.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.temporary = support.temporary_folder()
        self.addCleanup(self.temporary.cleanup)
        self.target = pathlib.Path(self.temporary.name) / "target"
        (self.target / "hub").mkdir(parents=True)
        (self.target / "PGSTEWARD-BACKUPS").write_text(SENTINEL)
        self.config = self.root / "pgsteward.yaml"
        self.config.write_text(self.config_text())
        for days in (5, 4, 3, 2, 1):
            self.publish(days)

    def config_text(self, more=""):
        return f"""
servers:
  - name: hub
    conninfo: {self.postgres.conninfo("hub")}
jobs_state_directory: {self.root}
jobs:
  backup:
    enabled: true
    schedule: "0 3 * * *"
    target: {self.target}
    recipients: [{", ".join(RECIPIENTS)}]
    keep_last: 2
    keep_daily: 0
    keep_weekly: 0
    keep_monthly: 0
    min_keep: 2
    trash_delay: 0s
{more}"""

    def publish(self, days, **arguments):
        folder = self.target / "hub" / backup_id(days)
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text(manifest(days, self.system, **arguments))
        return folder

    def backup(self, *arguments):
        return support.run("backup", *arguments, "--config", self.config)

    def rows(self):
        return self.postgres.psql("SELECT string_agg(backup_id, ' ' ORDER BY backup_id)"
                                  " FROM pgsteward.proven_backup", "hub")

    def test_list_and_show(self):
        code, out, err = self.backup("list", "--output", "json")
        self.assertEqual((code, err), (0, ""))
        listed = json.loads(out)
        self.assertEqual([each["id"] for each in listed["backups"]],
                         [backup_id(days) for days in (1, 2, 3, 4, 5)])
        self.assertEqual({each["state"] for each in listed["backups"]}, {"proven"})
        code, out, err = self.backup("list")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"{backup_id(1)}  proven", out)
        code, out, err = self.backup("show", "latest", "--output", "json")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(json.loads(out)["manifest"]["databases"][0]["tables"],
                         [{"schema": "public", "name": "messages", "rows": 12, "bytes": 8192}])
        code, out, err = self.backup("show", "20200101T000000Z-0000")
        self.assertEqual((code, out), (2, ""))
        self.assertEqual(err, f"pgsteward: backup show: no backup 20200101T000000Z-0000 in"
                         f" {self.target}/hub; hint: See what is there with: pgsteward backup list.\n")

    def test_the_checksum_of_the_manifest_by_stock_tools(self):
        path = self.target / "hub" / backup_id(1) / "manifest.json"
        summed = subprocess.run(f"head -n -2 {path} | sha256sum", shell=True, check=True,
                                capture_output=True, text=True).stdout.split()[0]
        self.assertIn(summed, path.read_text().splitlines()[-2])

    def test_expire(self):
        expected = f"""\
keep {backup_id(1)} proven: the newest
keep {backup_id(2)} proven: number 2 of the newest 2
expire {backup_id(3)} proven: no rule keeps it
expire {backup_id(4)} proven: no rule keeps it
expire {backup_id(5)} proven: no rule keeps it
"""
        deleted = "".join(f"delete {backup_id(days)} from .trash\n" for days in (5, 4, 3))
        self.assertEqual(self.backup("expire", "--dry-run"), (
            0, expected + deleted + "dry run: nothing was moved or deleted\n", ""))
        self.assertEqual(len(list((self.target / "hub").glob("2*"))), 5)
        code, out, err = self.backup("expire")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out[:len(expected + deleted)], expected + deleted)
        self.assertEqual(sorted(path.name for path in (self.target / "hub").glob("2*")),
                         [backup_id(2), backup_id(1)])
        self.assertEqual(self.rows(), f"{backup_id(2)} {backup_id(1)}")

    def test_what_is_not_ours_freezes_it(self):
        (self.target / "hub" / "notes.txt").write_text("mine")
        code, out, err = self.backup("expire")
        self.assertEqual((code, err), (6, ""))
        self.assertIn('frozen, nothing goes: foreign: "notes.txt" among the backups is none of'
                      " ours\n", out)
        self.assertEqual(len(list((self.target / "hub").glob("2*"))), 5)
        (self.target / "hub" / "notes.txt").unlink()
        self.assertEqual(self.backup("expire")[0], 0)

    def test_keep_and_unkeep(self):
        kept = backup_id(5)
        self.assertEqual(self.backup("keep", kept, "--reason", "before the migration"), (
            0, f"{kept} is kept until: pgsteward backup unkeep {kept}\n", ""))
        self.assertIn(f"keep {kept} proven: kept by hand: before the migration\n",
                      self.backup("expire", "--dry-run")[1])
        self.assertEqual(self.backup("unkeep", kept), (
            0, f"{kept} is no longer kept by hand\n", ""))
        self.assertIn(f"expire {kept} proven: no rule keeps it\n",
                      self.backup("expire", "--dry-run")[1])

    def test_an_anomaly_is_accepted(self):
        self.publish(3, anomaly="rows of public.messages in hub: 0 after 12")
        plan = self.backup("expire", "--dry-run")[1]
        self.assertIn(f"keep {backup_id(4)} proven: the last before the anomaly of {backup_id(3)}\n",
                      plan)
        self.assertEqual(self.backup("unkeep", backup_id(3)), (
            0, f"the anomaly of {backup_id(3)} is accepted and keeps no older backup\n", ""))
        self.assertIn(f"expire {backup_id(4)} proven: no rule keeps it\n",
                      self.backup("expire", "--dry-run")[1])

    def test_without_target_job_or_database(self):
        sentinel = self.target / "PGSTEWARD-BACKUPS"
        sentinel.rename(self.target / "aside")
        code, out, err = self.backup("list")
        self.assertEqual((code, out), (5, ""))
        self.assertIn(f"the target of backups has no file {sentinel}", err)
        (self.target / "aside").rename(sentinel)
        code, out, err = self.backup("list", "--job", "other")
        self.assertEqual((code, out), (2, ""))
        self.assertIn('no job "other" of type backup in the configuration', err)
        self.config.write_text(self.config.read_text().replace(
            self.postgres.conninfo("hub"), "host=/nowhere dbname=hub"))
        code, out, err = self.backup("expire", "--dry-run")
        self.assertEqual(code, 0)
        self.assertIn("note: failed runs and the server's clock are not known", err)
        self.assertEqual(self.backup("expire")[0], 5)
        self.assertEqual(len(list((self.target / "hub").glob("2*"))), 5)

    def test_metrics_also_while_the_database_is_away(self):
        self.publish(1, verdict="")
        text = self.config_text().replace(self.postgres.conninfo("hub"), "host=/nowhere dbname=hub")
        folder = self.root / "daemon"
        folder.mkdir(exist_ok=True)
        daemon = support.Daemon(folder, text)
        try:
            labels = 'server="hub",job_name="backup"'
            daemon.wait_sample(f"pgsteward_backup_target_available{{{labels}}}", 1)
            page = daemon.samples()
            self.assertEqual(page[f'pgsteward_backups{{{labels},state="proven"}}'], 4)
            self.assertEqual(page[f'pgsteward_backups{{{labels},state="unproven"}}'], 1)
            self.assertEqual(page[f"pgsteward_backup_size_bytes{{{labels}}}"], 1010)
            self.assertGreaterEqual(page[f"pgsteward_backup_data_at_risk_seconds{{{labels}}}"],
                                    2 * 86400)
        finally:
            daemon.stop()


if __name__ == "__main__":
    unittest.main()
