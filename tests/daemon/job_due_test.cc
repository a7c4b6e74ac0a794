#include "daemon/job_due.h"

#include "tests/daemon/job_facts_fixture.h"

namespace pgsteward {
namespace {

class JobDueTest : public JobFactsTest {
 protected:
  // "26 02:00 remark" in UTC, a line each.
  static std::string Lines(const std::vector<DueTime>& times) {
    std::string text;
    for (const DueTime& due : times) {
      text += TimeZone().Format(due.at).substr(8, 8) + (due.remark.empty() ? "" : " ") +
              due.remark + "\n";
    }
    return text;
  }
  std::string Coming(int count) const { return Lines(ComingDueTimes(facts_, count, now_)); }
  std::string Passed(int count) const { return Lines(PassedDueTimes(facts_, count, now_)); }
  std::string ComingFrom(const std::string& now, int count) {
    state().next_due.reset();
    return Lines(ComingDueTimes(facts_, count, Utc(now)));
  }
};

TEST_F(JobDueTest, ListsWhatComes) {
  EXPECT_EQ(Coming(2), "26 02:00\n27 02:00\n");
  EXPECT_EQ(Coming(0), "");
  Schedule("manual");
  EXPECT_EQ(Coming(2), "");
}

TEST_F(JobDueTest, BeginsWithWhatHasComeAndWaits) {
  state().next_due = Utc("2026-11-25 10:59:00");
  EXPECT_EQ(Coming(2), "25 10:59 has come and was not run yet\n26 02:00\n");
  policy_.blackout = Windows("2026-11-25 00:00 - 2026-11-26 00:00");
  EXPECT_EQ(Coming(1),
            "25 10:59 has come and was not run yet; in a blackout for longer than its grace of 6h: "
            "not run\n");
}

TEST_F(JobDueTest, SaysWhatTheGapDoes) {
  Schedule("30 2 * * *");
  EXPECT_EQ(ComingFrom("2026-03-28 00:00:00", 3),
            "28 01:30\n"
            "29 01:00 the clock jumps over its time: at the end of the gap (gap: run_at_end)\n"
            "30 00:30\n");
  Schedule("30 2 * * *", GapRule::kSkip);
  EXPECT_EQ(ComingFrom("2026-03-28 00:00:00", 2),
            "28 01:30\n"
            "30 00:30 none before it at 2026-03-29 03:00:00 CEST, over which the clock jumps (gap: "
            "skip)\n");
  // What is due at the end of the gap anyway has not been moved.
  Schedule("0 3 * * *");
  EXPECT_EQ(ComingFrom("2026-03-28 12:00:00", 1), "29 01:00\n");
}

TEST_F(JobDueTest, SaysWhatTheFoldDoes) {
  Schedule("*/30 2 * * *");
  EXPECT_EQ(ComingFrom("2026-10-25 00:00:00", 3),
            "25 00:30 the clock says so twice: only the first time (fold: first)\n"
            "26 01:00\n26 01:30\n");
  Schedule("30 2 * * *", GapRule::kRunAtEnd, FoldRule::kBoth);
  EXPECT_EQ(ComingFrom("2026-10-25 00:00:00", 3),
            "25 00:30\n25 01:30 the second time that the clock says so (fold: both)\n26 01:30\n");
  Schedule("*/30 * * * *");
  EXPECT_EQ(ComingFrom("2026-10-25 00:00:00", 2), "25 00:30\n25 01:00\n");
}

TEST_F(JobDueTest, SaysWhatKeepsItFromBeginning) {
  policy_.window = Windows("Thu-Sat 05:00-24:00");
  EXPECT_EQ(Coming(4),
            "26 02:00 outside the window: runs at 2026-11-26 05:00:00 CET\n"
            "27 02:00 outside the window: runs at 2026-11-27 05:00:00 CET\n"
            "28 02:00 outside the window: runs at 2026-11-28 05:00:00 CET\n"
            "29 02:00 outside the window for longer than its grace of 6h: not run\n");
  policy_.window = WindowSet();
  policy_.blackout = Windows("2026-11-26 00:00 - 2026-11-26 04:00");
  state().paused_until = Utc("2026-11-27 12:00:00");
  EXPECT_EQ(Coming(3), "26 02:00 paused then: not run\n27 02:00 paused then: not run\n28 02:00\n");
  state().paused_until.reset();
  EXPECT_EQ(Coming(2), "26 02:00 in a blackout: runs at 2026-11-26 04:00:00 CET\n27 02:00\n");
}

TEST_F(JobDueTest, FindsWhenItOpens) {
  EXPECT_EQ(OpensAfter(policy_, now_), now_);
  policy_.window = Windows("22:00-23:00");
  policy_.blackout = Windows("2026-11-25 00:00 - 2026-11-27 00:00");
  EXPECT_EQ(OpensAfter(policy_, now_), Utc("2026-11-27 21:00:00"));
  policy_.window = Windows("2026-11-25 13:00 - 2026-11-25 14:00");
  EXPECT_EQ(OpensAfter(policy_, now_), std::nullopt);
}

TEST_F(JobDueTest, TellsWhatBecameOfThePassedOnes) {
  facts_.runs[0].report.status = RunStatus::kFailed;
  facts_.runs[0].attempt = 2;
  facts_.runs[0].report.reason = "query_failed";
  facts_.runs[0].error_text = kHostile;
  facts_.runs[1].report.status = RunStatus::kPartial;
  facts_.runs[1].report.reason = "deadline";
  facts_.runs[2].started += std::chrono::hours(2);
  facts_.runs[2].finished += std::chrono::hours(2);
  facts_.runs.erase(facts_.runs.begin() + 3);
  EXPECT_EQ(Passed(5),
            "25 02:00 failed at attempt 2: 1200 rows in 2.5s, query_failed, "
            "a\\x1b[31m \"b\"\\ \\u202e\xef\xbf\xbd\n"
            "24 02:00 partial: 1200 rows in 2.5s, deadline\n"
            "23 02:00 ok: 1200 rows in 2.5s, 2h00m late\n"
            "22 02:00 not run: no daemon led, it was paused, or the schedule was another one\n"
            "21 02:00 ok: 1200 rows in 2.5s\n");
}

TEST_F(JobDueTest, FindsOutWhyOneWasNotRun) {
  facts_.runs = {RunOfDue("2026-11-23 01:00:00")};
  facts_.runs[0].finished = Utc("2026-11-24 12:00:00");
  policy_.blackout = Windows("2026-11-22 00:00 - 2026-11-23 00:00");
  state().next_due = Utc("2026-11-25 02:00:00");
  const std::string was_running =
      " not run: run run of 2026-11-23 01:00:00 was under way (overlap: skip)\n";
  EXPECT_EQ(Passed(4), "25 02:00 still to be run\n24 02:00" + was_running + "23 02:00" +
                           was_running + "22 02:00 not run: in a blackout\n");
  facts_.runs[0].report.status = RunStatus::kRunning;
  state().next_due = Utc("2026-11-26 02:00:00");
  EXPECT_EQ(Passed(1), "25 02:00" + was_running);
  policy_.enabled = false;
  EXPECT_EQ(Passed(1), "25 02:00 not run: the job is not enabled\n");
}

TEST_F(JobDueTest, KnowsNothingFromBeforeItWasRegistered) {
  state().registered_at = Utc("2026-11-24 12:00:00");
  EXPECT_EQ(Passed(5), "25 02:00 ok: 1200 rows in 2.5s\n");
  facts_.state.reset();
  EXPECT_EQ(Passed(5), "");
}

TEST_F(JobDueTest, KnowsTheLastOneFromTheJournal) {
  facts_.from_journal = true;
  facts_.runs.clear();
  EXPECT_EQ(Passed(2), "25 02:00 ok\n24 02:00 unknown: only the database says\n");
}

TEST_F(JobDueTest, CountsWhatWasMissed) {
  EXPECT_EQ(MissedText(state()), "");
  state().counters = {{"missed.paused", 3}, {"missed.window", 1}, {"runs.ok", 7}};
  EXPECT_EQ(MissedText(state()), "3 paused, 1 window");
}

}  // namespace
}  // namespace pgsteward
