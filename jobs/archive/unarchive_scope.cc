#include "jobs/archive/unarchive_scope.h"

#include <algorithm>

#include "core/pg_text.h"
#include "jobs/archive/purge_scope.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

Error Refused(std::string message, std::string hint) {
  return Error(Errc::kQueryFailed, std::move(message), {}, std::move(hint));
}

// In the time zone of the job, where the text has no offset.
Task<Result<std::string>> ReadTime(JobSession& db, const std::string& name,
                                   const std::string& text) {
  std::string sql = "SELECT $1::timestamptz::text";
  PgValues values;
  values.emplace_back(text);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (rows) co_return std::string(rows->Text(0, 0));
  if (!rows.error().sqlstate.starts_with("22")) co_return rows.error();
  co_return Error(Errc::kBadConfig, "the argument " + name + " is not a time",
                  rows.error().sqlstate, "Write it as 2024-03-01 or 2024-03-01 12:30:00+01.");
}

Task<Result<void>> ReadTimes(JobSession& db, UnarchiveScope& scope) {
  const UnarchiveRequest& request = scope.request;
  auto from = co_await ReadTime(db, "from", request.from.empty() ? scope.from : request.from);
  if (!from) co_return from.error();
  auto to = co_await ReadTime(db, "to", request.to.empty() ? scope.to : request.to);
  if (!to) co_return to.error();
  auto until = co_await ReadTime(db, "until", request.until);
  if (!until) co_return until.error();
  scope.from = *from;
  scope.to = *to;
  scope.until = *until;
  std::string sql = "SELECT $1::timestamptz < $2::timestamptz, $3::timestamptz > now()";
  PgValues values;
  values.emplace_back(scope.from);
  values.emplace_back(scope.to);
  values.emplace_back(scope.until);
  auto order = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!order) co_return order.error();
  if (!order->Bool(0, 0)) {
    co_return Error(Errc::kBadConfig, "from is not before to", {},
                    "to is the first moment that is not meant any more.");
  }
  if (!order->Bool(0, 1)) {
    co_return Error(Errc::kBadConfig, "until is not in the future", {},
                    "Messages that are not held go into the archive again with its next run.");
  }
  co_return Result<void>();
}

Result<void> CheckTables(const ArchiveFacts& facts, UnarchiveScope& scope) {
  auto purgeable = CheckPurgeable(facts);
  if (!purgeable) return purgeable;
  const ShapeReport shape = CheckShape(facts);
  if (!shape.problems.empty()) {
    return Refused(shape.problems.front().text, shape.problems.front().hint);
  }
  if (!scope.request.run.empty() && !ShapeOf(facts).has_archive_run) {
    return Refused("the archive does not know which run moved a message",
                   "Say the chat, the user or the time instead.");
  }
  for (const TableColumn& column : facts.archive.columns) {
    const bool own = column.name == "archived_at" || column.name == "archive_run";
    if (own || column.generated || facts.live.Find(column.name)) continue;
    return Refused("public.messages has no column " + QuoteIdentifier(column.name) +
                       ", whose values would be lost",
                   "Add the column to public.messages.");
  }
  scope.columns = ShapeOf(facts).written_back;
  scope.catalog = facts.catalog;
  for (const std::string& name : scope.columns) {
    if (facts.live.Find(name)->can_insert) continue;
    return Error(Errc::kQueryFailed,
                 "role " + QuoteIdentifier(facts.role) + " may not write into public.messages",
                 "42501", "Run schema/job_roles.sql.");
  }
  scope.conflict_target = facts.live.HasUnique({"id"}) ? "\"id\"" : "\"id\", \"created_at\"";
  if (!facts.live.HasUnique({"id"}) && !facts.live.HasUnique({"id", "created_at"})) {
    return Refused("public.messages has no unique index on id",
                   "ALTER TABLE public.messages ADD PRIMARY KEY (id).");
  }
  return Result<void>();
}

}  // namespace

ArchiveWalk UnarchiveScope::Walk() const {
  std::string names = ", m.session_id, m.user_id";
  if (!request.run.empty()) names += ", m.archive_run";
  return ArchiveWalk(from, to, std::move(names));
}

PgValues UnarchiveScope::Values(const ArchiveWalk& walk, int size) const {
  PgValues values = walk.Values(size);
  for (const std::string* each : {&request.chat, &request.user, &request.run}) {
    values.push_back(each->empty() ? std::nullopt : std::optional<std::string>(*each));
  }
  values.emplace_back(until);
  values.emplace_back(reason);
  return values;
}

std::string UnarchiveScope::OnlySql() const {
  std::string sql(kUnarchiveTypesSql);
  if (!request.chat.empty()) sql += " AND m.session_id = $5::uuid";
  // An array: the server finds the chats first and then uses the index on session_id.
  if (!request.user.empty()) {
    sql +=
        " AND (m.user_id = $6::uuid OR m.session_id = ANY (ARRAY("
        "SELECT s.id FROM public.chat_sessions AS s WHERE s.user_id = $6::uuid)))";
  }
  return sql;
}

// Not for an index, there is none: with a run the whole stretch of time is walked once.
std::string UnarchiveScope::RunSql() const {
  return request.run.empty() ? "true" : "m.archive_run = $7::uuid";
}

std::string UnarchiveScope::RestorableSql() {
  return "EXISTS (SELECT FROM public.chat_sessions AS s WHERE s.id = m.session_id)"
         " AND (m.user_id IS NULL OR EXISTS (SELECT FROM public.users AS u WHERE u.id = m.user_id))"
         " AND NOT EXISTS (SELECT FROM pgsteward.quarantine AS q"
         " WHERE q.target = 'public.messages_archive' AND q.row_id = m.id::text)";
}

Task<Result<UnarchiveScope>> ReadUnarchiveScope(JobContext& context) {
  UnarchiveScope scope;
  auto request = ParseUnarchive(context.arguments);
  if (!request) co_return request.error();
  scope.request = std::move(*request);
  scope.reason =
      scope.request.reason.empty() ? "unarchived by run " + context.run_id : scope.request.reason;
  auto facts = co_await ReadArchiveFacts(context.db);
  if (!facts) co_return facts.error();
  auto checked = CheckTables(*facts, scope);
  if (!checked) co_return checked.error();

  TransactionSettings settings(kTimeout);
  settings.read_only = true;
  settings.local.emplace_back("TimeZone", context.time_zone);
  auto begun = co_await context.db.Begin(settings);
  if (!begun) co_return begun.error();
  auto read = co_await ReadTimes(context.db, scope);
  co_await context.db.Rollback();
  if (!read) co_return read.error();
  co_return scope;
}

}  // namespace pgsteward
