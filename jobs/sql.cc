// A user's own statement as a job.
#include <array>
#include <utility>

#include "jobs/job.h"
#include "jobs/sql_statement.h"

namespace pgsteward {

namespace {

// Behind the server's own timeout.
constexpr Duration kMargin = std::chrono::seconds(1);

// Behind everything that the path of the job may name: whoever can create in a schema of it could
// put an operator or function there that fits as well.
constexpr std::string_view kExecutedSql = R"sql(
SELECT e.run_id::text
FROM pgsteward.job_state AS s
JOIN pgsteward.job_run AS e ON e.run_id::text OPERATOR(pg_catalog.=) (s.memory OPERATOR(pg_catalog.->>) 'executed'::text)
JOIN pgsteward.job_run AS me ON me.run_id OPERATOR(pg_catalog.=) $2::uuid
WHERE s.job OPERATOR(pg_catalog.=) $1::text AND e.job OPERATOR(pg_catalog.=) me.job
  AND e.due_at OPERATOR(pg_catalog.=) me.due_at AND e.run_id OPERATOR(pg_catalog.<>) me.run_id
)sql";
constexpr std::string_view kMarkSql = R"sql(
UPDATE pgsteward.job_state
SET memory = memory OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('executed'::text, $2::text)
WHERE job OPERATOR(pg_catalog.=) $1::text
)sql";
constexpr Duration kMarkTimeout = std::chrono::seconds(10);

Error WithSqlHint(Error error) {
  if (error.sqlstate == "25001") {
    error.hint =
        "This statement refuses to run in a transaction, and a job is one: for VACUUM there "
        "is the job vacuum_analyze, for CREATE INDEX CONCURRENTLY a person.";
  } else if (error.sqlstate == "2D000") {
    error.hint = "A procedure cannot COMMIT or ROLLBACK in a job, which is one transaction.";
  } else if (error.sqlstate == "42601" && error.hint.empty()) {
    error.hint = "Write one statement; for more of them, one job each or a DO block.";
  } else if (error.sqlstate == "42P01" || error.sqlstate == "42883") {
    error.hint =
        "The search path is the option search_path: name tables and functions with their "
        "schema.";
  } else if (error.sqlstate == "42501") {
    error.hint = "Grant the role of the jobs what the statement needs.";
  } else if (error.sqlstate == "25006") {
    error.hint = "The option read_only is on, or this is not the primary.";
  }
  return error;
}

// pg_temp stands first where it is not named: somebody's temporary table would hide a real one.
std::string SearchPath(const JobOptions& options) {
  std::string path = options.Text("search_path");
  if (path.find("pg_temp") == std::string::npos) path += ", pg_temp";
  return path;
}

Result<void> CheckRows(const JobOptions& options, long long rows) {
  const long long least = options.Integer("expect_rows_min");
  const long long most = options.Integer("expect_rows_max");
  std::string expected;
  if (least >= 0 && rows < least) expected = "at least " + std::to_string(least);
  if (most >= 0 && rows > most) expected = "at most " + std::to_string(most);
  if (expected.empty()) return Result<void>();
  return Error(Errc::kQueryFailed,
               std::to_string(rows) + " rows, expected " + expected + "; rolled back", {},
               "Look at what the statement found, then change it or expect_rows_min and "
               "expect_rows_max.");
}

// The run that has done the statement of this due time: an earlier attempt whose COMMIT was not
// answered, or whose daemon went away before it could tell.
Task<Result<std::string>> ExecutedBy(JobContext& context) {
  std::string sql(kExecutedSql);
  PgValues values = {context.job, context.run_id};
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), kMarkTimeout);
  if (!rows) co_return rows.error();
  co_return rows->rows() == 0 ? std::string() : std::string(rows->Text(0, 0));
}

// With what the statement did, or not at all. In the state of the job: the run's own row is written
// anew by whoever finds that its daemon is gone.
Task<Result<void>> MarkExecuted(JobContext& context) {
  std::string sql(kMarkSql);
  PgValues values = {context.job, context.run_id};
  auto marked = co_await context.db.Query(std::move(sql), std::move(values), kMarkTimeout);
  if (!marked) co_return marked.error();
  co_return Result<void>();
}

// The fence locks a row, which a transaction that only reads may not.
Task<Result<void>> FenceThenReadOnly(JobContext& context) {
  auto fenced = co_await context.control.Fence(context.db);
  if (!fenced || !context.options.Switch("read_only")) co_return fenced;
  auto done =
      co_await context.db.Query("SET LOCAL transaction_read_only = on", PgValues(), kMarkTimeout);
  if (!done) co_return done.error();
  co_return Result<void>();
}

