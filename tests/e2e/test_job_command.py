"""`pgsteward job ...` as a person runs it: output, exit codes, interruptions, a database that goes away."""

import json
import os
import pathlib
import pty
import pwd
import re
import signal
import socket
import subprocess
import unittest

import support

SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(30)'"
WHO = f"{os.environ.get('SUDO_USER') or pwd.getpwuid(os.geteuid()).pw_name}@{socket.gethostname()}"
SESSIONS = 3000


def times_out(text):
    """Moments, ages, hashes and identifiers as words, and the blanks of columns as one."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "RUN", text)
    text = re.sub(r"[\w.-]+:\d+:[0-9a-f]{8}", "HOLDER", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+", "TIME", text)
    text = re.sub(r"\b(in )?[\d.]+[smhd](\d\d[mhs])?( ago)?\b|(?<=\()now(?=\))", "AGE", text)
    return re.sub(r" {2,}", " ", text)


class JobCommandTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = support.temporary_folder()
        cls.root = pathlib.Path(cls.folder.name)
        (cls.root / "pg").mkdir()
        cls.postgres = support.Postgres(cls.root / "pg", settings=["wal_level=replica"])
        cls.postgres.start()
        cls.postgres.create_hub("applied")

    @classmethod
    def tearDownClass(cls):
        cls.postgres.stop()
        cls.folder.cleanup()

    def setUp(self):
        self.postgres.psql("CREATE DATABASE hub TEMPLATE applied")
        self.config = self.root / "pgsteward.yaml"
        self.write_config()

    def tearDown(self):
        self.postgres.psql("DROP DATABASE hub WITH (FORCE)")

    def write_config(self, conninfo=None, cleanup="", more=""):
        self.config.write_text(f"""
servers:
  - name: hub
    conninfo: {conninfo or self.postgres.conninfo("hub")}
jobs_state_directory: {self.root}
time_zone: Europe/Berlin
jobs:
  cleanup:
    type: session_cleanup
    enabled: true
    schedule: "0 3 * * *"
    {cleanup}
  sleep:
    type: sql
    sql: SELECT pg_sleep(30)
    confirm: false
  fails:
    type: sql
    sql: SELECT 1/0
    confirm: false
  quick:
    type: sql
    sql: SELECT 1
    confirm: false
{more}""")

    def job(self, *arguments):
        return support.run("job", *arguments, "--config", self.config)

    def json(self, *arguments, code=0):
        got, out, err = self.job(*arguments, "--output", "json")
        self.assertEqual((got, err), (code, ""), out)
        return json.loads(out)

    def start(self, *arguments, **streams):
        command = subprocess.Popen(
            [support.binary(), "job", "run", *arguments, "--config", str(self.config)],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               "text": True, **streams})
        self.addCleanup(command.communicate)
        self.addCleanup(command.kill)
        return command

    def finish(self, command):
        out, err = command.communicate(timeout=60)
        return command.returncode, out, err

    def sql(self, text):
        return self.postgres.psql(text, "hub")

    def wait_for(self, text, value, what):
        support.wait_until(lambda: self.sql(text) == value, 30, what)

    def add_sessions(self):
        self.sql(f"""
            INSERT INTO users (email, first_name, last_name) VALUES ('a@example.org', 'A', 'B');
            INSERT INTO sessions (user_id, active, last_activity)
            SELECT (SELECT id FROM users LIMIT 1), false,
                   now() - interval '60 days' - n * interval '1 second'
            FROM generate_series(1, {SESSIONS}) AS n""")

    def sessions(self):
        return int(self.sql("SELECT count(*) FROM sessions"))

    def plan(self):
        return self.json("show", "cleanup")["plan"]

    # --- looking ---

    def test_list_and_show_of_jobs_that_nobody_has_run(self):
        code, out, err = self.job("list")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(times_out(out), """\
