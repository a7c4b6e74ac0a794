#include "jobs/runner/job_store.h"

#include <cmath>

#include "core/pg_error.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
// Who has fenced a transaction of the lost run must end first.
constexpr Duration kTakeOverWait = std::chrono::seconds(2);

// Adds the amounts $1/$2 (names, numbers) to the object `counters`.
#define ADD_COUNTERS_SQL(names, amounts)                                              \
  "s.counters || (SELECT coalesce(jsonb_object_agg(c.name, coalesce((s.counters ->> " \
  "c.name)::numeric, 0) + c.amount), '{}') FROM unnest(" names "::text[], " amounts   \
  "::numeric[]) AS c (name, amount))"

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

// A changed schedule also drops what the old one had left to do.
constexpr std::string_view kDecisionSql =
    "UPDATE pgsteward.job_state AS s SET next_due = to_timestamp($2::float8), queued = $3::int, "
    "retry_at = CASE WHEN timetable = $4 THEN retry_at END, timetable = $4, "
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

constexpr std::string_view kBeginRunSql = R"sql(
INSERT INTO pgsteward.job_run
  (run_id, job, type, trigger, due_at, attempt, started_at, host, pid, holder, lease_epoch,
   timeline, status)
VALUES ($1, $2, $3, $4, to_timestamp($5::float8), $6::int, to_timestamp($7::float8), $8, $9::int,
        $10, $11::bigint, $12::int, 'running')
)sql";

constexpr std::string_view kNoteRunSql = R"sql(
UPDATE pgsteward.job_state
SET last_run = $2, last_status = 'running', last_started_at = to_timestamp($3::float8),
    last_finished_at = NULL
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
    "consecutive_failures END, retry_at = to_timestamp($8::float8), memory = CASE WHEN $9 = '' "
    "THEN memory ELSE memory || jsonb_build_object('accepted_plan', $9) END, "
    "counters = " ADD_COUNTERS_SQL("$10", "$11") R"sql(
WHERE job = $1 AND last_run = $2
)sql";

#undef ADD_COUNTERS_SQL

constexpr std::string_view kLostSql = R"sql(
SELECT r.run_id, r.job, r.attempt, r.due_at IS NOT NULL, r.holder, r.lease_epoch,
       extract(epoch FROM r.started_at)
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

std::optional<WallTime> TimeAt(const PgResult& rows, int row, int column) {
  const auto seconds = rows.Number(row, column);
  if (!seconds) return std::nullopt;
  if (std::isinf(*seconds)) return *seconds > 0 ? WallTime::max() : WallTime::min();
  // To the microsecond, PostgreSQL's resolution: it is compared with what is stored.
  return WallTime(std::chrono::microseconds(std::llround(*seconds * 1e6)));
}

// Microseconds, PostgreSQL's resolution; empty is NULL.
std::optional<std::string> Epoch(std::optional<WallTime> time) {
  if (!time) return std::nullopt;
  const auto us =
      std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch()).count();
  std::string digits = std::to_string(us % 1'000'000);
  return std::to_string(us / 1'000'000) + "." + std::string(6 - digits.size(), '0') + digits;
}

std::string TextAt(const PgResult& rows, int row, int column) {
  return std::string(rows.Text(row, column));
}

std::string JsonNumbers(const std::map<std::string, double>& numbers) {
  std::string json = "{";
  for (const auto& [name, number] : numbers) {
    json += (json.size() > 1 ? "," : "") + JsonQuoted(name) + ":" + std::to_string(number);
  }
  return json + "}";
}

struct Amounts {
  std::string names = "{}";
  std::string numbers = "{}";
};

// Arrays as PostgreSQL reads them.
Amounts AmountsOf(const std::map<std::string, double>& amounts) {
  Amounts arrays;
  std::string names;
  std::string numbers;
  for (const auto& [name, number] : amounts) {
    names += (names.empty() ? "\"" : ",\"") + name + "\"";
    numbers += (numbers.empty() ? "" : ",") + std::to_string(number);
  }
  arrays.names = "{" + names + "}";
  arrays.numbers = "{" + numbers + "}";
  return arrays;
}

Amounts MissedAmounts(const Decision& decision) {
  std::map<std::string, double> amounts;
  if (decision.missed > 0) amounts["missed." + decision.missed_reason] = decision.missed;
  return AmountsOf(amounts);
}

Amounts FinishAmounts(const RunRecord& record) {
  std::map<std::string, double> amounts;
  amounts["runs." + std::string(RunStatusName(record.report.status))] = 1;
  if (record.trigger == Trigger::kRetry) amounts["retries"] = 1;
  if (record.report.rows_done > 0) amounts["rows"] = static_cast<double>(record.report.rows_done);
  for (const auto& [reason, seconds] : record.throttled) amounts["throttled." + reason] = seconds;
  return AmountsOf(amounts);
}

