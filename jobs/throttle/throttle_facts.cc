#include "jobs/throttle/throttle_facts.h"

#include <algorithm>

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);

// What is not referred to is not evaluated. Our own sessions are known by their application_name,
// through a pooler as well. A transaction of VACUUM holds nothing back.
constexpr std::string_view kWithSql = R"sql(
WITH here AS (
  SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
    AS lsn
), replica AS (
  SELECT application_name AS name, extract(epoch FROM replay_lag)::float8 AS lag_s,
    pg_wal_lsn_diff(lsn, replay_lsn)::int8 AS bytes
  FROM pg_stat_replication, here WHERE state IN ('streaming', 'catchup')
), slot AS (
  SELECT slot_name, pg_wal_lsn_diff(lsn, restart_lsn)::int8 AS bytes, wal_status, xmin
  FROM pg_replication_slots, here
), session AS MATERIALIZED (
  SELECT pid, datname, application_name, state, backend_type, wait_event_type, xact_start,
    backend_xid, backend_xmin, application_name LIKE 'pgsteward:%' AS ours
  FROM pg_stat_activity WHERE pid <> pg_backend_pid()
), prepared AS (
  SELECT transaction AS xid, prepared AS since FROM pg_prepared_xacts
  WHERE database = current_database()
), holding AS (
  SELECT xact_start, backend_xid, backend_xmin FROM session
  WHERE (datname = current_database() OR datname IS NULL)
    AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)
    AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
), waiting AS MATERIALIZED (
  SELECT pid FROM session
  WHERE wait_event_type = 'Lock' AND backend_type = 'client backend' AND NOT ours LIMIT 100
)
SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees_sessions,
  has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') AS sees_archiver)sql";

constexpr std::string_view kReplicaLagSql = R"sql(,
  (SELECT lag_s FROM replica ORDER BY lag_s DESC NULLS LAST LIMIT 1) AS replica_lag_s,
  (SELECT name FROM replica ORDER BY lag_s DESC NULLS LAST LIMIT 1) AS replica_lag_name)sql";
constexpr std::string_view kReplicaBytesSql = R"sql(,
  (SELECT bytes FROM replica ORDER BY bytes DESC NULLS LAST LIMIT 1) AS replica_lag_bytes,
  (SELECT name FROM replica ORDER BY bytes DESC NULLS LAST LIMIT 1) AS replica_lag_bytes_name)sql";
constexpr std::string_view kSlotSql = R"sql(,
  (SELECT bytes FROM slot ORDER BY bytes DESC NULLS LAST LIMIT 1) AS slot_retained_bytes,
  (SELECT slot_name FROM slot ORDER BY bytes DESC NULLS LAST LIMIT 1) AS slot_name,
  (SELECT slot_name FROM slot WHERE wal_status = 'unreserved' ORDER BY 1 LIMIT 1)
    AS unreserved_slot_name)sql";
constexpr std::string_view kActiveSql = R"sql(,
  (SELECT count(*) FROM session
   WHERE backend_type = 'client backend' AND state = 'active' AND NOT ours) AS active_sessions)sql";
constexpr std::string_view kOldestTransactionSql = R"sql(,
  extract(epoch FROM clock_timestamp() - least((SELECT min(xact_start) FROM holding),
    (SELECT min(since) FROM prepared)))::float8 AS oldest_transaction_s)sql";
constexpr std::string_view kOldestXidSql = R"sql(,
  greatest((SELECT max(age(backend_xmin)) FROM holding), (SELECT max(age(backend_xid)) FROM holding),
    (SELECT max(age(xid)) FROM prepared), (SELECT max(age(xmin)) FROM slot)) AS oldest_xid_age)sql";
constexpr std::string_view kVictimsSql = R"sql(,
  (SELECT count(*) FROM waiting WHERE EXISTS (
     SELECT 1 FROM unnest(pg_blocking_pids(waiting.pid)) AS blocker(pid)
       JOIN session ON session.pid = blocker.pid
     WHERE session.application_name LIKE 'pgsteward:job%')) AS own_victims)sql";
constexpr std::string_view kDumpSql = R"sql(,
  (SELECT count(*) FROM session WHERE datname = current_database()
     AND application_name IN ('pg_dump', 'pg_dumpall')) AS running_dumps)sql";
// Of a partitioned table the partitions are vacuumed.
constexpr std::string_view kVacuumSql = R"sql(,
  EXISTS (SELECT 1 FROM pg_stat_progress_vacuum WHERE datname = current_database()
    AND (relid = to_regclass($1::text)
      OR relid IN (SELECT relid FROM pg_partition_tree(to_regclass($1::text))))) AS vacuum_running
)sql";

// In a statement of its own: the right to call the function is looked at even where it is not
// called.
constexpr std::string_view kArchiverSql = R"sql(
SELECT count(*) FROM pg_ls_archive_statusdir()
WHERE name LIKE '%.ready' AND current_setting('archive_mode') <> 'off'
)sql";

// What the first statement asks for; each is switched on by the policy.
struct Part {
  std::string_view reason;
  std::string_view sql;
  bool on;
  bool needs_sessions;  // to see other roles' sessions
};

