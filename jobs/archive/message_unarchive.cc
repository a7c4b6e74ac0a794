#include "jobs/archive/archive_options.h"
#include "jobs/archive/archive_statement.h"
#include "jobs/archive/holds.h"
#include "jobs/archive/purge_batches.h"
#include "jobs/archive/purge_plan.h"
#include "jobs/archive/trigger_mode.h"
#include "jobs/archive/unarchive_batches.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(60);
constexpr Duration kCountTimeout = std::chrono::minutes(10);

constexpr std::string_view kModes[] = {"guard", "respect"};
constexpr std::string_view kArguments[] = {"chat", "user", "run", "from", "to", "until", "reason"};
constexpr std::string_view kGroups[] = {"heavy_io"};

constexpr JobOption kOptions[] = {
    {.name = "trigger_mode",
     .kind = OptionKind::kWord,
     .fallback = "guard",
     .help = "guard: leave message_count and updated_at of the chats; respect: let triggers fire.",
     .words = kModes},
    kTargetMsOption,
    kNiceOption,
};

constexpr std::string_view kHoldUserSql = R"sql(
INSERT INTO pgsteward.retention_hold (user_id, until, reason)
SELECT $1::uuid, $2::timestamptz, $3
WHERE NOT EXISTS (
        SELECT FROM pgsteward.retention_hold AS h
        WHERE h.user_id = $1::uuid AND h.until >= $2::timestamptz AND h.until > now())
    AND EXISTS (
        SELECT FROM public.messages_archive AS m
        WHERE m.user_id = $1::uuid OR m.session_id = ANY (ARRAY(
            SELECT s.id FROM public.chat_sessions AS s WHERE s.user_id = $1::uuid)))
RETURNING 1
)sql";

// "" when nothing of the hub notices that messages come back.
Task<Result<std::string>> TriggerEffect(Database& db, bool guard) {
  auto facts = co_await ReadTriggers(db);
  if (!facts) co_return facts.error();
  std::string names;
  for (const TriggerFact& trigger : facts->triggers) {
    const bool runs = trigger.enabled == 'O' || trigger.enabled == 'A';
    if (trigger.table != "messages" || !trigger.on_insert || !runs) continue;
    if (guard && trigger.guarded) continue;
    names += (names.empty() ? "" : ", ") + trigger.name;
  }
  if (names.empty()) co_return names;
  co_return "triggers fire for each message: " + names +
      "; the documented one adds to message_count and sets updated_at of the chat to now";
}

Task<Result<long long>> HoldUser(JobContext& context, const UnarchiveScope& scope) {
  auto begun = co_await context.db.Begin(TransactionSettings(kTimeout));
  if (!begun) co_return begun.error();
  auto fenced = co_await context.control.Fence(context.db);
  if (!fenced) {
    Error failure = fenced.error();
    co_await context.db.Rollback();
    co_return failure;
  }
  std::string sql(kHoldUserSql);
  PgValues values;
  values.emplace_back(scope.request.user);
  values.emplace_back(scope.until);
  values.emplace_back(scope.reason);
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) {
    Error failure = rows.error();
    co_await context.db.Rollback();
    co_return failure;
  }
  const long long held = rows->rows();
  auto committed = co_await context.db.Commit();
  if (!committed) co_return committed.error();
  co_return held;
}

// True: every chat is held, go on. False: stopped, as the report says.
Task<Result<bool>> WriteHolds(JobContext& context, const UnarchiveScope& scope,
                              const BatchPolicy& policy, JobReport& report) {
  if (scope.request.only_user()) {
    auto held = co_await HoldUser(context, scope);
    if (!held) co_return held.error();
    report.details["holds"] = std::to_string(*held);
    co_return true;
  }
  JobReport holding;
  HoldBatches batches(scope);
  auto held = co_await RunInBatches(context, batches, policy, holding);
  report.details["holds"] = std::to_string(holding.rows_done);
  if (!held) co_return held.error();
  report.status = holding.status;
  report.reason = holding.reason;
  co_return holding.status == RunStatus::kOk;
}

