// The documented cleanup of logins: inactive, and idle for longer than 30 days.
#include <array>
#include <utility>

#include "jobs/batches.h"
#include "jobs/cascades.h"
#include "jobs/cutoff.h"

namespace pgsteward {

namespace {

constexpr char kTable[] = "public.sessions";
constexpr Duration kBatchTimeout = std::chrono::seconds(5);
constexpr Duration kCountTimeout = std::chrono::seconds(60);

// $1 is the cut-off. NULL in active or last_activity is never due, as in the document.
constexpr std::string_view kDue = "s.active = false AND s.last_activity < $1::timestamptz";
constexpr std::string_view kDelete = "DELETE FROM public.sessions";
// An unknown state is taken for active, which is the column's default.
constexpr std::string_view kStale =
    "s.active IS DISTINCT FROM false AND s.last_activity < $1::timestamptz";
constexpr std::string_view kDeactivate = "UPDATE public.sessions SET active = false";

// WHICH and ACTION stand for texts from above. The state is looked at again under the lock: the
// user may have come back since the statement's snapshot.
constexpr std::string_view kBatchSql = R"sql(
WITH candidate AS MATERIALIZED (
  SELECT s.ctid AS place, s.last_activity, s.id FROM public.sessions AS s
  WHERE WHICH AND (s.last_activity, s.id) > ($2::timestamptz, $3::uuid)
    AND NOT EXISTS (SELECT FROM pgsteward.retention_hold AS h
                    WHERE h.user_id = s.user_id AND h.until > now())
  ORDER BY s.last_activity, s.id LIMIT $4::int
), locked AS MATERIALIZED (
  SELECT s.ctid AS place FROM public.sessions AS s
  WHERE s.ctid = ANY (ARRAY(SELECT place FROM candidate)) AND WHICH
  FOR UPDATE SKIP LOCKED
), treated AS (
  ACTION WHERE ctid = ANY (ARRAY(SELECT place FROM locked)) RETURNING 1
)
SELECT (SELECT count(*) FROM candidate), (SELECT count(*) FROM treated),
       last.last_activity::text, last.id::text
FROM (SELECT last_activity, id FROM candidate ORDER BY last_activity DESC, id DESC LIMIT 1) AS last
)sql";

// $2 is the moment for deactivation, NULL: none. What is deactivated may be deleted in the same
// run.
constexpr std::string_view kFactsSql = R"sql(
SELECT count(*) FILTER (WHERE due AND NOT held), count(*) FILTER (WHERE due AND held),
       count(*) FILTER (WHERE stale AND NOT held), count(*) FILTER (WHERE active IS NULL),
       count(*) FILTER (WHERE last_activity IS NULL),
       count(*) FILTER (WHERE active AND last_activity < $1::timestamptz),
       min(last_activity) FILTER (WHERE due AND NOT held)::text,
       max(last_activity) FILTER (WHERE due AND NOT held)::text,
       count(DISTINCT user_id) FILTER (WHERE due AND NOT held),
       pg_size_pretty(coalesce(sum(bytes) FILTER (WHERE due AND NOT held), 0))
FROM (SELECT s.active, s.last_activity, s.user_id, pg_column_size(s.*) AS bytes, state.stale,
             s.last_activity < $1::timestamptz AND (s.active = false OR state.stale) AS due,
             EXISTS (SELECT FROM pgsteward.retention_hold AS h
                     WHERE h.user_id = s.user_id AND h.until > now()) AS held
      FROM public.sessions AS s
      CROSS JOIN LATERAL (SELECT coalesce(s.active IS DISTINCT FROM false
                                          AND s.last_activity < $2::timestamptz, false))
        AS state (stale)) AS session
)sql";

constexpr std::string_view kMonthsSql = R"sql(
SELECT to_char(s.last_activity AT TIME ZONE $3, 'YYYY-MM'), count(*) FROM public.sessions AS s
WHERE s.last_activity < $1::timestamptz
  AND (s.active = false
       OR coalesce(s.active IS DISTINCT FROM false AND s.last_activity < $2::timestamptz, false))
  AND NOT EXISTS (SELECT FROM pgsteward.retention_hold AS h
                  WHERE h.user_id = s.user_id AND h.until > now())
GROUP BY 1 ORDER BY 1 DESC LIMIT 36
)sql";

// By the index on last_activity, and no further than that many.
constexpr std::string_view kBacklogSql = R"sql(
SELECT count(*), coalesce(extract(epoch FROM $1::timestamptz - min(last_activity)), 0)
FROM (SELECT s.last_activity FROM public.sessions AS s
      WHERE s.active = false AND s.last_activity < $1::timestamptz
        AND NOT EXISTS (SELECT FROM pgsteward.retention_hold AS h
                        WHERE h.user_id = s.user_id AND h.until > now())
      ORDER BY s.last_activity LIMIT 100000) AS due
)sql";

