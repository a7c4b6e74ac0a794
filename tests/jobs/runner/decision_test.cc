#include "jobs/runner/decision.h"

#include <gtest/gtest.h>

#include <iomanip>
#include <set>
#include <sstream>

namespace pgsteward {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;

constexpr JobSpec kSpec{.name = "test", .summary = "A test."};

WallTime At(const std::string& text) {
  std::istringstream stream(text);
  std::tm tm{};
  stream >> std::get_time(&tm, "%Y-%m-%d %H:%M:%S");
  EXPECT_FALSE(stream.fail()) << text;
  return std::chrono::system_clock::from_time_t(::timegm(&tm));
}

std::string Text(std::optional<WallTime> time) {
  if (!time) return "-";
  const std::time_t seconds_since = std::chrono::system_clock::to_time_t(*time);
  std::ostringstream text;
  text << std::put_time(::gmtime(&seconds_since), "%d %H:%M:%S");
  return text.str();
}

// "start 25 03:00:00 schedule 1", "missed 2 overlap", "next ...", "queued 1", ...
std::string Text(const Decision& decision) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (decision.start) {
    add("start " + Text(decision.start->due) + " " +
        std::string(TriggerName(decision.start->trigger)) + " " +
        std::to_string(decision.start->attempt));
  }
  if (decision.missed > 0) {
    add("missed " + std::to_string(decision.missed) + " " + decision.missed_reason);
  }
  if (decision.cancel_running) add("cancel");
  if (decision.queued > 0) add("queued");
  if (!decision.held_up.empty()) add("held up " + decision.held_up);
  add("next " + Text(decision.next_due));
  add("wake " + Text(decision.wake));
  if (decision.store) add("store");
  return text;
}

class DecisionTest : public ::testing::Test {
 protected:
  // Daily at 03:00 UTC, next due on the 25th.
  DecisionTest() : policy_(kSpec) {
    policy_.enabled = true;
    Schedule("0 3 * * *");
    state_.job = "test";
    state_.next_due = At("2026-11-25 03:00:00");
    state_.last_due = At("2026-11-24 03:00:00");
  }
  void Schedule(const std::string& text) {
    policy_.timetable = ParseTimetable(text, TimetableOptions()).value();
    state_.timetable = policy_.timetable.fingerprint();
  }
  std::string Decided(const std::string& now, bool running = false,
                      const std::string& held_up = "") const {
    return Text(Decide(policy_, state_, running, held_up, At(now)));
  }
  static WindowSet Windows(const std::string& text) {
    return WindowSet(TimeZone(), {ParseTimeWindow(text).value()});
  }

  JobPolicy policy_;
  JobState state_;
};

TEST_F(DecisionTest, WaitsUntilItIsDueAndThenStarts) {
  EXPECT_EQ(Decided("2026-11-25 02:59:59"), "next 25 03:00:00, wake 25 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:00:00"),
            "start 25 03:00:00 schedule 1, next 26 03:00:00, wake 26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:01:00"),
            "start 25 03:00:00 schedule 1, next 26 03:00:00, wake 26 03:00:00");
}

TEST_F(DecisionTest, ANewScheduleNeverFiresAtOnce) {
  state_.timetable = "something else";
  state_.queued = 1;
  EXPECT_EQ(Decided("2026-11-25 04:00:00"), "next 26 03:00:00, wake 26 03:00:00, store");
  state_ = JobState();
  EXPECT_EQ(Decided("2026-11-25 02:00:00"), "next 25 03:00:00, wake 25 03:00:00, store");
}

TEST_F(DecisionTest, AManualJobIsNeverDue) {
  Schedule("manual");
  state_.next_due.reset();
  EXPECT_EQ(Decided("2026-11-25 04:00:00"), "next -, wake -");
}

TEST_F(DecisionTest, WhatPassedWhileDownIsCaughtUpOnce) {
  // Three due times passed; the latest one is within the grace of half a period, 6 h at most.
  state_.next_due = At("2026-11-23 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 08:59:00"),
            "start 25 03:00:00 catchup 1, missed 2 misfire, next 26 03:00:00, wake 26 03:00:00, "
            "store");
  EXPECT_EQ(Decided("2026-11-25 09:00:01"),
            "missed 3 misfire, next 26 03:00:00, wake 26 03:00:00, store");
  policy_.misfire_grace = 10h;
  EXPECT_EQ(Decided("2026-11-25 12:00:00"),
            "start 25 03:00:00 catchup 1, missed 2 misfire, next 26 03:00:00, wake 26 03:00:00, "
            "store");
}

