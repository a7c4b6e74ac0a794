#include "jobs/sessions.h"

#include <utility>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);
// A few rows may be odd; so many mean that something is wrong with the table.
constexpr int kMostQuarantined = 100;

// WHICH and ACTION stand for texts; $1 cut-off, $2 and $3 the cursor, $4 rows at most, $5 the only
// row or null. All that decides is looked at again under the lock: since the statement's snapshot
// the user may have come back. ONLY, because a ctid says nothing about which heir it is a row of.
constexpr std::string_view kNextSql = R"sql(
  SELECT s.ctid AS place, s.last_activity, s.id FROM ONLY public.sessions AS s
  WHERE WHICH AND (s.last_activity, s.id) > ($2::timestamptz, $3::uuid) AND NOT HELD
    AND ($5::uuid IS NULL OR s.id = $5::uuid)
    AND NOT EXISTS (SELECT FROM pgsteward.quarantine AS q
                    WHERE q.target = 'public.sessions' AND q.row_id = s.id::text)
  ORDER BY s.last_activity, s.id LIMIT $4::int
)sql";
constexpr std::string_view kBatchSql = R"sql(
WITH candidate AS MATERIALIZED (NEXT), locked AS MATERIALIZED (
  SELECT s.ctid AS place FROM ONLY public.sessions AS s
  WHERE s.ctid = ANY (ARRAY(SELECT place FROM candidate)) AND WHICH AND NOT HELD
  FOR UPDATE SKIP LOCKED
), treated AS (
  ACTION WHERE ctid = ANY (ARRAY(SELECT place FROM locked)) RETURNING 1
)
SELECT (SELECT count(*) FROM candidate), (SELECT count(*) FROM treated),
       last.last_activity::text, last.id::text
FROM (SELECT last_activity, id FROM candidate ORDER BY last_activity DESC, id DESC LIMIT 1) AS last
)sql";
constexpr std::string_view kDelete = "DELETE FROM ONLY public.sessions";
constexpr std::string_view kDeactivate = "UPDATE ONLY public.sessions SET active = false";

constexpr std::string_view kQuarantineSql = R"sql(
INSERT INTO pgsteward.quarantine (target, row_id, job, run_id, reason)
VALUES ('public.sessions', $1, $2, $3::uuid, $4) ON CONFLICT (target, row_id) DO NOTHING
)sql";

// $1 whether sessions are made inactive too, $2 tables that go along. Of tgtype bit 3 is DELETE, 4
// is UPDATE.
constexpr std::string_view kTableSql = R"sql(
SELECT c.relkind = 'r', EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid),
       current_user,
       has_any_column_privilege(c.oid, 'UPDATE')
         AND (NOT $1::boolean OR has_column_privilege(c.oid, 'active', 'UPDATE')),
       has_table_privilege(c.oid, 'DELETE'),
       has_column_privilege(c.oid, 'id', 'SELECT') AND has_column_privilege(c.oid, 'user_id', 'SELECT')
         AND has_column_privilege(c.oid, 'active', 'SELECT')
         AND has_column_privilege(c.oid, 'last_activity', 'SELECT'),
       coalesce((SELECT has_table_privilege(h.oid, 'SELECT') FROM pg_class AS h
                 WHERE h.oid = to_regclass('pgsteward.retention_hold')), false)
         AND coalesce((SELECT has_table_privilege(q.oid, 'SELECT') AND has_table_privilege(q.oid, 'INSERT')
                       FROM pg_class AS q WHERE q.oid = to_regclass('pgsteward.quarantine')), false),
       coalesce((SELECT string_agg(DISTINCT t.tgname::text, ', ') FROM pg_trigger AS t
                 WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
                   AND (t.tgrelid = c.oid AND t.tgtype & (8 + CASE WHEN $1::boolean THEN 16 ELSE 0 END) <> 0
                        OR t.tgrelid = ANY (ARRAY(SELECT to_regclass(g)::oid FROM unnest($2::text[]) AS g))
                           AND t.tgtype & 24 <> 0)), '')
FROM pg_class AS c WHERE c.oid = to_regclass('public.sessions')
)sql";

constexpr std::string_view kBlockersSql = R"sql(
SELECT f.conrelid::regclass::text || ' by ' || f.conname, f.condeferrable AND f.condeferred
FROM pg_constraint AS f
WHERE f.contype = 'f' AND f.confrelid = 'public.sessions'::regclass AND f.conparentid = 0
  AND f.confdeltype IN ('a', 'r')
ORDER BY 1
)sql";

std::string Replace(std::string text, std::string_view word, std::string_view by) {
  for (std::size_t at = text.find(word); at != std::string::npos;
       at = text.find(word, at + by.size())) {
    text.replace(at, word.size(), by);
  }
  return text;
}

std::string Fill(std::string_view sql, SessionAction action) {
  const bool deletes = action == SessionAction::kDelete;
  std::string text = Replace(std::string(sql), "NEXT", kNextSql);
  text = Replace(std::move(text), "ACTION", deletes ? kDelete : kDeactivate);
  text = Replace(std::move(text), "WHICH", deletes ? kDueSessions : kStaleSessions);
  return Replace(std::move(text), "HELD", kSessionHeld);
}

