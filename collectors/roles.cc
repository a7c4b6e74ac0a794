#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr SqlVariant kSql[] = {
    {0, "SELECT rolname, rolconnlimit AS connection_limit FROM pg_roles"}};

constexpr Column kColumns[] = {
    {"rolname"},
    {"connection_limit", Kind::kGauge, "pg_roles_connection_limit",
     "Most connections that the role may have at a time, -1 without a limit of its own."},
};

}  // namespace

extern const CollectorSpec kRoles{
    .name = "roles",
    .reads = "pg_roles",
    .interval = std::chrono::seconds(60),
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
