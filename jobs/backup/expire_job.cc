#include "core/runtime.h"
#include "core/wait.h"
#include "jobs/backup/expire.h"
#include "jobs/backup/proven_backup.h"
#include "jobs/backup/retention_options.h"

namespace pgsteward {

namespace {

constexpr Duration kQueryTimeout = std::chrono::seconds(10);
// Deleting large files takes its time on some file systems.
constexpr Duration kExpireTimeout = std::chrono::minutes(30);

constexpr std::string_view kFactsSql = R"sql(
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       coalesce((SELECT s.consecutive_failures FROM pgsteward.job_state AS s WHERE s.job = $1), 0)
)sql";

// Nobody else has taken over.
Task<Result<void>> CheckFence(JobContext& context) {
  TransactionSettings settings(kQueryTimeout);
  auto begun = co_await context.db.Begin(std::move(settings));
  if (!begun) co_return begun;
  auto fenced = co_await context.control.Fence(context.db);
  co_await context.db.Rollback();
  co_return fenced;
}

void Tell(const ExpireOutcome& outcome, bool dry_run, JobReport& report) {
  if (dry_run) {
    for (std::string& line : ExpireLines(outcome)) report.plan.push_back(std::move(line));
  }
  const auto add = [&report](const char* name, std::uint64_t number) {
    std::string& known = report.details[name];
    const std::uint64_t before = known.empty() ? 0 : std::stoull(known);
    known = std::to_string(before + number);
  };
  add("expired", outcome.quarantined.size());
  add("deleted", outcome.removed.size());
  add("freed_bytes", outcome.freed_bytes);
  if (outcome.plan.freeze != Freeze::kNone) {
    report.details["retention_frozen"] =
        std::string(FreezeName(outcome.plan.freeze)) + ": " + outcome.plan.frozen_because;
  }
  if (!outcome.plan.anomalies.empty()) report.details["anomaly"] = outcome.plan.anomalies.front();
}

}  // namespace

Task<Result<void>> ReadExpireFacts(JobSession& db, std::string job, ExpireRequest& request) {
  std::string sql(kFactsSql);
  PgValues values;
  values.emplace_back(std::move(job));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kQueryTimeout);
  if (!rows) co_return rows.error();
  request.server_now = WallTime(std::chrono::microseconds(rows->Integer(0, 0).value_or(0)));
  request.failures_in_a_row = static_cast<int>(rows->Integer(0, 1).value_or(0));
  request.now = WallNow();
  co_return Result<void>();
}

Task<Result<ExpireOutcome>> ExpireInJob(JobContext& context, BackupPlace place, ExpireMoment moment,
                                        JobReport& report) {
  ExpireRequest request;
  request.place = place;
  request.policy = RetentionPolicyOf(context.options);
  request.trash_delay = context.options.Duration("trash_delay");
  request.empty_trash = moment.empty_trash;
  request.dry_run = context.dry_run;
  auto facts = co_await ReadExpireFacts(context.db, context.job, request);
  if (!facts) co_return facts.error();
  if (moment.after_success) request.failures_in_a_row = 0;
  if (!context.dry_run) {
    auto fenced = co_await CheckFence(context);
    if (!fenced) co_return fenced.error();
  }
  auto work = [request] { return ExpireBackups(request); };
  auto done = co_await Offload(context.runtime, std::move(work), SteadyNow() + kExpireTimeout);
  if (!done) co_return Error(Errc::kTimeout, "expiring backups in " + place.Root() + " hangs");
  Result<ExpireOutcome> outcome = std::move(*done);
  if (outcome) Tell(*outcome, context.dry_run, report);
  if (context.dry_run) co_return outcome;
  // Also after an error: some may have gone before it, and purging must not rely on them.
  auto synced = co_await SyncProvenBackups(context, place);
  // Before an upgrade's schema apply purging waits; backups do not.
  const bool no_table = !synced && synced.error().code == Errc::kUnsupported;
  if (no_table) report.details["proven_backup"] = ToText(synced.error());
  if (outcome && !synced && !no_table) co_return synced.error();
  co_return outcome;
}

}  // namespace pgsteward
