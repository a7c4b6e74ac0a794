#include "jobs/runner/job_store.h"

#include "core/json.h"
#include "core/pg_text.h"
#include "jobs/runner/store_values.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

constexpr std::string_view kStatesSql = R"sql(
SELECT job, type, timetable, extract(epoch FROM registered_at), extract(epoch FROM next_due),
       extract(epoch FROM retry_at), attempt, queued, extract(epoch FROM last_due), last_run,
       last_status, extract(epoch FROM last_started_at), extract(epoch FROM last_finished_at),
       last_duration_s, last_rows, extract(epoch FROM last_success_at), consecutive_failures,
       extract(epoch FROM paused_until), paused_by, pause_reason, counters, memory
FROM pgsteward.job_state
ORDER BY job
)sql";

constexpr std::string_view kRegisterSql = R"sql(
INSERT INTO pgsteward.job_state (job, type, timetable)
SELECT r.job, r.type, '' FROM unnest($1::text[], $2::text[]) AS r (job, type)
ON CONFLICT (job) DO UPDATE SET type = excluded.type WHERE job_state.type <> excluded.type
)sql";

// A changed schedule also drops what the old one had left to do, and its time to succeed begins
// anew.
constexpr std::string_view kDecisionSql =
    "UPDATE pgsteward.job_state AS s SET next_due = to_timestamp($2::float8), queued = $3::int, "
    "retry_at = CASE WHEN timetable = $4 THEN retry_at END, timetable = $4, "
    "registered_at = CASE WHEN timetable = $4 THEN registered_at ELSE now() END, "
    "counters = " ADD_COUNTERS_SQL("$5", "$6") R"sql(
WHERE job = $1 AND next_due IS NOT DISTINCT FROM to_timestamp($7::float8) AND queued = $8::int
)sql";

// A retry leaves the schedule alone.
constexpr std::string_view kClaimSql =
    "UPDATE pgsteward.job_state AS s SET next_due = to_timestamp($2::float8), queued = $3::int, "
    "retry_at = NULL, attempt = $4::int, last_due = to_timestamp($9::float8), "
    "counters = " ADD_COUNTERS_SQL("$5", "$6") R"sql(
WHERE job = $1 AND next_due IS NOT DISTINCT FROM to_timestamp($7::float8) AND queued = $8::int
  AND (paused_until IS NULL OR paused_until <= clock_timestamp())
)sql";

constexpr std::string_view kPauseSql = R"sql(
UPDATE pgsteward.job_state
SET paused_until = coalesce(to_timestamp($2::float8), 'infinity'), paused_by = $3,
    pause_reason = $4
WHERE job = $1
)sql";

constexpr std::string_view kResumeSql = R"sql(
UPDATE pgsteward.job_state SET paused_until = NULL, paused_by = NULL, pause_reason = NULL
WHERE job = $1
)sql";

CounterAmounts MissedAmounts(const Decision& decision) {
  std::map<std::string, double> amounts;
  if (decision.missed > 0) amounts["missed." + decision.missed_reason] = decision.missed;
  return CounterAmounts(amounts);
}

JobState StateOf(const PgResult& rows, int row) {
  JobState state;
  state.job = TextAt(rows, row, 0);
  state.type = TextAt(rows, row, 1);
  state.timetable = TextAt(rows, row, 2);
  state.registered_at = TimeAt(rows, row, 3).value_or(WallTime());
  state.next_due = TimeAt(rows, row, 4);
  state.retry_at = TimeAt(rows, row, 5);
  state.attempt = static_cast<int>(rows.Integer(row, 6).value_or(0));
  state.queued = static_cast<int>(rows.Integer(row, 7).value_or(0));
  state.last_due = TimeAt(rows, row, 8);
  state.last_run = TextAt(rows, row, 9);
  state.last_status = TextAt(rows, row, 10);
  state.last_started_at = TimeAt(rows, row, 11);
  state.last_finished_at = TimeAt(rows, row, 12);
  state.last_duration_s = rows.Number(row, 13).value_or(0);
  state.last_rows = rows.Integer(row, 14).value_or(0);
  state.last_success_at = TimeAt(rows, row, 15);
  state.consecutive_failures = static_cast<int>(rows.Integer(row, 16).value_or(0));
  state.paused_until = TimeAt(rows, row, 17);
  state.paused_by = TextAt(rows, row, 18);
  state.pause_reason = TextAt(rows, row, 19);
  state.counters = NumbersOf(rows.Text(row, 20));
  const auto memory = ParseFlatJson(rows.Text(row, 21));
  if (memory) state.memory = *memory;
  return state;
}

}  // namespace

Task<Result<std::vector<JobState>>> LoadJobStates(Database& db) {
  std::string sql(kStatesSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<JobState> states;
  for (int row = 0; row < rows->rows(); ++row) states.push_back(StateOf(*rows, row));
  co_return states;
}

Task<Result<void>> RegisterJobs(Database& db, const std::vector<JobPolicy>& jobs) {
  std::string names = "{";
  std::string types = "{";
  for (const JobPolicy& job : jobs) {
    names += (names.size() > 1 ? "," : "") + job.name;
    types += (types.size() > 1 ? "," : "") + std::string(job.spec->name);
  }
  std::string sql(kRegisterSql);
  PgValues values;
  values.emplace_back(names + "}");
  values.emplace_back(types + "}");
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

namespace {

// $1 to $8 of both statements.
PgValues DecisionValues(const JobPolicy& policy, const JobState& before, const Decision& decision,
                        std::string fourth) {
  const CounterAmounts missed = MissedAmounts(decision);
  PgValues values;
  values.emplace_back(policy.name);
  values.push_back(EpochText(decision.next_due));
  values.emplace_back(std::to_string(decision.queued));
  values.emplace_back(std::move(fourth));
  values.emplace_back(missed.names);
  values.emplace_back(missed.numbers);
  values.push_back(EpochText(before.next_due));
  values.emplace_back(std::to_string(before.queued));
  return values;
}

}  // namespace

Task<Result<bool>> StoreDecision(Database& db, const JobPolicy& policy, const JobState& before,
                                 const Decision& decision) {
  std::string sql(kDecisionSql);
  PgValues values = DecisionValues(policy, before, decision, decision.timetable);
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return done->command_tag() == "UPDATE 1";
}

Task<Result<bool>> ClaimDue(Database& db, const JobPolicy& policy, const JobState& before,
                            const Decision& decision, std::optional<WallTime> due, int attempt) {
  std::string sql(kClaimSql);
  PgValues values = DecisionValues(policy, before, decision, std::to_string(attempt));
  values.push_back(EpochText(due));
  auto claimed = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!claimed) co_return claimed.error();
  co_return claimed->command_tag() == "UPDATE 1";
}

Task<Result<bool>> PauseJob(Database& db, const std::string& job, std::optional<WallTime> until,
                            const std::string& by, const std::string& reason) {
  std::string sql(kPauseSql);
  PgValues values;
  values.emplace_back(job);
  values.push_back(EpochText(until));
  values.emplace_back(by);
  values.emplace_back(reason);
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return done->command_tag() == "UPDATE 1";
}

Task<Result<bool>> ResumeJob(Database& db, const std::string& job) {
  std::string sql(kResumeSql);
  PgValues values;
  values.emplace_back(job);
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return done->command_tag() == "UPDATE 1";
}

}  // namespace pgsteward
