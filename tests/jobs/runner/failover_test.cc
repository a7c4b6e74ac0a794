// Daemons that are processes, on one server: killed, frozen, behind PgBouncer, stopped in order,
// and failed over.

#include <filesystem>
#include <memory>
#include <thread>

#include "tests/jobs/runner/daemon_process.h"
#include "tests/jobs/runner/scheduler_fixture.h"
#include "tests/support/pgbouncer.h"
#include "tests/support/private_standby.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

class FailoverTest : public SchedulerFixture {
 protected:
  // "steps" each second, and "long" of 40 steps when DueNow() says so.
  std::vector<JobPolicy> Jobs() const {
    JobPolicy slow = Job("0 3 1 1 *");
    slow.name = "long";
    slow.options.Set("steps", "40");
    slow.options.Set("pause_ms", "50");
    return {Job(), slow};
  }
  std::unique_ptr<DaemonProcess> Daemon() const {
    return std::make_unique<DaemonProcess>(DaemonPolicy());
  }
  SchedulerPolicy DaemonPolicy() const {
    SchedulerPolicy policy = Policy(Jobs());
    if (!conninfo_.empty()) policy.target.conninfo = conninfo_;
    return policy;
  }
  template <class Condition>
  static bool Soon(const Condition& condition, Duration within = 20s) {
    const SteadyTime give_up = SteadyNow() + within;
    while (!condition()) {
      if (SteadyNow() > give_up) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }
  // A transaction that somebody frozen has left open holds the others up for 30 s.
  void ExpectSoon(const std::string& sql, Duration within = 60s) const {
    EXPECT_TRUE(Soon([&] { return Value(sql) == "t"; }, within)) << sql;
  }
  static void ExpectState(const DaemonProcess& daemon, JobsState state) {
    EXPECT_TRUE(Soon([&] { return daemon.state() == state; }))
        << JobsStateName(daemon.state()) << " instead of " << JobsStateName(state);
  }
  // Its due time for "long"; returns when the run is in the middle of its steps.
  void StartLong() const {
    ExpectSoon(
        "SELECT count(*) = 1 FROM pgsteward.job_state WHERE job = 'long' AND next_due > "
        "clock_timestamp()");
    Exec(
        "UPDATE pgsteward.job_state SET next_due = date_trunc('second', clock_timestamp()) WHERE "
        "job = 'long'");
    ExpectSoon(
        "SELECT count(*) >= 3 FROM public.steps AS s JOIN pgsteward.job_run AS r ON "
        "r.run_id = s.run WHERE r.job = 'long' AND r.status = 'running'");
  }
  std::string LongRuns() const {
    return Value(
        "SELECT string_agg(trigger || ' ' || attempt || ' ' || status, ', ' ORDER BY "
        "due_at, attempt) FROM pgsteward.job_run WHERE job = 'long'");
  }
  std::string StepsOfFirstLong() const {
    return Value(
        "SELECT count(*) FROM public.steps AS s JOIN pgsteward.job_run AS r ON r.run_id = "
        "s.run WHERE r.job = 'long' AND r.attempt = 1");
  }
  // What holds whatever has happened.
  void ExpectEachDueTimeOnce() const {
    EXPECT_EQ(Value("SELECT string_agg(d.job || ' ' || d.due_at, ', ') FROM (SELECT job, due_at "
                    "FROM pgsteward.job_run WHERE status = 'ok' GROUP BY job, due_at HAVING "
                    "count(*) > 1) AS d"),
              "");
    // Nobody worked at what somebody else was at.
    EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.job_run AS x JOIN pgsteward.job_run AS y ON "
                    "x.job = y.job AND x.run_id < y.run_id AND x.started_at < y.finished_at AND "
                    "y.started_at < x.finished_at WHERE x.status = 'ok' AND y.status = 'ok'"),
              "0");
    // All of its steps, and no others.
    EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.job_run AS r WHERE r.status = 'ok' AND "
                    "(SELECT count(*) FROM public.steps AS s WHERE s.run = r.run_id) <> CASE r.job "
                    "WHEN 'long' THEN 40 ELSE 1 END"),
              "0");
    EXPECT_EQ(Value("SELECT count(*) FROM public.steps AS s LEFT JOIN pgsteward.job_run AS r ON "
                    "r.run_id = s.run WHERE r.run_id IS NULL OR s.at > r.finished_at"),
              "0");
  }
  // Two more due times, run by `daemon`.
  void ExpectRuns(const DaemonProcess& daemon) const {
    const std::string now = Value("SELECT clock_timestamp()");
    ExpectSoon(
        "SELECT count(*) >= 2 FROM pgsteward.job_run WHERE job = 'steps' AND status = 'ok' "
        "AND started_at > '" +
        now + "' AND holder LIKE '" + daemon.holder() + "'");
  }

  std::string conninfo_;  // of the daemons; empty: straight to the server
};