NAME TYPE SERVER ENABLED SCHEDULE NEXT DUE LAST RUN PAUSED
cleanup session_cleanup hub yes 0 3 * * * TIME (AGE) never -
sleep sql hub no manual - never -
fails sql hub no manual - never -
quick sql hub no manual - never -
""")
        jobs = self.json("list")["jobs"]
        self.assertEqual([job["name"] for job in jobs], ["cleanup", "sleep", "fails", "quick"])
        self.assertEqual([job["known"] for job in jobs], [False] * 4)
        self.assertEqual(self.job("list", "--server", "hub")[0], 0)
        shown = self.json("show", "cleanup")
        self.assertEqual(shown["options"]["older_than"], "30 days")
        self.assertEqual((shown["plan"]["needs_confirmation"], shown["plan"]["confirmed"]),
                         (True, False))
        code, out, err = self.job("show", "cleanup")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"\noption +older_than = 30 days \(default\)\n")
        self.assertEqual(self.sql("SELECT count(*) FROM pgsteward.job_state"), "0")

    def test_wrong_usage_and_configuration(self):
        known = "in the configuration; it has: cleanup, sleep, fails, quick\n"
        for command in ("show", "run", "pause", "resume", "why-not", "next"):
            self.assertEqual(self.job(command, "nothing"),
                             (2, "", f'pgsteward: no job "nothing" {known}'))
        self.assertEqual(self.job("history", "nothing"), (
            2, "", 'pgsteward: no job "nothing" in the configuration, and none in the history of'
            " server hub\n"))
        self.assertEqual(self.job("list", "--server", "other"), (
            2, "", 'pgsteward: no server "other" in the configuration; it has: hub\n'))
        self.assertEqual(self.job("run", "quick", "--arg", "a=b"), (
            2, "", 'pgsteward: --arg: no argument "a=b"; hint: Jobs of type sql take none.\n'))
        self.assertEqual(self.job("pause", "quick", "--for", "5")[0], 2)
        code, _, err = self.job("pause", "quick", "--until", "2020-01-01 08:00")
        self.assertEqual((code, err), (
            2, "pgsteward: job pause: --until is in the past: 2020-01-01 08:00:00 CET; hint: Times"
            " are of the job's time zone, Europe/Berlin.\n"))
        self.assertEqual(self.job("pause", "quick", "--until", "soon")[0], 2)
        self.assertEqual(self.job("pause", "quick", "--for", "1h", "--until", "2099-01-01")[0], 2)
        self.assertEqual(self.job("run", "cleanup", "--dry-run", "--confirm", "x")[0], 2)
        self.assertEqual(self.job("run")[0], 2)
        self.config.write_text("servers: []\n")
        self.assertEqual(self.job("list")[0], 78)

    def test_next(self):
        code, out, err = self.job("next", "cleanup", "--count", "2")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"^DUE +UTC +WHEN +REMARK\n(\S+ 03:00:00 CES?T +\S+ 0[12]:00:00 UTC +in \S+\n){2}$")
        self.assertEqual(len(self.json("next", "cleanup", "--count", "400")["due"]), 400)
        self.assertEqual(self.job("next", "quick"),
                         (0, "quick has no schedule: it runs only by hand\n", ""))

    def test_help_shows_examples(self):
        for command in ("list", "show", "run", "history", "pause", "resume", "why-not", "next"):
            code, out, _ = support.run("job", command, "--help")
            self.assertEqual(code, 0)
            self.assertRegex(out, f"Examples?:\\s+pgsteward job {command} ?")

    def test_no_tables(self):
        self.sql("DROP SCHEMA pgsteward CASCADE")
        complaint = ("this database has no tables of pgsteward's own (SQLSTATE 3F000); hint: Make them"
                     " with: pgsteward schema apply --component pgsteward.\n")
        code, out, err = self.job("list")
        self.assertEqual((code, err), (1, "pgsteward: server hub: " + complaint))
        self.assertEqual(len(out.splitlines()), 5)
        self.assertEqual(self.job("run", "quick"), (1, "", "pgsteward: job run: " + complaint))
        code, out, _ = self.job("why-not", "cleanup")
        self.assertEqual((code, out.splitlines()[0]), (
            1, "No job of server hub can run now: this database has no tables of pgsteward's own."))
        self.assertEqual(support.run("schema", "apply", "--component", "pgsteward", "--dsn",
                                     self.postgres.conninfo("hub"))[0], 0)
        self.assertEqual(self.job("run", "quick")[0], 0)

    # --- running ---

    def test_a_plan_is_confirmed_once(self):
        self.add_sessions()
        plan = self.plan()
        self.assertEqual((plan["needs_confirmation"], plan["confirmed"]), (True, False))
        run = f"pgsteward job run cleanup --config {self.config}"
        self.assertEqual(self.job("run", "cleanup"), (7, "", f"""\
