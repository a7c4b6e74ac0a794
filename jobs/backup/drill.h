// A backup restored into a scratch cluster and looked at: the proof that it is one.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/pg_session.h"
#include "core/runtime.h"
#include "core/task.h"
#include "jobs/backup/encryption.h"
#include "jobs/backup/manifest.h"
#include "jobs/backup/own_thread.h"
#include "jobs/backup/place.h"
#include "jobs/backup/run_as.h"

namespace pgsteward {

enum class Amcheck { kOff, kAuto, kRequired };

struct DrillRequest {
  std::string folder;  // of the backup
  std::optional<Identity> identity = {};
  std::string scratch;  // where the scratch cluster is made
  RunAs run_as = {};
  std::vector<std::string> tool_directories = {};
  std::vector<std::string> settings = {};  // more of the scratch server
  int jobs = 1;
  Amcheck amcheck = Amcheck::kAuto;
  // Not a drill but a restore: the cluster is made here, with fsync, and stays. Its tablespaces lie
  // beside it. Not there when restoring fails; there, with the problems told, when only the checks
  // find something.
  std::string keep_at = {};
  std::vector<std::string> databases = {};  // only these; empty: all
  StopWanted stop_wanted = {};
  std::function<void(const std::string&)> note = {};  // steps, for a person reading along
  std::function<void(double done)> progress = {};     // of the databases' dumps, 0 to 1
  // The live server, as whose copy the hub's schema is judged; null: unknown.
  Database* live = nullptr;
};

struct DrillResult {
  std::optional<Manifest> manifest;  // empty: it could not even be read
  bool proven = false;
  std::string reason;  // of one that is not: the first thing that was wrong
  std::vector<std::string> problems;
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, double>> phases;  // seconds, in their order
  double restore_seconds = 0;  // cluster to analyze: what a person would wait for
  long long tables = 0;
  long long rows = 0;
};

// An error is about this machine (no space, no program, stopped) and says nothing of the backup;
// what is wrong with the backup stands in the result.
Task<Result<DrillResult>> RunDrill(Runtime& runtime, DrillRequest request);

// The verdict as the manifest keeps it.
BackupProof ProofOf(const DrillResult& result, WallTime at, std::string host);
// Adds it to the manifest of backup `id`, durably. Blocks. kBusy: somebody else is changing the
// place, for short.
Result<void> AddProof(const BackupPlace& place, const std::string& id, const BackupProof& proof);

}  // namespace pgsteward
