// Who may do what, with the faults of machines, poolers and failovers.

#include "jobs/runner/lease.h"

#include <thread>

#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

class LeaseTest : public JobTest {
 protected:
  // One daemon's connection.
  struct Daemon {
    Daemon(Runtime& runtime, const PgTarget& target, std::string name)
        : db(runtime, target), holder(std::move(name)) {}
    JobSession db;
    std::string holder;
    std::vector<LeaseGrant> grants;
  };

  std::unique_ptr<Daemon> Make(const std::string& holder) {
    auto daemon = std::make_unique<Daemon>(runtime_, Target(), holder);
    EXPECT_TRUE(RunCoro(runtime_, daemon->db.Open()));
    return daemon;
  }

  static Task<Result<std::vector<LeaseGrant>>> TakeIn(Daemon& daemon,
                                                      std::vector<std::string> names, Duration ttl,
                                                      Duration wait) {
    TransactionSettings settings(10s);
    settings.lock_timeout = wait;
    auto begun = co_await daemon.db.Begin(settings);
    if (!begun) co_return begun.error();
    auto grants = co_await AcquireLeases(daemon.db, std::move(names), daemon.holder, ttl);
    if (!grants) {
      co_await daemon.db.Rollback();
      co_return grants;
    }
    auto committed = co_await daemon.db.Commit();
    if (!committed) co_return committed.error();
    daemon.grants = *grants;
    co_return grants;
  }

  // "a 1, b 1", or the error.
  std::string Take(Daemon& daemon, const std::vector<std::string>& names, Duration ttl = 30s,
                   Duration wait = 200ms) {
    const auto grants = RunCoro(runtime_, TakeIn(daemon, names, ttl, wait));
    if (!grants) return std::string(ErrcName(grants.error().code));
    std::string text;
    for (const LeaseGrant& grant : *grants) {
      text += (text.empty() ? "" : ", ") + grant.name + " " + std::to_string(grant.epoch);
    }
    return text;
  }
  std::string Renew(Daemon& daemon, Duration ttl = 30s) {
    const auto kept = RunCoro(runtime_, RenewLeases(daemon.db, daemon.grants, daemon.holder, ttl));
    return kept ? std::to_string(kept->size()) : ToText(kept.error());
  }
  void Release(Daemon& daemon) {
    EXPECT_TRUE(RunCoro(runtime_, ReleaseLeases(daemon.db, daemon.grants, daemon.holder)));
  }
  // Opens a transaction and fences it; "ok" leaves it open.
  std::string FencedBegin(Daemon& daemon) {
    EXPECT_TRUE(RunCoro(runtime_, daemon.db.Begin(TransactionSettings(5s))));
    const auto fenced = RunCoro(runtime_, FenceByLeases(daemon.db, daemon.grants, daemon.holder));
    if (fenced) return "ok";
    RunCoro(runtime_, daemon.db.Rollback());
    return fenced.error().message;
  }

  Runtime runtime_;
};

TEST_F(LeaseTest, AllOfThemOrNone) {
  const auto a = Make("a:1:0");
  const auto b = Make("b:1:0");
  EXPECT_EQ(Take(*a, {"job/x", "group/io"}), "group/io 1, job/x 1");
  EXPECT_EQ(Take(*b, {"job/y", "group/io"}), "busy");
  EXPECT_EQ(Value("SELECT string_agg(name, ',' ORDER BY name) FROM pgsteward.lease"),
            "group/io,job/x");
  Release(*a);
  EXPECT_EQ(Take(*b, {"job/y", "group/io"}), "group/io 2, job/y 1");
}

TEST_F(LeaseTest, SaysWhoHoldsIt) {
  const auto a = Make("a:1:0");
  const auto b = Make("b:1:0");
  Take(*a, {"job/x"});
  const auto refused = RunCoro(runtime_, TakeIn(*b, {"job/x"}, 30s, 200ms));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.substr(0, 43),
            "busy: job/x is held by a:1:0 since " + Value("SELECT to_char(acquired_at, "
                                                          "'YYYY-MM-DD') FROM pgsteward.lease")
                                                        .substr(0, 8));
}

