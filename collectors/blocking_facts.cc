#include "collectors/blocking_facts.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace pgsteward {

namespace {

// A role without pg_read_all_stats sees neither the wait of other sessions nor their backend_type.
constexpr std::string_view kAnybodyWaitsSql = R"sql(
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE wait_event_type = 'Lock' OR backend_type IS NULL)
)sql";

// A parallel worker's wait is its leader's, because the leader is whom pg_blocking_pids names.
constexpr std::string_view kWaitsSql = R"sql(
WITH activity AS MATERIALIZED (
  SELECT pid,
         CASE WHEN backend_type = 'parallel worker' THEN coalesce(leader_pid, pid) ELSE pid END
           AS party,
         datname, usename, application_name, state, query_start, state_change, xact_start, query
  FROM pg_stat_activity
),
locks AS MATERIALIZED (
  SELECT * FROM pg_locks WHERE NOT granted OR pid IS NULL OR locktype = 'tuple'
),
waits AS MATERIALIZED (
  SELECT DISTINCT ON (party) *
  FROM (SELECT coalesce(a.party, l.pid) AS party, l.*, )sql";

// waitstart is NULL for the first instant of a wait. Before PostgreSQL 14 the statement's start is
// the nearest thing that is known.
constexpr std::string_view kStarted = "coalesce(l.waitstart, clock_timestamp())";
constexpr std::string_view kStarted13 = "greatest(a.query_start, a.state_change)";

// A prepared transaction's locks carry no pid, and only since a restart its transaction id; but it
// always holds the lock on its own transaction id under the same virtual transaction. Of several,
// those block that hold the same object in a conflicting mode.
constexpr std::string_view kBlockersSql = R"sql( AS started
        FROM locks AS l
        LEFT JOIN activity AS a ON a.pid = l.pid
        WHERE NOT l.granted) AS waiting
  ORDER BY party, started
),
examined AS MATERIALIZED (
  SELECT * FROM waits ORDER BY started, party LIMIT $2::int
),
blocked AS MATERIALIZED (
  SELECT *, pg_blocking_pids(pid) AS blockers FROM examined
),
prepared AS MATERIALIZED (
  SELECT l.*, x.transaction
  FROM pg_prepared_xacts AS x
  JOIN locks AS own ON own.pid IS NULL AND own.locktype = 'transactionid'
                   AND own.transactionid = x.transaction
  JOIN locks AS l ON l.pid IS NULL AND l.virtualtransaction = own.virtualtransaction
),
conflicts (wanted, held) AS (
  VALUES
    ('AccessShareLock', '{AccessExclusiveLock}'::text[]),
    ('RowShareLock', '{ExclusiveLock,AccessExclusiveLock}'),
    ('RowExclusiveLock',
     '{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
    ('ShareUpdateExclusiveLock',
     '{ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'),
    ('ShareLock',
     '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,ExclusiveLock,
       AccessExclusiveLock}'),
    ('ShareRowExclusiveLock',
     '{RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,ExclusiveLock,
       AccessExclusiveLock}'),
    ('ExclusiveLock',
     '{RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,ShareRowExclusiveLock,
       ExclusiveLock,AccessExclusiveLock}'),
    ('AccessExclusiveLock',
     '{AccessShareLock,RowShareLock,RowExclusiveLock,ShareUpdateExclusiveLock,ShareLock,
       ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')
),
prepared_blockers AS MATERIALIZED (
  SELECT DISTINCT b.party, p.transaction::text::bigint AS xid
  FROM blocked AS b
  JOIN conflicts AS c ON c.wanted = b.mode
  JOIN prepared AS p
    ON p.mode = ANY (c.held)
   AND (p.locktype, p.database, p.relation, p.page, p.tuple, p.virtualxid, p.transactionid,
        p.classid, p.objid, p.objsubid)
       IS NOT DISTINCT FROM
       (b.locktype, b.database, b.relation, b.page, b.tuple, b.virtualxid, b.transactionid,
        b.classid, b.objid, b.objsubid)
  WHERE 0 = ANY (b.blockers)
),
)sql";

// Who waits for a row waits for its owner's transaction, and holds the lock on the row meanwhile:
// that lock tells the table.
constexpr std::string_view kRowsSql = R"sql(
targets AS MATERIALIZED (
  SELECT b.party, b.locktype, b.mode, b.started, b.blockers,
         CASE b.locktype
           WHEN 'transactionid' THEN b.transactionid::text
           WHEN 'virtualxid' THEN b.virtualxid
           WHEN 'page' THEN b.page::text
           WHEN 'tuple' THEN format('(%s,%s)', b.page, b.tuple)
           WHEN 'object' THEN format('%s %s', b.classid::regclass, b.objid)
           WHEN 'advisory' THEN
             CASE b.objsubid
               WHEN 1 THEN ((b.classid::bigint << 32) | b.objid::bigint)::text
               ELSE format('(%s,%s)', b.classid::bigint::bit(32)::int,
                           b.objid::bigint::bit(32)::int)
             END
         END AS object,
         CASE WHEN c.oid IS NOT NULL THEN format('%I.%I', n.nspname, c.relname)
              ELSE 'oid ' || coalesce(b.relation, r.relation) END AS relation
  FROM blocked AS b
  LEFT JOIN LATERAL (
    SELECT t.database, t.relation
    FROM locks AS t
    WHERE b.locktype = 'transactionid'
      AND t.locktype = 'tuple' AND t.granted AND t.pid = b.pid
    LIMIT 1
  ) AS r ON true
  LEFT JOIN pg_class AS c
    ON c.oid = coalesce(b.relation, r.relation)
   AND coalesce(b.database, r.database)
       IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
)
SELECT p.id, NULL AS gid, a.datname, a.usename, a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - a.xact_start) AS xact_seconds,
       CASE WHEN $1::bool THEN left(a.query, 4000) END AS query,
       a.pid IS NOT NULL AS known, t.locktype, t.mode, t.relation, t.object,
       extract(epoch FROM clock_timestamp() - t.started) AS wait_seconds,
       t.blockers,
       ARRAY (SELECT x.xid FROM prepared_blockers AS x WHERE x.party = t.party) AS prepared,
       NULL::bigint AS not_examined
