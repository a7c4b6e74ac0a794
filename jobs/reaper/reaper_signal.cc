#include "jobs/reaper/reaper_signal.h"

#include "jobs/reaper/reaper_facts.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);

// One after the other, so that the count of signals that follows is right whoever else counts; with
// a lock of the transaction, which a pooler does not mind. The fence may have looked at
// pg_stat_activity, and the server would go on showing what it saw then.
constexpr std::string_view kTurnSql = R"sql(
SELECT pg_advisory_xact_lock(1885827956, 1919246704), pg_stat_clear_snapshot()
)sql";

constexpr std::string_view kColumns = R"sql(
INSERT INTO pgsteward.remediation_log
  (job, run_id, rule, action, result, pid, backend_start, query_start, xact_start, usename, datname,
   application_name, state, age_s, victims, query_digest)
SELECT $1::text, $2::uuid, $3::text, )sql";
constexpr std::string_view kValues = R"sql(
       $6::int, $7::timestamptz, $8::timestamptz, $9::timestamptz, $10::text, $11::text, $12::text,
       $13::text, $14::float8, $15::int, $16::text
)sql";

// MATERIALIZED: signalled once, however often it is referred to.
constexpr std::string_view kSignalSql = R"sql(
WITH signalled AS MATERIALIZED (
  SELECT CASE $4::text WHEN 'terminate' THEN pg_terminate_backend(pid)
                       WHEN 'cancel' THEN pg_cancel_backend(pid) END AS sent
  FROM pg_stat_activity
  WHERE pid = $6::int
    AND backend_start = $7::timestamptz
    AND query_start IS NOT DISTINCT FROM $8::timestamptz
    AND xact_start IS NOT DISTINCT FROM $9::timestamptz
    AND state_change IS NOT DISTINCT FROM $17::timestamptz
    AND state = $13::text
    AND backend_type = 'client backend'
    AND wait_event_type IS DISTINCT FROM 'Lock'
))sql";
constexpr std::string_view kVerdictSql = R"sql(
       CASE WHEN s.sent THEN $4::text ELSE 'refused' END,
       CASE WHEN s.sent THEN $5::text WHEN NOT s.sent THEN 'gone' ELSE 'changed' END,)sql";
constexpr std::string_view kSignalEndSql = R"sql(
FROM (SELECT (SELECT sent FROM signalled) AS sent) AS s
RETURNING id, action, result
)sql";

constexpr std::string_view kUnlessSaidSql = R"sql(
WHERE NOT EXISTS (
  SELECT FROM pgsteward.remediation_log AS said
  WHERE said.at > clock_timestamp() - interval '1 hour'
    AND (said.job, said.rule, said.action, said.result, said.pid) = ($1, $3, $4, $5, $6::int)
    AND (said.backend_start, said.query_start, said.xact_start)
        IS NOT DISTINCT FROM ($7::timestamptz, $8::timestamptz, $9::timestamptz))
)sql";

constexpr std::string_view kResultSql = R"sql(
UPDATE pgsteward.remediation_log SET result = $2 WHERE id = $1::bigint
)sql";

std::optional<std::string> NullIfEmpty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

// $1 to $16.
PgValues LogValues(const JobContext& context, const ReaperDecision& decision,
                   std::string_view action, const std::string& result) {
  const ReaperSession& session = decision.session;
  PgValues values;
  values.emplace_back(context.job);
  values.push_back(NullIfEmpty(context.run_id));
  values.emplace_back(ReaperRuleName(decision.rule));
  values.emplace_back(action);
  values.emplace_back(result);
  values.emplace_back(std::to_string(session.pid));
  for (const std::string* text :
       {&session.backend_start, &session.query_start, &session.xact_start, &session.user,
        &session.database, &session.application, &session.state}) {
    values.push_back(NullIfEmpty(*text));
  }
  values.emplace_back(std::to_string(decision.age_s));
  values.emplace_back(std::to_string(decision.victims));
  values.push_back(NullIfEmpty(session.query_digest));
  return values;
}

std::string LogSql() {
  return std::string(kColumns) + "$4::text, $5::text," + std::string(kValues);
}

