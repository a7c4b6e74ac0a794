#include "jobs/reaper/reaper_facts.h"

#include <algorithm>
#include <charconv>

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

// A setting's reset value is what a session of this role has by itself: ours is set for each
// transaction.
constexpr std::string_view kAbilitySql = R"sql(
SELECT quote_ident(current_user) AS role,
       pg_is_in_recovery() AS in_recovery,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_everybody,
       pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS may_signal,
       current_setting('track_activities')::boolean AS tracks_activities,
       l.oid IS NOT NULL AS has_log,
       coalesce(has_schema_privilege(l.relnamespace, 'USAGE')
                AND has_table_privilege(l.oid, 'SELECT')
                AND has_table_privilege(l.oid, 'INSERT')
                AND has_any_column_privilege(l.oid, 'UPDATE'), false) AS may_log,
       (SELECT coalesce(string_agg(name, E'\n' ORDER BY name DESC), '')
        FROM pg_settings
        WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout')
          AND reset_val = '0') AS unset_timeouts
FROM (SELECT) AS one
LEFT JOIN (pg_class AS l JOIN pg_namespace AS n ON n.oid = l.relnamespace
                                               AND n.nspname = 'pgsteward')
  ON l.relname = 'remediation_log' AND l.relkind IN ('r', 'p')
)sql";

// The text of a query stays on the server. A leader waits for a lock when one of its workers does.
constexpr std::string_view kSessionsSql = R"sql(
SELECT a.pid, a.backend_start, a.xact_start, a.query_start, a.state_change, a.state,
       a.backend_type, a.usename, a.datname, a.application_name, md5(a.query) AS query_digest,
       extract(epoch FROM clock_timestamp() - a.query_start) AS query_s,
       extract(epoch FROM clock_timestamp() - a.state_change) AS state_s,
       a.pid = pg_backend_pid() AS self,
       coalesce(r.rolsuper, false) AS superuser,
       coalesce(a.usesysid = ANY (excluded.members), false) AS excluded_role,
       strpos(a.query, '/* no-kill */') > 0 AS tagged,
       coalesce(a.wait_event_type = 'Lock', false) OR EXISTS (
         SELECT FROM pg_stat_activity AS w
         WHERE w.leader_pid = a.pid AND w.pid <> a.pid AND w.wait_event_type = 'Lock') AS waiting,
       current_database() AS our_database
FROM pg_stat_activity AS a
LEFT JOIN pg_roles AS r ON r.oid = a.usesysid
CROSS JOIN (
  SELECT array_agg(DISTINCT m.oid) AS members
  FROM pg_roles AS x JOIN pg_roles AS m ON pg_has_role(m.oid, x.oid, 'MEMBER')
  WHERE x.rolname LIKE ANY (string_to_array($1, E'\n'))
) AS excluded
)sql";

// pg_blocking_pids takes all partitions of the lock table, so not more often than this per look:
// those that have waited longest.
constexpr std::string_view kWaitsSql = R"sql(
WITH waits AS MATERIALIZED (
  SELECT a.pid,
         CASE WHEN a.backend_type = 'parallel worker' THEN coalesce(a.leader_pid, a.pid)
              ELSE a.pid END AS party,
         min()sql";
constexpr std::string_view kStarted = "coalesce(l.waitstart, clock_timestamp())";
constexpr std::string_view kStarted13 = "greatest(a.query_start, a.state_change)";
constexpr std::string_view kWaitsEndSql = R"sql() AS started
  FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
  WHERE NOT l.granted
  GROUP BY 1, 2
  ORDER BY started
  LIMIT 200
)
SELECT party, extract(epoch FROM clock_timestamp() - started) AS seconds,
       array_to_string(pg_blocking_pids(pid), ' ') AS blockers
FROM waits
)sql";

constexpr std::string_view kIdentitiesSql = R"sql(
SELECT pid, backend_start, xact_start, query_start, state_change, state
FROM pg_stat_activity
WHERE pid = ANY (string_to_array($1, ' ')::int[])
)sql";

