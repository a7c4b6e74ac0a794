#include "jobs/runner/run_store.h"

#include <cstdlib>

#include "core/json.h"
#include "core/pg_error.h"
#include "jobs/runner/job_store.h"
#include "jobs/runner/lease.h"
#include "jobs/runner/store_values.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
// Who has fenced a transaction of the lost run must end first.
constexpr Duration kTakeOverWait = std::chrono::seconds(2);

constexpr std::string_view kBeginRunSql = R"sql(
INSERT INTO pgsteward.job_run
  (run_id, job, type, trigger, due_at, attempt, started_at, host, pid, holder, lease_epoch,
   timeline, status)
VALUES ($1, $2, $3, $4, to_timestamp($5::float8), $6::int, to_timestamp($7::float8), $8, $9::int,
        $10, $11::bigint, $12::int, 'running')
ON CONFLICT DO NOTHING
)sql";

// What the claim had changed. An empty next_due is computed anew.
constexpr std::string_view kRepairSql = R"sql(
UPDATE pgsteward.job_state
SET last_run = $2, last_started_at = to_timestamp($3::float8),
    last_due = coalesce(to_timestamp($4::float8), last_due), attempt = $5::int,
    next_due = CASE WHEN next_due > to_timestamp($4::float8) OR $4 IS NULL THEN next_due END
WHERE job = $1 AND (last_started_at < to_timestamp($3::float8)) IS NOT FALSE
)sql";

constexpr std::string_view kNoteRunSql = R"sql(
UPDATE pgsteward.job_state
SET last_run = $2, last_started_at = to_timestamp($3::float8)
WHERE job = $1
)sql";

// Gives the status before.
constexpr std::string_view kFinishSql = R"sql(
WITH before AS (SELECT status FROM pgsteward.job_run WHERE run_id = $1 FOR UPDATE)
UPDATE pgsteward.job_run
SET finished_at = to_timestamp($2::float8), status = $3, reason = nullif($4, ''),
    cutoff = nullif($5, '')::timestamptz, rows_done = $6::bigint, rows_skipped = $7::bigint,
    rows_quarantined = $8::bigint, batches = $9::int, throttled = $10::jsonb, details = $11::jsonb,
    error_sqlstate = nullif($12, ''), error_text = nullif($13, '')
WHERE run_id = $1 AND status IN ('running', 'aborted')
RETURNING (SELECT status FROM before)
)sql";

// What came after it is not overwritten.
constexpr std::string_view kFinishStateSql =
    "UPDATE pgsteward.job_state AS s SET last_status = $3, "
    "last_finished_at = to_timestamp($4::float8), "
    "last_duration_s = $5::float8, last_rows = $6::bigint, last_success_at = CASE WHEN $7::boolean "
    "THEN to_timestamp($4::float8) ELSE last_success_at END, consecutive_failures = CASE WHEN "
    "$7::boolean THEN 0 WHEN $3 IN ('failed', 'aborted') THEN consecutive_failures + 1 ELSE "
    "consecutive_failures END, retry_at = CASE WHEN $12::boolean THEN retry_at ELSE "
    "to_timestamp($8::float8) END, memory = CASE WHEN $9 = '' "
    "THEN memory ELSE memory || jsonb_build_object('accepted_plan', $9) END, "
    "counters = " ADD_COUNTERS_SQL("$10", "$11") R"sql(
WHERE job = $1 AND last_run = $2
)sql";

constexpr std::string_view kLostSql = R"sql(
SELECT r.run_id, r.job, r.attempt, r.due_at IS NOT NULL, r.holder, r.lease_epoch,
       extract(epoch FROM r.started_at), r.trigger
FROM pgsteward.job_run AS r
LEFT JOIN pgsteward.lease AS l ON l.name = 'job/' || r.job
WHERE r.status = 'running'
  AND NOT coalesce(l.epoch = r.lease_epoch AND l.expires_at > clock_timestamp(), false)
ORDER BY r.started_at
)sql";