TEST_F(FailoverTest, TheOtherTakesOverFromAKilledLeader) {
  const auto killed = Daemon();
  ExpectState(*killed, JobsState::kLeader);
  const auto other = Daemon();
  ExpectState(*other, JobsState::kFollower);
  StartLong();
  killed->Kill();
  // Perhaps the server is still at its last commit.
  ExpectSoon(
      "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND "
      "state = 'active' AND pid <> pg_backend_pid() AND application_name LIKE '%job%'");
  const std::string steps = StepsOfFirstLong();
  EXPECT_EQ(LongRuns(), "schedule 1 running");
  ExpectState(*other, JobsState::kLeader);
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE job = 'long' AND status = 'ok'");
  EXPECT_EQ(LongRuns(), "schedule 1 aborted, retry 2 ok");
  EXPECT_EQ(Value("SELECT count(DISTINCT due_at) FROM pgsteward.job_run WHERE job = 'long'"), "1");
  EXPECT_EQ(StepsOfFirstLong(), steps);
  EXPECT_EQ(Value("SELECT (SELECT min(acquired_at) FROM pgsteward.lease WHERE name = 'scheduler') "
                  ">= (SELECT max(at) FROM public.steps AS s JOIN pgsteward.job_run AS r ON "
                  "r.run_id = s.run WHERE r.job = 'long' AND r.attempt = 1)"),
            "t");
  // And it recovers: a new one follows, and takes over when the second is killed too.
  const auto third = Daemon();
  ExpectState(*third, JobsState::kFollower);
  other->Kill();
  ExpectState(*third, JobsState::kLeader);
  ExpectRuns(*third);
  EXPECT_TRUE(third->Stop());
  ExpectEachDueTimeOnce();
}

TEST_F(FailoverTest, AFrozenHolderWritesNothingMoreWhenItWakes) {
  const auto frozen = Daemon();
  ExpectState(*frozen, JobsState::kLeader);
  const auto other = Daemon();
  ExpectState(*other, JobsState::kFollower);
  StartLong();
  frozen->Freeze();
  ExpectState(*other, JobsState::kLeader);
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE job = 'long' AND status = 'ok'");
  EXPECT_EQ(LongRuns(), "schedule 1 aborted, retry 2 ok");
  const std::string steps = StepsOfFirstLong();
  frozen->Thaw();
  ExpectState(*frozen, JobsState::kFollower);
  ExpectRuns(*other);
  EXPECT_EQ(StepsOfFirstLong(), steps);
  EXPECT_EQ(LongRuns(), "schedule 1 aborted, retry 2 ok");
  EXPECT_EQ(other->state(), JobsState::kLeader);
  // And it recovers: it leads again when the other one is gone.
  other->Kill();
  ExpectState(*frozen, JobsState::kLeader);
  ExpectRuns(*frozen);
  EXPECT_TRUE(frozen->Stop());
  ExpectEachDueTimeOnce();
}

// As a machine that was suspended: nobody else was there to take over.
TEST_F(FailoverTest, WhatWasCutShortByASleepIsRunAgain) {
  const auto daemon = Daemon();
  StartLong();
  daemon->Freeze();
  ExpectSoon("SELECT bool_and(expires_at < clock_timestamp()) FROM pgsteward.lease");
  EXPECT_EQ(LongRuns(), "schedule 1 running");
  const std::string steps = StepsOfFirstLong();
  daemon->Thaw();
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE job = 'long' AND status = 'ok'");
  EXPECT_EQ(LongRuns(), "schedule 1 aborted, retry 2 ok");
  EXPECT_EQ(StepsOfFirstLong(), steps);
  // And it recovers.
  ExpectState(*daemon, JobsState::kLeader);
  ExpectRuns(*daemon);
  EXPECT_TRUE(daemon->Stop());
  ExpectEachDueTimeOnce();
}

