#include <algorithm>

#include "jobs/archive/archive_options.h"
#include "jobs/archive/partitions.h"
#include "jobs/job.h"

namespace pgsteward {

namespace {

constexpr JobOption kOptions[] = {
    {.name = "ahead",
     .kind = OptionKind::kInteger,
     .fallback = "3",
     .help = "Months from the present one on that have a partition before a row needs it.",
     .least = 0,
     .most = 120},
    {.name = "most_partitions",
     .kind = OptionKind::kInteger,
     .fallback = "240",
     .help = "Partitions that one run creates at most.",
     .least = 1,
     .most = 10'000},
    kLockWaitOption,
    kAttemptsOption,
};

// Not beside a purge that takes months out, or jobs that move rows.
constexpr std::string_view kGroups[] = {"heavy_io"};

struct Wanted {
  ArchivePartitions archive;
  std::set<std::chrono::year_month> months;
  std::vector<PlannedPartition> missing;
};

// Months ahead, and behind those in which there are messages, old imports too: all of them will be
// archived some day.
Task<Result<Wanted>> ReadWanted(JobSession& db, const JobOptions& options) {
  Wanted wanted;
  auto archive = co_await ReadPartitions(db);
  if (!archive) co_return archive.error();
  wanted.archive = std::move(*archive);
  if (!wanted.archive.partitioned) co_return wanted;
  auto months = co_await MonthsOfMessages(db);
  if (!months) co_return months.error();
  wanted.months = MonthsFrom(wanted.archive.this_month, static_cast<int>(options.Integer("ahead")));
  wanted.months.insert(months->begin(), months->end());
  wanted.missing = PlanPartitions(wanted.months, wanted.archive.Ranges(), wanted.archive.names);
  co_return wanted;
}

void Skip(JobReport& report, std::string reason) {
  report.plan.push_back(reason);
  report.status = RunStatus::kSkipped;
  report.reason = std::move(reason);
}

Task<Result<void>> Run(JobContext& context, JobReport& report) {
  auto wanted = co_await ReadWanted(context.db, context.options);
  if (!wanted) co_return wanted.error();
  if (!wanted->archive.partitioned) {
    Skip(report, std::string("not_partitioned: public.messages_archive ") +
                     (wanted->archive.exists
                          ? "is not partitioned by range of created_at; its owner can convert it "
                            "with schema/partitioned_archive.sql"
                          : "does not exist"));
    co_return Result<void>();
  }
  if (const ArchivePartition* standard = wanted->archive.Default(); standard != nullptr) {
    Skip(report, "default_partition: " + standard->table +
                     " takes the rows of every month that has no partition; a month cannot be "
                     "attached while it may hold rows of it");
    co_return Result<void>();
  }
  report.details["partitions"] = std::to_string(wanted->archive.partitions.size());
  if (context.dry_run) {
    for (const PlannedPartition& each : wanted->missing) {
      report.plan.push_back("create public." + each.name + " for rows " + BoundsSql(each.range));
    }
    for (const ArchivePartition& each : wanted->archive.detached) {
      report.plan.push_back("nothing beside " + each.table +
                            ", which a purge has detached: " + BoundsSql(each.range));
    }
    if (wanted->missing.empty()) report.plan.emplace_back("every month has its partition");
    if (!wanted->missing.empty() && !wanted->archive.owned) {
      report.plan.emplace_back(
          "stops: only the owner of public.messages_archive may add partitions");
    }
    co_return Result<void>();
  }
  PartitionPolicy policy;
  policy.lock_wait = context.options.Duration("lock_wait");
  policy.attempts = static_cast<int>(context.options.Integer("attempts"));
  policy.most = static_cast<int>(context.options.Integer("most_partitions"));
  PartitionsMade made;
  auto done = co_await EnsurePartitions(context, wanted->months, policy, made);
  report.details["created"] = std::to_string(made.created.size());
  if (!done) co_return done;
  if (!made.overlapping.empty()) {
    report.status = RunStatus::kPartial;
    report.reason =
        "overlaps: public." + made.overlapping.front() + " would overlap with another partition";
  }
  if (!made.stopped.empty()) {
    report.status = RunStatus::kPartial;
    report.reason = made.stopped;
  }
  co_return Result<void>();
}

// Of partitions, not of rows.
Task<Result<Backlog>> Measure(JobSession& db, const JobOptions& options, const std::string&) {
  auto wanted = co_await ReadWanted(db, options);
  if (!wanted) co_return wanted.error();
  Backlog backlog;
  if (wanted->archive.Default() == nullptr) backlog.rows = std::ssize(wanted->missing);
  co_return backlog;
}

}  // namespace

extern const JobSpec kArchivePartitions;
const JobSpec kArchivePartitions = {
    .name = "archive_partitions",
    .summary = "Creates the months that a partitioned archive lacks, ahead and behind.",
    .schedule = "@daily",
    .deadline = std::chrono::seconds(600),
    .options = kOptions,
    .groups = kGroups,
    .run = &Run,
    .backlog = &Measure,
};

}  // namespace pgsteward