constexpr std::string_view kPruneSql = R"sql(
DELETE FROM pgsteward.job_run AS r
WHERE r.finished_at < now() - $1::interval
  AND NOT EXISTS (SELECT FROM pgsteward.job_state AS s WHERE s.last_run = r.run_id)
)sql";

constexpr std::string_view kPruneLogSql = R"sql(
DELETE FROM pgsteward.remediation_log WHERE at < now() - $1::interval
)sql";

constexpr std::string_view kHistorySql = R"sql(
SELECT run_id, job, type, trigger, extract(epoch FROM due_at), attempt,
       extract(epoch FROM started_at), extract(epoch FROM finished_at), host, pid, holder,
       lease_epoch, timeline, status, reason, cutoff, rows_done, rows_skipped, rows_quarantined,
       batches, throttled, details, error_sqlstate, error_text
FROM pgsteward.job_run
WHERE $1 = '' OR job = $1
ORDER BY started_at DESC, run_id
LIMIT $2::int
)sql";

CounterAmounts FinishAmounts(const RunRecord& record) {
  std::map<std::string, double> amounts;
  amounts["runs." + std::string(RunStatusName(record.report.status))] = 1;
  if (record.trigger == Trigger::kRetry) amounts["retries"] = 1;
  if (record.report.rows_done > 0) amounts["rows"] = static_cast<double>(record.report.rows_done);
  if (record.report.rows_quarantined > 0) {
    amounts["quarantined"] = static_cast<double>(record.report.rows_quarantined);
  }
  for (const auto& [reason, seconds] : record.throttled) amounts["throttled." + reason] = seconds;
  return CounterAmounts(amounts);
}

RunRecord RunOf(const PgResult& rows, int row) {
  RunRecord run;
  run.run_id = TextAt(rows, row, 0);
  run.job = TextAt(rows, row, 1);
  run.type = TextAt(rows, row, 2);
  run.trigger = FindTrigger(rows.Text(row, 3)).value_or(Trigger::kManual);
  run.due = TimeAt(rows, row, 4);
  run.attempt = static_cast<int>(rows.Integer(row, 5).value_or(1));
  run.started = TimeAt(rows, row, 6).value_or(WallTime());
  run.finished = TimeAt(rows, row, 7).value_or(WallTime());
  run.host = TextAt(rows, row, 8);
  run.pid = static_cast<int>(rows.Integer(row, 9).value_or(0));
  run.holder = TextAt(rows, row, 10);
  run.epoch = rows.Integer(row, 11).value_or(0);
  run.timeline = static_cast<int>(rows.Integer(row, 12).value_or(0));
  run.report.status = FindRunStatus(rows.Text(row, 13)).value_or(RunStatus::kFailed);
  run.report.reason = TextAt(rows, row, 14);
  run.report.cutoff = TextAt(rows, row, 15);
  run.report.rows_done = rows.Integer(row, 16).value_or(0);
  run.report.rows_skipped = rows.Integer(row, 17).value_or(0);
  run.report.rows_quarantined = rows.Integer(row, 18).value_or(0);
  run.report.batches = static_cast<int>(rows.Integer(row, 19).value_or(0));
  run.throttled = NumbersOf(rows.Text(row, 20));
  const auto details = ParseFlatJson(rows.Text(row, 21));
  if (details) run.report.details = *details;
  run.error_sqlstate = TextAt(rows, row, 22);
  run.error_text = TextAt(rows, row, 23);
  return run;
}

PgValues BeginValues(const RunRecord& record) {
  PgValues values;
  values.emplace_back(record.run_id);
  values.emplace_back(record.job);
  values.emplace_back(record.type);
  values.emplace_back(std::string(TriggerName(record.trigger)));
  values.push_back(EpochText(record.due));
  values.emplace_back(std::to_string(record.attempt));
  values.push_back(EpochText(record.started));
  values.emplace_back(record.host);
  values.emplace_back(std::to_string(record.pid));
  values.emplace_back(record.holder);
  values.emplace_back(std::to_string(record.epoch));
  values.emplace_back(std::to_string(record.timeline));
  return values;
}