TEST_F(DecisionTest, MisfireSkipRunsOnlyOnTime) {
  policy_.misfire = Misfire::kSkip;
  EXPECT_EQ(Decided("2026-11-25 03:01:00"),
            "start 25 03:00:00 schedule 1, next 26 03:00:00, wake 26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:01:01"),
            "missed 1 misfire, next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, MisfireRunAllRunsTheLatestOnesInOrder) {
  policy_.misfire = Misfire::kRunAll;
  policy_.misfire_max = 2;
  state_.next_due = At("2026-11-22 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 05:00:00"),
            "start 24 03:00:00 catchup 1, missed 2 misfire, next 25 03:00:00, wake -, store");
  state_.next_due = At("2026-11-25 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 05:00:00", true), "next 25 03:00:00, wake -");
  EXPECT_EQ(Decided("2026-11-25 05:00:00"),
            "start 25 03:00:00 catchup 1, next 26 03:00:00, wake 26 03:00:00");
}

TEST_F(DecisionTest, OverlapSkips) {
  EXPECT_EQ(Decided("2026-11-25 03:00:00", true),
            "missed 1 overlap, next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, OverlapQueuesOne) {
  policy_.overlap = Overlap::kQueueOne;
  EXPECT_EQ(Decided("2026-11-25 03:00:00", true),
            "queued, next 26 03:00:00, wake 26 03:00:00, store");
  state_.queued = 1;
  EXPECT_EQ(Decided("2026-11-25 03:00:00", true),
            "missed 1 overlap, queued, next 26 03:00:00, wake 26 03:00:00, store");
  state_.next_due = At("2026-11-26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:20:00"),
            "start 25 03:20:00 catchup 1, next 26 03:00:00, wake 26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:20:00", true), "queued, next 26 03:00:00, wake 26 03:00:00");
}

TEST_F(DecisionTest, OverlapCancelsThePreviousRun) {
  policy_.overlap = Overlap::kCancelPrevious;
  EXPECT_EQ(Decided("2026-11-25 03:00:00", true),
            "cancel, queued, next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, APausedJobMissesItsDueTimes) {
  state_.paused_until = At("2026-11-25 04:00:00");
  EXPECT_EQ(Decided("2026-11-25 02:00:00"), "held up paused, next 25 03:00:00, wake 25 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:00:00"),
            "missed 1 paused, held up paused, next 26 03:00:00, wake 25 04:00:00, store");
  EXPECT_EQ(Decided("2026-11-25 04:00:00"),
            "start 25 03:00:00 catchup 1, next 26 03:00:00, wake 26 03:00:00");
  state_.paused_until = WallTime::max();
  EXPECT_EQ(Decided("2026-11-25 03:00:00"),
            "missed 1 paused, held up paused, next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, OutsideItsWindowARunWaitsAsLongAsTheGrace) {
  policy_.window = Windows("04:00-05:00");
  EXPECT_EQ(Decided("2026-11-25 03:00:00"), "held up window, next 25 03:00:00, wake 25 04:00:00");
  EXPECT_EQ(Decided("2026-11-25 04:00:00", false, "window"),
            "start 25 03:00:00 schedule 1, next 26 03:00:00, wake 26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 09:00:01", false, "window"),
            "missed 1 window, next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, ABlackoutHoldsARunUp) {
  policy_.blackout = Windows("2026-11-24 00:00 - 2026-11-25 03:30");
  EXPECT_EQ(Decided("2026-11-25 03:00:00"), "held up blackout, next 25 03:00:00, wake 25 03:30:00");
  EXPECT_EQ(Decided("2026-11-25 03:30:00", false, "blackout"),
            "start 25 03:00:00 schedule 1, next 26 03:00:00, wake 26 03:00:00");
}

TEST_F(DecisionTest, WhatFoundNoPlaceStaysDueForTheGrace) {
  EXPECT_EQ(Decided("2026-11-25 05:00:00", false, "busy: job/test is held by b:1:2"),
            "start 25 03:00:00 schedule 1, next 26 03:00:00, wake 26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 09:00:01", false, "busy: job/test is held by b:1:2"),
            "missed 1 busy, next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, RetriesTheSameDueTime) {
  state_.next_due = At("2026-11-26 03:00:00");
  state_.last_due = At("2026-11-25 03:00:00");
  state_.attempt = 1;
  state_.retry_at = At("2026-11-25 03:10:00");
  EXPECT_EQ(Decided("2026-11-25 03:05:00"), "next 26 03:00:00, wake 25 03:10:00");
  EXPECT_EQ(Decided("2026-11-25 03:10:00"),
            "start 25 03:00:00 retry 2, next 26 03:00:00, wake 26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:10:00", true), "next 26 03:00:00, wake 26 03:00:00");
  policy_.window = Windows("04:00-05:00");
  EXPECT_EQ(Decided("2026-11-25 03:10:00"), "next 26 03:00:00, wake 25 04:00:00");
  // The next due time does the work of the retry of the one before.
  EXPECT_EQ(Decided("2026-11-26 04:00:00"),
            "start 26 03:00:00 catchup 1, next 27 03:00:00, wake 27 03:00:00");
  // With run_all each is made up for, in its order.
  policy_.misfire = Misfire::kRunAll;
  EXPECT_EQ(Decided("2026-11-26 04:00:00"), "start 25 03:00:00 retry 2, next 26 03:00:00, wake -");
}

