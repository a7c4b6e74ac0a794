// VACUUM and ANALYZE of the tables with the most dead rows, one after the other.
#include <array>
#include <utility>

#include "core/duration.h"
#include "jobs/vacuum.h"
#include "jobs/vacuum_choice.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

// Of a role without pg_read_all_stats relid is hidden: then only the lock tells of a running
// vacuum, and SKIP LOCKED passes over the table.
constexpr std::string_view kChurnedSql = R"sql(
SELECT format('%I.%I', s.schemaname, s.relname), s.n_live_tup, s.n_dead_tup,
       extract(epoch FROM now() - greatest(s.last_vacuum, s.last_autovacuum)),
       EXISTS (SELECT FROM pg_stat_progress_vacuum AS p
               WHERE p.datname = current_database() AND p.relid = s.relid), true
FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
)sql";

// string_to_table() needs PostgreSQL 14.
constexpr std::string_view kListedSql = R"sql(
SELECT coalesce(to_regclass(l.name)::text, l.name), coalesce(s.n_live_tup, 0),
       coalesce(s.n_dead_tup, 0),
       extract(epoch FROM now() - greatest(s.last_vacuum, s.last_autovacuum)),
       EXISTS (SELECT FROM pg_stat_progress_vacuum AS p
               WHERE p.datname = current_database() AND p.relid = to_regclass(l.name)::oid),
       to_regclass(l.name) IS NOT NULL
FROM unnest(string_to_array($1, chr(10))) WITH ORDINALITY AS l (name, at)
LEFT JOIN pg_stat_user_tables AS s ON s.relid = to_regclass(l.name)::oid
ORDER BY l.at
)sql";

ChurnPolicy Policy(const JobOptions& options) {
  ChurnPolicy policy;
  policy.dead_rows = options.Integer("dead_rows");
  policy.dead_fraction = options.Number("dead_fraction");
  policy.not_within_s = static_cast<double>(options.Duration("not_within").count());
  policy.most_tables = static_cast<std::size_t>(options.Integer("most_tables"));
  return policy;
}

Task<Result<VacuumChoice>> Choose(JobSession& db, const JobOptions& options) {
  const std::string listed = options.Text("tables");
  std::string sql(listed.empty() ? kChurnedSql : kListedSql);
  PgValues values;
  if (!listed.empty()) values.emplace_back(listed);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<TableChurn> tables;
  for (int row = 0; row < rows->rows(); ++row) {
    TableChurn table;
    table.table = rows->Text(row, 0);
    table.live = rows->Integer(row, 1).value_or(0);
    table.dead = rows->Integer(row, 2).value_or(0);
    table.vacuumed_s = rows->Number(row, 3);
    table.vacuum_running = rows->Bool(row, 4);
    table.exists = rows->Bool(row, 5);
    tables.push_back(std::move(table));
  }
  if (!listed.empty()) co_return ChooseListed(tables);
  co_return ChooseChurned(tables, Policy(options));
}

std::string Line(const TableChurn& table) {
  std::string line = "vacuum " + table.table + ": " + std::to_string(table.dead) + " dead of " +
                     std::to_string(table.live + table.dead) + " rows, ";
  if (!table.vacuumed_s) return line + "never vacuumed";
  const auto ago = std::chrono::seconds(static_cast<long long>(*table.vacuumed_s));
  return line + "last vacuumed " + FormatDuration(ago) + " ago";
}

// One table that cannot be vacuumed now does not stop the others.
bool OthersMayPass(const Error& error) {
  return error.code == Errc::kTimeout ||
         (error.code != Errc::kConnectionLost &&
          (error.sqlstate == "55P03" || error.sqlstate == "42501" || error.sqlstate == "42P01" ||
           error.sqlstate == "57014" || error.sqlstate == "40P01"));
}

std::string Joined(const std::vector<std::string>& texts) {
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : "; ") + text;
  return joined;
}