pgsteward: job run: the plan {plan["hash"]} of cleanup has no person's word yet
  look at it:  {run} --dry-run
  then run it: {run} --confirm {plan["hash"]}
"""))
        code, out, err = self.job("run", "cleanup", "--dry-run")
        self.assertEqual((code, err), (0, ""))
        self.assertIn(f"delete {SESSIONS} sessions of 1 users", out)
        self.assertEqual(out.splitlines()[-1], f"plan {plan['hash']}, not confirmed; run it with:"
                         f" {run} --confirm {plan['hash']}")
        dry = self.json("run", "cleanup", "--dry-run")
        self.assertEqual((dry["dry_run"], dry["status"]), (True, "ok"))
        self.assertIn(f"delete {SESSIONS} sessions", " ".join(dry["plan_lines"]))
        code, _, err = self.job("run", "cleanup", "--confirm", "0123456789ab")
        self.assertEqual(code, 7)
        self.assertTrue(err.startswith(f"pgsteward: job run: the plan of cleanup is {plan['hash']} and"
                                       " not 0123456789ab: its options have changed\n"), err)
        # Nothing of this has left a trace.
        self.assertEqual(self.sql("SELECT (SELECT count(*) FROM pgsteward.job_run),"
                                  " (SELECT count(*) FROM pgsteward.lease),"
                                  " (SELECT count(*) FROM pgsteward.job_state),"
                                  " (SELECT count(*) FROM sessions)"), f"0|0|0|{SESSIONS}")

        code, out, err = self.job("run", "cleanup", "--confirm", plan["hash"])
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, rf"^cleanup: ok, {SESSIONS} rows in \d+ batches, ")
        self.assertEqual(self.sessions(), 0)
        self.assertEqual(self.plan()["confirmed"], True)
        self.assertEqual(self.job("run", "cleanup")[0], 0)
        # Another plan needs another word.
        self.write_config(cleanup="older_than: 10 days")
        self.assertEqual(self.job("run", "cleanup")[0], 7)
        self.assertEqual(self.plan()["confirmed"], False)

    def test_two_at_once(self):
        first = self.start("sleep")
        self.wait_for(SLEEPING, "1", "the job runs")
        code, out, err = self.job("run", "sleep")
        self.assertEqual((code, out), (4, ""))
        self.assertEqual(times_out(err.split(" since ")[0]),
                         "pgsteward: note: sleep is not enabled; a run by hand begins all the same\n"
                         "pgsteward: job run: busy: job/sleep is held by HOLDER")
        shown = self.json("show", "sleep")
        self.assertEqual((shown["running"]["status"], shown["running"]["pid"]),
                         ("running", first.pid))
        self.assertEqual([lease["held"] for lease in shown["leases"]], [True])
        code, out, err = self.job("why-not", "sleep")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(times_out(out), "It does run: run RUN of HOLDER began at TIME (AGE), by manual;"
                         " whether a gate throttles it says the metric pgsteward_job_throttled.\n")
        self.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE"
                 " '%pg_sleep(30)' AND pid <> pg_backend_pid()")
        self.assertEqual(self.finish(first)[0], 1)
        again = self.start("sleep")
        self.wait_for(SLEEPING, "1", "it can run again")
        again.kill()

    def test_failure(self):
        code, out, err = self.job("run", "fails")
        self.assertEqual(code, 1)
        self.assertEqual(times_out(out), "fails: failed, 0 rows in 0 batches, AGE\n"
                         " reason: query_failed: division by zero (SQLSTATE 22012)\n")
        self.assertIn("pgsteward: job run: division by zero (SQLSTATE 22012)", err)
        code, out, err = self.job("why-not", "fails")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(times_out(out), """\
