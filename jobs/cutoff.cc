#include "jobs/cutoff.h"

namespace pgsteward {

namespace {

constexpr std::string_view kCutoffSql = R"sql(
SELECT ((date_trunc('day', now() AT TIME ZONE $1) - $2::interval) AT TIME ZONE $1)::text
)sql";

constexpr Duration kTimeout = std::chrono::seconds(10);

}  // namespace

Task<Result<std::string>> ReadCutoff(Database& db, const std::string& time_zone,
                                     const std::string& age) {
  std::string sql(kCutoffSql);
  PgValues values;
  values.emplace_back(time_zone);
  values.emplace_back(age);
  auto rows = co_await db.Query(std::move(sql), std::move(values), kTimeout);
  if (!rows) co_return rows.error();
  co_return std::string(rows->Text(0, 0));
}

}  // namespace pgsteward
