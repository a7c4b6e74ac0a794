#include "jobs/archive/partitions.h"

#include <algorithm>

#include "core/pg_text.h"
#include "core/wait.h"
#include "jobs/archive/partition_drop.h"
#include "jobs/retry.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(30);

constexpr std::string_view kArchiveSql = R"sql(
SELECT c.relkind = 'p' AND p.partstrat = 'r' AND p.partnatts = 1
         AND p.partattrs[0] = (SELECT a.attnum FROM pg_attribute AS a
                               WHERE a.attrelid = c.oid AND a.attname = 'created_at'),
       pg_has_role(c.relowner, 'USAGE'), pg_get_userbyid(c.relowner),
       extract(year FROM now() AT TIME ZONE 'UTC')::int,
       extract(month FROM now() AT TIME ZONE 'UTC')::int
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
WHERE n.nspname = 'public' AND c.relname = 'messages_archive'
)sql";

// Bounds as microseconds, NULL for MINVALUE, MAXVALUE and infinity. inhdetachpending came with 14.
constexpr std::string_view kPartitionsSql = R"sql(
SELECT c.oid, c.relname, format('%I.%I', n.nspname, c.relname), c.relkind, b.text = 'DEFAULT',
       coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false), pg_get_userbyid(c.relowner),
       CASE WHEN isfinite(f.at) THEN (extract(epoch FROM f.at) * 1000000)::bigint END,
       CASE WHEN isfinite(t.at) THEN (extract(epoch FROM t.at) * 1000000)::bigint END,
       coalesce(obj_description(c.oid, 'pg_class'), '')
FROM pg_inherits AS i
JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid)) AS b (text)
CROSS JOIN LATERAL (SELECT (regexp_match(b.text, $r$FROM \('([^']*)'\)$r$))[1]::timestamptz) AS f (at)
CROSS JOIN LATERAL (SELECT (regexp_match(b.text, $r$TO \('([^']*)'\)$r$))[1]::timestamptz) AS t (at)
WHERE i.inhparent = 'public.messages_archive'::regclass
ORDER BY 5, f.at NULLS FIRST
)sql";

constexpr std::string_view kNamesSql = R"sql(
SELECT c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND starts_with(c.relname, 'messages_archive_y')
)sql";

// From month to month over the index, without reading the rows between.
constexpr std::string_view kMonthsSql = R"sql(
WITH RECURSIVE months (month) AS (
    SELECT date_trunc('month', min(created_at) AT TIME ZONE 'UTC')
    FROM public.messages
    WHERE created_at >= '0001-01-01 00:00:00+00' AND created_at < '9999-12-01 00:00:00+00'
    UNION ALL
    SELECT (
        SELECT date_trunc('month', min(m.created_at) AT TIME ZONE 'UTC')
        FROM public.messages AS m
        WHERE m.created_at >= (months.month + interval '1 month') AT TIME ZONE 'UTC'
            AND m.created_at < '9999-12-01 00:00:00+00')
    FROM months
    WHERE months.month IS NOT NULL
)
SELECT extract(year FROM month)::int, extract(month FROM month)::int
FROM months
WHERE month IS NOT NULL
)sql";

constexpr std::string_view kMonthBeforeSql = R"sql(
SELECT extract(year FROM t.before)::int, extract(month FROM t.before)::int
FROM (SELECT ($1::timestamptz - interval '1 microsecond') AT TIME ZONE 'UTC') AS t (before)
)sql";

std::chrono::year_month MonthOf(const PgResult& rows, int row, int column) {
  return std::chrono::year(static_cast<int>(rows.Integer(row, column).value_or(1970))) /
         std::chrono::month(static_cast<unsigned>(rows.Integer(row, column + 1).value_or(1)));
}

ArchivePartition PartitionOf(const PgResult& rows, int row) {
  ArchivePartition partition;
  partition.oid = rows.Text(row, 0);
  partition.name = rows.Text(row, 1);
  partition.table = rows.Text(row, 2);
  partition.kind = rows.Text(row, 3).front();
  partition.is_default = rows.Bool(row, 4);
  partition.pending = rows.Bool(row, 5);
  partition.owner = rows.Text(row, 6);
  partition.range.from = rows.Integer(row, 7).value_or(TimeRange::kBegin);
  partition.range.to = rows.Integer(row, 8).value_or(TimeRange::kEnd);
  partition.comment = rows.Text(row, 9);
  return partition;
}

// In a transaction that is open and fenced. By the archive's owner, whose the partition must be.
Task<Result<void>> CreateOne(JobSession& db, const std::string& owner,
                             const PlannedPartition& planned) {
  const std::string table = "public." + QuoteIdentifier(planned.name);
  const std::vector<std::string> statements = {
      "SET LOCAL ROLE " + QuoteIdentifier(owner),
      "CREATE TABLE " + table +
          " (LIKE public.messages_archive INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING "
          "GENERATED INCLUDING STORAGE)",
      "ALTER TABLE public.messages_archive ATTACH PARTITION " + table + " FOR VALUES " +
          BoundsSql(planned.range)};
  for (const std::string& sql : statements) {
    auto done = co_await db.Query(sql, PgValues(), kTimeout);
    if (!done) co_return done.error();
  }
  co_return Result<void>();
}

