#include "jobs/archive/unarchive_batches.h"

#include <array>
#include <charconv>
#include <cstdio>

#include "core/pg_text.h"
#include "jobs/archive/holds.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(60);

std::string SumSql(const std::string& row) {
  // As a number from 0 up: % has the sign of the sum.
  const std::string wrap = "18446744073709551616::numeric";
  return "(SELECT pg_catalog.mod(pg_catalog.mod(coalesce(pg_catalog.sum("
         "pg_catalog.hashtextextended(" +
         row + "::text COLLATE \"C\", 0::bigint)), 0::numeric), " + wrap + ") + " + wrap + ", " +
         wrap + ")";
}

std::uint64_t Unsigned(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Task<Result<BatchOutcome>> HoldBatches::Run(JobSession& db, int size) {
  std::string sql =
      walk_.Sql(scope_.OnlySql(), scope_.RunSql() + " AND " + UnarchiveScope::RestorableSql() +
                                      " AND NOT " + HeldSql("m", "$8::timestamptz"));
  sql +=
      ",\nheld AS (INSERT INTO pgsteward.retention_hold (session_id, until, reason)\n"
      " SELECT DISTINCT s.session_id, $8::timestamptz, $9::text FROM scan AS s\n"
      " JOIN chosen ON chosen.t = s.t AND chosen.id = s.id RETURNING 1)\n"
      "SELECT (SELECT count(*) FROM scan), (SELECT count(*) FROM held), l.created_at::text, "
      "l.id::text FROM (SELECT scan.created_at, scan.id FROM scan "
      "ORDER BY scan.created_at DESC, scan.id DESC LIMIT 1) AS l";
  PgValues values = scope_.Values(walk_, size);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  BatchOutcome outcome;
  if (rows->rows() == 0) co_return outcome;
  outcome.seen = rows->Integer(0, 0).value_or(0);
  outcome.done = rows->Integer(0, 1).value_or(0);
  last_at_ = rows->Text(0, 2);
  last_id_ = rows->Text(0, 3);
  co_return outcome;
}

Task<Result<void>> HoldBatches::Quarantine(JobSession&) {
  co_return Error(Errc::kQueryFailed, "a hold needs no quarantine");
}

std::string UnarchiveBatches::FilterSql() const {
  return scope_.RunSql() + " AND " + UnarchiveScope::RestorableSql() + " AND " +
         HeldSql("m", "$8::timestamptz");
}

Task<Result<BatchOutcome>> UnarchiveBatches::Run(JobSession& db, int size) {
  const std::string moved = "ROW(" + IdentifierList(scope_.columns, "moved.") + ")";
  const std::string stored = "ROW(" + IdentifierList(scope_.columns, "stored.") + ")";
  std::string sql = walk_.Sql(scope_.OnlySql(), FilterSql());
  sql += ",\nmoved AS (DELETE FROM public.messages_archive AS m WHERE " + ArchiveWalk::LockedSql() +
         " RETURNING " + IdentifierList(scope_.columns, "m.") + "),\n";
  // A row that is there already, as it is in the archive, counts as stored.
  sql += "stored AS (INSERT INTO public.messages AS t (" + IdentifierList(scope_.columns) +
         ") OVERRIDING SYSTEM VALUE SELECT " + IdentifierList(scope_.columns, "moved.") +
         " FROM moved ON CONFLICT (" + scope_.conflict_target +
         ") DO UPDATE SET id = excluded.id WHERE ROW(" + IdentifierList(scope_.columns, "t.") +
         ")::text COLLATE \"C\" = ROW(" + IdentifierList(scope_.columns, "excluded.") +
         ")::text COLLATE \"C\" RETURNING " + IdentifierList(scope_.columns, "t.") + ")\nSELECT ";
  sql += ArchiveWalk::CountsSql();
  sql += ", (SELECT count(*) FROM moved), (SELECT count(*) FROM stored), " + SumSql(moved) +
         " FROM moved), " + SumSql(stored) + " FROM stored), " + CatalogSql() + " = $10::text";
  PgValues values = scope_.Values(walk_, size);
  values.emplace_back(scope_.catalog);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  BatchOutcome outcome;
  if (!rows) {
    if (!IsAboutRows(rows.error())) co_return rows.error();
    why_ = rows.error().sqlstate;
    // What a trigger says may quote the message.
    if (!why_.starts_with("P0")) why_ += " " + rows.error().message;
    outcome.seen = size;
    outcome.mismatch = true;
    co_return outcome;
  }
  if (!rows->Bool(0, 9)) {
    co_return Error(Errc::kQueryFailed,
                    "public.messages or public.messages_archive has got other columns or "
                    "triggers since the run began",
                    {}, "Nothing of this batch was moved; run the job again.");
  }
  outcome.seen = rows->Integer(0, 0).value_or(0);
  outcome.skipped = rows->Integer(0, 1).value_or(0) - rows->Integer(0, 5).value_or(0);
  outcome.done = rows->Integer(0, 6).value_or(0);
  outcome.mismatch = rows->Text(0, 5) != rows->Text(0, 6) || rows->Text(0, 7) != rows->Text(0, 8);
  if (outcome.mismatch) why_ = "conflict: public.messages has another row with this id";
  last_at_ = rows->Text(0, 3);
  last_id_ = rows->Text(0, 4);
  batch_sum_ = Unsigned(rows->Text(0, 8));
  co_return outcome;
}

void UnarchiveBatches::Committed() {
  walk_.MoveTo(last_at_, last_id_);
  sum_ += batch_sum_;
  batch_sum_ = 0;
}

Task<Result<void>> UnarchiveBatches::Quarantine(JobSession& db) {
  // The batch of one row failed, so that it is not known which row it was.
  std::string sql = walk_.Sql(scope_.OnlySql(), FilterSql());
  sql +=
      ",\nnoted AS (INSERT INTO pgsteward.quarantine (target, row_id, job, run_id, reason)\n"
      " SELECT 'public.messages_archive', chosen.id::text, $10, $11::uuid, $12 FROM chosen\n"
      " ON CONFLICT (target, row_id) DO NOTHING)\nSELECT ";
  sql += ArchiveWalk::CountsSql();
  PgValues values = scope_.Values(walk_, 1);
  values.emplace_back(job_);
  values.emplace_back(run_id_);
  values.emplace_back(why_);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  last_at_ = rows->Text(0, 3);
  last_id_ = rows->Text(0, 4);
  batch_sum_ = 0;
  co_return Result<void>();
}

std::string UnarchiveBatches::Checksum() const {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(sum_));
  return text.data();
}

}  // namespace pgsteward
