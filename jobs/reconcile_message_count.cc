// Chats whose message_count is not the number of their messages: found, and put right if asked.
#include <algorithm>
#include <array>
#include <utility>

#include "core/pg_text.h"
#include "jobs/archive/trigger_mode.h"
#include "jobs/chat_batches.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

constexpr std::string_view kShapeSql = R"sql(
SELECT to_regclass('public.messages_archive') IS NOT NULL,
       coalesce((SELECT has_column_privilege(s.oid, 'message_count', 'UPDATE')
                        AND has_column_privilege(s.oid, 'message_count', 'SELECT')
                        AND has_column_privilege(s.oid, 'id', 'SELECT')
                 FROM pg_class AS s WHERE s.oid = to_regclass('public.chat_sessions')), false),
       current_user,
       EXISTS (SELECT FROM pgsteward.job_run
               WHERE type IN ('archive_purge', 'orphan_purge') AND rows_done > 0)
         OR EXISTS (SELECT FROM pgsteward.job_state
                    WHERE type = 'archive_purge' AND last_success_at IS NOT NULL),
       (SELECT memory ->> 'cursor' FROM pgsteward.job_state WHERE job = $1)
)sql";

// Whatever counts messages lets maintenance pass.
bool CountsUnderGuard(const TriggerFacts& facts) {
  bool any = false;
  for (const TriggerFact& trigger : facts.triggers) {
    const bool runs = trigger.enabled == 'O' || trigger.enabled == 'A';
    const bool counts =
        trigger.function.substr(trigger.function.rfind('.') + 1) == "update_message_count";
    if (trigger.table != "messages" || !runs || !counts) continue;
    if (!trigger.guarded) return false;
    any = true;
  }
  return any;
}

