"""What systemd itself says of our unit, users and directories.

PGSTEWARD_BIN names the built program; without it /bin/true stands in where systemd only asks
whether the file exists.
"""

import os
import re
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "systemd"
BINARY = os.environ.get("PGSTEWARD_BIN")
INSTALLED = "/usr/bin/pgsteward"


def run(*command, **variables):
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


class Unit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        text = (SOURCE / "pgsteward.service").read_text()
        self.unit = self.folder / "pgsteward.service"
        self.unit.write_text(text.replace(INSTALLED, BINARY or "/bin/true"))

    def verify(self):
        done = run("systemd-analyze", "verify", "--man=no", str(self.unit),
                   SYSTEMD_UNIT_PATH=f"{self.folder}:")
        # Unknown keys are only warnings to systemd; to us they are failures.
        about_us = [line for line in done.stderr.splitlines() if "pgsteward" in line]
        return done.returncode, about_us

    def security(self):
        return run("systemd-analyze", "security", "--offline=true", "--threshold=15",
                   str(self.unit)).returncode

    def test_verifies(self):
        self.assertEqual(self.verify(), (0, []))

    def test_verifies_with_the_credential_drop_in(self):
        drop_ins = self.folder / "pgsteward.service.d"
        drop_ins.mkdir()
        shutil.copy(SOURCE / "credential.conf", drop_ins)
        self.assertEqual(self.verify(), (0, []))
        # The drop-in was really read.
        (drop_ins / "credential.conf").write_text("[Service]\nLoadCredentials=a:b\n")
        _, lines = self.verify()
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], "credential.conf:2: Unknown key .*'LoadCredentials'")

    def test_a_mistake_would_be_seen(self):
        self.unit.write_text(self.unit.read_text().replace("WatchdogSec=", "WatchDogSec="))
        _, lines = self.verify()
        self.assertEqual(len(lines), 1)
        self.assertRegex(lines[0], "Unknown key .*'WatchDogSec'")

    def test_exposure_is_at_most_one_and_a_half(self):
        self.assertEqual(self.security(), 0)

    def test_less_hardening_would_be_seen(self):
        text = self.unit.read_text()
        self.unit.write_text(text.replace("SystemCallFilter=", "#").replace("PrivateUsers=", "#"))
        self.assertNotEqual(self.security(), 0)

    def test_needs_no_credential_file(self):
        self.assertNotIn("LoadCredential", (SOURCE / "pgsteward.service").read_text())

    def test_a_bad_file_stops_the_reload_before_the_signal(self):
        reload = re.findall(r"^ExecReload=(.*)$", (SOURCE / "pgsteward.service").read_text(), re.M)
        self.assertEqual(reload, [
            "/usr/bin/pgsteward check-config /etc/pgsteward/pgsteward.yaml",
            "/bin/kill -HUP $MAINPID",
        ])

    @unittest.skipUnless(BINARY, "PGSTEWARD_BIN is not set")
    def test_the_program_has_the_commands_and_exit_codes_of_the_unit(self):
        config = self.folder / "pgsteward.yaml"
        config.write_text("no_such_key: 1\n")
        self.assertEqual(run(BINARY, "check-config", str(config)).returncode, 78)
        self.assertEqual(run(BINARY, "serve", "--config", str(config)).returncode, 78)
        self.assertEqual(run(BINARY, "serve", "--no-such-flag").returncode, 2)


@unittest.skipUnless(os.geteuid() == 0, "only root may create users and owners")
class Install(unittest.TestCase):
    def test_user_and_directories(self):
        with tempfile.TemporaryDirectory() as root:
            etc = Path(root, "etc", "pgsteward")
            etc.mkdir(parents=True)
            etc.chmod(0o755)
            (etc / "pgsteward.yaml").write_text("servers: []\n")
            (etc / "pgsteward.yaml").chmod(0o644)
            users = run("systemd-sysusers", f"--root={root}", str(SOURCE / "pgsteward.sysusers"))
            self.assertEqual(users.returncode, 0, users.stderr)
            fields = Path(root, "etc/passwd").read_text().strip().split(":")
            self.assertEqual(fields[0], "pgsteward")
            self.assertEqual(fields[4:], ["PostgreSQL operations and monitoring daemon",
                                          "/var/lib/pgsteward", "/usr/sbin/nologin"])
            done = run("systemd-tmpfiles", "--create", f"--root={root}",
                       str(SOURCE / "pgsteward.tmpfiles"))
            self.assertEqual(done.returncode, 0, done.stderr)
            for path, mode in ((etc, 0o750), (etc / "pgsteward.yaml", 0o640)):
                status = path.stat()
                self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid),
                                 (mode, 0, int(fields[3])), path)


if __name__ == "__main__":
    unittest.main()
