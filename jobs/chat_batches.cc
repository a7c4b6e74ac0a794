#include "jobs/chat_batches.h"

#include <algorithm>
#include <utility>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

// One statement, one snapshot: a message and its trigger's count, or its move to the archive, are
// both seen or both not. CHATS and ARCHIVED are put in.
constexpr std::string_view kCountSql = R"sql(
WITH chat AS MATERIALIZED (CHATS)
SELECT c.id::text, c.message_count,
       (SELECT count(*) FROM public.messages AS m WHERE m.session_id = c.id),
       ARCHIVED
FROM chat AS c ORDER BY c.id
)sql";
constexpr std::string_view kWalk =
    "SELECT id, message_count FROM public.chat_sessions WHERE id > $1::uuid "
    "ORDER BY id LIMIT $2::int";
constexpr std::string_view kNewest =
    "SELECT id, message_count FROM public.chat_sessions ORDER BY updated_at DESC LIMIT 1000";
constexpr std::string_view kThese =
    "SELECT id, message_count FROM public.chat_sessions WHERE id = ANY ($1::uuid[])";
constexpr std::string_view kArchived =
    "(SELECT count(*) FROM public.messages_archive AS a WHERE a.session_id = c.id)";

// Whoever writes a message into a chat updates its row: from here on nobody does, and what was
// committed before is seen by the next statement.
constexpr std::string_view kLockSql = R"sql(
SELECT id::text FROM public.chat_sessions WHERE id = ANY ($1::uuid[])
ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)sql";

constexpr std::string_view kUpdateSql = R"sql(
UPDATE public.chat_sessions AS c SET message_count = r.message_count
FROM unnest($1::uuid[], $2::int[]) AS r (id, message_count) WHERE c.id = r.id
)sql";

constexpr std::string_view kRememberSql = R"sql(
UPDATE pgsteward.job_state SET memory = memory || jsonb_build_object('cursor', $2::text)
WHERE job = $1
)sql";

std::string CountSql(std::string_view chats, const ChatShape& shape) {
  std::string sql(kCountSql);
  constexpr std::string_view kChatsWord = "CHATS";
  constexpr std::string_view kArchivedWord = "ARCHIVED";
  sql.replace(sql.find(kChatsWord), kChatsWord.size(), chats);
  const bool both = shape.archive && shape.rule != CountRule::kLive;
  sql.replace(sql.find(kArchivedWord), kArchivedWord.size(), both ? kArchived : "0");
  return sql;
}

Task<Result<std::vector<ChatCount>>> ReadCounts(Database& db, std::string sql, PgValues values) {
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<ChatCount> chats;
  for (int row = 0; row < rows->rows(); ++row) {
    ChatCount chat;
    chat.id = rows->Text(row, 0);
    chat.stored = rows->Integer(row, 1);
    chat.live = rows->Integer(row, 2).value_or(0);
    chat.archived = rows->Integer(row, 3).value_or(0);
    chats.push_back(std::move(chat));
  }
  co_return chats;
}

}  // namespace

Task<Result<std::vector<ChatCount>>> WalkChats(Database& db, const ChatShape& shape,
                                               std::string cursor, long long most) {
  PgValues values = {std::move(cursor), std::to_string(most)};
  co_return co_await ReadCounts(db, CountSql(kWalk, shape), std::move(values));
}

Task<Result<std::vector<ChatCount>>> NewestChats(Database& db, const ChatShape& shape) {
  co_return co_await ReadCounts(db, CountSql(kNewest, shape), PgValues());
}

