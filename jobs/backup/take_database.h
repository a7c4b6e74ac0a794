// One database (or the cluster's roles) into one file of a backup, watched while it goes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/backup/backup_options.h"
#include "jobs/backup/child_connection.h"
#include "jobs/backup/dump_stream.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/preflight.h"
#include "jobs/backup/publication.h"
#include "jobs/job.h"

namespace pgsteward {

// What the files of one backup have in common. All references outlive it.
struct BackupTaking {
  JobContext& context;
  const BackupSettings& settings;
  const BackupFacts& facts;
  JobReport& report;
  std::shared_ptr<PartialBackup> partial;
  PgService service;  // how children connect
  // Of what is stored already, for the progress.
  std::uint64_t dumped_before = 0;
  std::uint64_t stored_before = 0;

  // What the sessions of the dump are called, and ours that holds its snapshot.
  std::string Application() const { return "pgsteward-backup:" + context.run_id; }
  std::string SnapshotPart() const { return "backup:" + context.run_id; }
  std::vector<std::string> Applications() const {
    return {Application(), "pgsteward:" + SnapshotPart()};
  }
};

struct TakenDatabase {
  BackupDatabase database;
  BackupFile file;
};

// "globals.sql" + ".zst" + ".age".
std::string StoredName(const std::string& base, const Recipients& recipients);

// pg_dumpall --globals-only.
Task<Result<BackupFile>> TakeGlobals(BackupTaking& taking);
// kBusy, with who is in the way: its locks could not be had in lock_attempts attempts.
Task<Result<TakenDatabase>> TakeDatabase(BackupTaking& taking, std::string name);

// What a child failed with because we stopped it: why.
Error StoppedBecause(const std::string& reason);

}  // namespace pgsteward
