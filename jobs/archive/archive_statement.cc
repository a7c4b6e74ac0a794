#include "jobs/archive/archive_statement.h"

#include "core/pg_text.h"
#include "jobs/archive/holds.h"

namespace pgsteward {

namespace {

// Of the row hashes, as an unsigned 64-bit number.
std::string SumSql(const std::string& hash, const std::string& filter = {}) {
  const std::string wrap = "18446744073709551616::numeric";
  return "pg_catalog.mod(pg_catalog.mod(coalesce(pg_catalog.sum(" + hash + ")" + filter +
         ", 0::numeric), " + wrap + ") + " + wrap + ", " + wrap + ")::text";
}

std::string ScanSql(const ArchiveShape& shape, BatchStart start) {
  std::string sql = R"sql(
  SELECT m.ctid AS place, m.id, m.session_id, m.user_id, m.created_at
  FROM ONLY public.messages AS m
  WHERE )sql" + OldSql(shape);
  const std::string id = "$3::text::" + shape.id_type;
  if (start == BatchStart::kOnly) sql += " AND m.id OPERATOR(pg_catalog.=) " + id;
  if (start == BatchStart::kAfter)
    sql += " AND (m.created_at, m.id) > ($4::timestamptz, " + id + ")";
  // Each parameter must be spoken of, or the server does not know its type.
  if (start == BatchStart::kOldest) sql += " AND $3::text IS NULL";
  if (start != BatchStart::kAfter) sql += " AND $4::timestamptz IS NULL";
  return sql + "\n  ORDER BY m.created_at, m.id LIMIT $2::int";
}

// Locks what the triggers or the archive's foreign keys would wait for, as far as nobody has it:
// the rows of others are left for the next pass.
struct Parents {
  std::string with;
  std::string filter;
};

Parents LockParents(TriggerMode mode) {
  Parents parents;
  if (mode == TriggerMode::kRespect) {
    parents.with = R"sql(chat AS MATERIALIZED (
  SELECT s.id FROM public.chat_sessions AS s WHERE s.id IN (SELECT session_id FROM cand)
  ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED
), )sql";
    parents.filter = " WHERE c.session_id IN (SELECT id FROM chat)";
  } else if (mode == TriggerMode::kReplica) {
    // Nobody checks foreign keys now: a chat or user that is being deleted must not leave messages
    // in the archive.
    parents.with = R"sql(chat AS MATERIALIZED (
  SELECT s.id FROM public.chat_sessions AS s WHERE s.id IN (SELECT session_id FROM cand)
  ORDER BY s.id FOR KEY SHARE SKIP LOCKED
), author AS MATERIALIZED (
  SELECT u.id FROM public.users AS u WHERE u.id IN (SELECT user_id FROM cand)
  ORDER BY u.id FOR KEY SHARE SKIP LOCKED
), )sql";
    parents.filter =
        " WHERE c.session_id IN (SELECT id FROM chat)"
        " AND (c.user_id IS NULL OR c.user_id IN (SELECT id FROM author))";
  }
  return parents;
}

// Hashing a row takes as long as writing it. Where nothing can have come between, a row that is
// stored is the one that was given, and its hash is known.
std::string StoredHashSql(const ArchiveShape& shape, const std::string& fresh) {
  const std::string hash = RowHashSql(shape, "a");
  return shape.may_change_rows ? hash : "CASE WHEN NOT (" + fresh + ") THEN " + hash + " END";
}

// The same id under another created_at: a key of (id, created_at) does not notice.
std::string DoubledSql(const ArchiveShape& shape) {
  if (shape.conflict_target.size() == 1) return "0";
  return R"sql((SELECT count(*) FROM moved AS m WHERE EXISTS (
     SELECT FROM public.messages_archive AS a
     WHERE a.id OPERATOR(pg_catalog.=) m.id AND a.created_at <> m.created_at)))sql";
}

}  // namespace

std::string OldSql(const ArchiveShape& shape) {
  std::string sql = "m.created_at < $1::timestamptz";
  // No month before that has a partition.
  if (shape.partitioned) sql += " AND m.created_at >= '0001-01-01 00:00:00+00'::timestamptz";
  return sql;
}

std::string KeptSql() {
  // The first part is asked once, so that nothing is looked up where there are no holds.
  return "((SELECT EXISTS (SELECT FROM pgsteward.retention_hold WHERE until > now())) AND " +
         HeldSql("m") + ")";
}

std::string QuarantinedSql() {
  return R"sql(EXISTS (SELECT FROM pgsteward.quarantine AS q
            WHERE q.target = 'public.messages' AND q.row_id = m.id::text))sql";
}

std::vector<std::pair<std::string, std::string>> RowTextSettings() {
  return {{"extra_float_digits", "1"}, {"bytea_output", "hex"}};
}

