// The moment of a backup in one database: a snapshot that we hold open, the rows of each table in
// it, and what of the database no dump says.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/pg_connection.h"
#include "jobs/backup/manifest.h"

namespace pgsteward {

class Snapshot {
 public:
  // Connects to `database` as `target` says and takes the snapshot.
  static Task<Result<std::unique_ptr<Snapshot>>> Take(Runtime& runtime, PgTarget target,
                                                      std::string database);

  // What is known of the database; without tables, file and sizes of the dump.
  const BackupDatabase& facts() const { return facts_; }
  int server_version() const { return connection_->server_version(); }

  // The ordinary tables and partitions whose rows a dump holds, in order, not counted yet.
  Task<Result<std::vector<BackupTable>>> ReadTables();
  // Keeps those that change or drop tables waiting until the snapshot ends: what is counted is what
  // is dumped. kBusy: the locks could not be had within `wait`, or a table is gone.
  Task<Result<void>> Lock(const std::vector<BackupTable>& tables, Duration wait);
  // Counts one of them; a long scan.
  Task<Result<void>> Count(BackupTable& table, Duration timeout);
  // The snapshot is still there.
  Task<Result<void>> Check();

 private:
  Snapshot() = default;
  Task<Result<void>> ReadMoment();
  Task<Result<void>> ReadDatabase();
  Task<Result<void>> ReadLists();

  std::unique_ptr<PgConnection> connection_;
  BackupDatabase facts_;
};

}  // namespace pgsteward
