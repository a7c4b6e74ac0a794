// A PostgreSQL of our own: nobody else reaches it, it reaches nobody's archive, and it is gone
// afterwards. For the drill, and for restoring into a new cluster.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/fd.h"
#include "core/pg_connection.h"
#include "core/runtime.h"
#include "core/stream_child.h"
#include "core/task.h"
#include "jobs/backup/run_as.h"

namespace pgsteward {

struct ScratchOptions {
  std::string base;  // an existing folder; ours is made below it, and what crashes left is removed
  RunAs run_as;
  std::string initdb;  // paths
  std::string postgres;
  // The bootstrap superuser's name. We are another superuser, whom no dump knows, unless the
  // cluster is to be kept.
  std::string superuser = "postgres";
  // More settings of the server, "name=value": an extension that must be preloaded.
  std::vector<std::string> settings = {};
  std::uint64_t needed_bytes = 0;  // free below `base`, or nothing begins
  // Not in the scratch folder but here, with fsync, and to stay; must not be there yet.
  std::string keep_at = {};
};

class ScratchCluster {
 public:
  // Makes the cluster and starts it. kUnavailable: too little space, or `base` is not there;
  // kChildFailed: initdb or the server, with their words.
  static Task<Result<std::unique_ptr<ScratchCluster>>> Make(Runtime& runtime,
                                                            ScratchOptions options);
  // Kills the server and removes everything but what is to be kept; blocks. A last resort: ask
  // for Remove() before.
  ~ScratchCluster();
  ScratchCluster(const ScratchCluster&) = delete;
  ScratchCluster& operator=(const ScratchCluster&) = delete;

  // Stops the server and removes everything.
  Task<void> Remove();
  // Of `keep_at`: stops the server in an orderly way, and leaves what it was made for.
  Task<Result<void>> Keep();

  // As our own superuser, over the Unix socket; no password.
  std::string Conninfo(const std::string& database) const;
  PgTarget Target(const std::string& database) const;
  // Has no objects and belongs to no dump: to be connected to while databases come and go.
  const std::string& maintenance() const { return own_name_; }
  const std::string& superuser() const { return options_.superuser; }
  const std::string& role() const {
    return options_.keep_at.empty() ? own_name_ : options_.superuser;
  }
  // The server reaches no network at all; a machine may not allow us to do that.
  bool without_network() const { return without_network_; }
  // For whatever else is needed meanwhile: 0700, the server's user's.
  const std::string& folder() const { return folder_; }
  std::string data() const {
    return options_.keep_at.empty() ? folder_ + "/data" : options_.keep_at;
  }
  const RunAs& run_as() const { return options_.run_as; }
  std::uint64_t FreeBytes() const;
  // For tablespaces; the server's user's. A few folders, so it does not leave the loop.
  Result<void> MakeFolders(const std::vector<std::string>& paths) const;
  // The end of the server's log, for those who ask what went wrong.
  std::string LogTail() const;

 private:
  ScratchCluster(Runtime& runtime, ScratchOptions options);

  Result<void> MakeFolder();
  Task<Result<void>> InitCluster();
  Task<void> ProbeNetwork();
  Result<void> StartServer();
  Task<Result<void>> WaitReady();
  Task<Result<void>> MakeOurselves();
  std::vector<std::string> ServerArgv() const;
  Result<void> StopServer(int signal, Duration patience);
  void RemoveFolder();

  Runtime& runtime_;
  ScratchOptions options_;
  std::string own_name_;
  std::string folder_;
  Fd lock_;                    // held while we live: who gets it may remove the folder
  bool made_to_keep_ = false;  // keep_at is ours, also to be removed
  bool keep_ = false;
  bool without_network_ = false;
  std::vector<std::string> prefix_;  // of the server's argv
  std::unique_ptr<StreamChild> server_;
};

// Removes what dead processes left below `base`, their servers first. Blocks.
void SweepScratch(const std::string& base);

}  // namespace pgsteward