// False: there is one of this id, or of this due time and attempt.
Task<Result<bool>> BeginRun(JobSession& db, const RunRecord& record) {
  std::string sql(kBeginRunSql);
  PgValues values = BeginValues(record);
  auto begun = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!begun) co_return begun.error();
  co_return begun->command_tag() == "INSERT 0 1";
}

Task<Result<bool>> Repair(JobSession& db, const RunRecord& record) {
  std::string sql(kRepairSql);
  PgValues values;
  values.emplace_back(record.job);
  values.emplace_back(record.run_id);
  values.push_back(EpochText(record.started));
  values.push_back(EpochText(record.due));
  values.emplace_back(std::to_string(record.attempt));
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return true;
}

}  // namespace

Task<Result<Claim>> ClaimRun(JobSession& db, const JobPolicy& policy, const RunRecord& record,
                             const JobState* before, const Decision* decision) {
  if (before && decision) {
    auto claimed = co_await ClaimDue(db, policy, *before, *decision, record.due, record.attempt);
    if (!claimed) co_return claimed.error();
    if (!*claimed) co_return Claim::kChanged;
  }
  auto begun = co_await BeginRun(db, record);
  if (!begun) co_return begun.error();
  if (!*begun) co_return Claim::kRanBefore;
  std::string note_sql(kNoteRunSql);
  PgValues note;
  note.emplace_back(record.job);
  note.emplace_back(record.run_id);
  note.push_back(EpochText(record.started));
  auto noted = co_await db.Query(std::move(note_sql), std::move(note), kTimeout);
  if (!noted) co_return noted.error();
  co_return Claim::kTaken;
}

namespace {

// Between BEGIN and COMMIT. False: this end is known already.
Task<Result<bool>> WriteEnd(JobSession& db, const RunRecord& record) {
  const JobReport& report = record.report;
  const std::string status(RunStatusName(report.status));
  std::string sql(kFinishSql);
  PgValues values;
  values.emplace_back(record.run_id);
  values.push_back(EpochText(record.finished));
  values.emplace_back(status);
  values.emplace_back(report.reason);
  values.emplace_back(report.cutoff);
  values.emplace_back(std::to_string(report.rows_done));
  values.emplace_back(std::to_string(report.rows_skipped));
  values.emplace_back(std::to_string(report.rows_quarantined));
  values.emplace_back(std::to_string(report.batches));
  values.emplace_back(JsonNumbers(record.throttled));
  values.emplace_back(FlatJson(report.details));
  values.emplace_back(record.error_sqlstate);
  values.emplace_back(record.error_text);
  auto ended = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!ended) co_return ended.error();
  if (ended->rows() == 0) co_return false;
  const bool success = report.status == RunStatus::kOk || report.status == RunStatus::kPartial;
  // A run that was given up and tells its end after all was counted then.
  const bool counted = ended->Text(0, 0) == "aborted";
  const CounterAmounts amounts = counted ? CounterAmounts() : FinishAmounts(record);
  std::string state_sql(kFinishStateSql);
  PgValues state;
  state.emplace_back(record.job);
  state.emplace_back(record.run_id);
  state.emplace_back(status);
  state.push_back(EpochText(record.finished));
  state.emplace_back(
      std::to_string(std::chrono::duration<double>(record.finished - record.started).count()));
  state.emplace_back(std::to_string(report.rows_done));
  state.emplace_back(success && report.status == RunStatus::kOk ? "true" : "false");
  state.push_back(EpochText(record.retry_at));
  state.emplace_back(record.accepted_plan);
  state.emplace_back(amounts.names);
  state.emplace_back(amounts.numbers);
  // Somebody tried by hand, in vain: what waits for another attempt waits on.
  const bool in_vain = record.trigger == Trigger::kManual && report.status != RunStatus::kOk;
  state.emplace_back(in_vain ? "true" : "false");
  auto noted = co_await db.Query(std::move(state_sql), std::move(state), kTimeout);
  if (!noted) co_return noted.error();
  co_return true;
}

}  // namespace