Task<Result<void>> InTransaction(JobContext& context, std::string sql, JobReport& report) {
  const Duration timeout = context.options.Duration("timeout");
  const bool writes = !context.dry_run && !context.options.Switch("read_only");
  if (!context.dry_run) {
    auto fenced = co_await FenceThenReadOnly(context);
    if (!fenced) co_return fenced;
  }
  if (writes) {
    auto executed = co_await ExecutedBy(context);
    if (!executed) co_return executed.error();
    if (!executed->empty()) {
      report.details["executed_by"] = *executed;
      context.control.Note("run " + *executed + " has done the statement of this due time already");
      co_return Result<void>();
    }
  }
  auto done = co_await context.db.Query(std::move(sql), PgValues(), timeout + kMargin);
  if (!done) co_return WithSqlHint(done.error());
  if (context.dry_run) {
    for (int row = 0; row < done->rows(); ++row) {
      report.plan.push_back("  " + std::string(done->Text(row, 0)));
    }
    co_return Result<void>();
  }
  const std::string tag(done->command_tag());
  const long long rows = RowsOfTag(tag);
  report.details["command"] = tag.substr(0, tag.find(' '));
  auto checked = CheckRows(context.options, rows);
  if (!checked) co_return checked;
  report.rows_done = rows;
  if (writes) co_return co_await MarkExecuted(context);
  co_return Result<void>();
}

Task<Result<void>> RunSql(JobContext& context, JobReport& report) {
  std::string sql = context.options.Text("sql");
  auto allowed = CheckJobSql(sql);
  if (!allowed) co_return allowed;
  TransactionSettings settings(context.options.Duration("timeout"));
  settings.lock_timeout = context.options.Duration("lock_timeout");
  settings.read_only = context.dry_run;
  settings.local.emplace_back("search_path", SearchPath(context.options));
  if (context.dry_run) {
    report.plan.push_back("run one " + FirstWord(sql) + " statement in a transaction of its own");
    if (!CanExplain(sql)) {
      report.plan.emplace_back("no plan: EXPLAIN does not know such statements");
      co_return Result<void>();
    }
    sql.insert(0, "EXPLAIN ");
  }
  co_await context.control.Throttle();
  if (std::string stop = context.control.StopReason(); !stop.empty()) {
    report.status = RunStatus::kPartial;
    report.reason = std::move(stop);
    co_return Result<void>();
  }
  auto begun = co_await context.db.Begin(std::move(settings));
  if (!begun) co_return begun;
  auto done = co_await InTransaction(context, std::move(sql), report);
  if (!done || context.dry_run) {
    co_await context.db.Rollback();
    co_return done;
  }
  auto committed = co_await context.db.Commit();
  // A deferred constraint speaks at the end.
  if (!committed) report.rows_done = 0;
  co_return committed;
}

constexpr std::array<JobOption, 7> kOptions = {{
    {.name = "sql",
     .fallback = "",
     .help = "The statement, one.",
     .widens = true,
     .required = true},
    {.name = "timeout",
     .kind = OptionKind::kDuration,
     .fallback = "1m",
     .help = "The time that the statement may take.",
     .least = 1},
    {.name = "lock_timeout",
     .kind = OptionKind::kDuration,
     .fallback = "5s",
     .help = "The time that it may wait for somebody else's lock.",
     .least = 1},
    {.name = "expect_rows_min",
     .kind = OptionKind::kInteger,
     .fallback = "-1",
     .help = "With fewer rows the run has failed and is rolled back; -1: no bound.",
     .least = -1,
     .most = 1e15},
    {.name = "expect_rows_max",
     .kind = OptionKind::kInteger,
     .fallback = "-1",
     .help = "With more rows the run has failed and is rolled back; -1: no bound.",
     .least = -1,
     .most = 1e15},
    {.name = "read_only",
     .kind = OptionKind::kSwitch,
     .fallback = "false",
     .help = "Runs it in a read-only transaction."},
    {.name = "search_path",
     .fallback = "pg_catalog",
     .help = "Where names without a schema are looked up. Whoever may create something in a schema "
             "that is named here can have the statement run it with the rights of the jobs.",
     .widens = true},
}};

}  // namespace

extern const JobSpec kSql;
const JobSpec kSql = {
    .name = "sql",
    .summary = "Runs a statement of your own, with a timeout and bounds of rows.",
    .options = kOptions,
    .needs_confirmation = true,
    .run = &RunSql,
};

}  // namespace pgsteward