std::map<std::string, double> NumbersOf(std::string_view json) {
  std::map<std::string, double> numbers;
  const auto object = ParseFlatJson(json);
  if (!object) return numbers;
  for (const auto& [name, text] : *object) numbers[name] = std::atof(text.c_str());
  return numbers;
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

Trigger TriggerOf(std::string_view name) {
  for (const Trigger trigger : {Trigger::kSchedule, Trigger::kCatchup, Trigger::kRetry}) {
    if (name == TriggerName(trigger)) return trigger;
  }
  return Trigger::kManual;
}

RunRecord RunOf(const PgResult& rows, int row) {
  RunRecord run;
  run.run_id = TextAt(rows, row, 0);
  run.job = TextAt(rows, row, 1);
  run.type = TextAt(rows, row, 2);
  run.trigger = TriggerOf(rows.Text(row, 3));
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
  values.push_back(Epoch(record.due));
  values.emplace_back(std::to_string(record.attempt));
  values.push_back(Epoch(record.started));
  values.emplace_back(record.host);
  values.emplace_back(std::to_string(record.pid));
  values.emplace_back(record.holder);
  values.emplace_back(std::to_string(record.epoch));
  values.emplace_back(std::to_string(record.timeline));
  return values;
}

}  // namespace

FlatObject ToFlat(const RunRecord& record) {
  FlatObject flat;
  flat["run_id"] = record.run_id;
  flat["job"] = record.job;
  flat["trigger"] = TriggerName(record.trigger);
  flat["type"] = record.type;
  flat["due"] = Epoch(record.due).value_or("");
  flat["attempt"] = std::to_string(record.attempt);
  flat["host"] = record.host;
  flat["pid"] = std::to_string(record.pid);
  flat["holder"] = record.holder;
  flat["epoch"] = std::to_string(record.epoch);
  flat["timeline"] = std::to_string(record.timeline);
  flat["started"] = *Epoch(record.started);
  flat["finished"] = *Epoch(record.finished);
  flat["status"] = RunStatusName(record.report.status);
  flat["reason"] = record.report.reason;
  flat["cutoff"] = record.report.cutoff;
  flat["rows_done"] = std::to_string(record.report.rows_done);
  flat["rows_skipped"] = std::to_string(record.report.rows_skipped);
  flat["rows_quarantined"] = std::to_string(record.report.rows_quarantined);
  flat["batches"] = std::to_string(record.report.batches);
  flat["throttled"] = JsonNumbers(record.throttled);
  flat["details"] = FlatJson(record.report.details);
  flat["error_sqlstate"] = record.error_sqlstate;
  flat["error_text"] = record.error_text;
  flat["retry_at"] = Epoch(record.retry_at).value_or("");
  flat["accepted_plan"] = record.accepted_plan;
  return flat;
}

Result<RunRecord> RunFromFlat(const FlatObject& object) {
  const auto text = [&object](const char* name) {
    const auto found = object.find(name);
    return found == object.end() ? std::string() : found->second;
  };
  const auto time = [&text](const char* name) -> std::optional<WallTime> {
    if (text(name).empty()) return std::nullopt;
    return WallTime(std::chrono::duration_cast<WallTime::duration>(
        std::chrono::duration<double>(std::atof(text(name).c_str()))));
  };
  RunRecord record;
  record.run_id = text("run_id");
  record.job = text("job");
  const auto status = FindRunStatus(text("status"));
  const auto details = ParseFlatJson(text("details"));
  if (record.run_id.empty() || record.job.empty() || !status || !details) {
    return Error(Errc::kQueryFailed, "not the end of a run");
  }
  record.trigger = TriggerOf(text("trigger"));
  record.type = text("type");
  record.due = time("due");
  record.attempt = std::atoi(text("attempt").c_str());
  record.host = text("host");
  record.pid = std::atoi(text("pid").c_str());
  record.holder = text("holder");
  record.epoch = std::atoll(text("epoch").c_str());
  record.timeline = std::atoi(text("timeline").c_str());
  record.started = time("started").value_or(WallTime());
  record.finished = time("finished").value_or(WallTime());
  record.report.status = *status;
  record.report.reason = text("reason");
  record.report.cutoff = text("cutoff");
  record.report.rows_done = std::atoll(text("rows_done").c_str());
  record.report.rows_skipped = std::atoll(text("rows_skipped").c_str());
  record.report.rows_quarantined = std::atoll(text("rows_quarantined").c_str());
  record.report.batches = std::atoi(text("batches").c_str());
  record.throttled = NumbersOf(text("throttled"));
  record.report.details = *details;
  record.error_sqlstate = text("error_sqlstate");
  record.error_text = text("error_text");
  record.retry_at = time("retry_at");
  record.accepted_plan = text("accepted_plan");
  return record;
}

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