It is not enabled: set enabled: true below jobs: fails: in the configuration, or run it by hand: \
pgsteward job run fails.
It has no schedule and runs only by hand: pgsteward job run fails.
No daemon has ever led the jobs of server hub: start pgsteward serve with this configuration.
Its last run failed at TIME (AGE): division by zero (SQLSTATE 22012); it is not tried again before \
its next due time.
""")

    def test_work_is_left_at_the_deadline(self):
        self.add_sessions()
        self.write_config(cleanup="deadline: 1s\n    nice: 100\n    confirm: false")
        code, out, err = self.job("run", "cleanup")
        self.assertEqual((code, err), (6, ""))
        self.assertRegex(out, r"^cleanup: partial, \d+ rows in \d+ batches, .*\n  reason: deadline\n")
        self.assertTrue(0 < self.sessions() < SESSIONS, self.sessions())
        self.write_config(cleanup="nice: 0\n    confirm: false")
        self.assertEqual(self.job("run", "cleanup")[0], 0)
        self.assertEqual(self.sessions(), 0)

    def test_ctrl_c_stops_at_a_safe_point(self):
        self.add_sessions()
        self.write_config(cleanup="nice: 100\n    confirm: false")
        command = self.start("cleanup")
        self.wait_for(f"SELECT count(*) < {SESSIONS} FROM sessions", "t", "a batch is done")
        command.send_signal(signal.SIGINT)
        code, out, err = self.finish(command)
        self.assertEqual((code, err), (130, "pgsteward: stopping at the next safe point; once more to"
                                            " leave at once\n"))
        self.assertRegex(out, r"^cleanup: cancelled, \d+ rows in ")
        left = self.sessions()
        self.assertTrue(0 < left < SESSIONS)
        [run] = self.json("history", "cleanup")["runs"]
        self.assertEqual((run["status"], run["rows_done"]), ("cancelled", SESSIONS - left))
        self.write_config(cleanup="nice: 0\n    confirm: false")
        self.assertEqual(self.job("run", "cleanup")[0], 0)

    def test_a_second_ctrl_c_leaves(self):
        command = self.start("sleep")
        self.wait_for(SLEEPING, "1", "the job runs")
        command.send_signal(signal.SIGINT)
        line = "".join(command.stderr.readline() for _ in range(2))
        self.assertIn("stopping at the next safe point", line)
        command.send_signal(signal.SIGINT)
        code, _, err = self.finish(command)
        self.assertEqual((code, err), (130, "pgsteward: left; the history will call the run aborted"
                                            " when its lease has ended\n"))
        self.assertEqual(self.json("history", "sleep")["runs"][0]["status"], "running")
        self.assertEqual(self.job("run", "sleep")[0], 4)
        self.sql("UPDATE pgsteward.lease SET expires_at = now()")
        code, out, _ = self.job("why-not", "sleep")
        self.assertEqual((code, times_out(out.splitlines()[0])), (
            0, "Run RUN of HOLDER began at TIME (AGE) and went away without a word; the daemon that"
            " leads will call it aborted."))

    def test_beside_a_daemon(self):
        self.write_config(more="jobs_lease: 3s\n")
        daemon = support.Daemon(self.root, self.config.read_text())
        try:
            support.wait_until(lambda: self.json("list")["jobs"][0]["known"], 20,
                               "the daemon has seen the jobs")
            paused = 'pgsteward_job_paused{server="hub",job_name="cleanup"}'
            self.assertEqual(self.job("pause", "cleanup", "--for", "1h")[0], 0)
            daemon.wait_sample(paused, 1)
            self.assertEqual(self.job("resume", "cleanup")[0], 0)
            daemon.wait_sample(paused, 0)
            self.assertEqual(times_out(self.job("why-not", "quick")[1]), """\
