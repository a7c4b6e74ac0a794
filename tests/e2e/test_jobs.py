"""Jobs in the running daemon: schedule, history, reload, shutdown, two daemons, a database that is
away."""

import pathlib
import signal
import time
import unittest

import support

TICK = """
  tick:
    type: sql
    enabled: true
    confirm: false
    schedule: every 2s
    sql: INSERT INTO public.tick DEFAULT VALUES
"""
# A batch of them takes a while: each row costs 10 ms.
SWEEP = """
  sweep:
    type: session_cleanup
    enabled: true
    confirm: false
    schedule: every 2s
    nice: 0
"""
SLOW_SESSIONS = """
CREATE FUNCTION public.take_time() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_catalog.pg_sleep(0.01); RETURN OLD; END$$;
CREATE TRIGGER take_time BEFORE DELETE ON public.sessions
FOR EACH ROW EXECUTE FUNCTION public.take_time();
"""
OLD_SESSIONS = """
INSERT INTO public.sessions (user_id, active, last_activity)
SELECT (SELECT id FROM public.users ORDER BY id LIMIT 1), false, now() - interval '90 days'
FROM generate_series(1, {count})
"""
LEADER = 'pgsteward_jobs_leader{server="hub"}'


class JobsTest(unittest.TestCase):
    def setUp(self):
        self.folder = support.temporary_folder()
        self.addCleanup(self.folder.cleanup)
        self.work = pathlib.Path(self.folder.name)
        (self.work / "pg").mkdir()
        self.postgres = support.Postgres(self.work / "pg")
        self.postgres.start()
        self.addCleanup(self.postgres.stop)
        self.postgres.create_hub("hub")
        self.postgres.psql((support.ROOT / "schema/roles.sql").read_text(), "hub")
        self.postgres.psql((support.ROOT / "tests/schema/seed_small.sql").read_text(), "hub")
        self.postgres.psql("CREATE TABLE public.tick (at timestamptz DEFAULT clock_timestamp(), "
                           "pid int DEFAULT pg_backend_pid())", "hub")
        self.daemons = []
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for daemon in self.daemons:
            if daemon.process.alive():
                daemon.process.child.kill()

    def config(self, jobs, state):
        return (f'servers:\n  - name: hub\n    conninfo: "{self.postgres.conninfo("hub", "pgsteward")}"\n'
                f'    jobs_conninfo: "{self.postgres.conninfo("hub")}"\n'
                f"jobs_state_directory: {state}\njobs_lease: 3s\njobs:{jobs}")

    def daemon(self, jobs, name="one"):
        folder = self.work / name
        folder.mkdir(exist_ok=True)
        daemon = support.Daemon(folder, self.config(jobs, folder))
        self.daemons.append(daemon)
        return daemon

    def reconfigure(self, daemon, jobs):
        daemon.write_config(self.config(jobs, daemon.folder))
        before = daemon.process.log().count('msg="configuration reloaded"')
        daemon.reload()
        support.wait_until(
            lambda: daemon.process.log().count('msg="configuration reloaded"') > before, 15,
            "the configuration is reloaded")

    def end(self, daemon):
        """Ends it in order, without a word of error in all its life."""
        self.assertEqual(daemon.stop(), 0, daemon.process.log())
        log = daemon.process.log()
        for word in ("level=error", "runtime error", "Sanitizer"):
            self.assertNotIn(word, log)

    def sql(self, query):
        return self.postgres.psql(query, "hub")

    def wait_sql(self, query, value, seconds=20):
        support.wait_until(lambda: self.sql(query) == value, seconds, f"{query}: {value}")

    def make_sessions_slow(self, count):
        self.sql("DELETE FROM public.sessions")
        self.sql(SLOW_SESSIONS)
        self.sql(OLD_SESSIONS.format(count=count))

    def wait_for_run(self, job):
        """The id of a run under way that has done something."""
        under_way = ("SELECT run_id FROM pgsteward.job_run WHERE status = 'running' "
                     f"AND job = '{job}' AND finished_at IS NULL")
        left = self.sql("SELECT count(*) FROM public.sessions")
        run = support.wait_until(lambda: self.sql(under_way), 20, f"{job} runs")
        support.wait_until(lambda: self.sql("SELECT count(*) FROM public.sessions") != left, 20,
                           f"{job} deletes")
        return run

    def test_runs_on_schedule_and_keeps_the_history(self):
        daemon = self.daemon(TICK + "\n  session_cleanup:\n")
        first = daemon.samples()
        for series, value in (
                ('pgsteward_job_enabled{server="hub",job_name="tick"}', 1),
                ('pgsteward_job_enabled{server="hub",job_name="session_cleanup"}', 0),
                ('pgsteward_job_runs_total{server="hub",job_name="tick",status="failed"}', 0),
                ('pgsteward_job_last_success_timestamp_seconds{server="hub",job_name="session_cleanup"}',
                 0)):
            self.assertEqual(first.get(series), value, series)
        self.wait_sql("SELECT count(*) >= 3 FROM public.tick", "t")
        self.assertEqual(self.sql("SELECT DISTINCT status, reason IS NULL, type, trigger, attempt, "
                                  "rows_done FROM pgsteward.job_run WHERE status <> 'running'"),
                         "ok|t|sql|schedule|1|1")
        # Each due time once, on the grid.
        self.assertEqual(self.sql("SELECT count(*) = count(DISTINCT due_at), "
                                  "bool_and(extract(epoch FROM due_at)::bigint % 2 = 0) "
                                  "FROM pgsteward.job_run"), "t|t")
        daemon.wait_sample(LEADER, 1)
        ok = 'pgsteward_job_runs_total{server="hub",job_name="tick",status="ok"}'
        support.wait_until(lambda: daemon.samples().get(ok, 0) >= 3, 10, "the runs are counted")
        self.assertEqual(
            self.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres' "
                     "AND datname = 'hub' AND pid <> pg_backend_pid() "
                     "AND backend_type = 'client backend' "
                     "AND application_name NOT LIKE 'pgsteward:job%'"), "0")
        self.end(daemon)
        # What it held is free, and the next daemon goes on where this one was.
        self.assertEqual(self.sql("SELECT count(*) FROM pgsteward.lease WHERE expires_at > now()"),
                         "0")
        self.sql("TRUNCATE public.tick")
        again = self.daemon(TICK)
        # From the journal, at once.
        self.assertGreaterEqual(again.samples().get(ok, 0), 3)
        self.wait_sql("SELECT count(*) >= 2 FROM public.tick", "t")
        self.end(again)

    def test_a_reload_interrupts_only_what_has_changed(self):
        self.make_sessions_slow(600)
        daemon = self.daemon(SWEEP)
        run = self.wait_for_run("sweep")
        self.reconfigure(daemon, SWEEP + "\nlog: {level: debug}\n")
        self.wait_sql(f"SELECT status, rows_done FROM pgsteward.job_run WHERE run_id = '{run}'",
                      "ok|600", 40)
        self.sql(OLD_SESSIONS.format(count=2000))
        run = self.wait_for_run("sweep")
        self.reconfigure(daemon, SWEEP.replace("nice: 0", "nice: 0.1") + TICK)
        self.wait_sql(f"SELECT status, reason FROM pgsteward.job_run WHERE run_id = '{run}'",
                      "partial|shutdown")
        # The new jobs, and the rest of the old one's work.
        self.wait_sql("SELECT count(*) >= 2 FROM public.tick", "t")
        self.sql("DROP TRIGGER take_time ON public.sessions")
        self.wait_sql("SELECT count(*) FROM public.sessions", "0")
        # A job that is gone leaves the page.
        self.reconfigure(daemon, TICK)
        support.wait_until(lambda: 'job_name="sweep"' not in daemon.page(), 10, "sweep is gone")
        self.assertIn('job_name="tick"', daemon.page())
        self.end(daemon)

    def test_a_run_reaches_a_safe_point_before_the_end(self):
        self.make_sessions_slow(3000)
        daemon = self.daemon(SWEEP)
        run = self.wait_for_run("sweep")
        start = time.monotonic()
        self.end(daemon)
        self.assertLess(time.monotonic() - start, 10)
        status, reason, done, left = self.sql(
            "SELECT status, reason, rows_done, (SELECT count(*) FROM public.sessions) "
            f"FROM pgsteward.job_run WHERE run_id = '{run}'").split("|")
        self.assertEqual((status, reason), ("partial", "shutdown"))
        self.assertEqual(int(done) + int(left), 3000)
        self.assertGreater(int(left), 0)
        self.sql("DROP TRIGGER take_time ON public.sessions")
        again = self.daemon(SWEEP)
        self.wait_sql("SELECT count(*) FROM public.sessions", "0")
        self.end(again)

    def test_another_daemon_takes_over(self):
        one = self.daemon(TICK, "one")
        one.wait_sample(LEADER, 1)
        two = self.daemon(TICK, "two")
        two.wait_sample('pgsteward_jobs_state{server="hub",state="follower"}', 1)
        self.assertEqual(two.samples()[LEADER], 0)
        self.wait_sql("SELECT count(*) >= 2 FROM public.tick", "t")
        epoch = int(self.sql("SELECT epoch FROM pgsteward.lease WHERE name = 'scheduler'"))
        one.process.child.kill()
        one.process.child.wait()
        killed = time.monotonic()
        two.wait_sample(LEADER, 1, 15)
        # A lease of 3 s, and a look each 5 s.
        self.assertLess(time.monotonic() - killed, 10)
        self.assertGreater(int(two.samples()['pgsteward_jobs_lease_epoch{server="hub"}']), epoch)
        self.sql("TRUNCATE public.tick")
        self.wait_sql("SELECT count(*) >= 2 FROM public.tick", "t")
        # Nobody has run a due time twice, and what was cut off has got its end.
        self.assertEqual(self.sql("SELECT count(*) FROM (SELECT due_at FROM pgsteward.job_run "
                                  "WHERE trigger <> 'retry' GROUP BY due_at HAVING count(*) > 1) d"),
                         "0")
        self.assertEqual(self.sql("SELECT count(*) FROM pgsteward.job_run WHERE status = 'running' "
                                  "AND started_at < now() - interval '15 s'"), "0")
        self.end(two)

    def test_starts_while_the_database_is_away(self):
        daemon = self.daemon(TICK)
        self.wait_sql("SELECT count(*) >= 2 FROM public.tick", "t")
        success = 'pgsteward_job_last_success_timestamp_seconds{server="hub",job_name="tick"}'
        support.wait_until(lambda: daemon.samples().get(success, 0) > 0, 10, "a success is shown")
        self.end(daemon)
        self.postgres.stop()
        again = self.daemon(TICK)
        known = again.samples().get(success, 0)
        self.assertGreater(known, time.time() - 120)
        again.wait_sample('pgsteward_jobs_state{server="hub",state="unavailable"}', 1)
        self.assertEqual(again.samples()[LEADER], 0)
        self.postgres.start()
        again.wait_sample(LEADER, 1, 30)
        support.wait_until(lambda: again.samples().get(success, 0) > known, 20, "it runs again")
        self.end(again)

    def test_a_database_without_the_tables_is_said_and_found_later(self):
        self.sql("DROP SCHEMA pgsteward CASCADE")
        daemon = self.daemon(TICK)
        daemon.wait_sample('pgsteward_jobs_state{server="hub",state="no_schema"}', 1)
        self.assertIn("pgsteward schema apply --component pgsteward", daemon.process.log())
        code, out, err = support.run("schema", "apply", "--dsn", self.postgres.conninfo("hub"),
                                     "--component", "pgsteward")
        self.assertEqual((code, err), (0, ""), out)
        daemon.wait_sample(LEADER, 1, 30)
        self.wait_sql("SELECT count(*) >= 1 FROM public.tick", "t")
        self.end(daemon)


if __name__ == "__main__":
    unittest.main(verbosity=2)
