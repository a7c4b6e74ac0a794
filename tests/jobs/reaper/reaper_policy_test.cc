#include "jobs/reaper/reaper_policy.h"

#include <gtest/gtest.h>

#include <functional>

#include "jobs/reaper/reaper_facts.h"
#include "jobs/reaper/reaper_text.h"

namespace pgsteward {
namespace {

ReaperSession Active(long long pid, double query_s) {
  ReaperSession session;
  session.pid = pid;
  session.backend_start = "b" + std::to_string(pid);
  session.xact_start = session.query_start = session.state_change = "q" + std::to_string(pid);
  session.state = "active";
  session.backend_type = "client backend";
  session.user = "app";
  session.database = "hub";
  session.application = "web";
  session.query_s = session.state_s = query_s;
  return session;
}

ReaperSession Idle(long long pid, double state_s) {
  ReaperSession session = Active(pid, state_s);
  session.state = "idle in transaction";
  return session;
}

ReaperFacts Facts(std::vector<ReaperSession> sessions, std::vector<ReaperWait> waits = {}) {
  return {"hub", std::move(sessions), std::move(waits)};
}

// "12 long_active cancel; 13 idle_in_tx refused needs_terminate; (14 long_active superuser)"
std::string Text(const ReaperVerdict& verdict) {
  std::string text;
  const auto add = [&text](std::string part) { text += (text.empty() ? "" : "; ") + part; };
  for (const ReaperDecision& decision : verdict.decisions) {
    add(std::to_string(decision.session.pid) + " " + std::string(ReaperRuleName(decision.rule)) +
        " " + std::string(ReaperActionName(decision.action)) +
        (decision.result.empty() ? "" : " " + decision.result));
  }
  for (const ReaperSpared& spared : verdict.spared) {
    add("(" + std::to_string(spared.session.pid) + " " + std::string(ReaperRuleName(spared.rule)) +
        " " + std::string(spared.why) + ")");
  }
  return text;
}

std::string Decide(const ReaperFacts& facts, ReaperMode mode = ReaperMode::kTerminate,
                   const std::vector<double>& recent = {}) {
  ReaperPolicy policy;
  policy.mode = mode;
  return Text(DecideReaping(facts, policy, recent, nullptr));
}

TEST(ReaperPolicy, MatchesPatterns) {
  const struct {
    const char* pattern;
    const char* text;
    bool matches;
  } kCases[] = {
      {"etl", "etl", true},     {"etl", "etl2", false},    {"etl", "ETL", false},
      {"etl*", "etl", true},    {"etl*", "etl_2", true},   {"*etl", "my_etl", true},
      {"*e*l*", "hello", true}, {"*e*lx", "hello", false}, {"a?c", "abc", true},
      {"a?c", "ac", false},     {"*", "", true},           {"", "", true},
      {"", "a", false},         {"a**b", "ab", true},      {"*ab", "aab", true},
      {"a%", "ab", false},      {"[a]", "a", false},       {"*abab", "abaabab", true},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(MatchesPattern(c.pattern, c.text), c.matches) << c.pattern << " " << c.text;
  }
}

TEST(ReaperPolicy, EachRuleHasItsThreshold) {
  EXPECT_EQ(Decide(Facts({Active(1, 299.9), Active(2, 300)})), "2 long_active cancel");
  EXPECT_EQ(Decide(Facts({Idle(1, 1799), Idle(2, 1800)})), "2 idle_in_tx terminate");
  // L8: what an idle session's last statement began is no matter.
  ReaperSession idle = Idle(1, 10);
  idle.query_s = 86400;
  EXPECT_EQ(Decide(Facts({idle})), "");
  ReaperSession aborted = Idle(3, 1800);
  aborted.state = "idle in transaction (aborted)";
  EXPECT_EQ(Decide(Facts({aborted})), "3 idle_in_tx terminate");
  ReaperSession resting = Idle(4, 1800);
  resting.state = "idle";
  EXPECT_EQ(Decide(Facts({resting})), "");
}

TEST(ReaperPolicy, ARuleOfZeroIsOff) {
  ReaperPolicy off;
  off.mode = ReaperMode::kTerminate;
  off.long_active_s = off.idle_in_tx_s = 0;
  off.root_blocker_victims = 0;
  const ReaperFacts facts = Facts({Active(1, 1e6), Idle(2, 1e6)}, {{3, 1e6, {1}}});
  EXPECT_EQ(Text(DecideReaping(facts, off, {}, nullptr)), "");
}

// PostgreSQL 13 knows only the age of the statement that waits.
TEST(ReaperPolicy, WithoutTheTimeOfWaitingNobodyIsABlocker) {
  std::vector<ReaperWait> waits;
  for (const long long pid : {2, 3, 4, 5, 6}) {
    ReaperWait wait;
    wait.pid = pid;
    wait.seconds = 3600;
    wait.blockers = {1};
    waits.push_back(wait);
  }
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  const ReaperFacts facts = Facts({Idle(1, 5)}, waits);
  EXPECT_EQ(Text(DecideReaping(facts, policy, {}, nullptr)), "1 root_blocker terminate");
  policy.knows_waits = false;
  EXPECT_EQ(Text(DecideReaping(facts, policy, {}, nullptr)), "");
  policy.idle_in_tx_s = 5;
  EXPECT_EQ(Text(DecideReaping(facts, policy, {}, nullptr)), "1 idle_in_tx terminate");
}

TEST(ReaperPolicy, OnlyRootsWithVictimsAreBlockers) {
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  policy.root_blocker_victims = 3;
  const auto decide = [&policy](std::vector<ReaperWait> waits) {
    ReaperVerdict verdict =
        DecideReaping(Facts({Idle(1, 5), Active(2, 5), Active(9, 5)}, waits), policy, {}, nullptr);
    std::string text = Text(verdict);
    if (!verdict.decisions.empty()) {
      text += " victims " + std::to_string(verdict.decisions[0].victims) + " longest " +
              std::to_string(static_cast<int>(verdict.decisions[0].age_s));
    }
    if (verdict.prepared_victims > 0)
      text += "prepared " + std::to_string(verdict.prepared_victims);
    return text;
  };
  // A queue: 1 blocks the DDL 2, behind which 3 and 4 wait.
  EXPECT_EQ(decide({{2, 90, {1}}, {3, 80, {2}}, {4, 70, {2, 1}}}),
            "1 root_blocker terminate victims 3 longest 90");
  // One of them waits for too short a time.
  EXPECT_EQ(decide({{2, 90, {1}}, {3, 80, {2}}, {4, 59, {2}}}), "");
  // Parallel workers repeat a pid, and some servers name a waiter as its own blocker.
  EXPECT_EQ(decide({{2, 90, {1, 1, 1}}, {2, 90, {1}}, {3, 80, {2, 3}}}),
            "1 root_blocker terminate victims 3 longest 90");
  // A deadlock has no root; the server resolves it.
  EXPECT_EQ(decide({{1, 90, {2}}, {2, 90, {1}}, {3, 90, {1}}, {4, 90, {3}}}), "");
  // A prepared transaction has no session.
  EXPECT_EQ(decide({{2, 90, {0}}, {3, 80, {2}}, {4, 70, {2}}}), "prepared 3");
  // Of two roots each blocks.
  EXPECT_EQ(decide({{2, 90, {1, 9}}, {3, 80, {2}}, {4, 70, {2}}}),
            "1 root_blocker terminate; 9 root_blocker cancel victims 3 longest 90");
}

TEST(ReaperPolicy, L7NeverTouchesTheseSessions) {
  const struct {
    const char* why;
    std::function<void(ReaperSession&)> change;
  } kCases[] = {
      {"not_a_client", [](ReaperSession& s) { s.backend_type = "walsender"; }},
      {"not_a_client", [](ReaperSession& s) { s.backend_type = "autovacuum worker"; }},
      {"not_a_client", [](ReaperSession& s) { s.backend_type = "parallel worker"; }},
      {"not_a_client", [](ReaperSession& s) { s.backend_type = ""; }},
      {"ourselves", [](ReaperSession& s) { s.self = true; }},
      {"other_database", [](ReaperSession& s) { s.database = "other"; }},
      {"dump_or_pgsteward", [](ReaperSession& s) { s.application = "pg_dump"; }},
      {"dump_or_pgsteward", [](ReaperSession& s) { s.application = "pg_dumpall"; }},
      {"dump_or_pgsteward", [](ReaperSession& s) { s.application = "pg_basebackup"; }},
      {"dump_or_pgsteward", [](ReaperSession& s) { s.application = "pg_restore"; }},
      {"dump_or_pgsteward", [](ReaperSession& s) { s.application = "pgsteward:job/vacuum"; }},
      {"superuser", [](ReaperSession& s) { s.superuser = true; }},
      {"unknown", [](ReaperSession& s) { s.user = ""; }},
      {"excluded_user", [](ReaperSession& s) { s.user = "etl_night"; }},
      {"excluded_role", [](ReaperSession& s) { s.excluded_role = true; }},
      {"excluded_database", [](ReaperSession& s) { s.database = "dwh"; }},
      {"excluded_application", [](ReaperSession& s) { s.application = "report 7"; }},
      {"no_kill_tag", [](ReaperSession& s) { s.tagged = true; }},
      {"waits_for_lock", [](ReaperSession& s) { s.waiting = true; }},
  };
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  policy.exclude_users = {"nobody", "etl_*"};
  policy.exclude_databases = {"dwh"};
  policy.exclude_applications = {"report ?"};
  for (const auto& c : kCases) {
    ReaperSession session = Active(1, 400);
    c.change(session);
    policy.all_databases = session.database == "dwh";
    EXPECT_EQ(Text(DecideReaping(Facts({session}), policy, {}, nullptr)),
              "(1 long_active " + std::string(c.why) + ")");
  }
  EXPECT_EQ(Text(DecideReaping(Facts({Active(1, 400)}), policy, {}, nullptr)),
            "1 long_active cancel");
}

TEST(ReaperPolicy, EachModeDoesItsOwn) {
  const ReaperFacts facts = Facts({Active(1, 400), Idle(2, 4000)});
  EXPECT_EQ(Decide(facts, ReaperMode::kObserve),
            "2 idle_in_tx observe candidate; 1 long_active observe candidate");
  EXPECT_EQ(Decide(facts, ReaperMode::kDryRun),
            "2 idle_in_tx dry_run would_terminate; 1 long_active dry_run would_cancel");
  // L9: a cancel does nothing to a session that idles.
  EXPECT_EQ(Decide(facts, ReaperMode::kCancel),
            "2 idle_in_tx refused needs_terminate; 1 long_active cancel");
  EXPECT_EQ(Decide(facts, ReaperMode::kTerminate), "2 idle_in_tx terminate; 1 long_active cancel");
}

TEST(ReaperPolicy, L10WhatIsNotTheSameIsNotSeenTwice) {
  const ReaperSession before = Active(1, 400);
  const std::vector<std::string> seen = {ReaperIdentity(before)};
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  const auto decide = [&](const ReaperSession& now) {
    return Text(DecideReaping(Facts({now}), policy, {}, &seen));
  };
  ReaperSession now = before;
  now.query_s += 10;
  EXPECT_EQ(decide(now), "1 long_active cancel");
  const std::function<void(ReaperSession&)> kChanges[] = {
      [](ReaperSession& s) { s.pid = 2; },
      [](ReaperSession& s) { s.backend_start = "the pid was used again"; },
      [](ReaperSession& s) { s.query_start = "x"; },
      [](ReaperSession& s) { s.xact_start = "x"; },
      [](ReaperSession& s) { s.state_change = "x"; },
  };
  for (const auto& change : kChanges) {
    ReaperSession other = now;
    change(other);
    EXPECT_EQ(decide(other), std::to_string(other.pid) + " long_active observe seen_once");
  }
}

TEST(ReaperPolicy, TheRateIsKept) {
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  const ReaperFacts facts = Facts({Active(1, 400), Active(2, 500), Idle(3, 4000)});
  const auto decide = [&](const std::vector<double>& recent) {
    return Text(DecideReaping(facts, policy, recent, nullptr));
  };
  const std::string all = "3 idle_in_tx terminate; 2 long_active cancel; 1 long_active cancel";
  EXPECT_EQ(decide({}), all);
  EXPECT_EQ(decide({60, 61, 3599}), all);
  EXPECT_EQ(decide({59.9}),
            "3 idle_in_tx terminate; 2 long_active cancel; 1 long_active refused rate_limit");
  EXPECT_EQ(decide(std::vector<double>(9, 1800)),
            "3 idle_in_tx terminate; 2 long_active refused rate_limit; "
            "1 long_active refused rate_limit");
  EXPECT_EQ(decide(std::vector<double>(10, 3600)), all);
  // What is only reported uses up nothing.
  policy.mode = ReaperMode::kCancel;
  EXPECT_EQ(decide({1}),
            "3 idle_in_tx refused needs_terminate; 2 long_active cancel; 1 long_active cancel");
}

TEST(ReaperPolicy, ManyAtOnceTripTheBreaker) {
  std::vector<ReaperSession> sessions;
  for (int pid = 1; pid <= 5; ++pid) sessions.push_back(Active(pid, 400));
  ReaperPolicy policy;
  policy.mode = ReaperMode::kCancel;
  EXPECT_FALSE(DecideReaping(Facts(sessions), policy, {}, nullptr).breaker);
  // Who is spared does not count.
  sessions.push_back(Active(6, 400));
  sessions.back().superuser = true;
  EXPECT_FALSE(DecideReaping(Facts(sessions), policy, {}, nullptr).breaker);
  sessions.push_back(Active(7, 400));
  const ReaperVerdict verdict = DecideReaping(Facts(sessions), policy, {}, nullptr);
  EXPECT_TRUE(verdict.breaker);
  for (const ReaperDecision& decision : verdict.decisions) {
    EXPECT_EQ(decision.action, ReaperAction::kRefused);
    EXPECT_EQ(decision.result, "breaker");
  }
}

TEST(ReaperPolicy, TheOneThatBlocksMostComesFirst) {
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  policy.root_blocker_victims = 1;
  const ReaperFacts facts = Facts({Active(1, 900), Idle(2, 2000), Idle(3, 5), Idle(4, 3000)},
                                  {{5, 70, {3}}, {6, 99, {4}}, {7, 65, {4}}});
  EXPECT_EQ(Text(DecideReaping(facts, policy, {}, nullptr)),
            "4 root_blocker terminate; 3 root_blocker terminate; 2 idle_in_tx terminate; "
            "1 long_active refused rate_limit");
}

ReaperAbility Able() {
  ReaperAbility ability;
  ability.role = "\"Reaper\"";
  ability.sees_everybody = ability.may_signal = ability.tracks_activities = true;
  ability.has_log = ability.may_log = true;
  return ability;
}

TEST(ReaperAbility, SaysWhatIsMissing) {
  const struct {
    std::function<void(ReaperAbility&)> change;
    ReaperMode mode;
    const char* text;
  } kCases[] = {
      {[](ReaperAbility&) {}, ReaperMode::kTerminate, "able"},
      {[](ReaperAbility& a) { a.in_recovery = true; }, ReaperMode::kObserve,
       "the server is in recovery, where neither lease nor log can be written (SQLSTATE 25006); "
       "hint: Connect to the primary: target_session_attrs=read-write in the conninfo."},
      {[](ReaperAbility& a) { a.sees_everybody = false; }, ReaperMode::kObserve,
       "the role may not see the sessions of other roles (SQLSTATE 42501); "
       "hint: GRANT pg_read_all_stats TO \"Reaper\";"},
      {[](ReaperAbility& a) { a.tracks_activities = false; }, ReaperMode::kObserve,
       "track_activities is off: nobody knows who does what; hint: Set track_activities = on."},
      {[](ReaperAbility& a) { a.has_log = a.may_log = false; }, ReaperMode::kDryRun,
       "there is no table pgsteward.remediation_log (SQLSTATE 42P01); "
       "hint: Run: pgsteward schema apply."},
      {[](ReaperAbility& a) { a.may_log = false; }, ReaperMode::kDryRun,
       "the role may not write pgsteward.remediation_log (SQLSTATE 42501); hint: GRANT USAGE ON "
       "SCHEMA pgsteward TO \"Reaper\"; GRANT SELECT, INSERT, UPDATE (result) ON "
       "pgsteward.remediation_log TO \"Reaper\";"},
      {[](ReaperAbility& a) { a.may_signal = false; }, ReaperMode::kDryRun, "able"},
      {[](ReaperAbility& a) { a.may_signal = false; }, ReaperMode::kCancel,
       "the role may not signal the sessions of other roles (SQLSTATE 42501); "
       "hint: GRANT pg_signal_backend TO \"Reaper\";"},
  };
  for (const auto& c : kCases) {
    ReaperAbility ability = Able();
    c.change(ability);
    const auto able = CheckReaperAbility(ability, c.mode);
    EXPECT_EQ(able ? "able" : ToText(able.error()), c.text);
  }
}

TEST(ReaperPlan, SaysWhatWouldBeDoneAndWhy) {
  ReaperAbility ability = Able();
  ability.may_signal = false;
  ability.unset_timeouts = {"statement_timeout"};
  ReaperSession dump = Active(3, 9000);
  dump.application = "pg_dump";
  ReaperSession hostile = Active(1, 400);
  hostile.user = "eve\x1b[2J";
  hostile.application = "a\nspares pid 1";
  const ReaperFacts facts = Facts({hostile, Idle(2, 4000), dump}, {{7, 90, {0}}});
  ReaperPolicy policy;
  EXPECT_EQ(
      ReaperPlan(ability, policy, DecideReaping(facts, policy, {30, 90}, nullptr), {30, 90}, 10),
      (std::vector<std::string>{
          "mode dry_run, this database; long_active: 5m00s; idle_in_tx: 30m00s; "
          "root_blocker: 5 sessions for 1m00s",
          "statements signalled within the last minute: 1 of 3, within the last hour: 2 of 10",
          "modes cancel and terminate need: GRANT pg_signal_backend TO \"Reaper\";",
          "statement_timeout is 0: prefer server settings (ALTER ROLE ... SET statement_timeout), "
          "which need no daemon",
          "those who still do the same 10s later:",
          "would terminate (mode dry_run: only say so): pid 2 (app@hub, application web), "
          "idle_in_tx: idle in its transaction for 1h06m",
          "would cancel (mode dry_run: only say so): pid 1 (eve\\x1b[2J@hub, application a spares "
          "pid 1), long_active: active for 6m40s",
          "spares pid 3 (app@hub, application pg_dump), long_active: active for 2h30m: a dump, a "
          "restore or pgsteward by its application_name",
          "prepared transactions keep 1 sessions waiting: no session to end, see "
          "pg_prepared_xacts"}));
}

TEST(ReaperPlan, SaysThatNothingIsToDo) {
  ReaperPolicy policy;
  policy.mode = ReaperMode::kTerminate;
  policy.all_databases = true;
  policy.idle_in_tx_s = 0;
  policy.root_blocker_victims = 0;
  EXPECT_EQ(ReaperPlan(Able(), policy, DecideReaping(Facts({}), policy, {}, nullptr), {}, 10),
            (std::vector<std::string>{
                "mode terminate, all databases; long_active: 5m00s; idle_in_tx: off; "
                "root_blocker: off",
                "statements signalled within the last minute: 0 of 3, within the last hour: 0 of "
                "10",
                "no session is a candidate"}));
}

TEST(ReaperPlan, IsBounded) {
  std::vector<ReaperSession> sessions;
  for (int pid = 1; pid <= 100; ++pid) sessions.push_back(Active(pid, 400));
  for (int pid = 101; pid <= 200; ++pid) {
    sessions.push_back(Active(pid, 400));
    sessions.back().tagged = true;
  }
  ReaperPolicy policy;
  policy.mode = ReaperMode::kCancel;
  const auto plan =
      ReaperPlan(Able(), policy, DecideReaping(Facts(sessions), policy, {}, nullptr), {}, 10);
  ASSERT_EQ(plan.size(), 3U + 31U + 31U);
  EXPECT_EQ(plan[2],
            "would do nothing: breaker: 100 candidates at once, more than 5: not one session is "
            "the problem");
  EXPECT_EQ(plan[3],
            "would leave alone (breaker): pid 1 (app@hub, application web), long_active: active "
            "for 6m40s");
  EXPECT_EQ(plan[33], "... and 70 more");
}

}  // namespace
}  // namespace pgsteward