std::vector<Part> PartsOf(const ThrottlePolicy& policy, const std::string& table) {
  return {
      {"replica_lag", kReplicaLagSql, policy.max_replica_lag.has_value(), true},
      {"replica_lag", kReplicaBytesSql, policy.max_replica_lag_bytes.has_value(), true},
      {"slot_backlog", kSlotSql, policy.max_slot_retained_bytes.has_value(), false},
      {"active_sessions", kActiveSql, policy.max_active_sessions.has_value(), true},
      {"old_xmin", kOldestTransactionSql, policy.max_xmin_age.has_value(), true},
      {"old_xmin", kOldestXidSql, policy.max_xmin_xids.has_value(), true},
      {"own_victims", kVictimsSql, policy.own_victims, true},
      {"running_dump", kDumpSql, policy.running_dump, true},
      {"vacuum_running", kVacuumSql, policy.vacuum_running && !table.empty(), true},
  };
}

Error NotAllowed(std::string message) {
  return Error(Errc::kQueryFailed, std::move(message), "42501",
               "Grant pg_monitor to the role, or switch these gates off.");
}

// The columns that were asked for, by name.
class FactRow {
 public:
  explicit FactRow(const PgResult& rows) : rows_(rows) {}
  std::optional<double> Number(std::string_view name) const {
    const int column = rows_.FindColumn(name);
    return column < 0 ? std::nullopt : rows_.Number(0, column);
  }
  std::optional<long long> Integer(std::string_view name) const {
    const int column = rows_.FindColumn(name);
    return column < 0 ? std::nullopt : rows_.Integer(0, column);
  }
  std::string Text(std::string_view name) const {
    const int column = rows_.FindColumn(name);
    return column < 0 ? std::string() : std::string(rows_.Text(0, column));
  }

 private:
  const PgResult& rows_;
};

ThrottleFacts FactsOf(const PgResult& rows, const std::vector<Part>& parts) {
  const FactRow row(rows);
  const bool sees_sessions = row.Text("sees_sessions") == "t";
  ThrottleFacts facts;
  facts.slot_retained_bytes = row.Integer("slot_retained_bytes");
  facts.slot_name = row.Text("slot_name");
  facts.unreserved_slot_name = row.Text("unreserved_slot_name");
  if (!sees_sessions) {
    // Nothing of the rest: it would be what this role does itself.
    for (const Part& part : parts) {
      const bool named = !facts.unknown.empty() && facts.unknown.back().reason == part.reason;
      if (!part.on || !part.needs_sessions || named) continue;
      facts.unknown.push_back({part.reason, NotAllowed("the role does not see other sessions")});
    }
    return facts;
  }
  facts.replica_lag_s = row.Number("replica_lag_s");
  facts.replica_lag_name = row.Text("replica_lag_name");
  facts.replica_lag_bytes = row.Integer("replica_lag_bytes");
  facts.replica_lag_bytes_name = row.Text("replica_lag_bytes_name");
  facts.active_sessions = row.Integer("active_sessions");
  facts.oldest_transaction_s = row.Number("oldest_transaction_s");
  facts.oldest_xid_age = row.Integer("oldest_xid_age");
  facts.own_victims = row.Integer("own_victims");
  facts.running_dumps = row.Integer("running_dumps");
  facts.vacuum_running = row.Text("vacuum_running") == "t";
  return facts;
}

bool Lost(const Error& error) {
  return error.code == Errc::kConnectionLost || error.code == Errc::kUnavailable;
}

Task<Result<void>> AskQuery(Database& db, std::string sql, ThrottleFacts& facts) {
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) {
    if (Lost(rows.error())) co_return rows.error();
    facts.unknown.push_back({"query", rows.error()});
    co_return Result<void>();
  }
  if (rows->rows() == 0 || rows->columns() == 0 || rows->IsNull(0, 0)) co_return Result<void>();
  const std::string answer(rows->Text(0, 0));
  facts.query = answer == "t";
  if (answer != "t" && answer != "f") {
    Error error(Errc::kQueryFailed, "throttle_query does not give a boolean", {},
                "Write a SELECT whose first column is a condition: SELECT count(*) > 100 FROM ...");
    facts.unknown.push_back({"query", std::move(error)});
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<ThrottleFacts>> ReadThrottleFacts(Database& db, const ThrottlePolicy& policy,
                                              std::string table) {
  const std::vector<Part> parts = PartsOf(policy, table);
  std::string sql(kWithSql);
  PgValues values;
  for (const Part& part : parts) {
    if (part.on) sql += part.sql;
    if (part.on && part.reason == "vacuum_running") values.emplace_back(table);
  }
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  ThrottleFacts facts = FactsOf(*rows, parts);
  const bool sees_archiver = FactRow(*rows).Text("sees_archiver") == "t";
  if (policy.max_archiver_backlog && !sees_archiver) {
    facts.unknown.push_back(
        {"archiver_backlog", NotAllowed("the role does not see the archiver's files")});
  } else if (policy.max_archiver_backlog) {
    std::string archiver(kArchiverSql);
    auto files = co_await db.Query(std::move(archiver), PgValues(), kTimeout);
    if (!files) co_return files.error();
    facts.archiver_backlog = files->Integer(0, 0);
  }
  if (!policy.query.empty()) {
    std::string query = policy.query;
    auto asked = co_await AskQuery(db, std::move(query), facts);
    if (!asked) co_return asked.error();
  }
  co_return facts;
}

}  // namespace pgsteward
