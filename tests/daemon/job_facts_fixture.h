// A job of every day at 03:00 in Berlin, and what may be known of it.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "daemon/job_facts.h"

namespace pgsteward {

class JobFactsTest : public ::testing::Test {
 protected:
  // Enabled, known since 2026-11-01, led by a daemon, its last run fine; `now_` is noon in Berlin
  // on 2026-11-25, a Wednesday.
  JobFactsTest();

  static WallTime Utc(const std::string& text);  // "2026-11-25 11:00:00"
  void Schedule(const std::string& text, GapRule gap = GapRule::kRunAtEnd,
                FoldRule fold = FoldRule::kFirst);
  WindowSet Windows(const std::string& text) const;
  // One run of the due time, a second late and 2.5 s long.
  RunRecord RunOfDue(const std::string& due, RunStatus status = RunStatus::kOk) const;
  static LeaseRow Lease(const std::string& name, const std::string& holder, bool held);
  JobState& state() { return *facts_.state; }

  JobPolicy policy_;
  JobFacts facts_;
  WallTime now_;
};

// Everything that a value of the database may hold against a terminal.
inline constexpr const char* kHostile = "a\x1b[31m\n\"b\"\\ \xe2\x80\xae\xff";

}  // namespace pgsteward
