#include "jobs/backup/dump_watch.h"

namespace pgsteward {

namespace {

constexpr Duration kBeat = std::chrono::milliseconds(200);
constexpr Duration kLookEvery = std::chrono::seconds(1);
constexpr Duration kLookTimeout = std::chrono::seconds(5);
// A scan of a table may take long; what bounds it is the run's deadline, by cancellation.
constexpr Duration kCountTimeout = std::chrono::hours(24);

// No query texts: they may hold what must not go into a log.
constexpr std::string_view kBlockersSql = R"sql(
SELECT coalesce((SELECT l.relation::regclass::text FROM pg_locks AS l
                 WHERE l.pid = a.pid AND NOT l.granted LIMIT 1), 'an object'),
       string_agg(format('pid %s (user %s, %s, %s, for %s s)', b.pid, b.usename,
                         coalesce(nullif(b.application_name, ''), 'no application name'),
                         coalesce(b.state, b.backend_type),
                         round(extract(epoch FROM clock_timestamp() - b.xact_start))), ' and ')
FROM pg_stat_activity AS a
CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS blocking
JOIN pg_stat_activity AS b ON b.pid = blocking
WHERE a.application_name = $1 AND a.wait_event_type = 'Lock'
GROUP BY a.pid
)sql";

constexpr std::string_view kEndSql = R"sql(
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = ANY ($1::text[]) AND pid <> pg_backend_pid()
)sql";

}  // namespace

Task<void> CountTables(std::shared_ptr<DumpBeat> beat, Snapshot& snapshot) {
  // With the first byte pg_dump has all its locks: no table can go any more.
  while (beat->progress.dump_bytes == 0 && !beat->dumped) {
    co_await SleepUntil(SteadyNow() + kBeat);
  }
  for (BackupTable& table : beat->tables) {
    auto counted = co_await snapshot.Count(table, kCountTimeout);
    if (!counted) {
      beat->count_error = counted.error();
      beat->count_error->message =
          "cannot count " + table.schema + "." + table.name + ": " + beat->count_error->message;
      co_return;
    }
    ++beat->counted;
  }
}

Task<void> WatchLocks(std::shared_ptr<DumpBeat> beat, JobSession& db) {
  SteadyTime next = SteadyNow() + kLookEvery;
  while (!beat->dumped) {
    co_await SleepUntil(SteadyNow() + kBeat);
    if (SteadyNow() < next || beat->dumped) continue;
    next = SteadyNow() + kLookEvery;
    PgValues values;
    values.emplace_back(beat->application);
    // A look that fails changes nothing.
    auto rows = co_await db.Query(std::string(kBlockersSql), std::move(values), kLookTimeout);
    if (rows && rows->rows() > 0) {
      beat->blocker =
          std::string(rows->Text(0, 0)) + " is held by " + std::string(rows->Text(0, 1));
    }
  }
}

Task<void> EndBackends(Runtime& runtime, PgTarget target, std::string application) {
  target.part = "backup-end";
  JobSession db(runtime, std::move(target));
  auto opened = co_await db.Open();
  if (!opened) co_return;
  const std::string ours = "pgsteward:backup:" + application.substr(application.find(':') + 1);
  PgValues values;
  values.emplace_back("{\"" + application + "\",\"" + ours + "\"}");
  co_await db.Query(std::string(kEndSql), std::move(values), kLookTimeout);
}

}  // namespace pgsteward
