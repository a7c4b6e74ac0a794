#include "jobs/archive/archive_options.h"
#include "jobs/archive/archive_walk.h"
#include "jobs/archive/holds.h"
#include "jobs/archive/purge_batches.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(20);
constexpr Duration kCountTimeout = std::chrono::minutes(10);
constexpr Duration kBacklogTimeout = std::chrono::seconds(30);

constexpr std::string_view kGroups[] = {"heavy_io"};

constexpr JobOption kOptions[] = {
    {.name = "max_rows",
     .kind = OptionKind::kInteger,
     .fallback = "0",
     .help = "Rows that one run deletes at most; 0 is no limit.",
     .least = 0},
    kTargetMsOption,
    kNiceOption,
};

std::string ChatGoneSql() {
  return "NOT EXISTS (SELECT FROM public.chat_sessions AS s WHERE s.id = m.session_id)";
}
std::string UserGoneSql() {
  return "(m.user_id IS NOT NULL AND NOT EXISTS "
         "(SELECT FROM public.users AS u WHERE u.id = m.user_id))";
}
std::string OrphanSql() { return "(" + ChatGoneSql() + " OR " + UserGoneSql() + ")"; }

// In the middle of a restore everything is an orphan.
constexpr std::string_view kHasParents =
    "(SELECT EXISTS (SELECT FROM public.chat_sessions) AND EXISTS (SELECT FROM public.users))";
constexpr char kNoParents[] =
    "no_parents: public.users or public.chat_sessions is empty, so everything would be an orphan";
constexpr std::string_view kParentsSql = R"sql(
SELECT EXISTS (SELECT FROM public.chat_sessions) AND EXISTS (SELECT FROM public.users),
       EXISTS (SELECT FROM public.messages_archive)
)sql";

// Foreign keys to both that hold for all rows: an orphan can only have come past them.
constexpr std::string_view kGuardedSql = R"sql(
SELECT count(DISTINCT f.confrelid) = 2
FROM pg_constraint AS f
WHERE f.conrelid = 'public.messages_archive'::regclass AND f.contype = 'f' AND f.convalidated
    AND f.confrelid IN (to_regclass('public.users'), to_regclass('public.chat_sessions'))
)sql";

