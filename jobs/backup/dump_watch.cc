#include "jobs/backup/dump_watch.h"

#include "core/pg_text.h"

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
                         round(extract(epoch FROM clock_timestamp() - b.xact_start))), ' and '),
       bool_or(EXISTS (SELECT FROM unnest(pg_blocking_pids(b.pid)) AS ours
                       JOIN pg_stat_activity AS o ON o.pid = ours
                       WHERE o.application_name = ANY ($1::text[])))
FROM pg_stat_activity AS a
CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS blocking
JOIN pg_stat_activity AS b ON b.pid = blocking
WHERE a.application_name = ANY ($1::text[]) AND a.wait_event_type = 'Lock'
GROUP BY a.pid
)sql";

constexpr std::string_view kEndSql = R"sql(
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = ANY ($1::text[]) AND pid <> pg_backend_pid()
)sql";

}  // namespace

Task<void> CountTables(std::shared_ptr<DumpBeat> beat, Snapshot& snapshot, Duration lock_wait) {
  auto locked = co_await snapshot.Lock(beat->tables, lock_wait);
  if (!locked) {
    beat->error = locked.error();
    co_return;
  }
  beat->locked = true;
  // With the first byte pg_dump has its locks: it need not compete with our scans for them.
  while (beat->progress.dump_bytes == 0 && !beat->dumped) {
    co_await SleepUntil(SteadyNow() + kBeat);
  }
  for (BackupTable& table : beat->tables) {
    auto counted = co_await snapshot.Count(table, kCountTimeout);
    if (!counted) {
      beat->error = counted.error();
      beat->error->message =
          "cannot count " + table.schema + "." + table.name + ": " + beat->error->message;
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
    values.emplace_back(ArrayText(beat->applications));
    // A look that fails changes nothing.
    auto rows = co_await db.Query(std::string(kBlockersSql), std::move(values), kLookTimeout);
    if (!rows || rows->rows() == 0) continue;
    beat->blocker = std::string(rows->Text(0, 0)) + " is held by " + std::string(rows->Text(0, 1));
    // It came between our lock and pg_dump's: each waits for the next one.
    if (rows->Text(0, 2) == "t") {
      beat->error = Error(Errc::kBusy, "a table is changed while the dump begins");
    }
  }
}

Task<void> EndBackends(Runtime& runtime, PgTarget target, std::vector<std::string> applications) {
  target.part = "backup-end";
  JobSession db(runtime, std::move(target));
  auto opened = co_await db.Open();
  if (!opened) co_return;
  PgValues values;
  values.emplace_back(ArrayText(applications));
  co_await db.Query(std::string(kEndSql), std::move(values), kLookTimeout);
}

}  // namespace pgsteward