std::string Replace(std::string text, std::string_view word, std::string_view by) {
  for (std::size_t at = text.find(word); at != std::string::npos;
       at = text.find(word, at + by.size())) {
    text.replace(at, word.size(), by);
  }
  return text;
}

class SessionBatches : public BatchWork {
 public:
  SessionBatches(std::string_view which, std::string_view action, std::string cutoff)
      : sql_(Replace(Replace(std::string(kBatchSql), "WHICH", which), "ACTION", action)),
        cutoff_(std::move(cutoff)) {
    SessionBatches::Rewind();
  }

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override {
    PgValues values = {cutoff_, time_, id_, std::to_string(size)};
    auto rows = co_await db.Query(sql_, std::move(values), kBatchTimeout);
    if (!rows) co_return rows.error();
    BatchOutcome outcome;
    if (rows->rows() == 0) co_return outcome;
    outcome.seen = rows->Integer(0, 0).value_or(0);
    outcome.done = rows->Integer(0, 1).value_or(0);
    outcome.skipped = outcome.seen - outcome.done;
    next_time_ = rows->Text(0, 2);
    next_id_ = rows->Text(0, 3);
    co_return outcome;
  }
  void Committed() override {
    time_ = next_time_;
    id_ = next_id_;
  }
  // Never asked for: nothing here is put elsewhere.
  Task<Result<void>> Quarantine(JobSession&) override { co_return Result<void>(); }
  void Rewind() override {
    time_ = "-infinity";
    id_ = "00000000-0000-0000-0000-000000000000";
  }

 private:
  std::string sql_;
  std::string cutoff_;
  std::string time_, id_, next_time_, next_id_;
};

struct Moments {
  std::string cutoff;
  std::optional<std::string> deactivate;  // empty: that stage is off
};

Task<Result<Moments>> ReadMoments(JobContext& context) {
  Moments moments;
  const std::string age = context.options.Text("older_than");
  auto cutoff = co_await ReadCutoff(context.db, context.time_zone, age);
  if (!cutoff) co_return cutoff.error();
  moments.cutoff = *cutoff;
  const std::string idle = context.options.Text("deactivate_after");
  if (idle.empty()) co_return moments;
  auto deactivate = co_await ReadCutoff(context.db, context.time_zone, idle);
  if (!deactivate) co_return deactivate.error();
  moments.deactivate = *deactivate;
  co_return moments;
}

// Also the check whether row level security lets us see anything: then it is an error.
Task<Result<PgResult>> ReadFacts(JobContext& context, const Moments& moments, JobReport& report) {
  PgValues values = {moments.cutoff, moments.deactivate};
  auto facts = co_await context.db.Query(std::string(kFactsSql), std::move(values), kCountTimeout);
  if (!facts) co_return facts;
  report.details["held"] = facts->Text(0, 1);
  report.details["null_active"] = facts->Text(0, 3);
  report.details["null_last_activity"] = facts->Text(0, 4);
  report.details["stale_active"] = facts->Text(0, 5);
  co_return facts;
}

Task<Result<void>> Plan(JobContext& context, const Moments& moments, const PgResult& facts,
                        std::span<const Cascade> cascades, JobReport& report) {
  const std::string age = context.options.Text("older_than");
  auto text = [&](int column) { return std::string(facts.Text(0, column)); };
  auto& plan = report.plan;
  plan.push_back("cut-off: " + moments.cutoff + ", " + age + " before today in " +
                 context.time_zone);
  if (moments.deactivate) {
    plan.push_back("set active = false on " + text(2) + " sessions idle since before " +
                   *moments.deactivate);
  }
  std::string line = "delete " + text(0) + " sessions";
  if (text(0) != "0") {
    line += " of " + text(8) + " users, last active from " + text(6) + " to " + text(7) +
            ", about " + text(9);
  }
  plan.push_back(std::move(line));
  PgValues values = {moments.cutoff, moments.deactivate, context.time_zone};
  auto months =
      co_await context.db.Query(std::string(kMonthsSql), std::move(values), kCountTimeout);
  if (!months) co_return months.error();
  for (int row = months->rows() - 1; row >= 0; --row) {
    plan.push_back("  last active in " + std::string(months->Text(row, 0)) + ": " +
                   std::string(months->Text(row, 1)));
  }
  plan.push_back("keep " + text(1) + " sessions of users on hold");
  plan.push_back("never due: " + text(3) + " with active NULL, " + text(4) +
                 " with last_activity NULL, " + text(5) + " active and idle for longer than " +
                 age);
  for (const Cascade& cascade : cascades) plan.push_back("takes along: " + cascade.Text());
  if (cascades.empty())
    plan.emplace_back("takes along: nothing, no foreign key refers to sessions");
  co_return Result<void>();
}