// Cancelling a statement and terminating its session later is one incident.
constexpr std::string_view kRecentSql = R"sql(
SELECT extract(epoch FROM clock_timestamp() - min(at))
FROM pgsteward.remediation_log
WHERE at > clock_timestamp() - interval '1 hour' AND action IN ('cancel', 'terminate')
GROUP BY pid, backend_start, xact_start, query_start
)sql";

// One row under its column names.
class Row {
 public:
  Row(const PgResult& rows, int row) : rows_(rows), row_(row) {}
  std::string Text(std::string_view column) const {
    return std::string(rows_.Text(row_, rows_.FindColumn(column)));
  }
  bool Bool(std::string_view column) const { return rows_.Bool(row_, rows_.FindColumn(column)); }
  long long Integer(std::string_view column) const {
    return rows_.Integer(row_, rows_.FindColumn(column)).value_or(0);
  }
  // The server's clock may have been set back since.
  double Seconds(std::string_view column) const {
    return std::max(rows_.Number(row_, rows_.FindColumn(column)).value_or(0), 0.0);
  }

 private:
  const PgResult& rows_;
  int row_;
};

void ReadIdentity(const Row& row, ReaperSession& session) {
  session.pid = row.Integer("pid");
  session.backend_start = row.Text("backend_start");
  session.xact_start = row.Text("xact_start");
  session.query_start = row.Text("query_start");
  session.state_change = row.Text("state_change");
  session.state = row.Text("state");
}

ReaperSession ReadSession(const Row& row) {
  ReaperSession session;
  ReadIdentity(row, session);
  session.backend_type = row.Text("backend_type");
  session.user = row.Text("usename");
  session.database = row.Text("datname");
  session.application = row.Text("application_name");
  session.query_digest = row.Text("query_digest");
  session.query_s = row.Seconds("query_s");
  session.state_s = row.Seconds("state_s");
  session.self = row.Bool("self");
  session.superuser = row.Bool("superuser");
  session.excluded_role = row.Bool("excluded_role");
  session.tagged = row.Bool("tagged");
  session.waiting = row.Bool("waiting");
  return session;
}

std::vector<long long> ParsePids(std::string_view text) {
  std::vector<long long> pids;
  for (const char* at = text.data(); at < text.data() + text.size();) {
    long long pid = 0;
    const auto [end, failed] = std::from_chars(at, text.data() + text.size(), pid);
    if (failed == std::errc()) pids.push_back(pid);
    at = end + 1;
  }
  return pids;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// Our patterns as those of LIKE.
std::string LikePatterns(const std::vector<std::string>& patterns) {
  std::string text;
  for (const std::string& pattern : patterns) {
    if (!text.empty()) text += '\n';
    for (const char c : pattern) {
      if (c == '%' || c == '_' || c == '\\') text += '\\';
      text += c == '*' ? '%' : c == '?' ? '_' : c;
    }
  }
  return text;
}

Task<Result<PgResult>> ReadOnly(JobSession& db, std::string sql, PgValues values) {
  TransactionSettings settings{kTimeout};
  settings.read_only = true;
  auto begun = co_await db.Begin(std::move(settings));
  if (!begun) co_return begun.error();
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  co_await db.Rollback();
  co_return rows;
}

Error Missing(std::string message, std::string hint) {
  return Error(Errc::kQueryFailed, std::move(message), "42501", std::move(hint));
}

}  // namespace

Task<Result<ReaperAbility>> ReadReaperAbility(JobSession& db) {
  std::string sql(kAbilitySql);
  auto rows = co_await ReadOnly(db, std::move(sql), PgValues());
  if (!rows) co_return rows.error();
  const Row row(*rows, 0);
  ReaperAbility ability;
  ability.role = row.Text("role");
  ability.in_recovery = row.Bool("in_recovery");
  ability.sees_everybody = row.Bool("sees_everybody");
  ability.may_signal = row.Bool("may_signal");
  ability.tracks_activities = row.Bool("tracks_activities");
  ability.has_log = row.Bool("has_log");
  ability.may_log = row.Bool("may_log");
  ability.unset_timeouts = Lines(row.Text("unset_timeouts"));
  co_return ability;
}

