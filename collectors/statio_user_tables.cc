#include "collectors/collector.h"

namespace pgsteward {

namespace {

// Temporary tables live in one session and come and go: no series for them.
constexpr SqlVariant kSql[] = {{0, R"sql(
SELECT current_database() AS datname, schemaname, relname, heap_blks_read, heap_blks_hit,
       idx_blks_read, idx_blks_hit, toast_blks_read, toast_blks_hit, tidx_blks_read, tidx_blks_hit
FROM pg_statio_user_tables
WHERE schemaname NOT LIKE 'pg\_temp\_%'
)sql"}};

constexpr Column kColumns[] = {
    {"datname"},
    {"schemaname"},
    {"relname"},
    {"heap_blks_read", Kind::kCounter, "pg_statio_user_tables_heap_blocks_read",
     "Blocks of the table read from outside the shared buffers."},
    {"heap_blks_hit", Kind::kCounter, "pg_statio_user_tables_heap_blocks_hit",
     "Blocks of the table found in the shared buffers."},
    {"idx_blks_read", Kind::kCounter, "pg_statio_user_tables_idx_blocks_read",
     "Blocks of the table's indexes read from outside the shared buffers; absent without one."},
    {"idx_blks_hit", Kind::kCounter, "pg_statio_user_tables_idx_blocks_hit",
     "Blocks of the table's indexes found in the shared buffers; absent without one."},
    {"toast_blks_read", Kind::kCounter, "pg_statio_user_tables_toast_blocks_read",
     "Blocks of the TOAST table read from outside the shared buffers; absent without one."},
    {"toast_blks_hit", Kind::kCounter, "pg_statio_user_tables_toast_blocks_hit",
     "Blocks of the TOAST table found in the shared buffers; absent without one."},
    {"tidx_blks_read", Kind::kCounter, "pg_statio_user_tables_tidx_blocks_read",
     "Blocks of the TOAST table's index read from outside the shared buffers; absent without one."},
    {"tidx_blks_hit", Kind::kCounter, "pg_statio_user_tables_tidx_blocks_hit",
     "Blocks of the TOAST table's index found in the shared buffers; absent without one."},
};

}  // namespace

extern const CollectorSpec kStatioUserTables{
    .name = "statio_user_tables",
    .reads = "pg_statio_user_tables",
    .scope = Scope::kDatabase,
    .interval = std::chrono::seconds(30),
    .sql = kSql,
    .columns = kColumns,
};

}  // namespace pgsteward