BatchPolicy Policy(const JobOptions& options) {
  BatchPolicy policy;
  policy.pacing.nice = options.Number("nice");
  policy.transaction.timeout = kBatchTimeout;
  return policy;
}

Task<Result<void>> Deactivate(JobContext& context, const std::string& before, JobReport& report) {
  SessionBatches work(kStale, kDeactivate, before);
  JobReport stage;
  auto done = co_await RunInBatches(context, work, Policy(context.options), stage);
  report.details["deactivated"] = std::to_string(stage.rows_done);
  report.batches += stage.batches;
  report.rows_skipped += stage.rows_skipped;
  report.status = stage.status;
  report.reason = stage.reason;
  co_return done;
}

Task<Result<void>> Delete(JobContext& context, const std::string& cutoff, JobReport& report) {
  SessionBatches work(kDue, kDelete, cutoff);
  JobReport stage;
  auto done = co_await RunInBatches(context, work, Policy(context.options), stage);
  report.rows_done = stage.rows_done;
  report.batches += stage.batches;
  report.rows_skipped += stage.rows_skipped;
  if (stage.status != RunStatus::kOk) {
    report.status = stage.status;
    report.reason = stage.reason;
  }
  co_return done;
}

Task<Result<void>> RunSessionCleanup(JobContext& context, JobReport& report) {
  auto moments = co_await ReadMoments(context);
  if (!moments) co_return moments.error();
  report.cutoff = moments->cutoff;
  auto cascades = co_await ReadCascades(context.db, kTable);
  if (!cascades) co_return cascades.error();
  const std::vector<std::string> named = context.options.Texts("cascades");
  auto checked = CheckCascades(kTable, *cascades, named);
  if (!checked) co_return checked;
  if (context.dry_run) {
    TransactionSettings settings(kCountTimeout);
    settings.read_only = true;
    settings.repeatable_read = true;
    auto begun = co_await context.db.Begin(std::move(settings));
    if (!begun) co_return begun;
    auto facts = co_await ReadFacts(context, *moments, report);
    Result<void> planned = facts ? Result<void>() : Result<void>(facts.error());
    if (facts) planned = co_await Plan(context, *moments, *facts, *cascades, report);
    co_await context.db.Rollback();
    co_return planned;
  }
  auto facts = co_await ReadFacts(context, *moments, report);
  // On a very large table the counts may take too long; the batches do not.
  const bool slow =
      !facts && (facts.error().code == Errc::kTimeout || facts.error().sqlstate == "57014");
  if (!facts && !slow) co_return facts.error();
  if (slow) report.details["counted"] = "no, it took too long";
  if (moments->deactivate) {
    auto deactivated = co_await Deactivate(context, *moments->deactivate, report);
    if (!deactivated) co_return deactivated;
    if (!context.control.StopReason().empty()) co_return Result<void>();
  }
  co_return co_await Delete(context, moments->cutoff, report);
}

Task<Result<Backlog>> SessionBacklog(JobSession& db, const JobOptions& options,
                                     const std::string& time_zone) {
  const std::string age = options.Text("older_than");
  auto cutoff = co_await ReadCutoff(db, time_zone, age);
  if (!cutoff) co_return cutoff.error();
  PgValues values = {*cutoff};
  auto rows = co_await db.Query(std::string(kBacklogSql), std::move(values), kBatchTimeout);
  if (!rows) co_return rows.error();
  Backlog backlog;
  backlog.rows = rows->Integer(0, 0).value_or(0);
  backlog.oldest_age_s = rows->Number(0, 1).value_or(0);
  co_return backlog;
}

constexpr std::array<JobOption, 4> kOptions = {{
    {.name = "older_than",
     .kind = OptionKind::kAge,
     .fallback = "30 days",
     .help = "Inactive sessions are deleted when their last activity is longer ago than this.",
     .widens = true},
    {.name = "deactivate_after",
     .kind = OptionKind::kAge,
     .fallback = "",
     .help = "Active sessions that are idle for longer than this are made inactive first; not set: "
             "they are only counted.",
     .widens = true},
    {.name = "cascades",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Tables whose rows a foreign key takes along with a session, each as agreed to; any "
             "other such table stops the run.",
     .widens = true},
    {.name = "nice",
     .kind = OptionKind::kNumber,
     .fallback = "1",
     .help = "The rest after a batch, as a multiple of the time that the batch took.",
     .least = 0,
     .most = 100},
}};

}  // namespace

extern const JobSpec kSessionCleanup;
const JobSpec kSessionCleanup = {
    .name = "session_cleanup",
    .summary = "Deletes logins that are inactive and idle for longer than 30 days.",
    .schedule = "15 3 * * *",
    .options = kOptions,
    .needs_confirmation = true,
    .throttle_table = "public.sessions",
    .run = &RunSessionCleanup,
    .backlog = &SessionBacklog,
};

}  // namespace pgsteward