Task<Result<void>> BeginFenced(JobContext& context) {
  TransactionSettings settings{kTimeout};
  auto begun = co_await context.db.Begin(std::move(settings));
  if (!begun) co_return begun.error();
  auto fenced = co_await context.control.Fence(context.db);
  if (fenced) co_return Result<void>();
  co_await context.db.Rollback();
  co_return fenced.error();
}

// Ends the transaction; an error of `done` wins.
Task<Result<void>> End(JobContext& context, Result<void> done) {
  if (done) co_return co_await context.db.Commit();
  co_await context.db.Rollback();
  co_return done;
}

Task<Result<void>> LogOne(JobContext& context, const ReaperDecision& decision) {
  std::string sql = LogSql() + std::string(kUnlessSaidSql);
  PgValues values =
      LogValues(context, decision, ReaperActionName(decision.action), decision.result);
  auto logged = co_await context.db.Query(std::move(sql), std::move(values), kTimeout);
  if (!logged) co_return logged.error();
  co_return Result<void>();
}

// In the open transaction.
Task<Result<ReaperSignal>> SignalInTurn(JobContext& context, const ReaperPolicy& policy,
                                        const ReaperDecision& decision, bool escalation) {
  std::string turn_sql(kTurnSql);
  auto turn = co_await context.db.Query(std::move(turn_sql), PgValues(), kTimeout);
  if (!turn) co_return turn.error();
  auto recent = co_await ReadRecentSignals(context.db);
  if (!recent) co_return recent.error();
  ReaperSignal signal;
  if (!escalation && !WithinReaperRate(policy, *recent)) {
    signal.result = "rate_limit";
    ReaperDecision refused = decision;
    refused.action = signal.action;
    refused.result = signal.result;
    auto logged = co_await LogOne(context, refused);
    if (!logged) co_return logged.error();
    co_return signal;
  }
  std::string sql(kSignalSql);
  sql.append(kColumns).append(kVerdictSql).append(kValues).append(kSignalEndSql);
  PgValues values = LogValues(context, decision, ReaperActionName(decision.action), "sent");
  values.push_back(NullIfEmpty(decision.session.state_change));
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  signal.id = rows->Integer(0, 0).value_or(0);
  if (rows->Text(0, 1) != "refused") signal.action = decision.action;
  signal.result = rows->Text(0, 2);
  co_return signal;
}

}  // namespace

Task<Result<ReaperSignal>> SignalSession(JobContext& context, const ReaperPolicy& policy,
                                         const ReaperDecision& decision, bool escalation) {
  auto begun = co_await BeginFenced(context);
  if (!begun) co_return begun.error();
  auto signal = co_await SignalInTurn(context, policy, decision, escalation);
  if (signal) {
    auto committed = co_await context.db.Commit();
    if (!committed) co_return committed.error();
    co_return signal;
  }
  Error failure = signal.error();
  co_await context.db.Rollback();
  if (failure.sqlstate != "42501") co_return failure;
  // Its role became one that ours may not signal: no reason to leave the others alone.
  std::vector<ReaperDecision> refused = {decision};
  refused[0].action = ReaperAction::kRefused;
  refused[0].result = "not_permitted";
  auto logged = co_await LogDecisions(context, refused);
  if (!logged) co_return logged.error();
  ReaperSignal outcome;
  outcome.result = refused[0].result;
  co_return outcome;
}

Task<Result<void>> LogDecisions(JobContext& context, const std::vector<ReaperDecision>& decisions) {
  auto done = co_await BeginFenced(context);
  if (!done) co_return done;
  for (const ReaperDecision& decision : decisions) {
    if (done) done = co_await LogOne(context, decision);
  }
  co_return co_await End(context, done);
}

Task<Result<void>> LogResults(JobContext& context,
                              const std::vector<std::pair<long long, std::string>>& results) {
  auto done = co_await BeginFenced(context);
  if (!done) co_return done;
  for (const auto& [id, result] : results) {
    std::string sql(kResultSql);
    PgValues values;
    values.emplace_back(std::to_string(id));
    values.emplace_back(result);
    auto updated = co_await context.db.Query(std::move(sql), std::move(values), kTimeout);
    if (!updated) done = updated.error();
    if (!done) break;
  }
  co_return co_await End(context, done);
}

}  // namespace pgsteward
