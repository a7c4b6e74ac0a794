// Chats whose message_count is not the number of their messages: found, and put right if asked.
#include <algorithm>
#include <array>
#include <utility>

#include "jobs/batches.h"
#include "jobs/message_count.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
constexpr char kFirstId[] = "00000000-0000-0000-0000-000000000000";
constexpr int kShownChats = 20;

// Whether a trigger of ours lets maintenance pass is in its WHEN condition. Any other trigger on
// updates of chat_sessions may change the row as well.
constexpr std::string_view kShapeSql = R"sql(
SELECT to_regclass('public.messages_archive') IS NOT NULL,
       EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
               WHERE t.tgrelid = to_regclass('public.messages') AND p.proname = 'update_message_count'
                 AND t.tgenabled IN ('O', 'A')
                 AND position('pgsteward.archiving' IN pg_get_triggerdef(t.oid)) > 0),
       (SELECT string_agg(t.tgname, ', ' ORDER BY t.tgname) FROM pg_trigger AS t
        WHERE t.tgrelid = to_regclass('public.chat_sessions') AND NOT t.tgisinternal
          AND t.tgenabled IN ('O', 'A') AND (t.tgtype & 16) <> 0
          AND position('pgsteward.archiving' IN pg_get_triggerdef(t.oid)) = 0),
       EXISTS (SELECT FROM pgsteward.job_run
               WHERE type IN ('archive_purge', 'orphan_purge') AND rows_done > 0)
         OR EXISTS (SELECT FROM pgsteward.job_state
                    WHERE type = 'archive_purge' AND last_success_at IS NOT NULL),
       (SELECT memory ->> 'cursor' FROM pgsteward.job_state WHERE job = $1)
)sql";

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

struct Shape {
  bool archive = false;
  bool guarded = false;
  std::string touching;  // triggers on updates of chats that do not let maintenance pass
  bool purged = false;
  std::string cursor = kFirstId;
  CountRule rule = CountRule::kLive;
};

std::string CountSql(std::string_view chats, const Shape& shape) {
  std::string sql(kCountSql);
  constexpr std::string_view kChatsWord = "CHATS";
  constexpr std::string_view kArchivedWord = "ARCHIVED";
  sql.replace(sql.find(kChatsWord), kChatsWord.size(), chats);
  const bool both = shape.archive && shape.rule != CountRule::kLive;
  sql.replace(sql.find(kArchivedWord), kArchivedWord.size(), both ? kArchived : "0");
  return sql;
}

