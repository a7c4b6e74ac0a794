#include "collectors/collector.h"

namespace pgsteward {

namespace {

// Dashboards know short_version as three numbers, "15.20.0".
constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT version() AS version,
       concat(number / 10000, '.', number % 10000, '.0') AS short_version,
       1 AS static
FROM (SELECT current_setting('server_version_num')::int AS number) AS server
)sql"}};

constexpr Column kColumns[] = {
    {"version"},
    {"short_version"},
    {"static", Kind::kUntyped, "pg_static", "Always 1; the labels tell the server's version."},
};

}  // namespace

extern const CollectorSpec kStatic{
    .name = "static",
    .reads = "version()",
    .interval = std::chrono::seconds(60),
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