Task<Result<void>> RunVacuumAnalyze(JobContext& context, JobReport& report) {
  auto choice = co_await Choose(context.db, context.options);
  if (!choice) co_return choice.error();
  VacuumOptions options;
  options.analyze = context.options.Switch("analyze");
  options.timeout = context.options.Duration("timeout");
  std::vector<std::string> passed_over = choice->passed_over;
  std::optional<Error> forbidden;
  std::string stopped;
  for (const TableChurn& table : choice->chosen) {
    co_await context.control.Throttle();
    stopped = context.control.StopReason();
    if (!stopped.empty()) break;
    auto done = co_await VacuumTable(context, table.table, options);
    if (done) {
      if (context.dry_run) {
        report.plan.push_back(Line(table));
        continue;
      }
      ++report.rows_done;
      ++report.batches;
      std::string& names = report.details["tables"];
      names += (names.empty() ? "" : ", ") + table.table;
      context.control.Progress(report);
      continue;
    }
    if (!OthersMayPass(done.error())) co_return done;
    if (done.error().sqlstate == "42501" && !forbidden) forbidden = done.error();
    ++report.rows_skipped;
    passed_over.push_back(table.table + ": " + done.error().message);
  }
  if (context.dry_run) {
    for (const std::string& each : passed_over) report.plan.push_back("pass over " + each);
    if (report.plan.empty()) report.plan.emplace_back("no table needs it");
    co_return Result<void>();
  }
  if (!passed_over.empty()) report.details["passed_over"] = Joined(passed_over);
  // A role that may vacuum nothing is a mistake and not a matter of luck.
  if (forbidden && report.rows_done == 0) co_return *forbidden;
  if (!stopped.empty()) {
    report.status = RunStatus::kPartial;
    report.reason = stopped;
  } else if (!passed_over.empty()) {
    report.status = RunStatus::kPartial;
    report.reason = "passed_over: " + Joined(passed_over);
  }
  co_return Result<void>();
}

// Tables that a run would take; how long each has been waiting nobody knows.
Task<Result<Backlog>> VacuumBacklog(JobSession& db, const JobOptions& options, const std::string&) {
  auto choice = co_await Choose(db, options);
  if (!choice) co_return choice.error();
  Backlog backlog;
  if (options.Text("tables").empty()) {
    backlog.rows = static_cast<long long>(choice->chosen.size() + choice->passed_over.size());
  }
  co_return backlog;
}

constexpr std::array<JobOption, 7> kOptions = {{
    {.name = "tables",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Tables, each with its schema, in this order; empty: those with the most dead rows."},
    {.name = "dead_rows",
     .kind = OptionKind::kInteger,
     .fallback = "10000",
     .help = "A table is taken when it has more dead rows than this.",
     .least = 0,
     .most = 1e15},
    {.name = "dead_fraction",
     .kind = OptionKind::kNumber,
     .fallback = "0.1",
     .help = "And when at least this part of its rows is dead.",
     .least = 0,
     .most = 1},
    {.name = "not_within",
     .kind = OptionKind::kDuration,
     .fallback = "1h",
     .help = "And when nobody has vacuumed it for so long.",
     .least = 0},
    {.name = "most_tables",
     .kind = OptionKind::kInteger,
     .fallback = "10",
     .help = "The number of tables of one run; the others wait for the next.",
     .least = 1,
     .most = 10000},
    {.name = "analyze",
     .kind = OptionKind::kSwitch,
     .fallback = "true",
     .help = "Also brings the planner's statistics up to date."},
    {.name = "timeout",
     .kind = OptionKind::kDuration,
     .fallback = "1h",
     .help = "The time that one table may take.",
     .least = 1},
}};

constexpr std::array<std::string_view, 1> kGroups = {"heavy_io"};

}  // namespace

extern const JobSpec kVacuumAnalyze;
const JobSpec kVacuumAnalyze = {
    .name = "vacuum_analyze",
    .summary = "Vacuums and analyzes the tables with the most dead rows.",
    .deadline = std::chrono::hours(4),
    .options = kOptions,
    .groups = kGroups,
    .run = &RunVacuumAnalyze,
    .backlog = &VacuumBacklog,
};

}  // namespace pgsteward