Task<Result<void>> CreateFenced(JobContext& context, const std::string& owner,
                                const PlannedPartition& planned, const PartitionPolicy& policy) {
  TransactionSettings settings(kTimeout);
  settings.lock_timeout = policy.lock_wait;
  auto done = co_await context.db.Begin(settings);
  if (!done) co_return done;
  done = co_await context.control.Fence(context.db);
  if (done) done = co_await CreateOne(context.db, owner, planned);
  if (done) co_return co_await context.db.Commit();
  co_await context.db.Rollback();
  co_return done;
}

}  // namespace

const ArchivePartition* ArchivePartitions::Default() const {
  const auto found = std::find_if(partitions.begin(), partitions.end(),
                                  [](const ArchivePartition& each) { return each.is_default; });
  return found == partitions.end() ? nullptr : &*found;
}

std::vector<TimeRange> ArchivePartitions::Ranges() const {
  std::vector<TimeRange> ranges;
  for (const ArchivePartition& each : partitions) ranges.push_back(each.range);
  for (const ArchivePartition& each : detached) ranges.push_back(each.range);
  return ranges;
}

Task<Result<ArchivePartitions>> ReadPartitions(Database& db) {
  ArchivePartitions archive;
  std::string sql(kArchiveSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) co_return archive;
  archive.exists = true;
  archive.partitioned = rows->Bool(0, 0);
  archive.owned = rows->Bool(0, 1);
  archive.owner = rows->Text(0, 2);
  archive.this_month = MonthOf(*rows, 0, 3);
  if (!archive.partitioned) co_return archive;

  sql = kPartitionsSql;
  auto partitions = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!partitions) co_return partitions.error();
  for (int row = 0; row < partitions->rows(); ++row) {
    archive.partitions.push_back(PartitionOf(*partitions, row));
  }
  sql = kNamesSql;
  auto names = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!names) co_return names.error();
  for (int row = 0; row < names->rows(); ++row) archive.names.emplace(names->Text(row, 0));
  auto detached = co_await ReadDetached(db);
  if (!detached) co_return detached.error();
  archive.detached = std::move(*detached);
  co_return archive;
}

Task<Result<std::set<std::chrono::year_month>>> MonthsOfMessages(Database& db) {
  std::string sql(kMonthsSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::set<std::chrono::year_month> months;
  for (int row = 0; row < rows->rows(); ++row) months.insert(MonthOf(*rows, row, 0));
  co_return months;
}

Task<Result<std::chrono::year_month>> MonthBefore(Database& db, std::string time) {
  std::string sql(kMonthBeforeSql);
  PgValues values;
  values.emplace_back(std::move(time));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  co_return MonthOf(*rows, 0, 0);
}

std::set<std::chrono::year_month> MonthsFrom(std::chrono::year_month begin, int count) {
  std::set<std::chrono::year_month> months;
  for (int n = 0; n <= count; ++n) months.insert(begin + std::chrono::months(n));
  return months;
}

Task<Result<void>> EnsurePartitions(JobContext& context, std::set<std::chrono::year_month> months,
                                    PartitionPolicy policy, PartitionsMade& made) {
  auto archive = co_await ReadPartitions(context.db);
  if (!archive) co_return archive.error();
  if (!archive->partitioned || archive->Default() != nullptr) co_return Result<void>();
  const auto missing = PlanPartitions(std::move(months), archive->Ranges(), archive->names);
  if (missing.empty()) co_return Result<void>();
  if (!archive->owned) {
    co_return Error(Errc::kQueryFailed, "must be owner of table messages_archive to add partitions",
                    "42501",
                    "Grant the archive's owner to the role, or let the owner run "
                    "pgsteward job run archive_partitions.");
  }
  for (const PlannedPartition& planned : missing) {
    if (std::ssize(made.created) >= policy.most) {
      made.stopped = "partitions: the limit of one run is reached";
      break;
    }
    Retrying retrying(context, policy.attempts);
    bool overlaps = false;
    for (;;) {
      const std::string stop = co_await retrying.Ready();
      if (!stop.empty()) {
        made.stopped = stop;
        co_return Result<void>();
      }
      auto created = co_await CreateFenced(context, archive->owner, planned, policy);
      if (created) break;
      overlaps = created.error().sqlstate == "42P17";
      if (overlaps) break;
      if (!retrying.Again(created.error())) co_return created;
    }
    if (overlaps) {
      made.overlapping.push_back(planned.name);
      context.control.Note("public." + planned.name + " would overlap with another partition");
      continue;
    }
    made.created.push_back(planned.name);
    context.control.Note("created public." + planned.name);
  }
  co_return Result<void>();
}

}  // namespace pgsteward