Result<void> CheckReaperAbility(const ReaperAbility& ability, ReaperMode mode) {
  if (ability.in_recovery) {
    return Error(Errc::kQueryFailed,
                 "the server is in recovery, where neither lease nor log can be written", "25006",
                 "Connect to the primary: target_session_attrs=read-write in the conninfo.");
  }
  if (!ability.sees_everybody) {
    return Missing("the role may not see the sessions of other roles",
                   "GRANT pg_read_all_stats TO " + ability.role + ";");
  }
  if (!ability.tracks_activities) {
    return Error(Errc::kQueryFailed, "track_activities is off: nobody knows who does what", {},
                 "Set track_activities = on.");
  }
  if (!ability.has_log) {
    return Error(Errc::kQueryFailed, "there is no table pgsteward.remediation_log", "42P01",
                 "Run: pgsteward schema apply.");
  }
  if (!ability.may_log) {
    return Missing("the role may not write pgsteward.remediation_log",
                   "GRANT USAGE ON SCHEMA pgsteward TO " + ability.role +
                       "; GRANT SELECT, INSERT, UPDATE (result) ON pgsteward.remediation_log TO " +
                       ability.role + ";");
  }
  const bool signals = mode == ReaperMode::kCancel || mode == ReaperMode::kTerminate;
  if (signals && !ability.may_signal) {
    return Missing("the role may not signal the sessions of other roles",
                   "GRANT pg_signal_backend TO " + ability.role + ";");
  }
  return Result<void>();
}

Task<Result<ReaperFacts>> LookAtSessions(JobSession& db,
                                         const std::vector<std::string>& exclude_roles) {
  std::string sql(kSessionsSql);
  PgValues values;
  values.emplace_back(LikePatterns(exclude_roles));
  auto rows = co_await ReadOnly(db, std::move(sql), std::move(values));
  if (!rows) co_return rows.error();
  ReaperFacts facts;
  bool anybody_waits = false;
  for (int i = 0; i < rows->rows(); ++i) {
    const Row row(*rows, i);
    facts.database = row.Text("our_database");
    facts.sessions.push_back(ReadSession(row));
    if (facts.sessions.back().waiting) anybody_waits = true;
  }
  if (!anybody_waits) co_return facts;

  std::string waits_sql(kWaitsSql);
  waits_sql += db.server_version() >= 140000 ? kStarted : kStarted13;
  waits_sql += kWaitsEndSql;
  auto waits = co_await ReadOnly(db, std::move(waits_sql), PgValues());
  if (!waits) co_return waits.error();
  for (int i = 0; i < waits->rows(); ++i) {
    const Row row(*waits, i);
    ReaperWait wait;
    wait.pid = row.Integer("party");
    wait.seconds = row.Seconds("seconds");
    wait.blockers = ParsePids(row.Text("blockers"));
    facts.waits.push_back(std::move(wait));
  }
  co_return facts;
}

Task<Result<std::vector<std::string>>> ReadReaperIdentities(JobSession& db,
                                                            const std::vector<long long>& pids) {
  std::string list;
  for (const long long pid : pids) list += (list.empty() ? "" : " ") + std::to_string(pid);
  std::string sql(kIdentitiesSql);
  PgValues values;
  values.emplace_back(std::move(list));
  auto rows = co_await ReadOnly(db, std::move(sql), std::move(values));
  if (!rows) co_return rows.error();
  std::vector<std::string> identities;
  for (int i = 0; i < rows->rows(); ++i) {
    ReaperSession session;
    ReadIdentity(Row(*rows, i), session);
    identities.push_back(ReaperIdentity(session));
    identities.push_back(std::to_string(session.pid) + "|" + session.backend_start);
  }
  co_return identities;
}

Task<Result<std::vector<double>>> ReadRecentSignals(JobSession& db) {
  std::string sql(kRecentSql);
  auto rows = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<double> ages;
  for (int i = 0; i < rows->rows(); ++i) ages.push_back(rows->Number(i, 0).value_or(0));
  co_return ages;
}

}  // namespace pgsteward
