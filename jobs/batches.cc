#include "jobs/batches.h"

#include "core/pg_error.h"

namespace pgsteward {

namespace {

// Somebody else's lock, a deadlock, a cancelled statement: a smaller batch may pass.
bool SmallerMayPass(const Error& error) {
  return error.code == Errc::kTimeout || error.sqlstate == "55P03" || error.sqlstate == "40P01" ||
         error.sqlstate == "40001" || error.sqlstate == "57014";
}

// One batch in one transaction, committed unless it failed or does not match.
Task<Result<BatchOutcome>> RunOne(JobContext& context, BatchWork& work,
                                  const TransactionSettings& settings, int size) {
  JobSession& db = context.db;
  auto begun = co_await db.Begin(settings);
  if (!begun) co_return begun.error();
  auto fenced = co_await context.control.Fence(db);
  if (!fenced) {
    Error failure = fenced.error();
    co_await db.Rollback();
    co_return failure;
  }
  auto outcome = co_await work.Run(db, size);
  if (!outcome || outcome->mismatch || outcome->seen == 0) {
    co_await db.Rollback();
    co_return outcome;
  }
  auto committed = co_await db.Commit();
  if (!committed) co_return committed.error();
  co_return outcome;
}

Task<Result<void>> QuarantineOne(JobContext& context, BatchWork& work,
                                 const TransactionSettings& settings) {
  JobSession& db = context.db;
  auto begun = co_await db.Begin(settings);
  if (!begun) co_return begun.error();
  auto done = co_await context.control.Fence(db);
  if (done) done = co_await work.Quarantine(db);
  if (done) co_return co_await db.Commit();
  co_await db.Rollback();
  co_return done;
}

bool LimitReached(const BatchPolicy& policy, const JobReport& report, long long done_before) {
  return policy.most_rows > 0 && report.rows_done - done_before >= policy.most_rows;
}

}  // namespace

bool IsAboutRows(const Error& error) {
  for (const std::string_view kind : {"21", "22", "23", "54", "P0"}) {
    if (error.sqlstate.starts_with(kind)) return true;
  }
  return false;
}

std::pair<std::string, std::string> TriggerSearchPath() {
  return {"search_path", "pg_catalog, public"};
}

Task<Result<void>> BatchWork::Between(JobContext&) { co_return Result<void>(); }

Task<Result<bool>> BatchWork::Mend(JobContext&) { co_return false; }

Task<Result<void>> RunInBatches(JobContext& context, BatchWork& work, BatchPolicy policy,
                                JobReport& report) {
  Pacing pacing(policy.pacing);
  const long long done_before = report.rows_done;
  const long long skipped_before = report.rows_skipped;
  long long skipped_in_pass = 0;
  int pass = 1;
  int failures = 0;
  for (;;) {
    if (LimitReached(policy, report, done_before)) {
      report.status = RunStatus::kPartial;
      report.reason = "rows: the limit of one run is reached";
      break;
    }
    co_await context.control.Throttle();
    if (std::string stop = context.control.StopReason(); !stop.empty()) {
      report.status = RunStatus::kPartial;
      report.reason = std::move(stop);
      break;
    }
    const int size = pacing.size();
    if (policy.most_rows > 0) work.Allow(policy.most_rows - (report.rows_done - done_before));
    const SteadyTime start = SteadyNow();
    auto outcome = co_await RunOne(context, work, policy.transaction, size);
    const Duration took = SteadyNow() - start;
    if (!outcome) {
      const bool again = SmallerMayPass(outcome.error()) && context.db.open();
      if (!again || ++failures >= policy.failures) {
        co_return outcome.error();
      }
      pacing.Halve(size);
      co_await SleepUntil(SteadyNow() +
                          std::max<Duration>(pacing.Rest(took), policy.pacing.target));
      continue;
    }
    failures = 0;
    if (outcome->mismatch && size > 1) {
      pacing.Halve(size);
      continue;
    }
    if (outcome->mismatch) {
      auto mended = co_await work.Mend(context);
      if (!mended) co_return mended.error();
      if (*mended) continue;
      auto set_aside = co_await QuarantineOne(context, work, policy.transaction);
      if (!set_aside) co_return set_aside.error();
      work.Committed();
      ++report.rows_quarantined;
      continue;
    }
    if (outcome->seen == 0) {
      if (skipped_in_pass == 0 || pass >= policy.passes) break;
      ++pass;
      skipped_in_pass = 0;
      report.rows_skipped = skipped_before;
      work.Rewind();
      // Give the holders of the skipped rows a moment.
      co_await SleepUntil(SteadyNow() + std::chrono::milliseconds(200) * pass);
      continue;
    }
    work.Committed();
    ++report.batches;
    report.rows_done += outcome->done;
    skipped_in_pass += outcome->skipped;
    report.rows_skipped = skipped_before + skipped_in_pass;
    pacing.Took(took, outcome->seen);
    context.control.Progress(report);
    auto between = co_await work.Between(context);
    if (!between) co_return between.error();
    co_await SleepUntil(SteadyNow() + pacing.Rest(took));
  }
  if (report.status == RunStatus::kOk && skipped_in_pass > 0) {
    report.status = RunStatus::kPartial;
    report.reason = "skipped_locked: other sessions hold the rows";
  }
  if (report.status == RunStatus::kOk && report.rows_quarantined > 0) {
    report.status = RunStatus::kPartial;
    report.reason = "quarantined: see pgsteward.quarantine";
  }
  co_return Result<void>();
}

}  // namespace pgsteward