TEST_F(LeaseTest, AnExpiredOneCanBeTakenAndItsFormerHolderDoesNothingMore) {
  const auto a = Make("a:1:0");
  const auto b = Make("b:1:0");
  EXPECT_EQ(Take(*a, {"job/x"}, 50ms), "job/x 1");
  std::this_thread::sleep_for(100ms);
  // Nobody has taken it yet: its holder may go on and even renew it.
  EXPECT_EQ(FencedBegin(*a), "ok");
  EXPECT_TRUE(RunCoro(runtime_, a->db.Commit()));
  EXPECT_EQ(Take(*b, {"job/x"}), "job/x 2");
  EXPECT_EQ(FencedBegin(*a), "lease_lost: another holder has taken over");
  EXPECT_EQ(Renew(*a), "0");
  Release(*a);  // changes nothing
  EXPECT_EQ(FencedBegin(*b), "ok");
  EXPECT_TRUE(RunCoro(runtime_, b->db.Commit()));
  EXPECT_EQ(Renew(*b), "1");
}

TEST_F(LeaseTest, TakingOverWaitsForTheBatchUnderWay) {
  const auto a = Make("a:1:0");
  const auto b = Make("b:1:0");
  Take(*a, {"job/x"}, 10ms);
  std::this_thread::sleep_for(50ms);
  ASSERT_EQ(FencedBegin(*a), "ok");
  EXPECT_EQ(Take(*b, {"job/x"}, 30s, 200ms), "busy");  // the batch is not done
  EXPECT_TRUE(RunCoro(runtime_, a->db.Commit()));
  EXPECT_EQ(Take(*b, {"job/x"}), "job/x 2");
}

TEST_F(LeaseTest, RenewingDoesNotWaitForTheBatchUnderWay) {
  const auto a = Make("a:1:0");
  const auto keeper = Make("a:1:0");
  Take(*a, {"job/x"});
  keeper->grants = a->grants;
  ASSERT_EQ(FencedBegin(*a), "ok");
  EXPECT_EQ(Renew(*keeper), "1");
  EXPECT_TRUE(RunCoro(runtime_, a->db.Commit()));
}

