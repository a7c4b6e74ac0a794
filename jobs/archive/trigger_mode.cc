#include "jobs/archive/trigger_mode.h"

#include <algorithm>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

// Of tgtype bit 0 is FOR EACH ROW, 2 INSERT, 3 DELETE, 4 UPDATE.
constexpr std::string_view kTriggersSql = R"sql(
SELECT c.relname, t.tgname, t.tgfoid::regproc, t.tgtype & 1 <> 0, t.tgtype & 4 <> 0,
       t.tgtype & 8 <> 0, t.tgtype & 16 <> 0, t.tgenabled, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND NOT t.tgisinternal
  AND c.relname IN ('messages', 'messages_archive', 'chat_sessions')
ORDER BY c.relname, t.tgname
)sql";

constexpr std::string_view kUpdateTriggersSql = R"sql(
SELECT t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t
WHERE t.tgrelid = to_regclass($1) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
  AND t.tgtype & 16 <> 0
ORDER BY 1
)sql";

// Before PostgreSQL 15 it was the superuser's alone.
constexpr std::string_view kMayReplicateOldSql = R"sql(
SELECT rolsuper FROM pg_roles WHERE rolname = current_user
)sql";
constexpr std::string_view kMayReplicateSql = R"sql(
SELECT has_parameter_privilege('session_replication_role', 'SET')
)sql";

constexpr std::string_view kGuard =
    "(current_setting('pgsteward.archiving'::text, true) IS DISTINCT FROM 'on'::text)";

bool Fires(const TriggerFact& trigger, TriggerMode mode) {
  if (trigger.enabled == 'D') return false;
  if (mode == TriggerMode::kReplica) return trigger.enabled != 'O';
  if (trigger.enabled == 'R') return false;
  return mode != TriggerMode::kGuard || !trigger.guarded;
}

bool DeletesFire(const TriggerFact& trigger) {
  return trigger.table == "messages" && trigger.on_delete && trigger.enabled != 'D' &&
         trigger.enabled != 'R';
}

std::string Named(const TriggerFact& trigger) {
  return "trigger " + QuoteIdentifier(trigger.name) + " of public." + trigger.table;
}

// The names of `triggers` that are in the way of a mode.
std::string Names(const std::vector<TriggerFact>& triggers,
                  bool (*in_the_way)(const TriggerFact&)) {
  std::string names;
  for (const TriggerFact& trigger : triggers) {
    if (!DeletesFire(trigger) || !in_the_way(trigger)) continue;
    names += (names.empty() ? "" : ", ") + QuoteIdentifier(trigger.name);
  }
  return names;
}

TriggerMode Detect(const TriggerFacts& facts) {
  const auto every = [&](auto holds) {
    return std::all_of(facts.triggers.begin(), facts.triggers.end(),
                       [&](const TriggerFact& each) { return !DeletesFire(each) || holds(each); });
  };
  if (every([](const TriggerFact& each) { return each.guarded; })) return TriggerMode::kGuard;
  if (every([](const TriggerFact& each) { return each.guarded || !each.row; })) {
    return TriggerMode::kStatement;
  }
  return TriggerMode::kRespect;
}

std::string Effect(const TriggerFact& trigger) {
  std::string text = Named(trigger) + " runs " + trigger.function +
                     (trigger.row ? " for each message" : " once for each batch");
  if (trigger.function == "public.update_message_count") {
    text += ": message_count of the chat goes down, its updated_at becomes the time of the move";
  }
  return text;
}

std::string Summary(TriggerMode mode, bool any) {
  if (!any) return "no trigger runs: message_count and updated_at of the chats stay as they are";
  switch (mode) {
    case TriggerMode::kRespect:
      return "triggers run for each message: small batches, and chats that somebody holds are "
             "passed over; schema version 1.2.0 brings triggers with a guard, which cost nothing";
    case TriggerMode::kStatement:
      return "triggers run once for each batch";
    case TriggerMode::kGuard:
      return "triggers pass over moved messages: message_count stays the count of all messages "
             "ever written, updated_at stays; the job reconcile_message_count counts live ones";
    case TriggerMode::kReplica:
      return "the server runs no triggers for the move: message_count and updated_at stay";
  }
  return {};
}

std::vector<std::string> Explain(const TriggerFacts& facts, TriggerMode mode,
                                 std::string_view wanted) {
  const bool any = std::any_of(facts.triggers.begin(), facts.triggers.end(), DeletesFire);
  std::vector<std::string> lines;
  lines.push_back("trigger mode " + std::string(TriggerModeName(mode)) +
                  (wanted == "auto" ? " (detected): " : ": ") + Summary(mode, any));
  for (const TriggerFact& trigger : facts.triggers) {
    const bool concerned = (trigger.table == "messages" && trigger.on_delete) ||
                           (trigger.table == "messages_archive" && trigger.on_insert) ||
                           (trigger.table == "chat_sessions" && trigger.on_update);
    if (!concerned) continue;
    if (trigger.enabled == 'D') {
      lines.push_back(Named(trigger) + " is disabled and does not run for anybody");
    } else if (trigger.table != "chat_sessions" && Fires(trigger, mode)) {
      lines.push_back(Effect(trigger));
    }
  }
  return lines;
}

}  // namespace