TEST_F(DecisionTest, ARetryIsNotMadeUpForLongerThanItsDueTime) {
  policy_.deadline = std::chrono::hours(1);
  state_.next_due = At("2026-11-27 03:00:00");
  state_.last_due = At("2026-11-25 03:00:00");
  state_.attempt = 1;
  state_.retry_at = At("2026-11-26 09:00:00");  // the daemon was away
  EXPECT_EQ(Decided("2026-11-26 09:00:00"), "next 27 03:00:00, wake 27 03:00:00");
  state_.next_due = At("2026-11-26 03:00:00");
  state_.retry_at = At("2026-11-25 09:59:00");  // 6 h of grace and a deadline
  EXPECT_EQ(Decided("2026-11-25 09:59:00"),
            "start 25 03:00:00 retry 2, next 26 03:00:00, wake 26 03:00:00");
}

TEST_F(DecisionTest, ADueTimeTakesThePlaceOfARetry) {
  Schedule("every 1m");
  state_.last_due = At("2026-11-25 02:59:00");
  state_.next_due = At("2026-11-25 03:00:00");
  state_.attempt = 1;
  state_.retry_at = At("2026-11-25 03:05:00");
  EXPECT_EQ(Decided("2026-11-25 03:00:00"),
            "start 25 03:00:00 schedule 1, missed 1 superseded, next 25 03:01:00, wake 25 "
            "03:01:00, store");
}

TEST_F(DecisionTest, SwitchedOffItForgetsAndSwitchedOnItBeginsAnew) {
  policy_.enabled = false;
  const Decision off = Decide(policy_, state_, false, "", At("2026-11-25 01:00:00"));
  EXPECT_EQ(Text(off), "next -, wake -, store");
  EXPECT_EQ(off.timetable, "");
  state_.next_due = off.next_due;
  state_.timetable = off.timetable;
  EXPECT_EQ(Decided("2026-11-25 02:00:00"), "next -, wake -");
  policy_.enabled = true;
  EXPECT_EQ(Decided("2026-11-25 05:00:00"), "next 26 03:00:00, wake 26 03:00:00, store");
}

TEST_F(DecisionTest, WhatAWrongClockHasComputedIsComputedAnew) {
  state_.next_due = At("2030-01-01 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 01:00:00"), "next 25 03:00:00, wake 25 03:00:00, store");
  // Also when it has run by that clock.
  state_.last_due = At("2029-12-31 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 01:00:00"), "next 25 03:00:00, wake 25 03:00:00, store");
  // An hour back is no wrong clock: what has run is over.
  state_.last_due = At("2026-11-25 03:00:00");
  state_.next_due = At("2026-11-26 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 02:30:00"), "next 26 03:00:00, wake 26 03:00:00");
}

TEST_F(DecisionTest, WhatPassesWhileHeldUpIsCountedWithThatReason) {
  Schedule("every 1m");
  state_.next_due = At("2026-11-25 03:00:00");
  EXPECT_EQ(Decided("2026-11-25 03:05:00", false, "busy: group/heavy_io"),
            "start 25 03:05:00 schedule 1, missed 5 busy, next 25 03:06:00, wake 25 03:06:00, "
            "store");
}

