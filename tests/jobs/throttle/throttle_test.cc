#include "jobs/throttle/throttle.h"

#include <gmock/gmock.h>

#include <functional>

#include "jobs/throttle/throttle_watch.h"

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::Pair;

constexpr long long kMiB = 1 << 20;

using Change = std::function<void(ThrottlePolicy&, ThrottleFacts&)>;

// "reason: text" of the closed gates, separated by " | ".
std::string Closed(const Change& change) {
  ThrottlePolicy policy;
  ThrottleFacts facts;
  change(policy, facts);
  std::string closed;
  for (const ClosedGate& gate : ClosedGates(policy, facts)) {
    closed += (closed.empty() ? "" : " | ") + std::string(gate.reason) + ": " + gate.text;
  }
  return closed;
}

TEST(ThrottleTest, EachGateClosesBehindItsLimitAndNotAtIt) {
  struct Row {
    Change at_limit;
    Change behind;
    std::string text;
  };
  const std::vector<Row> rows = {
      {[](auto&, auto& f) { f.replica_lag_s = 30; },
       [](auto&, auto& f) { f.replica_lag_s = 72.9, f.replica_lag_name = "walreceiver"; },
       "replica_lag: standby walreceiver replays late by 72 s, more than 30 s"},
      {[](auto&, auto& f) { f.replica_lag_bytes = 1024 * kMiB; },
       [](auto&, auto& f) { f.replica_lag_bytes = 2050 * kMiB, f.replica_lag_bytes_name = "b"; },
       "replica_lag: standby b is behind by 2050 MiB of WAL, more than 1024 MiB"},
      {[](auto&, auto& f) { f.slot_retained_bytes = 8192 * kMiB; },
       [](auto&, auto& f) { f.slot_retained_bytes = 9000 * kMiB, f.slot_name = "old"; },
       "slot_backlog: replication slot old keeps 9000 MiB of WAL, more than 8192 MiB"},
      {[](auto&, auto& f) { f.slot_retained_bytes = 1; },
       [](auto&, auto& f) { f.unreserved_slot_name = "old"; },
       "slot_backlog: replication slot old is about to lose WAL"},
      {[](auto&, auto& f) { f.archiver_backlog = 64; },
       [](auto&, auto& f) { f.archiver_backlog = 65; },
       "archiver_backlog: 65 WAL files wait to be archived, more than 64"},
      {[](auto&, auto& f) { f.active_sessions = 50; },
       [](auto&, auto& f) { f.active_sessions = 51; },
       "active_sessions: 51 sessions are active, more than 50"},
      {[](auto&, auto& f) { f.oldest_transaction_s = 3600; },
       [](auto&, auto& f) { f.oldest_transaction_s = 3601.5; },
       "old_xmin: the oldest transaction has been open for 3601 s, more than 3600 s"},
      {[](auto&, auto& f) { f.oldest_xid_age = 10'000'000; },
       [](auto&, auto& f) { f.oldest_xid_age = 10'000'001; },
       "old_xmin: 10000001 transactions have begun since the oldest that still counts, more than "
       "10000000"},
      {[](auto&, auto& f) { f.own_victims = 0; }, [](auto&, auto& f) { f.own_victims = 2; },
       "own_victims: 2 sessions wait for locks of a job"},
      {[](auto&, auto& f) { f.running_dumps = 0; }, [](auto&, auto& f) { f.running_dumps = 1; },
       "running_dump: pg_dump reads this database"},
      {[](auto&, auto& f) { f.vacuum_running = false; },
       [](auto&, auto& f) { f.vacuum_running = true; },
       "vacuum_running: the table is being vacuumed"},
      {[](auto& p, auto&) { p.query = "SELECT true"; },
       [](auto& p, auto& f) { p.query = "SELECT true", f.query = true; },
       "query: throttle_query gives true"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Closed(row.at_limit), "") << row.text;
    EXPECT_EQ(Closed(row.behind), row.text);
    EXPECT_EQ(Closed([&row](ThrottlePolicy& policy, ThrottleFacts& facts) {
                row.behind(policy, facts);
                policy = {.max_replica_lag = {},
                          .max_replica_lag_bytes = {},
                          .max_slot_retained_bytes = {},
                          .max_archiver_backlog = {},
                          .max_active_sessions = {},
                          .max_xmin_age = {},
                          .max_xmin_xids = {},
                          .own_victims = false,
                          .running_dump = false,
                          .vacuum_running = false};
              }),
              "")
        << "switched off: " << row.text;
  }
}

TEST(ThrottleTest, WhatIsNotKnownClosesNothing) {
  EXPECT_EQ(Closed([](auto&, auto& facts) {
              facts.unknown.push_back({"replica_lag", Error(Errc::kQueryFailed, "no")});
            }),
            "");
}

TEST(ThrottleTest, GivesEveryReasonOnceAndInOrder) {
  EXPECT_EQ(Closed([](auto&, auto& facts) {
              facts.vacuum_running = true;
              facts.own_victims = 1;
              facts.replica_lag_s = 31;
              facts.replica_lag_name = "a";
              facts.replica_lag_bytes = 5000 * kMiB;
            }),
            "replica_lag: standby a replays late by 31 s, more than 30 s | own_victims: 1 sessions "
            "wait for locks of a job | vacuum_running: the table is being vacuumed");
}

TEST(ThrottleTest, TheOptionsDefaultsAreThePolicys) {
  JobOptions options(kThrottleOptions);
  EXPECT_EQ(ThrottlePolicyOf(options), ThrottlePolicy());
  for (const JobOption& option : kThrottleOptions) {
    const auto normal = NormalOption(option, option.fallback);
    ASSERT_TRUE(normal) << option.name;
    EXPECT_EQ(*normal, option.fallback) << "in normal form";
  }
}