Result<void> CheckTable(const PgResult& rows, bool deactivates) {
  if (rows.rows() == 0) {
    return Error(Errc::kQueryFailed, "there is no table public.sessions", "42P01",
                 "Run pgsteward schema apply.");
  }
  if (!rows.Bool(0, 0)) {
    return Error(Errc::kQueryFailed, "public.sessions is not an ordinary table", "42809",
                 "Of a partitioned table drop or detach whole partitions instead.");
  }
  if (rows.Bool(0, 1)) {
    return Error(Errc::kQueryFailed, "other tables inherit from public.sessions", "42809",
                 "ALTER TABLE ... NO INHERIT public.sessions for each of them.");
  }
  const std::string role = QuoteIdentifier(rows.Text(0, 2));
  std::string may_not;
  if (!rows.Bool(0, 3)) may_not = deactivates ? "lock and deactivate" : "lock";
  if (!rows.Bool(0, 4)) may_not += may_not.empty() ? "delete" : " and delete";
  if (!rows.Bool(0, 5)) may_not += may_not.empty() ? "read" : " and read";
  if (!may_not.empty()) {
    return Error(Errc::kQueryFailed, "role " + role + " may not " + may_not + " public.sessions",
                 "42501", "Run schema/job_roles.sql, or grant it what that grants.");
  }
  if (!rows.Bool(0, 6)) {
    return Error(Errc::kQueryFailed,
                 "role " + role + " may not use pgsteward.retention_hold and pgsteward.quarantine",
                 "42501", "Run schema/job_roles.sql.");
  }
  return Result<void>();
}

}  // namespace

Task<Result<SessionTable>> ReadSessionTable(Database& db, const std::vector<Cascade>& cascades,
                                            bool deactivates) {
  std::vector<std::string> along;
  for (const Cascade& cascade : cascades) along.push_back(cascade.table);
  PgValues values;
  values.emplace_back(deactivates ? "true" : "false");
  values.emplace_back(ArrayText(along));
  std::string sql(kTableSql);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  auto checked = CheckTable(*rows, deactivates);
  if (!checked) co_return checked.error();
  SessionTable table;
  table.triggers = rows->Text(0, 7);
  sql = kBlockersSql;
  auto blockers = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!blockers) co_return blockers.error();
  for (int row = 0; row < blockers->rows(); ++row) {
    table.blockers.emplace_back(blockers->Text(row, 0));
    table.deferred = table.deferred || blockers->Bool(row, 1);
  }
  co_return table;
}

SessionBatches::SessionBatches(SessionAction action, std::string cutoff, JobContext& context,
                               bool deferred)
    : sql_(Fill(kBatchSql, action)),
      next_sql_(Fill(kNextSql, action)),
      cutoff_(std::move(cutoff)),
      context_(context),
      deferred_(deferred) {
  SessionBatches::Rewind();
}

Task<Result<PgResult>> SessionBatches::Next(JobSession& db, int size) {
  PgValues values = {cutoff_, time_, id_, std::to_string(size), std::nullopt};
  std::string sql = next_sql_;
  co_return co_await db.Query(std::move(sql), std::move(values), kTimeout);
}

Task<Result<BatchOutcome>> SessionBatches::Run(JobSession& db, int size) {
  BatchOutcome outcome;
  if (size == 1) {
    // Which row it is must be known even if the statement fails.
    auto row = co_await Next(db, 1);
    if (!row) co_return row.error();
    if (row->rows() == 0) co_return outcome;
    next_time_ = row->Text(0, 1);
    next_id_ = row->Text(0, 2);
  }
  if (deferred_) {
    // What refers to a session speaks now, while it can be told which session it was.
    auto now = co_await db.Query("SET CONSTRAINTS ALL IMMEDIATE", PgValues(), kTimeout);
    if (!now) co_return now.error();
  }
  PgValues values = {cutoff_, time_, id_, std::to_string(size), std::nullopt};
  if (size == 1) values.back() = next_id_;
  auto rows = co_await db.Query(sql_, std::move(values), kTimeout);
  if (!rows) {
    if (!IsAboutRows(rows.error())) co_return rows.error();
    refusal_ = "the server refused it: SQLSTATE " + rows.error().sqlstate;
    // What a trigger says may quote the session.
    if (!rows.error().sqlstate.starts_with("P0")) refusal_ += ", " + rows.error().message;
    outcome.seen = size;
    outcome.mismatch = true;
    co_return outcome;
  }
  if (rows->rows() == 0) {
    // The one row has gone, or is not due any more, since it was looked up.
    outcome.seen = size == 1 ? 1 : 0;
    co_return outcome;
  }
  outcome.seen = rows->Integer(0, 0).value_or(0);
  outcome.done = rows->Integer(0, 1).value_or(0);
  outcome.skipped = outcome.seen - outcome.done;
  next_time_ = rows->Text(0, 2);
  next_id_ = rows->Text(0, 3);
  co_return outcome;
}

void SessionBatches::Committed() {
  time_ = next_time_;
  id_ = next_id_;
}

Task<Result<void>> SessionBatches::Quarantine(JobSession& db) {
  if (++quarantined_ > kMostQuarantined) {
    co_return Error(Errc::kQueryFailed,
                    "more than " + std::to_string(kMostQuarantined) +
                        " sessions cannot be treated, the last one because " + refusal_,
                    {},
                    "Look at pgsteward.quarantine, at the triggers of public.sessions and at the "
                    "foreign keys to it.");
  }
  std::string sql(kQuarantineSql);
  PgValues values = {next_id_, context_.job, context_.run_id, refusal_};
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

void SessionBatches::Rewind() {
  time_ = "-infinity";
  id_ = "00000000-0000-0000-0000-000000000000";
}

}  // namespace pgsteward
