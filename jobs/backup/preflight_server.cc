#include "jobs/backup/preflight_server.h"

#include <algorithm>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(30);

constexpr std::string_view kClusterSql = R"sql(
SELECT (SELECT system_identifier FROM pg_control_system())::text,
       (SELECT timeline_id FROM pg_control_checkpoint()),
       has_table_privilege('pg_catalog.pg_authid', 'SELECT'), current_user, current_database()
)sql";

constexpr std::string_view kDatabasesSql = R"sql(
SELECT datname, datallowconn, datistemplate, pg_database_size(oid) FROM pg_database ORDER BY datname
)sql";

// Who holds VACUUM back the longest: a session, a prepared transaction, a slot.
constexpr std::string_view kXminSql = R"sql(
SELECT held.age, held.who FROM (
  SELECT age(backend_xmin) AS age, 'session ' || pid || ' of ' || coalesce(usename, '?') AS who
  FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
  UNION ALL
  SELECT age(transaction), 'prepared transaction ' || quote_literal(gid) FROM pg_prepared_xacts
  UNION ALL
  SELECT greatest(age(xmin), age(catalog_xmin)), 'replication slot ' || slot_name
  FROM pg_replication_slots WHERE coalesce(xmin, catalog_xmin) IS NOT NULL
) AS held ORDER BY held.age DESC NULLS LAST LIMIT 1
)sql";

// Of one database: whose rows a policy would leave out, what may not be read. Examples first.
constexpr std::string_view kRightsSql = R"sql(
WITH dumped AS (
  SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind,
         has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
           WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
           ELSE has_table_privilege(c.oid, 'SELECT') END AS readable
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S', 'm') AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
    AND NOT EXISTS (SELECT FROM pg_depend AS d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype = 'e'))
SELECT count(*) FILTER (WHERE relkind IN ('r', 'p') AND row_security_active(oid)),
       min(name) FILTER (WHERE relkind IN ('r', 'p') AND row_security_active(oid)),
       count(*) FILTER (WHERE NOT readable), min(name) FILTER (WHERE NOT readable)
FROM dumped
)sql";

Error Refused(std::string message, std::string hint) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

Task<Result<void>> ChooseDatabases(JobContext& context, const BackupSettings& settings,
                                   const std::string& own, BackupFacts& facts) {
  auto rows = co_await context.db.Query(std::string(kDatabasesSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  std::vector<std::string> wanted = settings.databases;
  if (wanted.empty()) wanted.push_back(own);
  const bool all = std::find(wanted.begin(), wanted.end(), "*") != wanted.end();
  for (int row = 0; row < rows->rows(); ++row) {
    const std::string name(rows->Text(row, 0));
    const bool may_connect = rows->Text(row, 1) == "t";
    const auto named = std::find(wanted.begin(), wanted.end(), name);
    const bool meant = named != wanted.end() || (all && may_connect && rows->Text(row, 2) == "f");
    if (named != wanted.end()) wanted.erase(named);
    if (!meant) continue;
    facts.databases.push_back(name);
    facts.database_bytes += static_cast<std::uint64_t>(rows->Integer(row, 3).value_or(0));
  }
  for (const std::string& missing : wanted) {
    if (missing == "*") continue;
    facts.problems.push_back(Refused("there is no database " + QuoteIdentifier(missing),
                                     "Correct the job's databases."));
  }
  co_return Result<void>();
}

Task<Result<void>> CheckRights(JobContext& context, std::string database, std::string role,
                               BackupFacts& facts) {
  PgTarget target = context.db.target();
  target.database = database;
  JobSession db(context.runtime, std::move(target));
  auto opened = co_await db.Open();
  if (!opened) {
    facts.problems.push_back(Refused(
        "cannot connect to database " + QuoteIdentifier(database) + ": " + opened.error().message,
        "GRANT CONNECT ON DATABASE " + QuoteIdentifier(database) + " TO " + QuoteIdentifier(role) +
            ", and let pg_hba.conf admit it."));
    co_return Result<void>();
  }
  auto rows = co_await db.Query(std::string(kRightsSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  if (rows->Integer(0, 0).value_or(0) > 0) {
    facts.problems.push_back(Refused(
        "row level security would hide rows of " + std::string(rows->Text(0, 0)) + " tables of " +
            QuoteIdentifier(database) + " from the dump, such as " + std::string(rows->Text(0, 1)),
        "ALTER ROLE " + QuoteIdentifier(role) + " BYPASSRLS;"));
  }
  if (rows->Integer(0, 2).value_or(0) > 0) {
    const std::string cure =
        facts.server_version >= 140000
            ? "GRANT pg_read_all_data TO " + QuoteIdentifier(role) + ";"
            : "GRANT USAGE ON its schema and SELECT ON ALL TABLES and ALL SEQUENCES there TO " +
                  QuoteIdentifier(role) + ".";
    facts.problems.push_back(Refused("the role " + QuoteIdentifier(role) + " may not read " +
                                         std::string(rows->Text(0, 2)) +
                                         " tables or sequences of " + QuoteIdentifier(database) +
                                         ", such as " + std::string(rows->Text(0, 3)),
                                     cure));
  }
  co_return Result<void>();
}

Task<Result<void>> CheckXmin(JobContext& context, const BackupSettings& settings,
                             BackupFacts& facts) {
  if (settings.max_xmin_age == 0) co_return Result<void>();
  auto rows = co_await context.db.Query(std::string(kXminSql), PgValues(), kTimeout);
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) co_return Result<void>();
  const long long age = rows->Integer(0, 0).value_or(0);
  if (age <= settings.max_xmin_age) co_return Result<void>();
  facts.problems.push_back(
      Refused(std::string(rows->Text(0, 1)) + " holds VACUUM back for " + std::to_string(age) +
                  " transactions already, and the dump's snapshot would go on with it",
              "End it, or raise max_xmin_age."));
  co_return Result<void>();
}

}  // namespace

Task<Result<void>> ReadServerSide(JobContext& context, const BackupSettings& settings,
                                  BackupFacts& facts) {
  facts.server_version = context.db.server_version();
  if (context.db.pooled()) {
    facts.problems.push_back(
        Refused("the connection goes through a pooler, which mixes up pg_dump's session",
                "Give the server of this job a connection string past the pooler."));
  }
  auto cluster = co_await context.db.Query(std::string(kClusterSql), PgValues(), kTimeout);
  if (!cluster) co_return cluster.error();
  facts.system_identifier = cluster->Text(0, 0);
  facts.timeline = static_cast<int>(cluster->Integer(0, 1).value_or(0));
  facts.role_passwords = cluster->Text(0, 2) == "t";
  const std::string role(cluster->Text(0, 3));
  const std::string own(cluster->Text(0, 4));
  auto chosen = co_await ChooseDatabases(context, settings, own, facts);
  if (!chosen) co_return chosen;
  for (const std::string& database : facts.databases) {
    auto checked = co_await CheckRights(context, database, role, facts);
    if (!checked) co_return checked;
  }
  co_return co_await CheckXmin(context, settings, facts);
}

}  // namespace pgsteward