TEST(ThrottleTest, OptionsSetLimitsAndSwitchGatesOff) {
  JobOptions options(kThrottleOptions);
  for (const JobOption& option : kThrottleOptions) {
    const bool is_switch = option.kind == OptionKind::kSwitch;
    const bool is_duration = option.kind == OptionKind::kDuration;
    if (option.kind == OptionKind::kText) continue;
    const auto off = NormalOption(option, is_switch ? "false" : is_duration ? "0s" : "0");
    ASSERT_TRUE(off) << option.name;
    options.Set(option.name, *off);
  }
  ThrottlePolicy policy = ThrottlePolicyOf(options);
  EXPECT_FALSE(policy.max_replica_lag || policy.max_replica_lag_bytes ||
               policy.max_slot_retained_bytes || policy.max_archiver_backlog ||
               policy.max_active_sessions || policy.max_xmin_age || policy.max_xmin_xids ||
               policy.own_victims || policy.running_dump || policy.vacuum_running ||
               !policy.query.empty());
  options.Set("throttle_replica_lag", "1m30s");
  options.Set("throttle_replica_lag_mb", "3");
  options.Set("throttle_query", "SELECT true");
  policy = ThrottlePolicyOf(options);
  EXPECT_EQ(policy.max_replica_lag, 90s);
  EXPECT_EQ(policy.max_replica_lag_bytes, 3 * kMiB);
  EXPECT_EQ(policy.query, "SELECT true");
}

TEST(ThrottleTest, AGateThatCannotBeReadFailsTheCheck) {
  ThrottleFacts facts;
  EXPECT_TRUE(CheckThrottle(facts));
  facts.unknown.push_back({"replica_lag", Error(Errc::kQueryFailed, "no right", "42501", "Do.")});
  facts.unknown.push_back({"query", Error(Errc::kTimeout, "slow", "57014")});
  const auto checked = CheckThrottle(facts);
  ASSERT_FALSE(checked);
  EXPECT_EQ(ToText(checked.error()),
            "throttle gates cannot be read (replica_lag, query): no right (SQLSTATE 42501); hint: "
            "Do.");
}

// ---- the watch ----

class ThrottleWatchTest : public testing::Test {
 protected:
  void Look(int second, std::vector<std::string_view> reasons) {
    std::vector<ClosedGate> closed;
    for (const std::string_view reason : reasons) {
      closed.push_back({reason, "at " + std::to_string(second)});
    }
    watch_.Look(At(second), closed);
  }
  // "reason text", empty while open.
  std::string State() const { return watch_.closed() ? watch_.reason() + " " + watch_.text() : ""; }
  static SteadyTime At(int second) { return SteadyTime(std::chrono::seconds(second)); }

  ThrottleWatch watch_{10s};
};

TEST_F(ThrottleWatchTest, IsOpenUntilAGateIsFoundClosed) {
  EXPECT_EQ(State(), "");
  Look(0, {});
  EXPECT_EQ(State(), "");
  Look(1, {"replica_lag", "query"});
  EXPECT_EQ(State(), "replica_lag at 1") << "the first one is told";
}

TEST_F(ThrottleWatchTest, OpensAfterItHasBeenFoundOpenForLongEnough) {
  Look(1, {"replica_lag"});
  Look(2, {});
  Look(11, {});
  EXPECT_EQ(State(), "replica_lag at 1");
  Look(12, {});
  EXPECT_EQ(State(), "");
}

TEST_F(ThrottleWatchTest, ClosingAgainBeginsAnew) {
  Look(1, {"replica_lag"});
  Look(2, {});
  Look(11, {"replica_lag"});
  Look(12, {});
  Look(21, {});
  EXPECT_EQ(State(), "replica_lag at 11");
  Look(22, {});
  EXPECT_EQ(State(), "");
}

TEST_F(ThrottleWatchTest, OurVictimsAreFreeAtOnce) {
  Look(1, {"own_victims"});
  EXPECT_EQ(State(), "own_victims at 1");
  Look(2, {});
  EXPECT_EQ(State(), "");
}

TEST_F(ThrottleWatchTest, AGateThatIsClosedIsToldBeforeOneThatIsWaitedFor) {
  Look(1, {"replica_lag", "query"});
  Look(2, {"query"});
  EXPECT_EQ(State(), "query at 2");
  Look(5, {});
  EXPECT_EQ(State(), "query at 2") << "opens last";
  Look(12, {});
  EXPECT_EQ(State(), "query at 2");
  Look(15, {});
  EXPECT_EQ(State(), "");
}

TEST_F(ThrottleWatchTest, CountsOnlyTheTimeForWhichARunWasHeld) {
  Look(0, {"query"});
  Look(5, {"query"});
  EXPECT_TRUE(watch_.HeldSeconds(At(5)).empty()) << "nobody waited";
  watch_.HoldBegins(At(6));
  Look(8, {"replica_lag", "query"});
  EXPECT_THAT(watch_.HeldSeconds(At(9)), ElementsAre(Pair("query", 2.0), Pair("replica_lag", 1.0)));
  Look(10, {});
  Look(20, {});
  watch_.HoldEnds(At(21));
  EXPECT_THAT(watch_.HeldSeconds(At(50)),
              ElementsAre(Pair("query", 12.0), Pair("replica_lag", 2.0)));
  Look(60, {"query"});
  watch_.HoldBegins(At(61));
  watch_.HoldEnds(At(62));  // stopped while the gate was closed
  EXPECT_THAT(watch_.HeldSeconds(At(99)),
              ElementsAre(Pair("query", 13.0), Pair("replica_lag", 2.0)));
}

}  // namespace
}  // namespace pgsteward
