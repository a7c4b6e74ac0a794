#include "tests/jobs/runner/scheduler_fixture.h"

#include <unistd.h>

#include <filesystem>

namespace pgsteward {

using namespace std::chrono_literals;

namespace {

// A job of the test: writes a row in each step, until it is told to stop.
constexpr JobOption kOptions[] = {
    {.name = "steps", .kind = OptionKind::kInteger, .fallback = "1", .help = "Steps."},
    {.name = "pause_ms", .kind = OptionKind::kInteger, .fallback = "0", .help = "Pause."},
    {.name = "fail", .kind = OptionKind::kText, .fallback = "", .help = "SQLSTATE to fail with."},
    {.name = "older_than",
     .kind = OptionKind::kAge,
     .fallback = "1 year",
     .help = "A.",
     .widens = true}};

Task<Result<void>> RunSteps(JobContext& context, JobReport& report) {
  const std::string fail = context.options.Text("fail");
  if (!fail.empty()) co_return Error(Errc::kQueryFailed, "told to fail", fail);
  for (long long i = 0; i < context.options.Integer("steps"); ++i) {
    co_await context.control.Throttle();
    if (std::string stop = context.control.StopReason(); !stop.empty()) {
      report.status = RunStatus::kPartial;
      report.reason = stop;
      co_return Result<void>();
    }
    auto begun = co_await context.db.Begin(TransactionSettings(5s));
    if (!begun) co_return begun;
    auto fenced = co_await context.control.Fence(context.db);
    if (!fenced) {
      Error failure = fenced.error();
      co_await context.db.Rollback();
      co_return failure;
    }
    PgValues values;
    values.emplace_back(context.run_id);
    auto done = co_await context.db.Query("INSERT INTO public.steps (run) VALUES ($1)",
                                          std::move(values), 5s);
    if (!done) co_return done.error();
    auto committed = co_await context.db.Commit();
    if (!committed) co_return committed;
    ++report.rows_done;
    ++report.batches;
    context.control.Progress(report);
    co_await SleepUntil(SteadyNow() +
                        std::chrono::milliseconds(context.options.Integer("pause_ms")));
  }
  co_return Result<void>();
}

Task<Result<Backlog>> StepsBacklog(JobSession&, const JobOptions&, const std::string&) {
  Backlog backlog;
  backlog.rows = 42;
  backlog.oldest_age_s = 7;
  co_return backlog;
}

}  // namespace

const JobSpec kSteps{.name = "steps",
                     .summary = "Writes rows.",
                     .schedule = "every 1s",
                     .options = kOptions,
                     .run = &RunSteps,
                     .backlog = &StepsBacklog};

void SchedulerFixture::SetUp() {
  JobTest::SetUp();
  Exec("CREATE TABLE public.steps (run uuid, at timestamptz DEFAULT clock_timestamp())");
  folder_ = ::testing::TempDir() + "scheduler_" + std::to_string(::getpid()) + "_" + hub_;
  std::filesystem::create_directories(folder_);
}

void SchedulerFixture::TearDown() {
  std::filesystem::remove_all(folder_);
  JobTest::TearDown();
}

JobPolicy SchedulerFixture::Job(const std::string& schedule, const JobSpec& spec) const {
  JobPolicy job(spec);
  job.enabled = true;
  job.timetable = ParseTimetable(schedule, TimetableOptions()).value();
  job.retry_pause = {200ms, 200ms};
  return job;
}

SchedulerPolicy SchedulerFixture::Policy(std::vector<JobPolicy> jobs,
                                         const std::string& journal) const {
  SchedulerPolicy policy;
  policy.server = "hub";
  policy.target = Target();
  policy.jobs = std::move(jobs);
  policy.journal = journal;
  policy.lease_ttl = 1s;
  policy.look_at_least = 300ms;
  policy.reconnect = {100ms, 300ms};
  return policy;
}

}  // namespace pgsteward