Task<Result<bool>> IsGuarded(Database& db) {
  std::string sql(kGuardedSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  co_return rows->Bool(0, 0);
}

class OrphanBatches : public BatchWork {
 public:
  OrphanBatches() : walk_("-infinity", "infinity", ", m.session_id, m.user_id") {}

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override {
    // A restore may begin in mid-run.
    const std::string parents(kHasParents);
    const std::string filter = parents + " AND " + OrphanSql() + " AND NOT " + HeldSql("m");
    std::string sql = walk_.Sql("", filter, allowed());
    sql += ",\ngone AS (DELETE FROM public.messages_archive AS m WHERE " +
           ArchiveWalk::LockedSql() + " RETURNING 1)\nSELECT ";
    sql += ArchiveWalk::CountsSql();
    sql += ", (SELECT count(*) FROM gone), " + parents;
    PgValues values = walk_.Values(size);
    auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
    if (!rows) co_return rows.error();
    BatchOutcome outcome;
    no_parents_ = !rows->Bool(0, 6);
    if (no_parents_) co_return outcome;
    outcome.seen = rows->Integer(0, 0).value_or(0);
    outcome.skipped = rows->Integer(0, 1).value_or(0) - rows->Integer(0, 5).value_or(0);
    outcome.done = rows->Integer(0, 5).value_or(0);
    last_at_ = rows->Text(0, 3);
    last_id_ = rows->Text(0, 4);
    co_return outcome;
  }
  void Committed() override { walk_.MoveTo(last_at_, last_id_); }
  Task<Result<void>> Quarantine(JobSession&) override {
    co_return Error(Errc::kQueryFailed, "a row that is only deleted needs no quarantine");
  }
  void Rewind() override { walk_.Rewind(); }
  // The last batch found users or chats empty: the run has ended there.
  bool no_parents() const { return no_parents_; }

 private:
  ArchiveWalk walk_;
  std::string last_at_;
  std::string last_id_;
  bool no_parents_ = false;
};

Task<Result<void>> Plan(JobContext& context, JobReport& report) {
  std::string sql =
      "SELECT count(*) FILTER (WHERE NOT m.held), count(*) FILTER (WHERE m.chat_gone "
      "AND NOT m.held), count(*) FILTER (WHERE m.user_gone AND NOT m.held), "
      "count(*) FILTER (WHERE m.held), min(m.created_at)::text, "
      "max(m.created_at)::text\nFROM (SELECT m.created_at, " +
      ChatGoneSql() + " AS chat_gone, " + UserGoneSql() + " AS user_gone, " + HeldSql("m") +
      " AS held FROM public.messages_archive AS m) AS m "
      "WHERE m.chat_gone OR m.user_gone";
  auto rows = co_await context.db.Query(std::move(sql), PgValues(), kCountTimeout);
  if (!rows) co_return rows.error();
  auto& plan = report.plan;
  const std::string count(rows->Text(0, 0));
  plan.push_back(count + " archived rows have lost what they belong to: of " +
                 std::string(rows->Text(0, 1)) + " the chat is gone, of " +
                 std::string(rows->Text(0, 2)) + " the user");
  if (!rows->IsNull(0, 4)) {
    plan.push_back("created from " + std::string(rows->Text(0, 4)) + " to " +
                   std::string(rows->Text(0, 5)));
  }
  if (rows->Text(0, 3) != "0") {
    plan.push_back(std::string(rows->Text(0, 3)) + " more stay: under a hold");
  }
  auto guarded = co_await IsGuarded(context.db);
  if (!guarded) co_return guarded.error();
  plan.emplace_back(*guarded ? "foreign keys to public.chat_sessions and public.users are in force"
                             : "the archive lacks a foreign key to public.chat_sessions or "
                               "public.users: there will be orphans again");
  co_return Result<void>();
}

Task<Result<void>> Run(JobContext& context, JobReport& report) {
  auto facts = co_await ReadArchiveFacts(context.db);
  if (!facts) co_return facts.error();
  auto checked = CheckPurgeable(*facts);
  if (!checked) co_return checked;
  std::string sql(kParentsSql);
  auto parents = co_await context.db.Query(std::move(sql), PgValues(), kTimeout);
  if (!parents) co_return parents.error();
  if (!parents->Bool(0, 0) && parents->Bool(0, 1)) {
    report.status = RunStatus::kSkipped;
    report.reason = kNoParents;
    report.plan.push_back("would not begin: " + report.reason);
    co_return Result<void>();
  }
  if (context.dry_run) co_return co_await Plan(context, report);
  OrphanBatches batches;
  BatchPolicy policy = ArchiveBatchPolicy(context.options);
  policy.most_rows = context.options.Integer("max_rows");
  auto done = co_await RunInBatches(context, batches, policy, report);
  if (batches.no_parents()) {
    report.status = RunStatus::kPartial;
    report.reason = kNoParents;
  }
  co_return done;
}

// How long they have been orphans nobody has written down.
Task<Result<Backlog>> Measure(JobSession& db, const JobOptions&, const std::string&) {
  Backlog backlog;
  auto facts = co_await ReadArchiveFacts(db);
  if (!facts) co_return facts.error();
  if (!facts->archive.exists) co_return backlog;
  auto guarded = co_await IsGuarded(db);
  if (!guarded) co_return guarded.error();
  if (*guarded) co_return backlog;
  std::string sql = "SELECT count(*) FROM (SELECT FROM public.messages_archive AS m WHERE " +
                    OrphanSql() + " LIMIT 1000000) AS o";
  auto rows = co_await db.Query(std::move(sql), PgValues(), kBacklogTimeout);
  if (!rows) co_return rows.error();
  backlog.rows = rows->Integer(0, 0).value_or(0);
  co_return backlog;
}

}  // namespace

extern const JobSpec kOrphanPurge;
const JobSpec kOrphanPurge = {
    .name = "orphan_purge",
    .summary = "Destroys archived messages whose chat or user is gone.",
    .schedule = "manual",
    .deadline = std::chrono::seconds(4 * 3600),
    .options = kOptions,
    .groups = kGroups,
    .needs_confirmation = true,
    .throttle_table = "public.messages_archive",
    .run = &Run,
    .backlog = &Measure,
};

}  // namespace pgsteward
