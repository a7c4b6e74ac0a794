#include "jobs/archive/backup_interlock.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

constexpr std::string_view kTableSql = "SELECT to_regclass('pgsteward.proven_backup') IS NOT NULL";

// A proof or a snapshot of the future is a wrong clock and proves nothing.
constexpr std::string_view kNewestSql = R"sql(
SELECT max(covers_until)::text
FROM pgsteward.proven_backup
WHERE covers_until <= now() AND proven_at <= now() AND isfinite(covers_until)
)sql";

}  // namespace

Task<Result<std::optional<std::string>>> NewestProvenBackup(Database& db) {
  std::string sql(kTableSql);
  auto table = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!table) co_return table.error();
  if (!table->Bool(0, 0)) co_return std::optional<std::string>();
  sql = kNewestSql;
  auto newest = co_await db.Query(std::move(sql), PgValues(), kTimeout);
  if (!newest) co_return newest.error();
  if (newest->IsNull(0, 0)) co_return std::optional<std::string>();
  co_return std::optional<std::string>(newest->Text(0, 0));
}

}  // namespace pgsteward
