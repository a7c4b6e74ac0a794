"""Copies of backups elsewhere: the built binary, rclone, and a real S3 server on loopback."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import unittest
from unittest import mock

import support
from handmade_backup import signed


def command_lines(word):
    """Those of the processes that run now and have the word in it."""
    found = set()
    for each in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = each.read_text(errors="replace")
        except OSError:  # it has ended
            continue
        if word in line:
            found.add(line.replace("\0", " "))
    return found


class BackupOffsiteTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = support.temporary_folder()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.root = pathlib.Path(cls.folder.name)
        cls.enterClassContext(mock.patch.dict(os.environ, support.without_aws(), clear=True))
        (cls.root / "pg").mkdir()
        cls.postgres = support.Postgres(cls.root / "pg")
        cls.postgres.start()
        cls.addClassCleanup(cls.postgres.stop)
        cls.postgres.create_hub("hub")
        cls.keys = [support.age_key(cls.root / f"{name}.key") for name in ("one", "two")]
        cls.s3 = support.S3(cls.root)
        cls.s3.start()
        cls.addClassCleanup(cls.s3.stop)
        cls.s3.rclone("mkdir", "--s3-no-check-bucket=false", "s3:backups")

    def setUp(self):
        self.temporary = support.temporary_folder()
        self.addCleanup(self.temporary.cleanup)
        self.own = pathlib.Path(self.temporary.name)
        self.target = self.own / "target"
        self.remote_root = f"s3:backups/{self.own.name}"
        self.config = self.own / "pgsteward.yaml"
        self.config.write_text(self.config_text())
        self.assertEqual(support.run("backup", "init", self.target)[0], 0)

    def config_text(self):
        return f"""servers:
  - name: hub
    conninfo: "{self.postgres.conninfo("hub")}"
jobs_state_directory: {self.own}
jobs:
  backup:
    enabled: true
    schedule: manual
    target: {self.target}
    recipients: [{", ".join(self.keys)}]
    offsite_remote: "{self.remote_root}"
    rclone_config: {self.s3.rclone_config}
