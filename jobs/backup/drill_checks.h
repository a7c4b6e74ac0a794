// What a restored database must be like for its backup to count as proven.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/pg_connection.h"
#include "core/pg_session.h"
#include "core/task.h"
#include "jobs/backup/manifest.h"
#include "schema/check.h"

namespace pgsteward {

// One connection as a Database.
class RestoredDatabase : public Database {
 public:
  explicit RestoredDatabase(std::unique_ptr<PgConnection> connection)
      : connection_(std::move(connection)) {}
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override {
    co_return co_await connection_->Query(std::move(sql), std::move(values), timeout);
  }
  int server_version() const override { return connection_->server_version(); }
  std::string database() const override { return connection_->database(); }

 private:
  std::unique_ptr<PgConnection> connection_;
};

struct DrillChecks {
  std::vector<std::string> problems;  // none: it is what was backed up
  std::vector<std::string> notes;     // worth telling
  long long tables = 0;
  long long rows = 0;
};

// Rows of each table, and that there is no table more or less. `stopped` is asked between tables.
Task<Result<void>> CheckRows(Database& db, const BackupDatabase& expected,
                             std::function<bool()> stopped, DrillChecks& checks);
// Constraints, indexes, extensions.
Task<Result<void>> CheckObjects(Database& db, const BackupDatabase& expected, DrillChecks& checks);
// The hub's schema where it is recorded. What differs in `live` as well was there before the
// backup; null: nothing is known of it.
Task<Result<void>> CheckHub(Database& db, Database* live, const BackupDatabase& expected,
                            DrillChecks& checks);

// Pure: of the differences those that restoring has made.
std::vector<std::string> NewDifferences(const SchemaCheck& restored, const SchemaCheck* live,
                                        const std::vector<std::string>& invalid_indexes);

}  // namespace pgsteward
