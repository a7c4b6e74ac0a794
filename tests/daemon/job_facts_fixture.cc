#include "tests/daemon/job_facts_fixture.h"

#include <array>
#include <iomanip>
#include <sstream>

namespace pgsteward {

namespace {

constexpr std::array<std::string_view, 1> kColumns = {"active"};
constexpr std::array<JobOption, 5> kOptions = {{
    {.name = "older_than",
     .kind = OptionKind::kAge,
     .fallback = "30 days",
     .help = "",
     .widens = true},
    {.name = "batch", .kind = OptionKind::kInteger, .fallback = "1000", .help = ""},
    {.name = "only", .kind = OptionKind::kTexts, .fallback = "a\nb", .help = ""},
    {.name = "key_file", .kind = OptionKind::kFile, .fallback = "", .help = ""},
    {.name = "stage",
     .kind = OptionKind::kWord,
     .fallback = "active",
     .help = "",
     .words = kColumns},
}};
constexpr JobSpec kSpec{
    .name = "session_cleanup", .summary = "Deletes old sessions.", .options = kOptions};

}  // namespace

JobFactsTest::JobFactsTest() : policy_(kSpec), facts_(policy_), now_(Utc("2026-11-25 11:00:00")) {
  policy_.name = "cleanup";
  policy_.enabled = true;
  policy_.zone = TimeZone::Find("Europe/Berlin").value();
  facts_.server = "hub";
  facts_.state.emplace();
  state().job = "cleanup";
  state().type = "session_cleanup";
  state().registered_at = Utc("2026-11-01 00:00:00");
  Schedule("0 3 * * *");
  state().next_due = Utc("2026-11-26 02:00:00");
  state().last_due = Utc("2026-11-25 02:00:00");
  state().last_run = "run of 2026-11-25 02:00:00";
  state().last_status = "ok";
  state().last_started_at = Utc("2026-11-25 02:00:01");
  state().last_finished_at = Utc("2026-11-25 02:00:03");
  state().last_success_at = state().last_finished_at;
  state().last_duration_s = 2.5;
  state().last_rows = 1200;
  facts_.leases = {Lease("job/cleanup", "app1:17:aa", false),
                   Lease("scheduler", "app1:17:aa", true)};
  for (const char* day : {"25", "24", "23", "22", "21"}) {
    facts_.runs.push_back(RunOfDue("2026-11-" + std::string(day) + " 02:00:00"));
  }
}

WallTime JobFactsTest::Utc(const std::string& text) {
  std::istringstream stream(text);
  std::tm tm{};
  stream >> std::get_time(&tm, "%Y-%m-%d %H:%M:%S");
  EXPECT_FALSE(stream.fail()) << text;
  return std::chrono::system_clock::from_time_t(::timegm(&tm));
}

void JobFactsTest::Schedule(const std::string& text, GapRule gap, FoldRule fold) {
  TimetableOptions options;
  options.zone = policy_.zone;
  options.gap = gap;
  options.fold = fold;
  policy_.timetable = ParseTimetable(text, options).value();
  state().timetable = policy_.timetable.fingerprint();
}

WindowSet JobFactsTest::Windows(const std::string& text) const {
  return WindowSet(policy_.zone, {ParseTimeWindow(text).value()});
}

RunRecord JobFactsTest::RunOfDue(const std::string& due, RunStatus status) const {
  RunRecord run;
  run.run_id = "run of " + due;
  run.job = policy_.name;
  run.type = policy_.spec->name;
  run.trigger = Trigger::kSchedule;
  run.due = Utc(due);
  run.started = *run.due + std::chrono::seconds(1);
  run.finished = run.started + std::chrono::milliseconds(2500);
  run.host = "app1";
  run.pid = 17;
  run.holder = "app1:17:aa";
  run.epoch = 4;
  run.timeline = 1;
  run.report.status = status;
  run.report.rows_done = 1200;
  run.report.batches = 2;
  return run;
}

LeaseRow JobFactsTest::Lease(const std::string& name, const std::string& holder, bool held) {
  LeaseRow lease;
  lease.name = name;
  lease.holder = holder;
  lease.epoch = 4;
  lease.acquired_at = Utc("2026-11-25 10:00:00");
  lease.expires_at = Utc(held ? "2026-11-25 11:00:20" : "2026-11-25 10:30:00");
  lease.held = held;
  return lease;
}

}  // namespace pgsteward