TEST_F(LeaseTest, TwoWhoTakeAtTheSameMomentAreTwoEpochs) {
  const auto a = Make("a:1:0");
  Take(*a, {"job/x"}, 10ms);
  std::this_thread::sleep_for(50ms);
  std::vector<std::thread> threads;
  std::atomic<int> taken{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i, &taken] {
      Runtime runtime;
      Daemon daemon(runtime, Target(), "t:" + std::to_string(i) + ":0");
      if (!RunCoro(runtime, daemon.db.Open())) return;
      const auto grants = RunCoro(runtime, TakeIn(daemon, {"job/x"}, 30s, 5s));
      if (grants && !grants->empty()) ++taken;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(Value("SELECT epoch FROM pgsteward.lease"), "2");
}

TEST_F(LeaseTest, APrimaryFromBeforeAFailoverTakesNothing) {
  const auto a = Make("a:1:0");
  Take(*a, {"job/x"}, 10ms);
  std::this_thread::sleep_for(50ms);
  Exec("UPDATE pgsteward.lease SET timeline = timeline + 1");
  const auto refused = RunCoro(runtime_, TakeIn(*a, {"job/x"}, 30s, 200ms));
  ASSERT_FALSE(refused);
  EXPECT_EQ(ToText(refused.error()),
            "busy: job/x belongs to a later timeline; hint: This server is a primary from before a "
            "failover: connect to the present one.");
  EXPECT_EQ(FencedBegin(*a), "lease_lost: another holder has taken over");
  // Of another cluster, which a dump came from, it is anybody's.
  Exec("UPDATE pgsteward.lease SET system_identifier = 1");
  EXPECT_EQ(Take(*a, {"job/x"}), "job/x 2");
}

TEST_F(LeaseTest, TheKeeperKeepsLosesAndForgets) {
  const std::string holder = "a:1:0";
  const auto a = Make(holder);
  const auto b = Make("b:1:0");
  Take(*a, {"job/x"}, 1500ms);
  Result<void> right;
  LeaseKeeper keeper(runtime_, Target(), holder, 1500ms,
                     [&right](const ServerFacts&) { return right; });
  TaskGroup tasks(runtime_);
  tasks.Spawn("keeper", keeper.Run());
  keeper.Add(a->grants, SteadyNow());
  // Longer than the lease is: it lives because it is renewed.
  RunCoro(runtime_, SleepUntil(SteadyNow() + 2s));
  EXPECT_TRUE(keeper.Holds(a->grants.front()));
  EXPECT_EQ(Take(*b, {"job/x"}), "busy");
  Exec("UPDATE pgsteward.lease SET epoch = epoch + 1, holder = 'thief'");
  RunCoro(runtime_, keeper.lost().WaitUntil(SteadyNow() + 5s));
  EXPECT_FALSE(keeper.Holds(a->grants.front()));

  Exec("UPDATE pgsteward.lease SET expires_at = now()");
  EXPECT_EQ(Take(*a, {"job/x"}, 1500ms), "job/x 3");
  keeper.Add(a->grants, SteadyNow());
  EXPECT_TRUE(keeper.Holds(a->grants.front()));
  // Its connection breaks, and it connects again.
  Postgres().TerminateBackends("datname = '" + hub_ + "' AND pid <> pg_backend_pid()");
  RunCoro(runtime_, SleepUntil(SteadyNow() + 2s));
  EXPECT_TRUE(keeper.Holds(a->grants.front()));
  // What it finds then is another server: it asks nothing of it, and trust ends by itself.
  right = Error(Errc::kBadConfig, "another cluster");
  Postgres().TerminateBackends("datname = '" + hub_ + "' AND pid <> pg_backend_pid()");
  RunCoro(runtime_, SleepUntil(SteadyNow() + 1500ms));
  EXPECT_FALSE(keeper.Holds(a->grants.front()));
  tasks.Stop();
  EXPECT_TRUE(RunCoro(runtime_, tasks.Join(SteadyNow() + 5s)));
}

TEST_F(LeaseTest, WithoutRenewalTrustEndsBeforeTheLeaseDoes) {
  LeaseKeeper keeper(runtime_, Target(), "a:1:0", 1s,
                     [](const ServerFacts&) { return Result<void>(); });
  const std::vector<LeaseGrant> grants = {{"job/x", 1}};
  // It counts from when it was asked for.
  keeper.Add(grants, SteadyNow() - 900ms);
  EXPECT_FALSE(keeper.Holds(grants.front()));
  keeper.Remove(grants);
  keeper.Add(grants, SteadyNow());
  EXPECT_TRUE(keeper.Holds(grants.front()));
  std::this_thread::sleep_for(850ms);
  EXPECT_FALSE(keeper.Holds(grants.front()));
}

TEST_F(LeaseTest, ReadsWhatTheServerIs) {
  const auto a = Make("a:1:0");
  const auto facts = RunCoro(runtime_, ReadServerFacts(a->db));
  ASSERT_TRUE(facts) << ToText(facts.error());
  EXPECT_FALSE(facts->in_recovery);
  EXPECT_FALSE(facts->read_only);
  EXPECT_TRUE(facts->has_tables);
  EXPECT_EQ(facts->timeline, 1);
  EXPECT_EQ(std::to_string(facts->system_identifier),
            Value("SELECT system_identifier FROM pg_control_system()"));
}

}  // namespace
}  // namespace pgsteward