Task<Result<bool>> StoreDecision(Database& db, const JobPolicy& policy, const JobState& before,
                                 const Decision& decision) {
  const Amounts missed = MissedAmounts(decision);
  std::string sql(kDecisionSql);
  PgValues values;
  values.emplace_back(policy.name);
  values.push_back(Epoch(decision.next_due));
  values.emplace_back(std::to_string(decision.queued));
  values.emplace_back(policy.timetable.fingerprint());
  values.emplace_back(missed.names);
  values.emplace_back(missed.numbers);
  values.push_back(Epoch(before.next_due));
  values.emplace_back(std::to_string(before.queued));
  auto done = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!done) co_return done.error();
  co_return done->command_tag() == "UPDATE 1";
}

Task<Result<bool>> ClaimRun(JobSession& db, const JobPolicy& policy, const RunRecord& record,
                            const JobState* before, const Decision* decision) {
  if (before && decision) {
    const Amounts missed = MissedAmounts(*decision);
    std::string sql(kClaimSql);
    PgValues values;
    values.emplace_back(policy.name);
    values.push_back(Epoch(decision->next_due));
    values.emplace_back(std::to_string(decision->queued));
    values.emplace_back(std::to_string(record.attempt));
    values.emplace_back(missed.names);
    values.emplace_back(missed.numbers);
    values.push_back(Epoch(before->next_due));
    values.emplace_back(std::to_string(before->queued));
    values.push_back(Epoch(record.due));
    auto claimed = co_await db.Query(std::move(sql), std::move(values), kTimeout);
    if (!claimed) co_return claimed.error();
    if (claimed->command_tag() != "UPDATE 1") co_return false;
  }
  std::string sql(kBeginRunSql);
  PgValues values = BeginValues(record);
  auto begun = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!begun && begun.error().sqlstate == "23505") co_return false;  // this due time has fired
  if (!begun) co_return begun.error();
  std::string note_sql(kNoteRunSql);
  PgValues note;
  note.emplace_back(record.job);
  note.emplace_back(record.run_id);
  note.push_back(Epoch(record.started));
  auto noted = co_await db.Query(std::move(note_sql), std::move(note), kTimeout);
  if (!noted) co_return noted.error();
  co_return true;
}

namespace {

// Between BEGIN and COMMIT. False: this end is known already.
Task<Result<bool>> WriteEnd(JobSession& db, const RunRecord& record) {
  const JobReport& report = record.report;
  const std::string status(RunStatusName(report.status));
  std::string sql(kFinishSql);
  PgValues values;
  values.emplace_back(record.run_id);
  values.push_back(Epoch(record.finished));
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
  const Amounts amounts = counted ? Amounts() : FinishAmounts(record);
  std::string state_sql(kFinishStateSql);
  PgValues state;
  state.emplace_back(record.job);
  state.emplace_back(record.run_id);
  state.emplace_back(status);
  state.push_back(Epoch(record.finished));
  state.emplace_back(
      std::to_string(std::chrono::duration<double>(record.finished - record.started).count()));
  state.emplace_back(std::to_string(report.rows_done));
  state.emplace_back(success && report.status == RunStatus::kOk ? "true" : "false");
  state.push_back(Epoch(record.retry_at));
  state.emplace_back(record.accepted_plan);
  state.emplace_back(amounts.names);
  state.emplace_back(amounts.numbers);
  auto noted = co_await db.Query(std::move(state_sql), std::move(state), kTimeout);
  if (!noted) co_return noted.error();
  co_return true;
}

}  // namespace

Task<Result<void>> FinishRun(JobSession& db, const RunRecord& record) {
  auto begun = co_await db.Begin(TransactionSettings(kTimeout));
  if (!begun) co_return begun;
  // A crash of a server without synchronous_commit may have lost the row.
  std::string again_sql = std::string(kBeginRunSql) + "ON CONFLICT DO NOTHING";
  PgValues again = BeginValues(record);
  auto there = co_await db.Query(std::move(again_sql), std::move(again), kTimeout);
  if (!there) {
    co_await db.Rollback();
    co_return there.error();
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

Task<Result<bool>> PauseJob(Database& db, const std::string& job, std::optional<WallTime> until,
                            const std::string& by, const std::string& reason) {
  std::string sql(kPauseSql);
  PgValues values;
  values.emplace_back(job);
  values.push_back(Epoch(until));
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