TEST_F(FailoverTest, ThroughPgBouncerAsWithoutIt) {
  if (!PgBouncer::Installed() && ProgramsAreRequired()) FAIL() << "no pgbouncer found";
  if (!PgBouncer::Installed()) GTEST_SKIP() << "no pgbouncer";
  PgBouncerOptions options;
  options.pool_size = 2;
  const PgBouncer bouncer(Postgres(), options);
  conninfo_ = bouncer.Conninfo(hub_);
  const auto killed = Daemon();
  ExpectState(*killed, JobsState::kLeader);
  const auto other = Daemon();
  ExpectState(*other, JobsState::kFollower);
  ExpectRuns(*killed);
  StartLong();
  killed->Kill();
  ExpectState(*other, JobsState::kLeader);
  ExpectSoon("SELECT count(*) = 1 FROM pgsteward.job_run WHERE job = 'long' AND status = 'ok'");
  EXPECT_EQ(LongRuns(), "schedule 1 aborted, retry 2 ok");
  // And it recovers.
  const auto third = Daemon();
  ExpectState(*third, JobsState::kFollower);
  EXPECT_TRUE(other->Stop());
  ExpectState(*third, JobsState::kLeader);
  ExpectRuns(*third);
  EXPECT_TRUE(third->Stop());
  ExpectEachDueTimeOnce();
  // Both connections of the pool, each held by a transaction, are as the next client expects them.
  // PgBouncer itself sets those that it keeps for each client.
  PgClient one(conninfo_);
  PgClient two(conninfo_);
  one.Exec("BEGIN");
  two.Exec("BEGIN");
  EXPECT_NE(one.Value("SELECT pg_backend_pid()"), two.Value("SELECT pg_backend_pid()"));
  for (PgClient* client : {&one, &two}) {
    EXPECT_EQ(client->Value("SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM "
                            "pg_settings WHERE source = 'session' AND name NOT IN "
                            "('application_name', 'client_encoding', 'DateStyle', 'TimeZone', "
                            "'standard_conforming_strings', 'IntervalStyle')"),
              "");
    EXPECT_EQ(client->Value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
    EXPECT_EQ(client->Value("SELECT count(*) FROM pg_prepared_statements"), "0");
    client->Exec("ROLLBACK");
  }
}

TEST_F(FailoverTest, AStopHandsOverWithoutAGapOrADouble) {
  auto leader = Daemon();
  ExpectState(*leader, JobsState::kLeader);
  for (int i = 0; i < 3; ++i) {
    auto follower = Daemon();
    ExpectState(*follower, JobsState::kFollower);
    ExpectRuns(*leader);
    const std::string holder = leader->holder();
    EXPECT_TRUE(leader->Stop());
    // At once, not when the lease ends.
    EXPECT_EQ(Value("SELECT count(*) FROM pgsteward.lease WHERE holder LIKE '" + holder +
                    "' AND expires_at > clock_timestamp()"),
              "0");
    ExpectState(*follower, JobsState::kLeader);
    leader = std::move(follower);
  }
  // And it recovers: the last one has all to itself.
  ExpectRuns(*leader);
  EXPECT_TRUE(leader->Stop());
  EXPECT_EQ(Value("SELECT string_agg(DISTINCT status, ',') FROM pgsteward.job_run"), "ok");
  EXPECT_EQ(Value("SELECT count(DISTINCT holder) FROM pgsteward.job_run"), "4");
  EXPECT_EQ(
      Value("SELECT (SELECT extract(epoch FROM max(due_at) - min(due_at)) + 1 FROM "
            "pgsteward.job_run) = (SELECT count(*) FROM pgsteward.job_run) + coalesce((SELECT "
            "sum(v::numeric) FROM pgsteward.job_state, jsonb_each_text(counters) AS c (k, v) "
            "WHERE k LIKE 'missed.%'), 0)"),
      "t");
  ExpectEachDueTimeOnce();
}

// Other tests need the shared server again.
class StartsAgain {
 public:
  StartsAgain() = default;
  ~StartsAgain() {
    if (Postgres().pid() < 0) Postgres().Start();
  }
  StartsAgain(const StartsAgain&) = delete;
  StartsAgain& operator=(const StartsAgain&) = delete;
};

TEST_F(FailoverTest, GoesOnAtAPromotedStandbyAndNeverGoesBack) {
  const StartsAgain starts_again;
  PrivateStandby standby(Postgres(), {.tcp = true});
  const auto at_standby = [&](const std::string& sql) { return standby.Value(sql, hub_); };
  const auto expect_at_standby = [&](const std::string& sql) {
    EXPECT_TRUE(Soon([&] { return at_standby(sql) == "t"; }, 60s)) << sql;
  };
  // The old primary is the first one: whoever connects anew finds it when it is there.
  SchedulerPolicy both = DaemonPolicy();
  both.journal = folder_ + "/both.jobs";
  both.target.conninfo = "host=" + Postgres().socket_dir() + "," + standby.socket_dir() +
                         " port=" + std::to_string(Postgres().port()) + "," +
                         std::to_string(standby.port()) + " user=postgres dbname=" + hub_ +
                         " target_session_attrs=read-write";
  SchedulerPolicy only_standby = DaemonPolicy();
  only_standby.target.conninfo = standby.Conninfo(hub_);
  SchedulerPolicy only_primary = DaemonPolicy();
  only_primary.journal = folder_ + "/primary.jobs";

  auto daemon = std::make_unique<DaemonProcess>(both);
  ExpectState(*daemon, JobsState::kLeader);
  ExpectRuns(*daemon);
  DaemonProcess follower(only_standby);
  ExpectState(follower, JobsState::kStandby);
  EXPECT_TRUE(follower.Stop());

  standby.CatchUp(Postgres());
  Postgres().Stop(PrivatePostgres::StopMode::kImmediate);
  ExpectState(*daemon, JobsState::kUnavailable);
  standby.Promote();
  ExpectState(*daemon, JobsState::kLeader);
  expect_at_standby(
      "SELECT count(*) >= 2 FROM pgsteward.job_run WHERE timeline = 2 AND status = "
      "'ok' AND job = 'steps'");
  EXPECT_EQ(at_standby("SELECT string_agg(DISTINCT timeline::text, ',') FROM pgsteward.job_run"),
            "1,2");
  EXPECT_EQ(at_standby("SELECT bool_and(x.timeline <= y.timeline) FROM pgsteward.job_run AS x JOIN "
                       "pgsteward.job_run AS y ON x.started_at < y.started_at"),
            "t");
  EXPECT_EQ(at_standby("SELECT timeline FROM pgsteward.lease WHERE name = 'scheduler'"), "2");

  // The old primary comes back as if nothing had happened.
  Postgres().Start();
  const std::string traces =
      "SELECT (SELECT count(*) FROM pgsteward.job_run) || ' ' || (SELECT count(*) FROM "
      "public.steps) || ' ' || (SELECT string_agg(name || l.epoch, ' ' ORDER BY name) FROM "
      "pgsteward.lease AS l)";
  const std::string before = Value(traces);
  std::filesystem::copy_file(both.journal, only_primary.journal);
  DaemonProcess refused(only_primary);
  ExpectState(refused, JobsState::kOtherServer);
  // Due on both, so that a run would find its due time there.
  const std::string due = "UPDATE pgsteward.job_state SET next_due = '" +
                          Value("SELECT date_trunc('second', clock_timestamp())") +
                          "' WHERE job = 'long'";
  Exec(due);
  standby.Exec(due, hub_);
  // Time for the daemon to try, and to try again.
  std::this_thread::sleep_for(7s);
  EXPECT_EQ(daemon->state(), JobsState::kLeader);
  EXPECT_EQ(refused.state(), JobsState::kOtherServer);
  // One that starts now finds the old primary first.
  EXPECT_TRUE(daemon->Stop());
  daemon = std::make_unique<DaemonProcess>(both);
  ExpectState(*daemon, JobsState::kOtherServer);
  EXPECT_EQ(Value(traces), before);

  // And it recovers when the old primary is away for good.
  EXPECT_TRUE(refused.Stop());
  Postgres().Stop(PrivatePostgres::StopMode::kImmediate);
  ExpectState(*daemon, JobsState::kLeader);
  expect_at_standby(
      "SELECT count(*) = 1 FROM pgsteward.job_run WHERE job = 'long' AND status = "
      "'ok' AND timeline = 2");
  EXPECT_TRUE(daemon->Stop());
  EXPECT_EQ(at_standby("SELECT count(*) FROM (SELECT FROM pgsteward.job_run WHERE status = 'ok' "
                       "GROUP BY job, due_at HAVING count(*) > 1) AS d"),
            "0");
}

}  // namespace
}  // namespace pgsteward
