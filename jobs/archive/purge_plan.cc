#include "jobs/archive/purge_plan.h"

#include "jobs/archive/holds.h"
#include "jobs/archive/partition_drop.h"

namespace pgsteward {

namespace {

// A dry run may read for a while: it holds no lock that matters.
constexpr Duration kTimeout = std::chrono::minutes(10);
constexpr int kMostMonths = 36;

constexpr std::string_view kTriggersSql = R"sql(
SELECT DISTINCT t.tgname
FROM pg_trigger AS t
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 8 <> 0
    AND (t.tgrelid = 'public.messages_archive'::regclass
         OR t.tgrelid IN (SELECT relid FROM pg_partition_tree('public.messages_archive')))
ORDER BY 1
)sql";

struct Totals {
  long long rows = 0;
  long long held = 0;
  long long uncovered = 0;
  long long undated = 0;  // of them without archived_at
};

std::string Count(long long rows) { return std::to_string(rows) + (rows == 1 ? " row" : " rows"); }

Task<Result<PgResult>> CountMonths(Database& db, const PurgeScope& scope) {
  std::string sql =
      "SELECT to_char(date_trunc('month', m.created_at), 'YYYY-MM'), count(*), "
      "count(*) FILTER (WHERE m.held), count(*) FILTER (WHERE m.uncovered AND NOT m.held), "
      "min(m.created_at)::text, max(m.created_at)::text, sum(m.bytes), "
      "count(*) FILTER (WHERE m.uncovered AND m.undated AND NOT m.held)\nFROM (SELECT "
      "m.created_at, " +
      std::string(scope.has_archived_at ? "m.archived_at IS NULL" : "false") +
      " AS undated, "
      "pg_column_size(m.*) AS bytes, " +
      HeldSql("m") + " AS held, (" + scope.UncoveredSql("$2") +
      " AND $2::text IS NOT NULL) AS uncovered\n FROM public.messages_archive AS m "
      "WHERE m.created_at < $1::timestamptz) AS m\nGROUP BY 1 ORDER BY min(m.created_at)";
  PgValues values;
  values.emplace_back(scope.cutoff);
  values.push_back(scope.covered_until);
  co_return co_await db.Query(std::move(sql), std::move(values), kTimeout);
}

Totals AddMonths(const PgResult& months, std::vector<std::string>& plan) {
  Totals totals;
  double bytes = 0;
  std::vector<std::string> lines;
  for (int row = 0; row < months.rows(); ++row) {
    const long long rows = months.Integer(row, 1).value_or(0);
    totals.rows += rows;
    totals.held += months.Integer(row, 2).value_or(0);
    totals.uncovered += months.Integer(row, 3).value_or(0);
    totals.undated += months.Integer(row, 7).value_or(0);
    bytes += months.Number(row, 6).value_or(0);
    lines.push_back("  " + std::string(months.Text(row, 0)) + ": " + Count(rows));
  }
  if (months.rows() == 0) {
    plan.emplace_back("nothing is that old");
    return totals;
  }
  const int last = months.rows() - 1;
  plan.push_back(Count(totals.rows) + " are that old, created from " +
                 std::string(months.Text(0, 4)) + " to " + std::string(months.Text(last, 5)) +
                 ", " + std::to_string(static_cast<long long>(bytes)) + " bytes without indexes");
  for (int i = 0; i < std::ssize(lines); ++i) {
    if (i == kMostMonths && std::ssize(lines) > kMostMonths + 1) {
      plan.push_back("  and " + std::to_string(std::ssize(lines) - i) + " months more");
      break;
    }
    plan.push_back(lines[static_cast<std::size_t>(i)]);
  }
  return totals;
}

Task<Result<void>> PlanPartitionsGoing(JobContext& context, const PurgeScope& scope,
                                       const ArchivePartitions& archive, JobReport& report) {
  for (const ArchivePartition& each : archive.detached) {
    report.plan.push_back("drop " + each.table + ", which an earlier run has detached");
  }
  for (const ArchivePartition& each : archive.partitions) {
    if (each.pending) {
      report.plan.push_back("finish detaching " + each.table);
      continue;
    }
    if (each.kind == 'f') report.plan.push_back("leave " + each.table + ", a foreign table");
    if (!IsWhollyExpired(each, archive, scope)) continue;
    auto rows = co_await ExaminePartition(context.db, each.table, scope);
    if (!rows) co_return rows.error();
    if (rows->droppable()) {
      report.plan.push_back("drop " + each.table + " as a whole: " + Count(rows->rows));
      continue;
    }
    report.plan.push_back("delete from " + each.table + " in batches: of " + Count(rows->rows) +
                          " " + std::to_string(rows->held) + " are held and " +
                          std::to_string(rows->uncovered) + " in no proven backup");
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<std::string>> DeleteTriggers(Database& db) {
  std::string sql(kTriggersSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::string names;
  for (int row = 0; row < rows->rows(); ++row) {
    names += (names.empty() ? "" : ", ") + std::string(rows->Text(row, 0));
  }
  co_return names;
}

bool IsWhollyExpired(const ArchivePartition& partition, const ArchivePartitions& archive,
                     const PurgeScope& scope) {
  return partition.attached && !partition.is_default && partition.kind == 'r' &&
         partition.owner == archive.owner && partition.range.to <= scope.cutoff_micros;
}

Task<Result<std::string>> MayDropWhole(Database& db, const ArchivePartitions& archive) {
  if (!archive.partitioned) co_return std::string("plain table");
  if (!archive.owned) co_return std::string("not the owner");
  auto triggers = co_await DeleteTriggers(db);
  if (!triggers) co_return triggers.error();
  if (!triggers->empty()) co_return "delete trigger " + *triggers;
  co_return std::string();
}

Task<Result<void>> PlanPurge(JobContext& context, const PurgeScope& scope,
                             const ArchivePartitions& archive, JobReport& report) {
  auto& plan = report.plan;
  plan.push_back("cut-off: created before " + scope.cutoff + ", " +
                 context.options.Text("older_than") + " before today in " + context.time_zone);
  if (!scope.refused.empty()) {
    plan.push_back("would not begin: " + scope.refused);
  } else if (scope.covered_until) {
    plan.push_back(
        "the newest proven backup covers rows until " + *scope.covered_until +
        (scope.has_archived_at
             ? "; what was archived later stays"
             : "; the archive has no archived_at, so imports of later are not told apart"));
  } else {
    plan.emplace_back("no backup is asked for: require_backup is false");
  }
  auto months = co_await CountMonths(context.db, scope);
  if (!months) co_return months.error();
  const Totals totals = AddMonths(*months, plan);
  if (totals.held > 0) plan.push_back(Count(totals.held) + " of them stay: under a hold");
  if (totals.uncovered > 0) {
    std::string line = Count(totals.uncovered) + " of them stay: in no proven backup";
    if (totals.undated > 0) line += ", " + std::to_string(totals.undated) + " without archived_at";
    plan.push_back(std::move(line));
  }
  auto triggers = co_await DeleteTriggers(context.db);
  if (!triggers) co_return triggers.error();
  if (!triggers->empty()) plan.push_back("delete triggers of the archive fire: " + *triggers);
  auto whole = co_await MayDropWhole(context.db, archive);
  if (!whole) co_return whole.error();
  if (!whole->empty()) {
    plan.push_back("rows are deleted in batches: " + *whole);
    co_return Result<void>();
  }
  co_return co_await PlanPartitionsGoing(context, scope, archive, report);
}

}  // namespace pgsteward