std::string Count(long long count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

Task<Result<void>> Plan(JobContext& context, const UnarchiveScope& scope, JobReport& report) {
  std::string sql =
      "SELECT count(*) FILTER (WHERE f.restorable), count(DISTINCT f.session_id) FILTER (WHERE "
      "f.restorable AND NOT f.held), min(f.created_at)::text, max(f.created_at)::text, count(*) "
      "FILTER (WHERE NOT f.restorable), count(*) FILTER (WHERE f.restorable AND EXISTS (SELECT "
      "FROM public.messages AS t WHERE t.id = f.id))\nFROM (SELECT m.id, m.session_id, "
      "m.created_at, (" +
      UnarchiveScope::RestorableSql() + ") AS restorable, " + HeldSql("m", "$8::timestamptz") +
      " AS held FROM public.messages_archive AS m WHERE m.created_at >= $1::timestamptz AND "
      "m.created_at < $2::timestamptz AND $3::text = '' AND $4::bigint > 0 AND " +
      scope.OnlySql() + " AND " + scope.RunSql() + ") AS f";
  const ArchiveWalk walk = scope.Walk();
  PgValues values = scope.Values(walk, 1);
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), kCountTimeout);
  if (!rows) co_return rows.error();
  auto& plan = report.plan;
  const long long count = rows->Integer(0, 0).value_or(0);
  if (count == 0) {
    plan.emplace_back("nothing in the archive is meant by this");
  } else {
    plan.push_back(Count(count, "message") + " come back, created from " +
                   std::string(rows->Text(0, 2)) + " to " + std::string(rows->Text(0, 3)));
    const long long chats = rows->Integer(0, 1).value_or(0);
    plan.push_back(scope.request.only_user() ? "held until " + scope.until + ": the user"
                                             : "held until " + scope.until + ": " +
                                                   Count(chats, "chat") + " more than now");
  }
  if (const long long lost = rows->Integer(0, 4).value_or(0); lost > 0) {
    plan.push_back(Count(lost, "message") +
                   " stay: their chat or user is gone, or they are in pgsteward.quarantine");
  }
  if (const long long there = rows->Integer(0, 5).value_or(0); there > 0) {
    plan.push_back(Count(there, "id") +
                   " are in public.messages too; where the rows differ, the archived one is set "
                   "aside in pgsteward.quarantine");
  }
  auto effect = co_await TriggerEffect(context.db, context.options.Text("trigger_mode") == "guard");
  if (!effect) co_return effect.error();
  plan.push_back(effect->empty() ? "message_count and updated_at of the chats stay as they are"
                                 : *effect);
  co_return Result<void>();
}

Task<Result<void>> Run(JobContext& context, JobReport& report) {
  auto scope = co_await ReadUnarchiveScope(context);
  if (!scope) co_return scope.error();
  if (context.dry_run) co_return co_await Plan(context, *scope, report);
  const bool guard = context.options.Text("trigger_mode") == "guard";
  auto effect = co_await TriggerEffect(context.db, guard);
  if (!effect) co_return effect.error();
  if (!effect->empty()) report.details["triggers"] = *effect;
  auto leaving = co_await DeleteTriggers(context.db);
  if (!leaving) co_return leaving.error();

  BatchPolicy policy = ArchiveBatchPolicy(context.options);
  policy.transaction.timeout = kTimeout;
  auto held = co_await WriteHolds(context, *scope, policy, report);
  if (!held) co_return held.error();
  if (!*held) co_return Result<void>();
  if (guard) policy.transaction.local.emplace_back("pgsteward.archiving", "on");
  // The documented trigger names chat_sessions without its schema.
  if (!effect->empty() || !leaving->empty()) {
    policy.transaction.local.push_back(TriggerSearchPath());
  }
  for (auto& setting : RowTextSettings()) policy.transaction.local.push_back(std::move(setting));
  UnarchiveBatches batches(*scope, context.job, context.run_id);
  auto done = co_await RunInBatches(context, batches, policy, report);
  report.details["checksum"] = batches.Checksum();
  co_return done;
}

}  // namespace

extern const JobSpec kMessageUnarchive;
const JobSpec kMessageUnarchive = {
    .name = "message_unarchive",
    .summary = "Brings messages back from the archive and holds them there.",
    .schedule = "manual",
    .deadline = std::chrono::seconds(4 * 3600),
    .options = kOptions,
    .arguments = kArguments,
    .groups = kGroups,
    .throttle_table = "public.messages_archive",
    .run = &Run,
};

}  // namespace pgsteward
