"""The built daemon against a real server: life cycle, reload, faults, secrets, greedy clients."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import unittest

import support

SECRET = "correct-horse-battery-staple"
FAST = """collectors:
  locks: {interval: 1s, timeout: 1s}
  active_users: {interval: 1s, timeout: 1s}
  connections: {interval: 1s, timeout: 1s}
"""


class DaemonTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = support.temporary_folder()
        root = pathlib.Path(cls.folder.name)
        (root / "pg").mkdir()
        cls.postgres = support.Postgres(root / "pg")
        cls.postgres.start()
        cls.postgres.create_hub("hub")
        cls.postgres.psql((support.ROOT / "schema/roles.sql").read_text(), "hub")
        cls.postgres.psql((support.ROOT / "tests/schema/seed_small.sql").read_text(), "hub")

    @classmethod
    def tearDownClass(cls):
        cls.postgres.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.work = pathlib.Path(self.folder.name) / self._testMethodName
        self.work.mkdir()

    def config(self, conninfo=None, more=FAST):
        conninfo = conninfo or self.postgres.conninfo("hub", "pgsteward")
        return f'servers:\n  - name: hub\n    conninfo: "{conninfo}"\n{more}'

    @contextlib.contextmanager
    def daemon(self, config=None, env=None, allowed_errors=()):
        """A daemon that must end with 0 and without an error line that is not allowed."""
        daemon = support.Daemon(self.work, config or self.config(), env)
        try:
            yield daemon
            if daemon.process.alive():
                self.assertEqual(daemon.stop(), 0, daemon.process.log())
            log = daemon.process.log()
            self.assertNotIn("runtime error", log)
            self.assertNotIn("Sanitizer", log)
            for line in log.splitlines():
                if "level=error" in line and not any(text in line for text in allowed_errors):
                    self.fail(f"unexpected error in the log: {line}")
        finally:
            if daemon.process.alive():
                daemon.process.child.kill()

    def test_serves_the_hub(self):
        with self.daemon() as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            support.wait_until(lambda: "hub_active_users" in daemon.page(), 10, "hub is measured")
            status, headers, _ = support.http_get(daemon.url())
            self.assertEqual(status, 200)
            self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            self.assertEqual(support.http_get(daemon.url("/-/healthy"))[0], 200)
            self.assertEqual(support.http_get(daemon.url("/nothing"))[0], 404)
            self.assertIn("hub", support.http_get(daemon.url("/"))[2])

    def test_one_connection_and_safe_session(self):
        with self.daemon() as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            seen = self.postgres.psql("SELECT application_name, count(*) FROM pg_stat_activity "
                                      "WHERE usename = 'pgsteward' GROUP BY 1")
            self.assertEqual(seen, "pgsteward:collector|1")

    def test_scrapes_cause_no_statements(self):
        with self.daemon(self.config(more="")) as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            count = ("SELECT sum(calls) FROM (SELECT xact_commit + xact_rollback AS calls "
                     "FROM pg_stat_database WHERE datname = 'hub') s")
            time.sleep(3)  # the first round of collectors is over, and counted by the server
            before = self.postgres.psql(count)
            for _ in range(50):
                support.http_get(daemon.url())
            time.sleep(1.5)  # the server counts a session's transactions once a second
            self.assertEqual(self.postgres.psql(count), before)

    def test_starts_without_postgres_and_finds_it(self):
        (self.work / "pg").mkdir()
        other = support.Postgres(self.work / "pg")
        with self.daemon(self.config(other.conninfo("postgres"))) as daemon:
            daemon.wait_sample('pgsteward_server_state{server="hub",state="unreachable"}', 1)
            self.assertEqual(daemon.samples()['pg_up{server="hub"}'], 0)
            self.assertEqual(support.http_get(daemon.url("/-/ready"))[0], 200)
            other.start()
            try:
                daemon.wait_sample('pg_up{server="hub"}', 1, 30)
            finally:
                other.stop()
            daemon.wait_sample('pg_up{server="hub"}', 0, 30)

    def test_ends_soon_while_the_server_hangs(self):
        (self.work / "pg").mkdir()
        other = support.Postgres(self.work / "pg")
        other.start()
        with self.daemon(self.config(other.conninfo("postgres"))) as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            pid = int((other.data / "postmaster.pid").read_text().split()[0])
            children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
            frozen = [pid, *map(int, children.stdout.split())]
            for each in frozen:
                os.kill(each, signal.SIGSTOP)
            try:
                time.sleep(2.5)  # a statement is under way and gets no answer
                start = time.monotonic()
                self.assertEqual(daemon.stop(), 0)
                self.assertLess(time.monotonic() - start, 8)
            finally:
                for each in frozen:
                    os.kill(each, signal.SIGCONT)
                other.stop()

    def test_reload(self):
        with self.daemon(allowed_errors=["configuration"]) as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            support.wait_until(lambda: "pg_locks_count" in daemon.page(), 10, "locks are measured")
            good = daemon.config.read_text()
            daemon.config.write_text(good + "unknown_key: 1\n")
            daemon.reload()
            daemon.wait_sample("pgsteward_config_last_reload_successful", 0)
            self.assertIn("pg_locks_count", daemon.page())
            daemon.config.write_text(good.replace("locks: {interval: 1s, timeout: 1s}",
                                                  "locks: {enabled: false}"))
            daemon.reload()
            daemon.wait_sample("pgsteward_config_last_reload_successful", 1)
            support.wait_until(lambda: "pg_locks_count" not in daemon.page(), 10, "locks are gone")
            daemon.wait_sample('pg_up{server="hub"}', 1)

    def test_reload_moves_the_listener(self):
        with self.daemon() as daemon:
            old = daemon.url("/-/healthy")
            moved = support.free_port()
            text = daemon.config.read_text().replace(str(daemon.port), str(moved), 1)
            daemon.config.write_text(text)
            daemon.reload()
            daemon.port = moved
            support.wait_until(daemon.ready, 10, "the new address answers")
            with self.assertRaises(OSError):
                support.http_get(old, timeout=2)

    def test_stale_series_vanish_and_come_back(self):
        with self.daemon() as daemon:
            support.wait_until(lambda: "hub_active_users" in daemon.page(), 10, "hub is measured")
            self.postgres.psql("REVOKE SELECT (user_id, created_at) ON messages FROM pgsteward",
                               "hub")
            try:
                support.wait_until(lambda: "hub_active_users" not in daemon.page(), 40,
                                   "what cannot be measured goes stale")
                failed = 'pg_scrape_collector_success{server="hub",datname="hub",collector="active_users"}'
                self.assertEqual(daemon.samples()[failed], 0)
                self.assertIn("sqlstate=42501", daemon.process.log())
            finally:
                self.postgres.psql("GRANT SELECT (user_id, created_at) ON messages TO pgsteward",
                                   "hub")
            support.wait_until(lambda: "hub_active_users" in daemon.page(), 40, "it is back")

    def test_row_level_security_is_an_error_and_never_a_zero(self):
        with self.daemon() as daemon:
            support.wait_until(lambda: "hub_active_users" in daemon.page(), 10, "hub is measured")
            self.postgres.psql("ALTER TABLE messages ENABLE ROW LEVEL SECURITY", "hub")
            zeros = []
            try:
                def gone():
                    found = [v for s, v in daemon.samples().items()
                             if s.startswith("hub_active_users")]
                    zeros.extend(v for v in found if v == 0)
                    return not found
                support.wait_until(gone, 40, "the number goes stale")
            finally:
                self.postgres.psql("ALTER TABLE messages DISABLE ROW LEVEL SECURITY", "hub")
            self.assertIn("row-level security", daemon.process.log())
            support.wait_until(lambda: "hub_active_users" in daemon.page(), 40, "it is back")

    def test_terminated_backend(self):
        with self.daemon() as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            connects = 'pgsteward_connects_total{server="hub",datname="hub"}'
            before = daemon.samples()[connects]
            self.postgres.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               "WHERE usename = 'pgsteward'")
            support.wait_until(lambda: daemon.samples()[connects] > before, 20, "it reconnects")
            daemon.wait_sample('pg_up{server="hub"}', 1)

    def test_secrets_show_nowhere(self):
        self.postgres.psql(f"CREATE ROLE with_password LOGIN PASSWORD '{SECRET}' IN ROLE pg_monitor")
        hba = self.postgres.data / "pg_hba.conf"
        before = hba.read_text()
        hba.write_text("host all with_password 127.0.0.1/32 scram-sha-256\n" + before)
        self.postgres.psql("SELECT pg_reload_conf()")
        password = self.work / "password"
        password.write_text("wrong-" + SECRET + "\n")
        password.chmod(0o600)
        conninfo = f"host=127.0.0.1 port={self.postgres.port} dbname=hub user=with_password"
        config = self.config(conninfo, f"    password_file: {password}\nlog: {{level: debug}}\n{FAST}")
        try:
            with self.daemon(config) as daemon:
                daemon.wait_sample('pgsteward_server_state{server="hub",state="auth_failed"}', 1)
                password.write_text(SECRET + "\n")  # read again at the next attempt
                daemon.wait_sample('pg_up{server="hub"}', 1, 40)
                pid = daemon.process.child.pid
                for shown in (daemon.process.log(), daemon.page(),
                              support.http_get(daemon.url("/"))[2],
                              pathlib.Path(f"/proc/{pid}/cmdline").read_text(),
                              pathlib.Path(f"/proc/{pid}/environ").read_text(),
                              support.run("check-config", "--print", daemon.config)[1]):
                    self.assertNotIn(SECRET, shown)
        finally:
            hba.write_text(before)
            self.postgres.psql("SELECT pg_reload_conf()")

    def test_greedy_clients_leave_the_others_untouched(self):
        with self.daemon() as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            lazy = socket.create_connection(("127.0.0.1", daemon.port))
            lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200)  # and never reads
            problems = []

            def scrape():
                for _ in range(10):
                    status, _, body = support.http_get(daemon.url(), timeout=5)
                    if status != 200 or 'pg_up{server="hub"} 1' not in body:
                        problems.append(status)
            scrapers = [threading.Thread(target=scrape) for _ in range(50)]
            for scraper in scrapers:
                scraper.start()
            for scraper in scrapers:
                scraper.join()
            lazy.close()
            self.assertEqual(problems, [])

    def test_systemd_notification(self):
        path = str(self.work / "n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            listener.settimeout(20)
            env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "600000"}
            seen = []

            def wait_for(text):
                while not any(text in message for message in seen):
                    seen.append(listener.recv(4096).decode())
            with self.daemon(env=env) as daemon:
                wait_for("READY=1")
                wait_for("STATUS=1/1 servers up")
                wait_for("WATCHDOG=1")
                seen.clear()
                daemon.reload()
                wait_for("RELOADING=1\nMONOTONIC_USEC=")
                wait_for("READY=1")
                self.assertEqual(daemon.stop(), 0)
                wait_for("STOPPING=1")

    def test_watchdog_is_silent_when_the_loop_hangs(self):
        path = str(self.work / "n")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(path)
            env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}
            with self.daemon(env=env) as daemon:
                os.kill(daemon.process.child.pid, signal.SIGSTOP)
                time.sleep(0.2)  # what was sent before
                listener.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        listener.recv(4096)
                listener.settimeout(1)
                with self.assertRaises(TimeoutError):
                    listener.recv(4096)
                os.kill(daemon.process.child.pid, signal.SIGCONT)
                listener.settimeout(5)
                while "WATCHDOG=1" not in listener.recv(4096).decode():
                    pass

    def test_address_in_use(self):
        with self.daemon() as daemon:
            code, _, err = support.run("serve", "--config", daemon.config)
            self.assertEqual(code, 1)
            self.assertIn("Address already in use", err)
            self.assertIn(f"127.0.0.1:{daemon.port}", err)

    def test_log_as_json(self):
        with self.daemon(self.config(more="log: {format: json}\n")) as daemon:
            daemon.wait_sample('pg_up{server="hub"}', 1)
            for line in daemon.process.log().splitlines():
                import json
                self.assertIn("msg", json.loads(line))


class CommandTest(unittest.TestCase):
    def setUp(self):
        self.folder = support.temporary_folder()
        self.config = pathlib.Path(self.folder.name) / "pgsteward.yaml"

    def tearDown(self):
        self.folder.cleanup()

    def test_bad_configuration_is_refused_with_all_problems(self):
        self.config.write_text("servers:\n  - name: hub\n    conninfo: dbname=hub\nwebb: 1\n"
                               "collectors:\n  locks: {interval: 0s}\n")
        for command in (["serve", "--config"], ["check-config"], ["metrics", "--config"]):
            code, _, err = support.run(*command, self.config)
            self.assertEqual(code, 78, err)
            self.assertRegex(err, r"pgsteward\.yaml:4:1: .*webb")
            self.assertRegex(err, r"pgsteward\.yaml:6:\d+: ")

    def test_usage(self):
        self.assertEqual(support.run("nonsense")[0], 2)
        self.assertEqual(support.run()[0], 2)
        self.assertEqual(support.run("--help")[0], 0)
        code, out, _ = support.run("version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^pgsteward \d+\.\d+\.\d+ \(revision \w+, gcc-\d+\.\d+, libpq \d+\.\d+\)\n$")

    def test_collectors_lists_the_table(self):
        code, out, _ = support.run("collectors")
        self.assertEqual(code, 0)
        names = [line.split()[0] for line in out.splitlines()[1:]]
        self.assertEqual(names, sorted(names))
        self.assertIn("active_users", names)

    def test_metrics_without_a_server(self):
        self.config.write_text("servers:\n  - name: hub\n"
                               "    conninfo: host=127.0.0.1 port=1 dbname=hub\n")
        code, out, _ = support.run("metrics", "--config", self.config)
        self.assertEqual(code, 5)
        self.assertIn('pg_up{server="hub"} 0', out)
        code, _, err = support.run("locks", "--config", self.config)
        self.assertEqual(code, 5)
        self.assertIn("Connection refused", err)

    def test_unknown_names(self):
        self.config.write_text("servers:\n  - name: hub\n    conninfo: host=127.0.0.1 port=1\n")
        code, _, err = support.run("metrics", "--config", self.config, "--collector", "nope")
        self.assertEqual((code, "nope" in err), (2, True))
        code, _, err = support.run("locks", "--config", self.config, "--server", "nope")
        self.assertEqual((code, "it has: hub" in err), (2, True))


if __name__ == "__main__":
    unittest.main(verbosity=2)
