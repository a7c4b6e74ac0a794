#include "jobs/archive/archive_plan.h"

#include "jobs/archive/archive_statement.h"
#include "jobs/archive/wanted_months.h"
#include "jobs/cutoff.h"

namespace pgsteward {

namespace {

// A dry run may read for a while: it holds no lock that matters.
constexpr Duration kTimeout = std::chrono::minutes(10);
constexpr Duration kBacklogTimeout = std::chrono::seconds(30);
constexpr int kMostMonths = 36;

// $1 cutoff, $2 rows at most. A row for each month, the oldest first.
std::string MonthsSql(const ArchiveShape& shape) {
  return R"sql(
SELECT to_char(o.created_at, 'YYYY-MM'), count(*), count(*) FILTER (WHERE o.kept),
       count(*) FILTER (WHERE o.set_aside AND NOT o.kept), min(o.created_at)::text,
       max(o.created_at)::text
FROM (
  SELECT m.created_at, )sql" +
         KeptSql() + " AS kept, " + QuarantinedSql() + R"sql( AS set_aside
  FROM (SELECT m.id, m.session_id, m.user_id, m.created_at FROM ONLY public.messages AS m
        WHERE )sql" +
         OldSql(shape) + R"sql( ORDER BY m.created_at LIMIT $2::bigint) AS m
) AS o
GROUP BY 1 ORDER BY min(o.created_at)
)sql";
}

// Of the oldest thousand: what a message takes, without indexes.
std::string BytesSql(const ArchiveShape& shape) {
  return R"sql(
SELECT coalesce(avg(o.bytes), 0)::bigint
FROM (SELECT pg_column_size(m.*) AS bytes FROM ONLY public.messages AS m
      WHERE )sql" +
         OldSql(shape) + " ORDER BY m.created_at LIMIT 1000) AS o";
}

// Ids in both tables: as they were, and changed.
std::string ConflictsSql(const ArchiveShape& shape) {
  return "SELECT count(*) FILTER (WHERE o.same), count(*) FILTER (WHERE NOT o.same) FROM (\n"
         "  SELECT " +
         SameRowSql(shape, "a", "m") + R"sql( AS same
  FROM (SELECT m.* FROM ONLY public.messages AS m WHERE )sql" +
         OldSql(shape) + R"sql( ORDER BY m.created_at LIMIT $2::bigint) AS m
  JOIN public.messages_archive AS a ON a.id = m.id
) AS o
)sql";
}

constexpr std::string_view kOddSql = R"sql(
SELECT (SELECT count(*) FROM (SELECT FROM ONLY public.messages
                              WHERE created_at IS NULL LIMIT $1::bigint) AS n),
       (SELECT count(*) FROM (SELECT FROM ONLY public.messages
                              WHERE created_at < '0001-01-01 00:00:00+00' LIMIT $1::bigint) AS n)
)sql";

std::string Messages(long long count) {
  return std::to_string(count) + (count == 1 ? " message" : " messages");
}

struct OldRows {
  long long seen = 0;
  long long kept = 0;
  long long set_aside = 0;
  std::string first;
  std::string last;
  std::vector<std::string> months;

  long long expected() const { return seen - kept - set_aside; }
};

OldRows TakeMonths(const PgResult& rows) {
  OldRows old;
  for (int row = 0; row < rows.rows(); ++row) {
    const long long count = rows.Integer(row, 1).value_or(0);
    old.seen += count;
    old.kept += rows.Integer(row, 2).value_or(0);
    old.set_aside += rows.Integer(row, 3).value_or(0);
    if (row == 0) old.first = rows.Text(row, 4);
    old.last = rows.Text(row, 5);
    if (row < kMostMonths) {
      old.months.push_back("  " + std::string(rows.Text(row, 0)) + ": " + Messages(count));
    } else if (row == kMostMonths) {
      old.months.push_back("  and " + std::to_string(rows.rows() - row) + " months more");
    }
  }
  return old;
}

void AddOldRows(const OldRows& old, long long bytes, std::vector<std::string>& plan) {
  if (old.seen == 0) {
    plan.emplace_back("no message is that old");
    return;
  }
  const std::string more = old.seen >= kMostOldRows ? "at least " : "";
  plan.push_back("would move " + more + Messages(old.expected()) +
                 " from public.messages to public.messages_archive, about " +
                 std::to_string(old.expected() * bytes) + " bytes without indexes");
  plan.push_back("the old ones were created from " + old.first + " to " + old.last +
                 (more.empty() ? "" : " (counted: the oldest " + std::to_string(old.seen) + ")"));
  plan.insert(plan.end(), old.months.begin(), old.months.end());
  if (old.kept > 0) plan.push_back("kept by a hold: " + Messages(old.kept));
  if (old.set_aside > 0) plan.push_back("kept in quarantine: " + Messages(old.set_aside));
}