Task<Result<BatchOutcome>> ChatBatches::Run(JobSession& db, int size) {
  pending_ = Pending();
  BatchOutcome outcome;
  auto chats = co_await Next(db, size);
  if (!chats) co_return chats.error();
  if (chats->empty()) co_return outcome;
  outcome.seen = static_cast<long long>(chats->size());
  std::vector<std::string> suspects;
  for (const ChatCount& chat : *chats) {
    const CountVerdict verdict = JudgeCount(chat, shape_.rule, shape_.purged);
    if (verdict == CountVerdict::kUnclear) ++pending_.unclear;
    if (verdict != CountVerdict::kDrifted) continue;
    pending_.drifted.push_back(chat);
    suspects.push_back(chat.id);
  }
  if (fix_ && !suspects.empty()) {
    auto fixed = co_await Fix(db, suspects);
    if (!fixed) co_return fixed.error();
    outcome.done = *fixed;
    outcome.skipped = static_cast<long long>(pending_.skipped.size());
  }
  if (again_.empty()) {
    pending_.checked = outcome.seen;
    pending_.cursor = outcome.seen < pending_.asked ? std::string(kFirstChat) : chats->back().id;
    pending_.at_end = outcome.seen < pending_.asked;
    auto remembered = co_await Remember(db);
    if (!remembered) co_return remembered.error();
  }
  co_return outcome;
}

void ChatBatches::Committed() {
  if (again_.empty()) {
    checked += pending_.checked;
    unclear += pending_.unclear;
    drifted += static_cast<long long>(pending_.drifted.size());
    for (ChatCount& chat : pending_.drifted) {
      if (shown.size() < kShownChats) shown.push_back(CountLine(chat, shape_.rule));
    }
    cursor_ = pending_.cursor;
    at_end = pending_.at_end;
  }
  for (std::string& id : pending_.skipped) skipped_.push_back(std::move(id));
  if (!again_.empty()) again_done_ = true;
}

Task<Result<void>> ChatBatches::Quarantine(JobSession&) { co_return Result<void>(); }

void ChatBatches::Rewind() {
  again_ = std::exchange(skipped_, {});
  again_done_ = false;
}

Task<Result<std::vector<ChatCount>>> ChatBatches::Next(JobSession& db, int size) {
  std::string sql;
  PgValues values;
  if (!again_.empty()) {
    if (again_done_) co_return std::vector<ChatCount>();
    sql = CountSql(kThese, shape_);
    values.emplace_back(ArrayText(again_));
  } else {
    if (Done()) co_return std::vector<ChatCount>();
    pending_.asked = static_cast<int>(std::min<long long>(size, most_ - checked));
    sql = CountSql(kWalk, shape_);
    values.emplace_back(cursor_);
    values.emplace_back(std::to_string(pending_.asked));
  }
  co_return co_await ReadCounts(db, std::move(sql), std::move(values));
}

Task<Result<long long>> ChatBatches::Fix(JobSession& db, std::vector<std::string> suspects) {
  PgValues ids = {ArrayText(suspects)};
  auto locked = co_await db.Query(std::string(kLockSql), std::move(ids), kTimeout);
  if (!locked) co_return locked.error();
  std::vector<std::string> held;
  for (int row = 0; row < locked->rows(); ++row) held.emplace_back(locked->Text(row, 0));
  for (const std::string& id : suspects) {
    if (std::find(held.begin(), held.end(), id) == held.end()) pending_.skipped.push_back(id);
  }
  PgValues values = {ArrayText(held)};
  auto chats = co_await ReadCounts(db, CountSql(kThese, shape_), std::move(values));
  if (!chats) co_return chats.error();
  std::vector<std::string> wrong;
  std::vector<std::string> counts;
  for (const ChatCount& chat : *chats) {
    if (JudgeCount(chat, shape_.rule, shape_.purged) != CountVerdict::kDrifted) continue;
    wrong.push_back(chat.id);
    counts.push_back(std::to_string(RightCount(chat, shape_.rule)));
  }
  if (wrong.empty()) co_return 0LL;
  PgValues right = {ArrayText(wrong), ArrayText(counts)};
  auto updated = co_await db.Query(std::string(kUpdateSql), std::move(right), kTimeout);
  if (!updated) co_return updated.error();
  co_return static_cast<long long>(wrong.size());
}

Task<Result<void>> ChatBatches::Remember(JobSession& db) {
  PgValues values = {job_, pending_.cursor};
  auto done = co_await db.Query(std::string(kRememberSql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

}  // namespace pgsteward
