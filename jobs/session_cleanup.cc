// The documented cleanup of logins: inactive, and idle for longer than 30 days.
#include <array>
#include <utility>

#include "jobs/batches.h"
#include "jobs/cascades.h"
#include "jobs/cutoff.h"
#include "jobs/sessions.h"

namespace pgsteward {

namespace {

constexpr Duration kBatchTimeout = std::chrono::seconds(5);
constexpr Duration kCountTimeout = std::chrono::seconds(60);

// $2 is the moment for deactivation, NULL: none. What is deactivated may be deleted in the same
// run.
constexpr std::string_view kFactsSql = R"sql(
SELECT count(*) FILTER (WHERE due AND NOT held AND NOT aside),
       count(*) FILTER (WHERE due AND held), count(*) FILTER (WHERE stale AND NOT held AND NOT aside),
       count(*) FILTER (WHERE active IS NULL),
       count(*) FILTER (WHERE last_activity IS NULL),
       count(*) FILTER (WHERE active AND last_activity < $1::timestamptz),
       min(last_activity) FILTER (WHERE due AND NOT held AND NOT aside)::text,
       max(last_activity) FILTER (WHERE due AND NOT held AND NOT aside)::text,
       count(DISTINCT user_id) FILTER (WHERE due AND NOT held AND NOT aside),
       pg_size_pretty(coalesce(sum(bytes) FILTER (WHERE due AND NOT held AND NOT aside), 0)),
       count(*) FILTER (WHERE due AND NOT held AND aside)
FROM (SELECT s.active, s.last_activity, s.user_id, pg_column_size(s.*) AS bytes, state.stale,
             s.last_activity < $1::timestamptz AND (s.active = false OR state.stale) AS due,
             EXISTS (SELECT FROM pgsteward.retention_hold AS h
                     WHERE h.user_id = s.user_id AND h.until > now()) AS held,
             EXISTS (SELECT FROM pgsteward.quarantine AS q
                     WHERE q.target = 'public.sessions' AND q.row_id = s.id::text) AS aside
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
        AND NOT EXISTS (SELECT FROM pgsteward.quarantine AS q
                        WHERE q.target = 'public.sessions' AND q.row_id = s.id::text)
      ORDER BY s.last_activity LIMIT 100000) AS due
)sql";

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
                        std::span<const Cascade> cascades, const SessionTable& table,
                        JobReport& report) {
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
  if (text(10) != "0") plan.push_back("keep " + text(10) + " sessions in quarantine");
  plan.push_back("never due: " + text(3) + " with active NULL, " + text(4) +
                 " with last_activity NULL, " + text(5) + " active and idle for longer than " +
                 age);
  for (const Cascade& cascade : cascades) plan.push_back("takes along: " + cascade.Text());
  if (cascades.empty())
    plan.emplace_back("takes along: nothing, no foreign key refers to sessions");
  for (const std::string& blocker : table.blockers) {
    plan.push_back("goes to quarantine if a row refers to it: " + blocker);
  }
  if (!table.triggers.empty()) plan.push_back("triggers run: " + table.triggers);
  co_return Result<void>();
}

BatchPolicy Policy(const JobOptions& options, const SessionTable& table) {
  BatchPolicy policy;
  policy.pacing.nice = options.Number("nice");
  policy.transaction.timeout = kBatchTimeout;
  // Halving the largest batch down to one row takes 17.
  policy.failures = 30;
  if (!table.triggers.empty()) policy.transaction.local.push_back(TriggerSearchPath());
  return policy;
}

Task<Result<void>> RunStage(JobContext& context, const SessionTable& table, SessionAction action,
                            const std::string& before, JobReport& report) {
  SessionBatches work(action, before, context, table.deferred);
  JobReport stage;
  BatchPolicy policy = Policy(context.options, table);
  auto done = co_await RunInBatches(context, work, std::move(policy), stage);
  if (action == SessionAction::kDelete) {
    report.rows_done = stage.rows_done;
  } else {
    report.details["deactivated"] = std::to_string(stage.rows_done);
  }
  report.batches += stage.batches;
  report.rows_skipped += stage.rows_skipped;
  report.rows_quarantined += stage.rows_quarantined;
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
  auto cascades = co_await ReadCascades(context.db, kSessionsTable);
  if (!cascades) co_return cascades.error();
  const std::vector<std::string> named = context.options.Texts("cascades");
  auto checked = CheckCascades(kSessionsTable, *cascades, named);
  if (!checked) co_return checked;
  auto table = co_await ReadSessionTable(context.db, *cascades, moments->deactivate.has_value());
  if (!table) co_return table.error();
  if (context.dry_run) {
    TransactionSettings settings(kCountTimeout);
    settings.read_only = true;
    settings.repeatable_read = true;
    auto begun = co_await context.db.Begin(std::move(settings));
    if (!begun) co_return begun;
    auto facts = co_await ReadFacts(context, *moments, report);
    Result<void> planned = facts ? Result<void>() : Result<void>(facts.error());
    if (facts) planned = co_await Plan(context, *moments, *facts, *cascades, *table, report);
    co_await context.db.Rollback();
    co_return planned;
  }
  auto facts = co_await ReadFacts(context, *moments, report);
  // On a very large table the counts may take too long; the batches do not.
  const bool slow =
      !facts && (facts.error().code == Errc::kTimeout || facts.error().sqlstate == "57014");
  if (!facts && !slow) co_return facts.error();
  if (slow) report.details["counted"] = "no, it took too long";
  for (const std::string& blocker : table->blockers) {
    context.control.Note("a session that a row refers to goes to quarantine: " + blocker);
  }
  if (moments->deactivate) {
    auto deactivated = co_await RunStage(context, *table, SessionAction::kDeactivate,
                                         *moments->deactivate, report);
    if (!deactivated) co_return deactivated;
    if (std::string stop = context.control.StopReason(); !stop.empty()) {
      report.status = RunStatus::kPartial;
      report.reason = std::move(stop);
      co_return Result<void>();
    }
  }
  co_return co_await RunStage(context, *table, SessionAction::kDelete, moments->cutoff, report);
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
    kNiceOption,
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
