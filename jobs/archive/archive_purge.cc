#include <algorithm>

#include "jobs/archive/archive_options.h"
#include "jobs/archive/partition_drop.h"
#include "jobs/archive/purge_batches.h"
#include "jobs/archive/purge_plan.h"
#include "jobs/cutoff.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(20);
// Of counting a backlog: behind it a number is exact enough.
constexpr long long kMostCounted = 1'000'000;

constexpr std::string_view kMethods[] = {"detach", "drop"};
constexpr std::string_view kGroups[] = {"heavy_io"};

constexpr JobOption kOptions[] = {
    {.name = "older_than",
     .kind = OptionKind::kAge,
     .fallback = "",
     .help = "Age by created_at from which on archived messages are destroyed.",
     .widens = true,
     .required = true},
    {.name = "require_backup",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "Only what a backup holds that has proven to be restorable.",
     .widens = true},
    {.name = "method",
     .kind = OptionKind::kWord,
     .fallback = "detach",
     .help = "How a whole partition goes: detach (concurrently, then drop) or drop.",
     .words = kMethods},
    kLockWaitOption,
    kAttemptsOption,
    {.name = "max_rows",
     .kind = OptionKind::kInteger,
     .fallback = "0",
     .help = "Rows that one run deletes in batches at most; 0 is no limit. Not of partitions.",
     .least = 0},
    kTargetMsOption,
    kNiceOption,
};

struct Dropped {
  long long rows = 0;
  int partitions = 0;
  std::vector<TimeRange> untouchable;  // no batches there: the next run drops it, or it is foreign
  std::string unfinished;              // the reason of a partial run
  std::string stopped;
};

void Note(const ArchivePartition& partition, const DropOutcome& outcome, Dropped& dropped) {
  if (outcome.dropped) {
    ++dropped.partitions;
    dropped.rows += outcome.rows;
    return;
  }
  if (outcome.left == "held" || outcome.left == "uncovered" || outcome.left == "young" ||
      outcome.left == "gone") {
    return;  // to be deleted row by row as far as may be
  }
  dropped.untouchable.push_back(partition.range);
  if (outcome.left == "overlaps") {
    dropped.unfinished = "overlaps: " + partition.table +
                         " is detached, must stay, and its months have another partition";
  } else if (outcome.left == "depended_on") {
    dropped.unfinished = "depended_on: objects depend on " + partition.table;
  } else if (!outcome.left.empty() && outcome.left != "detached" && dropped.unfinished.empty()) {
    dropped.unfinished = "locked: " + partition.table + " is in use; the next run goes on with it";
  }
}

// Pending ones first: before them no other partition can be detached. Then what is detached
// already.
std::vector<ArchivePartition> InOrder(const ArchivePartitions& archive, const PurgeScope& scope) {
  std::vector<ArchivePartition> order;
  for (const ArchivePartition& each : archive.partitions) {
    if (each.pending) order.push_back(each);
  }
  order.insert(order.end(), archive.detached.begin(), archive.detached.end());
  for (const ArchivePartition& each : archive.partitions) {
    if (!each.pending && IsWhollyExpired(each, archive, scope)) order.push_back(each);
  }
  return order;
}