It is not enabled: set enabled: true below jobs: quick: in the configuration, or run it by hand: \
pgsteward job run quick.
It has no schedule and runs only by hand: pgsteward job run quick.
""")
            command = self.start("sleep")
            self.wait_for(SLEEPING, "1", "the job runs")
            command.kill()
            # Its server process sleeps on, and holds the lease's row so long.
            support.wait_until(
                lambda: self.json("history", "sleep")["runs"][0]["status"] == "aborted", 60,
                "the daemon calls the lost run aborted")
            self.assertEqual(self.job("run", "quick")[0], 0)
        finally:
            daemon.stop()

    def test_progress_on_a_terminal(self):
        self.add_sessions()
        self.write_config(cleanup="nice: 30\n    confirm: false")
        ours, theirs = pty.openpty()
        command = self.start("cleanup", stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
        os.close(ours)
        self.assertEqual(self.finish(command)[0], 0)
        self.assertRegex(shown, rb"\r[1-9]\d* rows, \d+ rows/s, \d+ batches, [\d.]+s\x1b\[K")
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)

    # --- pausing ---

    def test_pause_and_resume(self):
        self.assertEqual(self.job("resume", "cleanup"), (0, "cleanup was not paused\n", ""))
        self.assertEqual(self.job("pause", "cleanup", "--reason", "index\nbuild"),
                         (0, "cleanup is paused until it is resumed\n", ""))
        [paused, *others] = self.json("list")["jobs"]
        self.assertEqual([paused[name] for name in ("paused", "paused_until", "paused_by",
                                                    "pause_reason", "known")],
                         [True, "infinity", WHO, "index\nbuild", True])
        self.assertEqual([job["paused"] for job in others], [False] * 3)
        code, out, err = self.job("why-not", "cleanup")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.splitlines()[0], f"It is paused by {WHO} until somebody resumes it, because:"
                         " index build; go on with: pgsteward job resume cleanup.")
        self.assertEqual(self.job("pause", "cleanup", "--until", "2036-07-01 08:00"),
                         (0, "cleanup is paused until 2036-07-01 08:00:00 CEST\n", ""))
        self.assertEqual(self.json("show", "cleanup")["paused_until"], "2036-07-01T06:00:00.000Z")
        # By hand it runs all the same, and says so.
        self.write_config(cleanup="confirm: false")
        self.assertEqual(self.job("run", "cleanup")[::2], (
            0, f"pgsteward: note: cleanup is paused by {WHO}, until 2036-07-01 08:00:00 CEST; a run by"
            " hand begins all the same\n"))
        self.assertEqual(self.job("resume", "cleanup"), (0, "cleanup is resumed\n", ""))
        self.assertFalse(self.json("list")["jobs"][0]["paused"])
        code, out, err = self.job("pause", "cleanup", "--for", "2h")
        self.assertEqual((code, times_out(out), err), (0, "cleanup is paused until TIME\n", ""))
        self.assertEqual(self.sql("SELECT paused_until BETWEEN now() + interval '115 min' AND"
                                  " now() + interval '2 h' FROM pgsteward.job_state"), "t")

    # --- history ---

    def test_history(self):
        self.assertEqual(self.job("history"), (0, "no runs yet\n", ""))
        for name, code in (("quick", 0), ("fails", 1), ("quick", 0)):
            self.assertEqual(self.job("run", name)[0], code)
        code, out, err = self.job("history")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(times_out(out), """\