Task<Result<ChatShape>> ReadShape(Database& db, const JobOptions& options, std::string job) {
  PgValues values = {std::move(job)};
  auto rows = co_await db.Query(std::string(kShapeSql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  ChatShape shape;
  shape.archive = rows->Bool(0, 0);
  shape.may_fix = rows->Bool(0, 1);
  shape.role = QuoteIdentifier(rows->Text(0, 2));
  shape.purged = rows->Bool(0, 3);
  if (!rows->IsNull(0, 4)) shape.cursor = rows->Text(0, 4);
  // Any trigger without the guard may change the row as well.
  auto touching = co_await UnguardedUpdateTriggers(db, "public.chat_sessions");
  if (!touching) co_return touching.error();
  shape.touching = *touching;
  auto triggers = co_await ReadTriggers(db);
  if (!triggers) co_return triggers.error();
  shape.guarded = CountsUnderGuard(*triggers);
  const std::string counts = options.Text("counts");
  if (counts == "lifetime") shape.rule = CountRule::kLifetime;
  if (counts == "auto" && shape.guarded) shape.rule = CountRule::kTolerant;
  co_return shape;
}

std::string RuleText(const ChatShape& shape) {
  switch (shape.rule) {
    case CountRule::kLive:
      return "live messages";
    case CountRule::kLifetime:
      return "live and archived messages";
    case CountRule::kTolerant:
      return "live and archived messages, as far as archiving does not explain another number";
  }
  return "";
}

// Reads up to max_chats from where the last run stopped, in short transactions, and changes
// nothing.
Task<Result<void>> PlanRun(JobContext& context, const ChatShape& shape, JobReport& report) {
  report.plan.push_back("message_count should be the number of " + RuleText(shape));
  long long checked = 0;
  long long drifted = 0;
  long long unclear = 0;
  std::vector<std::string> lines;
  std::string cursor = shape.cursor;
  const long long most = context.options.Integer("max_chats");
  while (checked < most && context.control.StopReason().empty()) {
    const long long asked = std::min<long long>(500, most - checked);
    auto chats = co_await WalkChats(context.db, shape, cursor, asked);
    if (!chats) co_return chats.error();
    for (const ChatCount& chat : *chats) {
      const CountVerdict verdict = JudgeCount(chat, shape.rule, shape.purged);
      if (verdict == CountVerdict::kUnclear) ++unclear;
      if (verdict != CountVerdict::kDrifted) continue;
      if (++drifted <= kShownChats) lines.push_back("  " + CountLine(chat, shape.rule));
    }
    checked += static_cast<long long>(chats->size());
    if (static_cast<long long>(chats->size()) < asked) break;
    cursor = chats->back().id;
  }
  report.plan.push_back("looked at " + std::to_string(checked) +
                        " chats: " + std::to_string(drifted) + " drifted, " +
                        std::to_string(unclear) + " unclear");
  report.plan.insert(report.plan.end(), lines.begin(), lines.end());
  std::string line = "change nothing: option fix is off";
  if (context.options.Switch("fix")) {
    line = "put the drifted right, updated_at is ";
    line += shape.touching.empty() ? "kept" : "changed by " + shape.touching;
  }
  report.plan.push_back(std::move(line));
  co_return Result<void>();
}

Task<Result<void>> RunReconcile(JobContext& context, JobReport& report) {
  auto shape = co_await ReadShape(context.db, context.options, context.job);
  if (!shape) co_return shape.error();
  const bool fix = context.options.Switch("fix");
  if (fix && !shape->may_fix) {
    co_return Error(Errc::kQueryFailed,
                    "role " + shape->role + " may not write message_count of public.chat_sessions",
                    "42501",
                    "GRANT SELECT, UPDATE (message_count, updated_at) ON public.chat_sessions TO " +
                        shape->role + "; or run schema/job_roles.sql.");
  }
  if (fix && !shape->touching.empty() && !context.options.Switch("allow_touch")) {
    co_return Error(Errc::kQueryFailed,
                    "correcting a chat would change its updated_at: triggers without the guard on "
                    "public.chat_sessions: " +
                        shape->touching,
                    {}, "Apply schema version 1.2.0 (guarded_triggers.sql), or set allow_touch.");
  }
  if (context.dry_run) co_return co_await PlanRun(context, *shape, report);
  BatchPolicy policy;
  policy.pacing.nice = context.options.Number("nice");
  policy.transaction.timeout = kTimeout;
  policy.transaction.local.emplace_back("pgsteward.archiving", "on");
  ChatBatches work(*shape, context.job, fix, context.options.Integer("max_chats"));
  auto done = co_await RunInBatches(context, work, std::move(policy), report);
  report.details["counts"] = RuleText(*shape);
  report.details["checked"] = std::to_string(work.checked);
  report.details["drifted"] = std::to_string(work.drifted);
  report.details["unclear"] = std::to_string(work.unclear);
  report.details["whole_table_seen"] = work.at_end ? "true" : "false";
  for (const std::string& line : work.shown) context.control.Note(line);
  co_return done;
}

// Of the thousand chats that were changed last: counting all would be a long scan.
Task<Result<Backlog>> ReconcileBacklog(JobSession& db, const JobOptions& options,
                                       const std::string&) {
  auto shape = co_await ReadShape(db, options, "");
  if (!shape) co_return shape.error();
  auto chats = co_await NewestChats(db, *shape);
  if (!chats) co_return chats.error();
  Backlog backlog;
  for (const ChatCount& chat : *chats) {
    if (JudgeCount(chat, shape->rule, shape->purged) == CountVerdict::kDrifted) ++backlog.rows;
  }
  co_return backlog;
}

constexpr std::array<std::string_view, 3> kCounts = {"auto", "live", "lifetime"};

constexpr std::array<JobOption, 5> kOptions = {{
    {.name = "counts",
     .kind = OptionKind::kWord,
     .fallback = "auto",
     .help = "What message_count counts: live messages, or lifetime, the archived too; auto: live, "
             "and where the message trigger is guarded lifetime without what archiving explains.",
     .words = kCounts},
    {.name = "fix",
     .kind = OptionKind::kSwitch,
     .fallback = "false",
     .help = "Puts wrong counts right instead of only reporting them."},
    {.name = "allow_touch",
     .kind = OptionKind::kSwitch,
     .fallback = "false",
     .help = "Corrects also where triggers without the guard set updated_at to now."},
    {.name = "max_chats",
     .kind = OptionKind::kInteger,
     .fallback = "100000",
     .help = "The number of chats that one run looks at; the next goes on behind them.",
     .least = 1,
     .most = 1e12},
    kNiceOption,
}};

}  // namespace

extern const JobSpec kReconcileMessageCount;
const JobSpec kReconcileMessageCount = {
    .name = "reconcile_message_count",
    .summary = "Finds chats whose message_count is wrong, and puts it right if asked.",
    .options = kOptions,
    .throttle_table = "public.chat_sessions",
    .run = &RunReconcile,
    .backlog = &ReconcileBacklog,
};

}  // namespace pgsteward
