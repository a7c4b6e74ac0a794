#include "daemon/job_reader.h"

#include "jobs/runner/execution.h"
#include "jobs/runner/job_store.h"
#include "jobs/runner/journal.h"
#include "jobs/runner/run_store.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
// Enough for the latest due times and their attempts.
constexpr int kRuns = 50;

Error NoTables() {
  return Error(Errc::kUnsupported, "this database has no tables of pgsteward's own", "3F000",
               "Make them with: pgsteward schema apply --component pgsteward.");
}

void TakeStates(const std::vector<JobState>& states, std::vector<JobFacts>& jobs) {
  for (JobFacts& job : jobs) {
    for (const JobState& state : states) {
      if (state.job == job.policy->name) job.state = state;
    }
  }
}

Task<Result<void>> ReadDetails(JobSession& db, JobFacts& job) {
  std::vector<std::string> names = LeaseNames(*job.policy);
  names.emplace_back("scheduler");
  auto leases = co_await ReadLeases(db, std::move(names));
  if (!leases) co_return leases.error();
  job.leases = std::move(*leases);
  auto runs = co_await ReadHistory(db, job.policy->name, kRuns);
  if (!runs) co_return runs.error();
  job.runs = std::move(*runs);
  co_return Result<void>();
}

// In the open transaction.
Task<Result<void>> ReadSnapshot(JobSession& db, std::vector<JobFacts>& jobs, FactsDepth depth) {
  auto facts = co_await ReadServerFacts(db);
  if (!facts) co_return facts.error();
  if (!facts->has_tables) co_return NoTables();
  if (facts->in_recovery) {
    for (JobFacts& job : jobs) job.problem = "the server is a standby; jobs run on the primary";
  }
  auto states = co_await LoadJobStates(db);
  if (!states) co_return states.error();
  TakeStates(*states, jobs);
  if (depth == FactsDepth::kStates) co_return Result<void>();
  for (JobFacts& job : jobs) {
    auto read = co_await ReadDetails(db, job);
    if (!read) co_return read;
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> ReadFacts(JobSession& db, std::vector<JobFacts>& jobs, FactsDepth depth) {
  if (!db.open()) {
    auto opened = co_await db.Open();
    if (!opened) co_return opened;
  }
  TransactionSettings settings(kTimeout);
  settings.read_only = true;
  settings.repeatable_read = true;
  auto begun = co_await db.Begin(settings);
  if (!begun) co_return begun;
  auto read = co_await ReadSnapshot(db, jobs, depth);
  co_await db.Rollback();
  co_return read;
}

Result<void> StatesFromJournal(Runtime& runtime, const std::string& path,
                               std::vector<JobFacts>& jobs) {
  Journal journal(runtime, path, Journal::Use::kReadOnly);
  auto read = journal.Peek();
  if (!read) return read;
  TakeStates(journal.states(), jobs);
  for (JobFacts& job : jobs) job.from_journal = job.state.has_value();
  return {};
}

std::vector<RunRecord> UntoldRuns(Runtime& runtime, const std::string& path,
                                  const std::string& job) {
  Journal journal(runtime, path, Journal::Use::kReadOnly);
  std::vector<RunRecord> runs;
  if (!journal.Peek()) return runs;
  for (const RunRecord& run : journal.untold()) {
    if (job.empty() || run.job == job) runs.insert(runs.begin(), run);
  }
  return runs;
}

}  // namespace pgsteward