"""

    def backup(self, *arguments, **more):
        return support.run("backup", *arguments, "--config", self.config, **more)

    def take(self):
        code, out, err = self.backup("run")
        self.assertEqual(code, 0, out + err)

    def listed(self):
        """The backups, the oldest first."""
        code, out, err = self.backup("list", "--output", "json")
        self.assertEqual((code, err), (0, ""))
        return json.loads(out)["backups"][::-1]

    def copied(self):
        return [each["offsite"] is not None for each in self.listed()]

    def details(self):
        return json.loads(self.postgres.psql(
            "SELECT details FROM pgsteward.job_run ORDER BY started_at DESC LIMIT 1", "hub"))

    def mark(self, backup):
        return self.target / "hub/.pins" / f"{backup['id']}.offsite"

    def remote(self, backup, name=""):
        return f"{self.remote_root}/hub/{backup['id']}/{name}"

    def metrics(self):
        daemon = support.Daemon(self.own, self.config_text())
        self.addCleanup(daemon.process.end)
        support.wait_until(lambda: "pgsteward_backup_target_available" in daemon.page(), 15,
                           "backups were looked at")
        found = re.findall(r'(?m)^pgsteward_backup_offsite_(\w+)\{.*?(?:,state="(\w+)")?\} (\S+)$',
                           daemon.page())
        daemon.stop()
        return {state or name: float(value) for name, state, value in found}

    def assert_partial(self, done, reason):
        code, out, err = done
        self.assertEqual(code, 6, out + err)
        self.assertIn(reason, out + err)
        self.assertNotIn(self.s3.SECRET, out + err)

    def test_a_copy_is_whole_and_compared(self):
        self.assertEqual(self.metrics(), {
            "last_verified_timestamp_seconds": 0, "success": 0, "copied": 0, "missing": 0})
        self.take()
        one, = self.listed()
        self.assertEqual(one["offsite"]["remote"], self.remote_root)
        self.assertRegex(self.backup("show", "latest")[1], rf"(?m)^off-site +{self.remote_root}, verified 20")
        self.s3.rclone("copy", self.remote(one), str(self.own / "fetched"))
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=self.own / "fetched", check=True)
        here = pathlib.Path(one["folder"])
        self.assertEqual(sorted(each.name for each in (self.own / "fetched").iterdir()),
                         sorted(each.name for each in here.iterdir()))
        self.assertEqual((self.own / "fetched/manifest.json").read_bytes(),
                         (here / "manifest.json").read_bytes())
        metrics = self.metrics()
        self.assertLess(time.time() - metrics.pop("last_verified_timestamp_seconds"), 60)
        self.assertEqual(metrics, {"success": 1, "copied": 1, "missing": 0})

    def test_a_remote_without_checksums_is_read_back(self):
        secret = subprocess.run(["rclone", "obscure", "of the crypt remote"], check=True,
                                capture_output=True, text=True).stdout
        config = self.s3.rclone_config
        self.addCleanup(self.s3.write_config, self.s3.SECRET)
        config.write_text(f"{config.read_text()}[crypt]\ntype = crypt\nremote = {self.remote_root}\n"
                          f"password = {secret}")
        self.remote_root = "crypt:"
        self.config.write_text(self.config_text())
        self.take()
        one, = self.listed()
        self.assertEqual(one["offsite"]["remote"], "crypt:")
        self.mark(one).unlink()
        altered = self.own / "altered"
        altered.write_bytes((pathlib.Path(one["folder"]) / "globals.sql.zst.age").read_bytes()[::-1])
        self.s3.rclone("copyto", str(altered), f"crypt:hub/{one['id']}/globals.sql.zst.age")
        self.assert_partial(self.backup("run"), "the copy lacks or has altered: globals.sql.zst.age")

    def test_a_remote_that_is_away_gets_it_later(self):
        self.s3.stop()
        self.addCleanup(lambda: self.s3.process.alive() or self.s3.start())
        self.assert_partial(self.backup("run"), "connection refused")
        self.assert_partial(self.backup("run"), "connection refused")
        self.assertEqual(self.copied(), [False, False])
        self.assertEqual(self.metrics()["missing"], 2)
        self.s3.start()
        code, out, _ = self.backup("run", "--dry-run")
        self.assertEqual(code, 0)
        self.assertEqual(out.count("which an earlier run did not"), 2, out)
        self.take()
        self.assertEqual(self.copied(), [True, True, True])
        first, second, newest = [each["offsite"]["verified"] for each in self.listed()]
        self.assertLess(newest, first)
        self.assertLess(first, second)
        self.assertEqual(self.metrics()["missing"], 0)

    def test_what_was_altered_there_is_noticed_and_left(self):
        self.take()
        one, = self.listed()
        name = "globals.sql.zst.age"
        content = bytearray((pathlib.Path(one["folder"]) / name).read_bytes())
        content[-1] ^= 1
        altered = self.own / "altered"
        altered.write_bytes(content)
        self.mark(one).unlink()  # as after a run that was killed just before it
        for file, problem in ((name, f"the copy lacks or has altered: {name}"),
                              ("manifest.json", "the copy's manifest is not good")):
            with self.subTest(file):
                self.s3.rclone("copyto", str(altered), self.remote(one, file))
                self.assert_partial(self.backup("run"), problem)
                self.assertEqual((self.copied()[0], self.copied()[-1]), (False, True))
                self.s3.rclone("copyto", self.remote(one, file), str(self.own / "fetched"))
                self.assertEqual((self.own / "fetched").read_bytes(), content)
                self.s3.rclone("copyto", str(pathlib.Path(one["folder"]) / file), self.remote(one, file))
        self.take()
        self.assertEqual(set(self.copied()), {True})

    def test_a_run_that_is_killed_while_it_copies(self):
        run = support.Process([support.binary(), "backup", "run", "--config", str(self.config)],
                              self.own / "killed.log", env={**os.environ, "RCLONE_BWLIMIT": "2k"})
        support.wait_until(lambda: command_lines("copy\0--exclude"), 30, "rclone copies")
        run.stop(signal.SIGKILL)
        support.wait_until(lambda: not command_lines(str(self.target)), 60, "its rclone has ended")
        self.assertEqual(self.copied(), [False])
        support.wait_until(lambda: self.backup("run")[0] != 4, 60, "the lease of the killed run ends")
        self.assertEqual(set(self.copied()), {True})

    def test_the_copy_stays_as_it_was_published(self):
        self.take()
        one, = self.listed()
        manifest = pathlib.Path(one["folder"]) / "manifest.json"
        published = manifest.read_text()
        proof = [{"verdict": "proven", "reason": "", "at": "2026-11-25T05:00:00.000000Z",
                  "restore_seconds": 1.5, "phases": [], "host": "drill1"}]
        content = json.loads(published)
        del content["sha256"]
        manifest.write_text(signed({**content, "proofs": proof}))
        self.mark(one).unlink()
        self.take()
        self.assertEqual(set(self.copied()), {True})
        self.assertEqual(self.listed()[0]["state"], "proven")
        self.assertEqual(self.s3.rclone("cat", self.remote(one, "manifest.json")), published)

    def test_a_changed_remote_gets_all_of_them(self):
        self.take()
        first = self.remote_root
        self.remote_root += "/elsewhere"
        self.config.write_text(self.config_text())
        self.assertEqual(self.metrics()["success"], 0)
        self.assertEqual({each["offsite"]["remote"] for each in self.listed()}, {first})
        self.take()
        self.assertEqual({each["offsite"]["remote"] for each in self.listed()}, {self.remote_root})

    def test_a_wrong_key_is_told_and_no_key_shown(self):
        self.s3.write_config("wrong-" + self.s3.SECRET)
        self.addCleanup(self.s3.write_config, self.s3.SECRET)
        seen, done = set(), threading.Event()

        def watch():
            while not done.is_set():
                seen.update(command_lines("rclone"))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.assert_partial(self.backup("run"), "SignatureDoesNotMatch")
        finally:
            done.set()
            watcher.join()
        self.assertIn("cat", " ".join(seen))
        self.assertNotIn(self.s3.SECRET, " ".join(seen))
        self.assertNotIn(self.s3.SECRET, json.dumps(self.details()))

    def test_without_rclone(self):
        programs = self.own / "bin"
        programs.mkdir()
        (programs / "age").symlink_to(support.tool("age", "age"))
        code, out, err = self.backup("run", env={"PATH": str(programs)})
        self.assertEqual(code, 1, out + err)
        self.assertIn("there is no rclone; hint: Install the package rclone.", err)
        self.assertEqual(self.listed(), [])

    def test_settings_of_a_remote_belong_into_its_file(self):
        self.config.write_text(self.config_text().replace(
            self.remote_root, f":s3,secret_access_key={self.s3.SECRET}:bucket"))
        code, out, err = self.backup("run")
        self.assertNotEqual(code, 0)
        self.assertIn("offsite_remote holds settings of rclone; hint: Put them into", err)
        self.assertNotIn(self.s3.SECRET, out + err)


if __name__ == "__main__":
    unittest.main()