Task<Result<Shape>> ReadShape(Database& db, const JobOptions& options, std::string job) {
  PgValues values = {std::move(job)};
  auto rows = co_await db.Query(std::string(kShapeSql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  Shape shape;
  shape.archive = rows->Bool(0, 0);
  shape.guarded = rows->Bool(0, 1);
  shape.touching = rows->Text(0, 2);
  shape.purged = rows->Bool(0, 3);
  if (!rows->IsNull(0, 4)) shape.cursor = rows->Text(0, 4);
  const std::string counts = options.Text("counts");
  if (counts == "lifetime") shape.rule = CountRule::kLifetime;
  if (counts == "auto" && shape.guarded) shape.rule = CountRule::kTolerant;
  co_return shape;
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

std::string ArrayOf(const std::vector<std::string>& plain) {
  std::string array = "{";
  for (const std::string& each : plain) array += (array.size() > 1 ? "," : "") + each;
  return array + "}";
}

std::string Line(const ChatCount& chat, CountRule rule) {
  return "chat " + chat.id + ": message_count " +
         (chat.stored ? std::to_string(*chat.stored) : "NULL") + ", right is " +
         std::to_string(RightCount(chat, rule));
}

class ChatBatches : public BatchWork {
 public:
  ChatBatches(const Shape& shape, std::string job, bool fix, long long most)
      : shape_(shape), job_(std::move(job)), fix_(fix), most_(most), cursor_(shape.cursor) {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override {
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
      pending_.cursor = outcome.seen < pending_.asked ? std::string(kFirstId) : chats->back().id;
      pending_.at_end = outcome.seen < pending_.asked;
      auto remembered = co_await Remember(db);
      if (!remembered) co_return remembered.error();
    }
    co_return outcome;
  }
  void Committed() override {
    if (again_.empty()) {
      checked += pending_.checked;
      unclear += pending_.unclear;
      drifted += static_cast<long long>(pending_.drifted.size());
      for (ChatCount& chat : pending_.drifted) {
        if (shown.size() < kShownChats) shown.push_back(Line(chat, shape_.rule));
      }
      cursor_ = pending_.cursor;
      at_end = pending_.at_end;
    }
    for (std::string& id : pending_.skipped) skipped_.push_back(std::move(id));
    if (!again_.empty()) again_done_ = true;
  }
  Task<Result<void>> Quarantine(JobSession&) override { co_return Result<void>(); }
  // Only those that somebody held.
  void Rewind() override {
    again_ = std::exchange(skipped_, {});
    again_done_ = false;
  }
  bool Done() const { return at_end || checked >= most_; }

  long long checked = 0;
  long long drifted = 0;
  long long unclear = 0;
  bool at_end = false;
  std::vector<std::string> shown;  // a line each, the first of them

 private:
  // Of the batch that is under way: counts when it is committed.
  struct Pending {
    int asked = 0;
    long long checked = 0;
    long long unclear = 0;
    bool at_end = false;
    std::string cursor;
    std::vector<ChatCount> drifted;
    std::vector<std::string> skipped;
  };

  Task<Result<std::vector<ChatCount>>> Next(JobSession& db, int size) {
    std::string sql;
    PgValues values;
    if (!again_.empty()) {
      if (again_done_) co_return std::vector<ChatCount>();
      sql = CountSql(kThese, shape_);
      values.emplace_back(ArrayOf(again_));
    } else {
      if (Done()) co_return std::vector<ChatCount>();
      pending_.asked = static_cast<int>(std::min<long long>(size, most_ - checked));
      sql = CountSql(kWalk, shape_);
      values.emplace_back(cursor_);
      values.emplace_back(std::to_string(pending_.asked));
    }
    co_return co_await ReadCounts(db, std::move(sql), std::move(values));
  }

  // Looks again under the lock of each chat's row, and corrects what is still wrong.
  Task<Result<long long>> Fix(JobSession& db, std::vector<std::string> suspects) {
    PgValues ids = {ArrayOf(suspects)};
    auto locked = co_await db.Query(std::string(kLockSql), std::move(ids), kTimeout);
    if (!locked) co_return locked.error();
    std::vector<std::string> held;
    for (int row = 0; row < locked->rows(); ++row) held.emplace_back(locked->Text(row, 0));
    for (const std::string& id : suspects) {
      if (std::find(held.begin(), held.end(), id) == held.end()) pending_.skipped.push_back(id);
    }
    PgValues values = {ArrayOf(held)};
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
    PgValues right = {ArrayOf(wrong), ArrayOf(counts)};
    auto updated = co_await db.Query(std::string(kUpdateSql), std::move(right), kTimeout);
    if (!updated) co_return updated.error();
    co_return static_cast<long long>(wrong.size());
  }

  Task<Result<void>> Remember(JobSession& db) {
    PgValues values = {job_, pending_.cursor};
    auto done = co_await db.Query(std::string(kRememberSql), std::move(values), kTimeout);
    if (!done) co_return done.error();
    co_return Result<void>();
  }

  const Shape& shape_;
  std::string job_;
  bool fix_;
  long long most_;
  std::string cursor_;
  std::vector<std::string> skipped_;
  std::vector<std::string> again_;  // not empty: a later pass, over these
  bool again_done_ = false;
  Pending pending_;
};

std::string RuleText(const Shape& shape) {
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
Task<Result<void>> PlanRun(JobContext& context, const Shape& shape, JobReport& report) {
  report.plan.push_back("message_count should be the number of " + RuleText(shape));
  long long checked = 0;
  long long drifted = 0;
  long long unclear = 0;
  std::vector<std::string> lines;
  std::string cursor = shape.cursor;
  const long long most = context.options.Integer("max_chats");
  while (checked < most && context.control.StopReason().empty()) {
    const long long asked = std::min<long long>(500, most - checked);
    PgValues values = {cursor, std::to_string(asked)};
    auto chats = co_await ReadCounts(context.db, CountSql(kWalk, shape), std::move(values));
    if (!chats) co_return chats.error();
    for (const ChatCount& chat : *chats) {
      const CountVerdict verdict = JudgeCount(chat, shape.rule, shape.purged);
      if (verdict == CountVerdict::kUnclear) ++unclear;
      if (verdict != CountVerdict::kDrifted) continue;
      if (++drifted <= kShownChats) lines.push_back("  " + Line(chat, shape.rule));
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
  auto chats = co_await ReadCounts(db, CountSql(kNewest, *shape), PgValues());
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
    {.name = "nice",
     .kind = OptionKind::kNumber,
     .fallback = "1",
     .help = "The rest after a batch, as a multiple of the time that the batch took.",
     .least = 0,
     .most = 100},
}};

}  // namespace

extern const JobSpec kReconcileMessageCount;
const JobSpec kReconcileMessageCount = {
    .name = "reconcile_message_count",
    .summary = "Finds chats whose message_count is wrong, and puts it right if asked.",
    .options = kOptions,
    .run = &RunReconcile,
    .backlog = &ReconcileBacklog,
};

}  // namespace pgsteward