STARTED JOB STATUS TRIGGER DUE DURATION ROWS REASON
TIME quick ok manual - AGE 1
TIME fails failed manual - AGE 0 query_failed: division by zero (SQLSTATE 22012)
TIME quick ok manual - AGE 1
""")
        self.assertEqual(len(self.json("history", "quick")["runs"]), 2)
        [run] = self.json("history", "--limit", "1")["runs"]
        self.assertEqual(sorted(run), sorted(
            ["run_id", "job", "type", "trigger", "due", "attempt", "started", "finished",
             "duration_seconds", "status", "reason", "cutoff", "rows_done", "rows_skipped",
             "rows_quarantined", "batches", "throttled", "details", "error_sqlstate", "error_text",
             "host", "pid", "holder", "lease_epoch", "timeline"]))
        # A job that was taken out of the configuration.
        self.sql("UPDATE pgsteward.job_run SET job = 'gone' WHERE job = 'fails'")
        self.assertEqual(self.json("history", "gone")["runs"][0]["error_sqlstate"], "22012")

    # --- a database that is away ---

    def test_the_database_is_stopped_and_comes_back(self):
        (self.root / "hub.jobs").write_text(
            '{"kind":"server","system_identifier":"1","timeline":"1"}\n'
            '{"kind":"state","job":"quick","type":"sql","timetable":"manual","last_status":"ok",'
            '"last_finished_at":"1700000000.000000"}\n')
        self.addCleanup((self.root / "hub.jobs").unlink)
        self.postgres.stop()
        try:
            away = r"^pgsteward: server hub: .*\n"
            noted = "pgsteward: note: what is shown is what the daemon on this machine knew last\n"
            code, out, err = self.job("list")
            self.assertEqual(code, 5)
            self.assertRegex(err, away + noted + "$")
            self.assertEqual([line.split(" hub ")[1].split() for line in out.splitlines()[2:]], [
                ["no", "manual", "-", "unknown", "-"], ["no", "manual", "-", "unknown", "-"],
                ["no", "manual", "-", "ok", out.splitlines()[4].split()[-3], "ago", "-"]])
            self.assertEqual([self.job(*command)[0] for command in (
                ("show", "cleanup"), ("next", "cleanup"), ("why-not", "cleanup"), ("history",),
                ("run", "quick"), ("run", "cleanup", "--dry-run"), ("pause", "quick"),
                ("resume", "quick"))], [5] * 8)
            code, out, err = self.job("run", "quick")
            self.assertRegex(err, "^pgsteward: job run: .*\n$")
            self.assertEqual((code, out), (5, ""))
        finally:
            self.postgres.start()
        code, out, err = self.job("run", "quick")
        self.assertRegex(err, "pgsteward: job run: this is another cluster than that of the last "
                         r"time \(system identifier \d+, before 1\); hint: If this is the right "
                         r"server, remove .*/hub\.jobs\.\n$")
        self.assertEqual((code, out), (2, ""))
        (self.root / "hub.jobs").write_text("")
        self.assertEqual(self.job("run", "quick")[0], 0)
        self.assertEqual(self.job("list")[0], 0)

    def test_the_connection_is_lost_during_a_run(self):
        command = self.start("sleep")
        self.wait_for(SLEEPING, "1", "the job runs")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE"
                 " '%pg_sleep(30)' AND pid <> pg_backend_pid()")
        code, out, err = self.finish(command)
        self.assertEqual(code, 5, out + err)
        [run] = self.json("history", "sleep")["runs"]
        self.assertEqual((run["status"], run["error_sqlstate"]), ("failed", "57P01"))
        self.assertEqual(self.job("run", "quick")[0], 0)

    def test_a_standby(self):
        self.assertEqual(self.job("run", "quick")[0], 0)
        folder = self.root / "standby"
        folder.mkdir()
        standby = Standby(folder, self.postgres)
        standby.start()
        try:
            self.write_config(conninfo=standby.conninfo("hub"))
            support.wait_until(lambda: self.job("history", "quick")[1].count(" ok ") == 1, 20,
                               "the standby has followed")
            problem = "the server is a standby; jobs run on the primary"
            code, out, err = self.job("list")
            self.assertEqual((code, err), (5, ""))
            self.assertIn("ok ", out.splitlines()[4])
            self.assertEqual(self.job("why-not", "cleanup")[1].splitlines()[0],
                             f"No job of server hub can run now: {problem}.")
            for command in ("run", "pause", "resume"):
                self.assertEqual(self.job(command, "quick"), (
                    5, "", f"pgsteward: job {command}: {problem} (SQLSTATE 25006); hint: Connect to the"
                    " primary: target_session_attrs=read-write in the conninfo.\n"))
            standby.run_tool("pg_ctl", "promote", "-D", str(standby.data))
            self.assertEqual(self.job("run", "quick")[0], 0)
        finally:
            standby.stop()


class Standby(support.Postgres):
    """A copy of a running server that follows it."""

    def __init__(self, folder, primary):
        self.primary = primary
        super().__init__(folder)

    def run_tool(self, name, *arguments):
        if name == "initdb":
            name = "pg_basebackup"
            arguments = ("-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "-d",
                         self.primary.conninfo("postgres"))
        super().run_tool(name, *arguments)


if __name__ == "__main__":
    unittest.main()