void AddFindings(const ArchivePreflight& ready, std::vector<std::string>& plan) {
  plan.insert(plan.end(), ready.triggers.explanation.begin(), ready.triggers.explanation.end());
  for (const ShapeFinding& warning : ready.warnings) {
    plan.push_back("warning: " + warning.text + "; " + warning.hint);
  }
}

Task<Result<void>> Plan(JobContext& context, const ArchivePreflight& ready, JobReport& report) {
  PgValues values;
  values.emplace_back(ready.cutoff);
  values.emplace_back(std::to_string(kMostOldRows));
  std::string sql = MonthsSql(ready.shape);
  auto months = co_await context.db.Query(std::move(sql), values, kTimeout);
  if (!months) co_return months.error();
  sql = ConflictsSql(ready.shape);
  auto conflicts = co_await context.db.Query(std::move(sql), values, kTimeout);
  if (!conflicts) co_return conflicts.error();
  values.pop_back();
  sql = BytesSql(ready.shape);
  auto bytes = co_await context.db.Query(std::move(sql), values, kTimeout);
  if (!bytes) co_return bytes.error();
  values.front() = std::to_string(kMostOldRows);
  sql = kOddSql;
  auto odd = co_await context.db.Query(std::move(sql), std::move(values), kTimeout);
  if (!odd) co_return odd.error();

  auto& plan = report.plan;
  plan.push_back("cutoff " + ready.cutoff + ": " + context.options.Text("older_than") +
                 " before today, midnight in " + context.time_zone);
  const OldRows old = TakeMonths(*months);
  AddOldRows(old, bytes->Integer(0, 0).value_or(0), plan);
  if (const auto same = conflicts->Integer(0, 0).value_or(0); same > 0) {
    plan.push_back("in the archive already as they are, will only leave public.messages: " +
                   Messages(same));
  }
  if (const auto other = conflicts->Integer(0, 1).value_or(0); other > 0) {
    plan.push_back("in the archive with other content, will stay and go to quarantine: " +
                   Messages(other));
  }
  if (const auto null = odd->Integer(0, 0).value_or(0); null > 0) {
    plan.push_back("without created_at, never old: " + Messages(null));
  }
  if (const auto before = odd->Integer(0, 1).value_or(0); before > 0 && ready.shape.partitioned) {
    plan.push_back("created before the year 1, fit into no partition and stay: " +
                   Messages(before));
  }
  if (ready.shape.partitioned) {
    auto wanted = co_await ReadWantedMonths(context.db, ready.cutoff);
    if (!wanted) co_return wanted.error();
    for (const PlannedPartition& each : wanted->missing) {
      plan.push_back("create public." + each.name + " for rows " + BoundsSql(each.range));
    }
    auto possible = CheckWantedMonths(*wanted);
    if (!possible) co_return possible;
  }
  AddFindings(ready, plan);
  report.details["expected_rows"] = std::to_string(old.expected());
  report.details["expected_bytes"] =
      std::to_string(old.expected() * bytes->Integer(0, 0).value_or(0));
  co_return Result<void>();
}

constexpr std::string_view kBacklogEndSql = R"sql(
)
SELECT count(*), extract(epoch FROM $1::timestamptz - min(m.created_at) FILTER (
         WHERE m.created_at > '-infinity'))
FROM old AS m WHERE NOT )sql";

}  // namespace

Task<Result<void>> PlanArchive(JobContext& context, const ArchivePreflight& ready,
                               JobReport& report) {
  TransactionSettings settings(kTimeout);
  settings.read_only = true;
  settings.repeatable_read = true;
  auto begun = co_await context.db.Begin(settings);
  if (!begun) co_return begun;
  auto planned = co_await Plan(context, ready, report);
  co_await context.db.Rollback();
  co_return planned;
}

Task<Result<Backlog>> MeasureArchive(JobSession& db, const JobOptions& options,
                                     const std::string& time_zone) {
  const std::string age = options.Text("older_than");
  auto cutoff = co_await ReadCutoff(db, time_zone, age);
  if (!cutoff) co_return cutoff.error();
  std::string sql =
      "WITH old AS MATERIALIZED (\n  SELECT m.id, m.session_id, m.user_id, "
      "m.created_at FROM ONLY public.messages AS m WHERE " +
      OldSql(ArchiveShape()) + " ORDER BY m.created_at LIMIT $2::bigint";
  sql += std::string(kBacklogEndSql) + KeptSql() + " AND NOT " + QuarantinedSql();
  PgValues values;
  values.emplace_back(*cutoff);
  values.emplace_back(std::to_string(kMostOldRows));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kBacklogTimeout);
  if (!rows) co_return rows.error();
  Backlog backlog;
  backlog.rows = rows->Integer(0, 0).value_or(0);
  backlog.oldest_age_s = rows->Number(0, 1).value_or(0);
  co_return backlog;
}

}  // namespace pgsteward