TEST_F(DecisionTest, OverdueAfterTheSecondDueTime) {
  policy_.deadline = std::chrono::hours(1);
  EXPECT_EQ(Text(policy_.OverdueAt(At("2026-11-25 03:05:00"))), "27 04:00:00");
  // From Friday to Monday nothing is due.
  Schedule("0 2 * * 1-5");
  EXPECT_EQ(Text(policy_.OverdueAt(At("2026-11-27 02:05:00"))), "01 03:00:00");
  Schedule("*/15 8-18 * * *");
  EXPECT_EQ(Text(policy_.OverdueAt(At("2026-11-25 18:46:00"))), "26 09:15:00");
  policy_.max_age = std::chrono::hours(2);
  EXPECT_EQ(Text(policy_.OverdueAt(At("2026-11-25 18:46:00"))), "25 20:46:00");
  policy_.max_age.reset();
  policy_.timetable = Timetable();
  EXPECT_EQ(Text(policy_.OverdueAt(At("2026-11-25 18:46:00"))), "-");
}

TEST_F(DecisionTest, AYearDownIsCountedAndNotWalked) {
  Schedule("every 1s");
  state_.next_due = At("2025-11-25 03:00:00");
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(Decided("2026-11-25 03:00:00"),
            "start 25 03:00:00 schedule 1, missed 1000000 misfire, next 25 03:00:01, wake 25 "
            "03:00:01, store");
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1s);
}

// Whatever happens, in time order: no due time starts twice, and each is started, missed or still
// to come.
TEST_F(DecisionTest, EveryDueTimeIsAccountedFor) {
  std::uint32_t random = 12345;
  const auto next = [&random](std::uint32_t below) {
    random = random * 1664525U + 1013904223U;
    return (random >> 8) % below;
  };
  for (int history = 0; history < 300; ++history) {
    Schedule("every 10m");
    policy_.overlap = static_cast<Overlap>(next(3));
    policy_.misfire = static_cast<Misfire>(next(3));
    policy_.misfire_max = 1 + static_cast<int>(next(4));
    policy_.window = next(2) ? Windows("01:00-23:00") : WindowSet();
    WallTime now = At("2026-11-25 00:00:30");
    state_.next_due = policy_.timetable.Next(now);
    state_.queued = 0;
    const WallTime begin = now;
    WallTime running_until = begin;
    std::set<WallTime> started;
    std::uint64_t missed = 0, ran = 0, queued_runs = 0;
    for (int step = 0; step < 400; ++step) {
      now += seconds(1 + next(next(10) == 0 ? 7200 : 400));
      const Decision decision = Decide(policy_, state_, now < running_until, "", now);
      if (decision.start && state_.queued > 0 && decision.queued == 0) {
        ++queued_runs;
        running_until = now + seconds(next(1200));
      } else if (decision.start) {
        EXPECT_TRUE(started.insert(decision.start->due).second);
        ++ran;
        running_until = now + seconds(next(1200));
      }
      missed += static_cast<std::uint64_t>(decision.missed);
      if (decision.cancel_running) running_until = now + 1s;
      state_.next_due = decision.next_due;
      state_.queued = decision.queued;
    }
    const WallTime end = *state_.next_due - seconds(1);
    const std::uint64_t due = policy_.timetable.Between(begin, end, 1).total;
    EXPECT_EQ(due, ran + queued_runs + static_cast<std::uint64_t>(state_.queued) + missed)
        << "history " << history;
  }
}

TEST(JobPolicyTest, AnotherRetentionIsAnotherPlan) {
  constexpr static JobOption kOptions[] = {
      {.name = "older_than",
       .kind = OptionKind::kAge,
       .fallback = "1 year",
       .help = "A.",
       .widens = true},
      {.name = "nice", .kind = OptionKind::kNumber, .fallback = "1", .help = "N."}};
  const JobSpec spec{.name = "test", .summary = "T.", .options = kOptions};
  JobPolicy policy(spec);
  const std::string hash = policy.PlanHash();
  EXPECT_EQ(hash.size(), 12U);
  policy.options.Set("nice", "2");
  EXPECT_EQ(policy.PlanHash(), hash);
  policy.options.Set("older_than", "1 day");
  EXPECT_NE(policy.PlanHash(), hash);
}

}  // namespace
}  // namespace pgsteward