std::string_view TriggerModeName(TriggerMode mode) {
  switch (mode) {
    case TriggerMode::kRespect:
      return "respect";
    case TriggerMode::kGuard:
      return "guard";
    case TriggerMode::kStatement:
      return "statement";
    case TriggerMode::kReplica:
      return "replica";
  }
  return "respect";
}

bool IsGuarded(std::string_view definition) {
  const auto when = definition.find(" WHEN (");
  if (when == std::string_view::npos) return false;
  const std::string_view condition = definition.substr(when + 7);
  // Alone, or the first of several conditions that must all hold.
  return condition.starts_with(std::string(kGuard) + ") EXECUTE ") ||
         condition.starts_with("(" + std::string(kGuard) + " AND ");
}

Task<Result<std::string>> UnguardedUpdateTriggers(Database& db, std::string table) {
  std::string sql(kUpdateTriggersSql);
  PgValues values;
  values.emplace_back(std::move(table));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  std::string names;
  for (int row = 0; row < rows->rows(); ++row) {
    if (IsGuarded(rows->Text(row, 1))) continue;
    names += (names.empty() ? "" : ", ") + std::string(rows->Text(row, 0));
  }
  co_return names;
}

Task<Result<TriggerFacts>> ReadTriggers(Database& db) {
  std::string sql(kTriggersSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  sql = db.server_version() >= 150000 ? kMayReplicateSql : kMayReplicateOldSql;
  auto may = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!may) co_return may.error();

  TriggerFacts facts;
  facts.may_replicate = may->rows() == 1 && may->Bool(0, 0);
  for (int row = 0; row < rows->rows(); ++row) {
    TriggerFact trigger;
    trigger.table = rows->Text(row, 0);
    trigger.name = rows->Text(row, 1);
    trigger.function = rows->Text(row, 2);
    trigger.row = rows->Bool(row, 3);
    trigger.on_insert = rows->Bool(row, 4);
    trigger.on_delete = rows->Bool(row, 5);
    trigger.on_update = rows->Bool(row, 6);
    trigger.enabled = rows->Text(row, 7).front();
    trigger.guarded = IsGuarded(rows->Text(row, 8));
    facts.triggers.push_back(std::move(trigger));
  }
  co_return facts;
}

Result<TriggerChoice> ChooseTriggerMode(const TriggerFacts& facts, std::string_view wanted) {
  TriggerChoice choice;
  choice.mode = Detect(facts);
  for (const TriggerMode mode : {TriggerMode::kRespect, TriggerMode::kGuard,
                                 TriggerMode::kStatement, TriggerMode::kReplica}) {
    if (wanted == TriggerModeName(mode)) choice.mode = mode;
  }
  if (choice.mode == TriggerMode::kGuard) {
    const std::string names =
        Names(facts.triggers, [](const TriggerFact& each) { return !each.guarded; });
    if (!names.empty()) {
      return Error(
          Errc::kQueryFailed,
          "trigger_mode is guard, and these triggers of public.messages have no guard: " + names,
          {}, "Run pgsteward schema apply, which brings version 1.2.0, or set auto.");
    }
  }
  if (choice.mode == TriggerMode::kStatement) {
    const std::string names =
        Names(facts.triggers, [](const TriggerFact& each) { return each.row && !each.guarded; });
    if (!names.empty()) {
      return Error(Errc::kQueryFailed,
                   "trigger_mode is statement, and these triggers of public.messages run for each "
                   "row: " +
                       names,
                   {}, "Make them statement triggers, or set trigger_mode to auto.");
    }
  }
  if (choice.mode == TriggerMode::kReplica && !facts.may_replicate) {
    return Error(Errc::kQueryFailed,
                 "trigger_mode is replica, and the role may not set session_replication_role", {},
                 "GRANT SET ON PARAMETER session_replication_role (PostgreSQL 15), or set "
                 "trigger_mode to auto.");
  }
  choice.runs_any =
      std::any_of(facts.triggers.begin(), facts.triggers.end(), [&](const TriggerFact& each) {
        const bool concerned =
            (each.table == "messages" && each.on_delete) ||
            (each.table == "messages_archive" && (each.on_insert || each.on_update));
        return concerned && Fires(each, choice.mode);
      });
  choice.explanation = Explain(facts, choice.mode, wanted);
  return choice;
}

std::vector<std::pair<std::string, std::string>> TriggerSettings(const TriggerChoice& choice) {
  std::vector<std::pair<std::string, std::string>> settings;
  // Only in its own mode: the others promise that guarded triggers run.
  if (choice.mode == TriggerMode::kGuard) settings.emplace_back(kGuardSetting, "on");
  if (choice.mode == TriggerMode::kReplica) {
    settings.emplace_back("session_replication_role", "replica");
  }
  if (choice.runs_any) settings.emplace_back("search_path", "pg_catalog, public");
  return settings;
}

}  // namespace pgsteward
