#include "jobs/archive/archive_walk.h"

namespace pgsteward {

namespace {

constexpr std::string_view kBounds =
    "m.created_at >= $1::timestamptz AND m.created_at < $2::timestamptz";
// Everywhere, though the rows are named exactly: it lets the server leave partitions out.
constexpr std::string_view kScanned =
    "m.created_at >= $1::timestamptz AND m.created_at < $2::timestamptz"
    " AND m.created_at <= (SELECT max(scan.created_at) FROM scan)";

}  // namespace

std::string ArchiveWalk::Sql(std::string_view only, std::string_view filter, long long most) const {
  const std::string bounds(kBounds);
  std::string sql =
      "WITH scan AS MATERIALIZED (\n"
      " SELECT m.tableoid AS t, m.ctid AS c, m.id, m.created_at" +
      columns_ + " FROM public.messages_archive AS m\n WHERE " + bounds;
  // By an expression in all cases: the statement has the same parameters with and without a cursor.
  sql += id_.empty() ? " AND $3::text = ''" : " AND (m.created_at, m.id) > ($1::timestamptz, $3)";
  if (!only.empty()) sql += " AND " + std::string(only);
  sql +=
      "\n ORDER BY m.created_at, m.id LIMIT $4::bigint),\n"
      "chosen AS MATERIALIZED (SELECT m.t, m.c, m.id FROM scan AS m";
  if (!filter.empty()) sql += " WHERE " + std::string(filter);
  if (most < std::numeric_limits<long long>::max()) {
    sql += " ORDER BY m.created_at, m.id LIMIT " + std::to_string(most);
  }
  // A ctid is one row of one partition, not of the whole table.
  sql +=
      "),\n"
      "locked AS MATERIALIZED (\n"
      " SELECT m.tableoid AS t, m.ctid AS c, m.id FROM public.messages_archive AS m\n WHERE " +
      std::string(kScanned) +
      " AND m.ctid = ANY (ARRAY(SELECT chosen.c FROM chosen))"
      " AND (m.tableoid, m.id) IN (SELECT chosen.t, chosen.id FROM chosen)\n"
      " FOR UPDATE OF m SKIP LOCKED)";
  return sql;
}

std::string ArchiveWalk::LockedSql() {
  return std::string(kScanned) +
         " AND m.ctid = ANY (ARRAY(SELECT locked.c FROM locked))"
         " AND (m.tableoid, m.id) IN (SELECT locked.t, locked.id FROM locked)";
}

std::string_view ArchiveWalk::CountsSql() {
  return "(SELECT count(*) FROM scan), (SELECT count(*) FROM chosen), (SELECT count(*) FROM "
         "locked), "
         "(SELECT scan.created_at::text FROM scan ORDER BY scan.created_at DESC, scan.id DESC "
         "LIMIT 1), "
         "(SELECT scan.id::text FROM scan ORDER BY scan.created_at DESC, scan.id DESC LIMIT 1)";
}

PgValues ArchiveWalk::Values(int size) const {
  PgValues values;
  values.emplace_back(id_.empty() ? from_ : at_);
  values.emplace_back(until_);
  values.emplace_back(id_);
  values.emplace_back(std::to_string(size));
  return values;
}

void ArchiveWalk::MoveTo(std::string created_at, std::string id) {
  at_ = std::move(created_at);
  id_ = std::move(id);
}

void ArchiveWalk::Restart(std::string from, std::string until) {
  from_ = std::move(from);
  until_ = std::move(until);
  id_.clear();
}

}  // namespace pgsteward