FROM (SELECT party AS id FROM blocked UNION SELECT unnest(blockers) FROM blocked) AS p
LEFT JOIN activity AS a ON a.pid = p.id
LEFT JOIN targets AS t ON t.party = p.id
WHERE p.id <> 0
UNION ALL
SELECT -x.transaction::text::bigint, x.gid, x.database, x.owner, NULL, NULL,
       extract(epoch FROM clock_timestamp() - x.prepared), NULL,
       true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM pg_prepared_xacts AS x
WHERE x.transaction::text::bigint IN (SELECT xid FROM prepared_blockers)
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, w.mode, NULL, NULL, NULL, NULL,
       NULL, count(*)
FROM waits AS w
WHERE w.party NOT IN (SELECT party FROM examined)
GROUP BY w.mode
)sql";

std::string WaitsSql(int server_version) {
  std::string sql(kWaitsSql);
  sql += server_version >= 140000 ? kStarted : kStarted13;
  sql += kBlockersSql;
  sql += kRowsSql;
  return sql;
}

// "{12,13}" as PostgreSQL writes an array of integers; "" for NULL.
std::vector<PartyId> ParseIds(std::string_view array) {
  std::vector<PartyId> ids;
  const char* const end = array.data() + array.size();
  for (const char* at = array.data(); at < end;) {
    PartyId id = 0;
    const auto [next, failed] = std::from_chars(at, end, id);
    if (failed == std::errc()) ids.push_back(id);
    at = failed == std::errc() ? next : at + 1;
  }
  return ids;
}

// pg_blocking_pids says 0 for every prepared transaction.
std::vector<PartyId> NameBlockers(const std::vector<PartyId>& pids,
                                  const std::vector<PartyId>& prepared) {
  std::vector<PartyId> blockers;
  for (const PartyId pid : pids) {
    if (pid != 0 || prepared.empty()) blockers.push_back(pid);
  }
  for (const PartyId xid : prepared) blockers.push_back(-xid);
  return blockers;
}

class Reader {
 public:
  explicit Reader(const PgResult& rows) : rows_(rows) {}

  BlockingFacts Read() {
    for (row_ = 0; row_ < rows_.rows(); ++row_) {
      if (!IsNull("not_examined")) {
        facts_.not_examined[Text("mode")] += static_cast<int>(Number("not_examined").value_or(0));
        continue;
      }
      if (Text("known") == "t") ReadParty();
      if (!IsNull("locktype")) ReadWait();
    }
    return std::move(facts_);
  }

 private:
  bool IsNull(std::string_view column) const { return rows_.IsNull(row_, Find(column)); }
  std::string Text(std::string_view column) const {
    return std::string(rows_.Text(row_, Find(column)));
  }
  std::optional<double> Number(std::string_view column) const {
    return rows_.Number(row_, Find(column));
  }
  // The server's clock may have been set back since.
  std::optional<double> Seconds(std::string_view column) const {
    const auto seconds = Number(column);
    return seconds ? std::optional(std::max(*seconds, 0.0)) : std::nullopt;
  }
  int Find(std::string_view column) const { return rows_.FindColumn(column); }
  PartyId Id() const { return rows_.Integer(row_, Find("id")).value_or(0); }

  void ReadParty() {
    facts_.parties.push_back({.id = Id(),
                              .gid = Text("gid"),
                              .database = Text("datname"),
                              .user = Text("usename"),
                              .application = Text("application_name"),
                              .state = Text("state"),
                              .xact_seconds = Seconds("xact_seconds"),
                              .query = Text("query")});
  }

  void ReadWait() {
    facts_.waits.push_back(
        {.id = Id(),
         .lock_type = Text("locktype"),
         .mode = Text("mode"),
         .relation = Text("relation"),
         .object = Text("object"),
         .seconds = Seconds("wait_seconds"),
         .blockers = NameBlockers(ParseIds(Text("blockers")), ParseIds(Text("prepared")))});
  }

  const PgResult& rows_;
  int row_ = 0;
  BlockingFacts facts_;
};

}  // namespace

Task<Result<BlockingFacts>> LoadBlockingFacts(Database& db, Duration timeout,
                                              bool with_query_text) {
  std::string guard(kAnybodyWaitsSql);
  auto anybody = co_await db.Query(std::move(guard), PgValues(), timeout);
  if (!anybody) co_return anybody.error();
  if (!anybody->Bool(0, 0)) co_return BlockingFacts();

  std::string sql = WaitsSql(db.server_version());
  PgValues values = {with_query_text ? "true" : "false", std::to_string(kMaxExaminedWaits)};
  auto rows = co_await db.Query(std::move(sql), std::move(values), timeout);
  if (!rows) co_return rows.error();
  co_return Reader(*rows).Read();
}

}  // namespace pgsteward
