#include "collectors/collector.h"

namespace pgsteward {

namespace {

constexpr SqlVariant kSql[] = {
    {0, "SELECT extract(epoch FROM pg_postmaster_start_time()) AS start_time"}};

constexpr Column kColumns[] = {
    {"start_time", Kind::kGauge, "pg_postmaster_start_time_seconds",
     "Unix time when the server was started."},
};

}  // namespace

extern const CollectorSpec kPostmaster{
    .name = "postmaster",
    .reads = "pg_postmaster_start_time()",
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