Task<Result<void>> DropPartitions(JobContext& context, const ArchivePartitions& archive,
                                  const PurgeScope& scope, JobReport& report, Dropped& dropped) {
  DropPolicy policy;
  // DETACH CONCURRENTLY came with 14, and wants no default partition.
  policy.detach = context.options.Text("method") == "detach" &&
                  context.db.server_version() >= 140000 && archive.Default() == nullptr;
  policy.lock_wait = context.options.Duration("lock_wait");
  policy.attempts = static_cast<int>(context.options.Integer("attempts"));
  for (const ArchivePartition& each : InOrder(archive, scope)) {
    auto outcome = co_await DropPartition(context, each, scope, policy);
    if (!outcome) co_return outcome.error();
    Note(each, *outcome, dropped);
    if (outcome->dropped) {
      report.rows_done += outcome->rows;
      context.control.Note("dropped " + each.table);
      context.control.Progress(report);
    }
    if (!outcome->stopped.empty()) {
      dropped.stopped = outcome->stopped;
      co_return Result<void>();
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Purge(JobContext& context, const PurgeScope& scope,
                         const ArchivePartitions& archive, JobReport& report) {
  Dropped dropped;
  for (const ArchivePartition& each : archive.partitions) {
    if (each.kind == 'f') dropped.untouchable.push_back(each.range);
  }
  auto whole = co_await MayDropWhole(context.db, archive);
  if (!whole) co_return whole.error();
  if (whole->empty()) {
    auto done = co_await DropPartitions(context, archive, scope, report, dropped);
    if (archive.partitioned)
      report.details["partitions_dropped"] = std::to_string(dropped.partitions);
    if (archive.partitioned) report.details["rows_dropped"] = std::to_string(dropped.rows);
    if (!done) co_return done;
  } else if (archive.partitioned) {
    report.details["in_batches_because"] = *whole;
  }
  if (!dropped.stopped.empty()) {
    report.status = RunStatus::kPartial;
    report.reason = dropped.stopped;
    co_return Result<void>();
  }
  TimeRange expired;
  expired.to = scope.cutoff_micros;
  std::vector<TimeRange> windows = Subtract(expired, dropped.untouchable);
  if (!windows.empty()) {
    PurgeBatches batches(scope, std::move(windows));
    BatchPolicy policy = ArchiveBatchPolicy(context.options);
    policy.most_rows = context.options.Integer("max_rows");
    auto triggers = co_await DeleteTriggers(context.db);
    if (!triggers) co_return triggers.error();
    if (!triggers->empty()) policy.transaction.local.push_back(TriggerSearchPath());
    auto done = co_await RunInBatches(context, batches, policy, report);
    if (batches.kept() > 0) report.details["kept"] = std::to_string(batches.kept());
    if (!done) co_return done;
  }
  if (report.status == RunStatus::kOk && !dropped.unfinished.empty()) {
    report.status = RunStatus::kPartial;
    report.reason = dropped.unfinished;
  }
  co_return Result<void>();
}

Task<Result<void>> Run(JobContext& context, JobReport& report) {
  auto facts = co_await ReadArchiveFacts(context.db);
  if (!facts) co_return facts.error();
  auto checked = CheckPurgeable(*facts);
  if (!checked) co_return checked;
  auto scope = co_await ReadPurgeScope(context.db, context.options, context.time_zone, *facts);
  if (!scope) co_return scope.error();
  report.cutoff = scope->cutoff;
  if (scope->covered_until) report.details["backup_covers_until"] = *scope->covered_until;
  auto archive = co_await ReadPartitions(context.db);
  if (!archive) co_return archive.error();
  if (context.dry_run) co_return co_await PlanPurge(context, *scope, *archive, report);
  if (!scope->refused.empty()) {
    report.status = RunStatus::kSkipped;
    report.reason = scope->refused;
    co_return Result<void>();
  }
  co_return co_await Purge(context, *scope, *archive, report);
}

constexpr std::string_view kBacklogSql = R"sql(
SELECT count(*), extract(epoch FROM $1::timestamptz - min(d.created_at))
FROM (
    SELECT m.created_at
    FROM public.messages_archive AS m
    WHERE m.created_at < $1::timestamptz
    ORDER BY m.created_at
    LIMIT $2::bigint
) AS d
)sql";

// Rows under a hold and without a backup count too: that they are still there is what one wants to
// know.
Task<Result<Backlog>> Measure(JobSession& db, const JobOptions& options,
                              const std::string& time_zone) {
  Backlog backlog;
  if (options.Text("older_than").empty()) co_return backlog;
  auto cutoff = co_await ReadCutoff(db, time_zone, options.Text("older_than"));
  if (!cutoff) co_return cutoff.error();
  std::string sql(kBacklogSql);
  PgValues values;
  values.emplace_back(*cutoff);
  values.emplace_back(std::to_string(kMostCounted));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  backlog.rows = rows->Integer(0, 0).value_or(0);
  backlog.oldest_age_s = rows->Number(0, 1).value_or(0);
  co_return backlog;
}

}  // namespace

extern const JobSpec kArchivePurge;
const JobSpec kArchivePurge = {
    .name = "archive_purge",
    .summary = "Destroys archived messages of a certain age.",
    .schedule = "manual",
    .deadline = std::chrono::seconds(4 * 3600),
    .options = kOptions,
    .groups = kGroups,
    .needs_confirmation = true,
    .throttle_table = "public.messages_archive",
    .run = &Run,
    .backlog = &Measure,
};

}  // namespace pgsteward
