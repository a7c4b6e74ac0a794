#include "jobs/vacuum.h"

#include <utility>

namespace pgsteward {

namespace {

// The table and its partitions: the name for SQL, and who of them the role may not vacuum. From
// PostgreSQL 17 on it is a privilege (MAINTAIN), before that one owns the table or the database.
constexpr std::string_view kRightsSql = R"sql(
SELECT format('%I.%I', n.nspname, c.relname), current_user,
       current_setting('client_min_messages') = 'error',
       (SELECT string_agg(member.relid::regclass::text, ', ' ORDER BY member.relid::regclass::text)
        FROM (SELECT c.oid UNION SELECT t.relid FROM pg_partition_tree(c.oid) AS t) AS member (relid)
        JOIN pg_class AS m ON m.oid = member.relid
        WHERE NOT CASE WHEN $2::boolean THEN has_table_privilege(m.oid, 'MAINTAIN')
                       ELSE pg_has_role(m.relowner, 'USAGE') END
          AND NOT (pg_has_role(d.datdba, 'USAGE') AND NOT m.relisshared))
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_database AS d ON d.datname = current_database()
WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'm', 'p', 't')
)sql";

constexpr Duration kCheckTimeout = std::chrono::seconds(5);
constexpr int kVersionWithMaintain = 170'000;

// The quoted name, or why the role may not vacuum it.
Task<Result<std::string>> CheckRights(JobContext& context, const std::string& table) {
  JobSession& db = context.db;
  const bool by_privilege = db.server_version() >= kVersionWithMaintain;
  auto begun = co_await db.Begin(TransactionSettings(kCheckTimeout));
  if (!begun) co_return begun.error();
  auto fenced = co_await context.control.Fence(db);
  if (!fenced) {
    co_await db.Rollback();
    co_return fenced.error();
  }
  std::string sql(kRightsSql);
  PgValues values;
  values.emplace_back(table);
  values.emplace_back(by_privilege ? "true" : "false");
  auto rows = co_await db.Query(std::move(sql), std::move(values), kCheckTimeout);
  co_await db.Rollback();
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) {
    co_return Error(Errc::kQueryFailed, "there is no table " + table + " to vacuum", "42P01",
                    "Name it with its schema, and quoted as in SQL.");
  }
  if (rows->Bool(0, 2)) {
    co_return Error(Errc::kQueryFailed,
                    "client_min_messages hides the warnings by which VACUUM and ANALYZE say that "
                    "they did nothing",
                    {},
                    "ALTER ROLE " + std::string(rows->Text(0, 1)) +
                        " SET client_min_messages = warning, or of the database.");
  }
  if (!rows->IsNull(0, 3)) {
    const std::string role(rows->Text(0, 1));
    std::string hint =
        "VACUUM needs the owner of the table or of the database: GRANT the owner's "
        "role to " +
        role + ".";
    if (by_privilege) hint = "GRANT MAINTAIN on it, or the role pg_maintain, to " + role + ".";
    co_return Error(Errc::kQueryFailed,
                    "role " + role + " may not vacuum " + std::string(rows->Text(0, 3)), "42501",
                    std::move(hint));
  }
  co_return std::string(rows->Text(0, 0));
}

}  // namespace

Task<Result<void>> VacuumTable(JobContext& context, std::string table, VacuumOptions options) {
  auto name = co_await CheckRights(context, table);
  if (!name) co_return name.error();
  if (context.dry_run) co_return Result<void>();
  const std::string verb = options.vacuum ? "vacuum " : "analyze ";
  const std::string done_what = options.vacuum ? " was not vacuumed: " : " was not analyzed: ";
  context.control.Note(verb + *name);
  context.db.TakeNotices();
  // Truncating takes an exclusive lock for which readers on a standby are cancelled.
  std::string sql = "ANALYZE (SKIP_LOCKED true) ";
  if (options.vacuum) {
    sql = "VACUUM (TRUNCATE false, SKIP_LOCKED true, PARALLEL 0";
    sql += options.analyze ? ", ANALYZE) " : ") ";
  }
  sql += *name;
  auto done = co_await context.db.Alone(std::move(sql), options.timeout);
  if (!done) co_return done.error();
  bool unexplained = false;
  for (const PgNotice& notice : context.db.TakeNotices()) {
    if (notice.severity != "WARNING") continue;
    if (notice.sqlstate == "55P03") {
      co_return Error(Errc::kBusy, *name + done_what + notice.message, "55P03",
                      "Another session holds a lock on it; the next run tries again.");
    }
    if (notice.sqlstate == "42P01") {
      co_return Error(Errc::kQueryFailed, *name + done_what + notice.message, "42P01");
    }
    context.control.Note(verb + *name + ": " + notice.message);
    unexplained = true;
  }
  // Such a warning has no SQLSTATE of its own: the rights may have gone since the check.
  if (unexplained) {
    auto again = co_await CheckRights(context, table);
    if (!again) co_return again.error();
  }
  co_return Result<void>();
}

}  // namespace pgsteward