Task<Result<void>> FinishRun(JobSession& db, const RunRecord& record) {
  auto begun = co_await db.Begin(TransactionSettings(kTimeout));
  if (!begun) co_return begun;
  // A crash of a server without synchronous_commit, or a failover, may have lost what was claimed.
  auto lost = co_await BeginRun(db, record);
  if (lost && *lost) lost = co_await Repair(db, record);
  if (!lost) {
    co_await db.Rollback();
    co_return lost.error();
  }
  auto written = co_await WriteEnd(db, record);
  if (!written || !*written) {
    co_await db.Rollback();
    if (!written) co_return written.error();
    co_return Result<void>();
  }
  co_return co_await db.Commit();
}

namespace {

// Between BEGIN and COMMIT: the lease is taken, so that the lost run can do nothing more, and given
// back at once.
Task<Result<bool>> AbortOne(JobSession& db, const std::string& holder, RunRecord lost) {
  std::vector<std::string> names;
  names.push_back("job/" + lost.job);
  auto grants = co_await AcquireLeases(db, std::move(names), holder, std::chrono::seconds(1));
  if (!grants && grants.error().code == Errc::kBusy) co_return false;
  if (!grants) co_return grants.error();
  auto written = co_await WriteEnd(db, lost);
  if (!written) co_return written.error();
  auto released = co_await ReleaseLeases(db, *grants, holder);
  if (!released) co_return released.error();
  co_return *written;
}

std::optional<WallTime> RetryOf(const std::vector<JobPolicy>& jobs, const std::string& name,
                                int attempt, bool scheduled) {
  for (const JobPolicy& job : jobs) {
    if (job.name == name && job.enabled && scheduled && attempt <= job.retries) return WallNow();
  }
  return std::nullopt;
}

}  // namespace

Task<Result<std::vector<std::string>>> AbortLostRuns(JobSession& db, const std::string& holder,
                                                     const std::vector<JobPolicy>& jobs) {
  std::string sql(kLostSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<std::string> aborted;
  for (int row = 0; row < rows->rows(); ++row) {
    RunRecord lost;
    lost.run_id = TextAt(*rows, row, 0);
    lost.job = TextAt(*rows, row, 1);
    lost.attempt = static_cast<int>(rows->Integer(row, 2).value_or(1));
    lost.started = TimeAt(*rows, row, 6).value_or(WallNow());
    lost.trigger = FindTrigger(rows->Text(row, 7)).value_or(Trigger::kManual);
    lost.finished = WallNow();
    lost.report.status = RunStatus::kAborted;
    lost.report.reason = "lost: " + TextAt(*rows, row, 4) + " went away without a word";
    lost.retry_at = RetryOf(jobs, lost.job, lost.attempt, rows->Bool(row, 3));
    TransactionSettings settings(kTimeout);
    settings.lock_timeout = kTakeOverWait;
    auto begun = co_await db.Begin(settings);
    if (!begun) co_return begun.error();
    auto done = co_await AbortOne(db, holder, lost);
    if (!done || !*done) {
      co_await db.Rollback();
      if (!done) co_return done.error();
      continue;
    }
    auto committed = co_await db.Commit();
    if (!committed) co_return committed.error();
    aborted.push_back(lost.job + " " + lost.run_id);
  }
  co_return aborted;
}

Task<Result<long long>> PruneHistory(Database& db, const std::string& age) {
  std::string sql(kPruneSql);
  PgValues values;
  values.emplace_back(age);
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  const std::string tag(done->command_tag());  // "DELETE 5"
  std::string log_sql(kPruneLogSql);
  PgValues log_values;
  log_values.emplace_back(age);
  auto log = co_await db.Query(std::move(log_sql), std::move(log_values), kTimeout);
  if (!log) co_return log.error();
  co_return std::atoll(tag.c_str() + tag.find(' ') + 1);
}

Task<Result<std::vector<RunRecord>>> ReadHistory(Database& db, const std::string& job, int most) {
  std::string sql(kHistorySql);
  PgValues values;
  values.emplace_back(job);
  values.emplace_back(std::to_string(most));
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<RunRecord> runs;
  for (int row = 0; row < rows->rows(); ++row) runs.push_back(RunOf(*rows, row));
  co_return runs;
}

}  // namespace pgsteward
