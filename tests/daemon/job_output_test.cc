#include "daemon/job_output.h"

#include "tests/daemon/job_facts_fixture.h"

namespace pgsteward {
namespace {

// kHostile as it may be shown.
constexpr const char* kHarmless = "a\\x1b[31m \"b\"\\ \\u202e\xef\xbf\xbd";
constexpr const char* kHarmlessJson = R"("a\u001b[31m\n\"b\"\\ )"
                                      "\xe2\x80\xae\xef\xbf\xbd\"";

class JobOutputTest : public JobFactsTest {
 protected:
  JobOutputTest() {
    hostile_ = RunOfDue("2026-11-25 02:00:00", RunStatus::kFailed);
    hostile_.attempt = 2;
    hostile_.trigger = Trigger::kRetry;
    for (std::string* text : {&hostile_.job, &hostile_.report.reason, &hostile_.error_text,
                              &hostile_.error_sqlstate, &hostile_.holder, &hostile_.host}) {
      *text = kHostile;
    }
    hostile_.report.details[kHostile] = kHostile;
    hostile_.throttled[kHostile] = 1.5;
  }
  // The lines of the sheet that begin with one of `names`.
  std::string SheetLines(const std::vector<std::string>& names) const {
    const std::string sheet = JobSheet(facts_, now_);
    std::string lines;
    for (std::size_t begin = 0; begin < sheet.size();) {
      const std::size_t end = sheet.find('\n', begin) + 1;
      for (const std::string& name : names) {
        if (sheet.compare(begin, name.size(), name) == 0) lines += sheet.substr(begin, end - begin);
      }
      begin = end;
    }
    return lines;
  }

  RunRecord hostile_;
};

TEST_F(JobOutputTest, Table) {
  EXPECT_EQ(JobTable({}, now_), "no jobs are configured\n");
  JobPolicy idle = policy_;
  idle.name = "idle";
  idle.enabled = false;
  JobFacts unknown(idle);
  unknown.server = "hub";
  JobFacts paused = facts_;
  paused.state->paused_until = WallTime::max();
  paused.state->paused_by = kHostile;
  paused.state->last_status = "running";
  paused.state->last_started_at = now_ - std::chrono::seconds(12);
  paused.state->last_finished_at.reset();
  EXPECT_EQ(
      JobTable({facts_, unknown, paused}, now_),
      "NAME     TYPE             SERVER  ENABLED  SCHEDULE   NEXT DUE"
      "                             LAST RUN         PAUSED\n"
      "cleanup  session_cleanup  hub     yes      0 3 * * *  2026-11-26 03:00:00 CET (in 15h00m)"
      "  ok 8h59m ago     -\n"
      "idle     session_cleanup  hub     no       0 3 * * *  -"
      "                                    never            -\n"
      "cleanup  session_cleanup  hub     yes      0 3 * * *  2026-11-26 03:00:00 CET (in 15h00m)"
      "  running 12s ago  until resumed by " +
          std::string(kHarmless) + "\n");
  unknown.problem = "connection refused";
  EXPECT_NE(JobTable({unknown}, now_).find("  unknown   -\n"), std::string::npos);
}

TEST_F(JobOutputTest, Sheet) {
  EXPECT_EQ(JobSheet(facts_, now_), R"(name          cleanup
type          session_cleanup: Deletes old sessions.
server        hub
enabled       yes
schedule      0 3 * * *, Europe/Berlin, gap run_at_end, fold first
window        always
blackout      none
overlap       skip
misfire       run_once, grace 6h
retries       3
deadline      1h
groups        -
plan          3c3f5f312e04 (needs no confirmation)
next due      2026-11-26 03:00:00 CET (in 15h00m)
paused        -
last due      2026-11-25 03:00:00 CET (9h00m ago)
last run      ok 8h59m ago
  took        2.5s, 1200 rows
last success  2026-11-25 03:00:03 CET (8h59m ago)
failures      0 in a row
missed        -
running       -
lease         job/cleanup epoch 4, free, last held by app1:17:aa until 2026-11-25 11:30:00 CET (30m00s ago)
lease         scheduler epoch 4, held by app1:17:aa since 2026-11-25 11:00:00 CET (1h00m ago)
option        older_than = 30 days (default)
option        batch = 1000 (default)
option        only = a, b (default)
option        key_file =  (default)
option        stage = active (default)
)");
}

TEST_F(JobOutputTest, SheetOfOneThatRuns) {
  RunRecord running = RunOfDue("2026-11-25 10:59:00", RunStatus::kRunning);
  running.holder = kHostile;
  facts_.runs.insert(facts_.runs.begin(), running);
  facts_.leases = {Lease("job/cleanup", kHostile, true)};
  state().paused_until = Utc("2026-11-25 12:00:00");
  state().paused_by = kHostile;
  state().pause_reason = kHostile;
  state().last_status = kHostile;
  policy_.options.Set("key_file", "the key itself");
  policy_.options.Set("only", kHostile);
  const std::string harmless = kHarmless;
  EXPECT_EQ(SheetLines({"paused", "  because", "last run", "running", "lease", "option        key",
                        "option        only"}),
            "paused        until 2026-11-25 13:00:00 CET by " + harmless + "\n  because     " +
                harmless + "\nlast run      " + harmless +
                " 8h59m ago\nrunning       run of 2026-11-25 10:59:00 of " + harmless +
                " since 2026-11-25 11:59:01 CET (59s ago), schedule\n"
                "lease         job/cleanup epoch 4, held by " +
                harmless +
                " since 2026-11-25 11:00:00 CET (1h00m ago)\n"
                "option        only = a\\x1b[31m, \"b\"\\ \\u202e\xef\xbf\xbd\n"
                "option        key_file = <secret>\n");
}

TEST_F(JobOutputTest, SheetOfAPlan) {
  JobSpec spec = *policy_.spec;
  spec.needs_confirmation = true;
  policy_.spec = &spec;
  EXPECT_EQ(SheetLines({"plan"}), "plan          3c3f5f312e04 (not confirmed)\n");
  state().memory["accepted_plan"] = "3c3f5f312e04";
  EXPECT_EQ(SheetLines({"plan"}), "plan          3c3f5f312e04 (confirmed)\n");
  facts_.from_journal = true;
  EXPECT_EQ(SheetLines({"plan"}), "plan          3c3f5f312e04 (confirmation unknown)\n");
  policy_.confirm = false;
  EXPECT_EQ(SheetLines({"plan"}), "plan          3c3f5f312e04 (confirm: false)\n");
}

TEST_F(JobOutputTest, History) {
  EXPECT_EQ(HistoryTable({}), "no runs yet\n");
  RunRecord running = RunOfDue("2026-11-25 10:59:00", RunStatus::kRunning);
  running.due.reset();
  running.trigger = Trigger::kManual;
  const std::string harmless = kHarmless;
  EXPECT_EQ(HistoryTable({{running, TimeZone()}, {facts_.runs[1], policy_.zone}}),
            "STARTED                  JOB      STATUS   TRIGGER   DUE"
            "                      DURATION  ROWS  REASON\n"
            "2026-11-25 10:59:01 UTC  cleanup  running  manual    -"
            "                        -         1200\n"
            "2026-11-24 03:00:01 CET  cleanup  ok       schedule  2026-11-24 03:00:00 CET"
            "  2.5s      1200\n");
  const std::string table = HistoryTable({{hostile_, TimeZone()}});
  EXPECT_EQ(table.substr(table.find('\n') + 1), "2026-11-25 02:00:01 UTC  " + harmless +
                                                    "  failed  retry 2  2026-11-25 02:00:00 UTC  "
                                                    "2.5s      1200  " +
                                                    harmless + ": " + harmless + " (SQLSTATE " +
                                                    harmless + ")\n");
}

TEST_F(JobOutputTest, SummaryOfARun) {
  EXPECT_EQ(RunSummary(facts_.runs[0]), "cleanup: ok, 1200 rows in 2 batches, 2.5s\n");
  RunRecord run = facts_.runs[0];
  run.report.status = RunStatus::kPartial;
  run.report.reason = "deadline: 3 batches left";
  run.report.rows_skipped = 4;
  run.report.rows_quarantined = 5;
  run.report.details["oldest"] = kHostile;
  run.throttled["replica_lag"] = 61;
  EXPECT_EQ(RunSummary(run),
            "cleanup: partial, 1200 rows, 4 skipped, 5 in quarantine in 2 batches, 2.5s, throttled "
            "1m01s by replica_lag\n"
            "  reason: deadline: 3 batches left\n"
            "  oldest: " +
                std::string(kHarmless) + "\n");
}

TEST_F(JobOutputTest, Plan) {
  EXPECT_EQ(PlanLines({"delete 3 rows", "  in 2026-09: 3", "", kHostile}),
            "delete 3 rows\n  in 2026-09: 3\n\n" + std::string(kHarmless) + "\n");
}

TEST_F(JobOutputTest, Progress) {
  JobReport report;
  report.rows_done = 12000;
  report.batches = 12;
  EXPECT_EQ(ProgressLine(report, 3, ""), "12000 rows, 4000 rows/s, 12 batches, 3.0s");
  EXPECT_EQ(ProgressLine(report, 0.5, kHostile),
            "12000 rows, 12000 rows/s, 12 batches, 0.5s; throttled by " + std::string(kHarmless));
}

TEST_F(JobOutputTest, NextAndWhyNot) {
  EXPECT_EQ(NextTable(facts_, {{*state().next_due, "a remark"}}, now_),
            "DUE                      UTC                      WHEN       REMARK\n"
            "2026-11-26 03:00:00 CET  2026-11-26 02:00:00 UTC  in 15h00m  a remark\n");
  EXPECT_EQ(NextTable(facts_, {}, now_), "cleanup has no schedule: it runs only by hand\n");
  WhyNot why;
  why.reasons = {"One.", "Two."};
  EXPECT_EQ(WhyNotText(facts_, why), "One.\nTwo.\n");
  why.passed = {{*state().last_due, "ok"}};
  why.missed = "2 overlap";
  why.known_since = "then";
  EXPECT_EQ(WhyNotText(facts_, why),
            "One.\nTwo.\n\nIts last due times:\n  2026-11-25 03:00:00 CET  ok\n"
            "\nNot run since then: 2 overlap\n");
  EXPECT_EQ(WhyNotJson(facts_, why), R"({
  "job": "cleanup",
  "reasons": [
    "One.",
    "Two."
  ],
  "passed": [
    {"due": "2026-11-25T02:00:00.000Z", "local": "2026-11-25 03:00:00+01:00", "outcome": "ok"}
  ],
  "missed": "2 overlap"
}
)");
  EXPECT_EQ(NextJson(facts_, {{*state().next_due, ""}}), R"({
  "job": "cleanup",
  "enabled": true,
  "due": [
    {"due": "2026-11-26T02:00:00.000Z", "local": "2026-11-26 03:00:00+01:00", "remark": null}
  ]
}
)");
}

constexpr const char* kListedJson =
    R"("name": "cleanup", "type": "session_cleanup", "server": "hub", "enabled": true, )"
    R"("schedule": "0 3 * * *, Europe/Berlin, gap run_at_end, fold first", )"
    R"("time_zone": "Europe/Berlin", "problem": null, "known": true, "from_journal": false, )"
    R"("next_due": "2026-11-26T02:00:00.000Z", "retry_at": null, )"
    R"("last_run": "run of 2026-11-25 02:00:00", "last_status": "ok", )"
    R"("last_started": "2026-11-25T02:00:01.000Z", "last_finished": "2026-11-25T02:00:03.000Z", )"
    R"("last_success": "2026-11-25T02:00:03.000Z", "last_duration_seconds": 2.500, )"
    R"("last_rows": 1200, "consecutive_failures": 0, )";
constexpr const char* kRunJson =
    R"({"run_id": "run of 2026-11-25 02:00:00", "job": "cleanup", "type": "session_cleanup", )"
    R"("trigger": "schedule", "due": "2026-11-25T02:00:00.000Z", "attempt": 1, )"
    R"("started": "2026-11-25T02:00:01.000Z", "finished": "2026-11-25T02:00:03.500Z", )"
    R"("duration_seconds": 2.500, "status": "ok", "reason": null, "cutoff": null, )"
    R"("rows_done": 1200, "rows_skipped": 0, "rows_quarantined": 0, "batches": 2, )"
    R"("throttled": {}, "details": {}, "error_sqlstate": null, "error_text": null, )"
    R"("host": "app1", "pid": 17, "holder": "app1:17:aa", "lease_epoch": 4, "timeline": 1)";

TEST_F(JobOutputTest, JsonOfJobs) {
  EXPECT_EQ(JobsJson({}, now_), "{\n  \"jobs\": []\n}\n");
  EXPECT_EQ(JobsJson({facts_}, now_),
            "{\n  \"jobs\": [\n    {" + std::string(kListedJson) +
                R"("paused": false, "paused_until": null, "paused_by": null, "pause_reason": null})"
                "\n  ]\n}\n");
  state().paused_until = WallTime::max();
  state().paused_by = kHostile;
  EXPECT_EQ(JobsJson({facts_}, now_),
            "{\n  \"jobs\": [\n    {" + std::string(kListedJson) +
                R"("paused": true, "paused_until": "infinity", "paused_by": )" + kHarmlessJson +
                ", \"pause_reason\": null}\n  ]\n}\n");
}

TEST_F(JobOutputTest, JsonOfAJob) {
  policy_.options.Set("key_file", "the key itself");
  facts_.leases.pop_back();
  EXPECT_EQ(
      JobJson(facts_, now_),
      "{" + std::string(kListedJson) +
          R"("paused": false, "paused_until": null, "paused_by": null, "pause_reason": null, )"
          R"("window": "always", "blackout": null, "overlap": "skip", "misfire": "run_once", )"
          R"("misfire_grace_seconds": 21600, "retries": 3, "deadline_seconds": 3600, )"
          R"("groups": [], "plan": {"hash": "3c3f5f312e04", "needs_confirmation": false, )"
          R"("confirmed": null}, "last_due": "2026-11-25T02:00:00.000Z", "attempt": 0, )"
          R"("queued": 0, "counters": {}, "running": null, "leases": [{"name": "job/cleanup", )"
          R"("held": false, "holder": "app1:17:aa", "epoch": 4, )"
          R"("acquired": "2026-11-25T10:00:00.000Z", "expires": "2026-11-25T10:30:00.000Z"}], )"
          R"("options": {"older_than": "30 days", "batch": "1000", "only": ["a", "b"], )"
          R"("key_file": "<secret>", "stage": "active"}})"
          "\n");
}

TEST_F(JobOutputTest, JsonOfRuns) {
  EXPECT_EQ(HistoryJson({}), "{\n  \"runs\": []\n}\n");
  EXPECT_EQ(HistoryJson({{facts_.runs[0], policy_.zone}}),
            "{\n  \"runs\": [\n    " + std::string(kRunJson) + "}\n  ]\n}\n");
  const std::string hostile = HistoryJson({{hostile_, TimeZone()}});
  EXPECT_NE(hostile.find("\"error_text\": " + std::string(kHarmlessJson) + ","), std::string::npos);
  EXPECT_EQ(hostile.find('\x1b'), std::string::npos);
  RunRecord dry = facts_.runs[0];
  dry.report.plan = {"DELETE 3 rows", kHostile};
  EXPECT_EQ(
      RunJson(dry, facts_, true),
      std::string(kRunJson) +
          R"(, "dry_run": true, "plan": {"hash": "3c3f5f312e04", "needs_confirmation": false, )"
          R"("confirmed": null}, "plan_lines": [)"
          "\n    \"DELETE 3 rows\",\n    " +
          kHarmlessJson + "\n  ]}\n");
}

}  // namespace
}  // namespace pgsteward