std::string RowHashSql(const ArchiveShape& shape, const std::string& alias) {
  return "pg_catalog.hashtextextended(ROW(" + IdentifierList(shape.columns, alias + ".") +
         ")::text COLLATE \"C\", 0::bigint)";
}

std::string SameRowSql(const ArchiveShape& shape, const std::string& one,
                       const std::string& other) {
  return "ROW(" + IdentifierList(shape.written, one + ".") + ")::text COLLATE \"C\" = ROW(" +
         IdentifierList(shape.written, other + ".") + ")::text COLLATE \"C\"";
}

std::string MoveSql(const ArchiveShape& shape, TriggerMode mode, BatchStart start) {
  const Parents parents = LockParents(mode);
  std::string columns = IdentifierList(shape.written);
  std::string values = IdentifierList(shape.written, "m.");
  if (shape.has_archived_at) {
    columns += ", archived_at";
    values += ", now()";
  }
  if (shape.has_archive_run) {
    columns += ", archive_run";
    values += ", $5::uuid";
  }
  const std::string fresh =
      shape.has_archive_run ? "a.archive_run IS NOT DISTINCT FROM $5::uuid" : "true";
  std::string sql = "WITH scan AS MATERIALIZED (" + ScanSql(shape, start) + "\n),";
  sql += " cand AS MATERIALIZED (\n  SELECT m.* FROM scan AS m WHERE NOT " + KeptSql() +
         " AND NOT " + QuarantinedSql() + "\n  ORDER BY m.created_at, m.id LIMIT $9::bigint\n), " +
         parents.with;
  // A row that was changed since the statement began is locked in its new version, which this
  // statement's snapshot does not see: it is not deleted, and its turn comes in the next pass.
  sql += R"sql(held AS MATERIALIZED (
  SELECT m.ctid AS place FROM ONLY public.messages AS m
  WHERE m.ctid = ANY (ARRAY(SELECT c.place FROM cand AS c)sql" +
         parents.filter + R"sql())
  FOR UPDATE SKIP LOCKED
), moved AS (
  DELETE FROM ONLY public.messages AS m WHERE m.ctid = ANY (ARRAY(SELECT place FROM held))
  RETURNING )sql" +
         IdentifierList(shape.columns, "m.") + R"sql(
), stored AS (
  INSERT INTO public.messages_archive AS a ()sql" +
         columns + ") OVERRIDING SYSTEM VALUE\n  SELECT " + values + R"sql( FROM moved AS m
  ON CONFLICT ()sql" +
         IdentifierList(shape.conflict_target) + R"sql() DO UPDATE SET id = excluded.id
    WHERE )sql" +
         SameRowSql(shape, "a", "excluded") + R"sql(
  RETURNING )sql" +
         StoredHashSql(shape, fresh) + " AS hash, " + fresh + R"sql( AS fresh
)
SELECT (SELECT count(*) FROM scan), (SELECT count(*) FROM cand), o.count, i.count, i.fresh, )sql" +
         DoubledSql(shape) + R"sql(,
  o.hash, i.hash, i.stale_hash,
  least(o.first, $6::timestamptz)::text, greatest(o.last, $7::timestamptz)::text,
  l.id::text, l.created_at::text, )sql" +
         CatalogSql() + R"sql( = $8::text, $5::uuid
FROM (SELECT count(*), min(m.created_at) AS first, max(m.created_at) AS last,
             )sql" +
         SumSql(RowHashSql(shape, "m")) + R"sql( AS hash FROM moved AS m) AS o
CROSS JOIN (SELECT count(*), count(*) FILTER (WHERE fresh) AS fresh, )sql" +
         (shape.may_change_rows ? SumSql("hash") : "NULL") + " AS hash,\n             " +
         SumSql("hash", " FILTER (WHERE NOT fresh)") + R"sql( AS stale_hash FROM stored) AS i
LEFT JOIN (SELECT id, created_at FROM scan ORDER BY created_at DESC, id DESC LIMIT 1) AS l ON true
)sql";
  return sql;
}

std::string SeenSql(const ArchiveShape& shape, BatchStart start) {
  return "WITH scan AS MATERIALIZED (" + ScanSql(shape, start) + R"sql(
)
SELECT (SELECT count(*) FROM scan), l.id::text, l.created_at::text
FROM (SELECT) AS one
LEFT JOIN (SELECT id, created_at FROM scan ORDER BY created_at DESC, id DESC LIMIT 1) AS l ON true
)sql";
}

std::string VerifySql(const ArchiveShape& shape) {
  return "SELECT count(*), " + SumSql(RowHashSql(shape, "a")) + R"sql(
FROM public.messages_archive AS a
WHERE a.archive_run = $1::uuid AND a.created_at BETWEEN $2::timestamptz AND $3::timestamptz
)sql";
}

}  // namespace pgsteward
