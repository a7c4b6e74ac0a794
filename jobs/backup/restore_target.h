// The databases of a server that a backup is restored into: made, named, put in the place of
// another one, dropped. Others work there at the same time.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/pg_connection.h"
#include "core/runtime.h"
#include "core/task.h"
#include "jobs/backup/manifest.h"

namespace pgsteward {

// PostgreSQL cuts longer names off, silently.
inline constexpr std::size_t kLongestName = 63;

// "<name>_restoring_3f09ab", within kLongestName bytes; `word` is "restoring". Nobody else makes
// such a name.
std::string NameBeside(const std::string& name, const std::string& word);

class RestoreTarget {
 public:
  // `target` names a database that is none of those to be renamed.
  RestoreTarget(Runtime& runtime, PgTarget target)
      : runtime_(runtime), target_(std::move(target)) {}

  Task<Result<void>> Open();
  int server_version() const { return server_version_; }  // of the last session
  const std::string& maintenance() const { return target_.database; }

  // Connects anew when the session was lost, and sees to it that the server has ended the former;
  // a statement that it was lost under is not repeated.
  Task<Result<PgResult>> Sql(std::string sql, PgValues values = {});
  Task<Result<std::set<std::string>>> Names(std::string sql);

  // Without a session for a while.
  void Rest();

  // kBusy: something would stay behind with it, or prevent it, when it is replaced.
  Task<Result<void>> CheckReplaceable(std::string name);
  // An empty database, with what DatabaseStatements() does not say.
  Task<Result<void>> Create(const BackupDatabase& database, std::string name);
  // With its sessions ended. kBusy: there is one of the name `to`.
  Task<Result<void>> Rename(std::string from, std::string to);
  // `by` takes the name of `name`, which is then called `old`: both or none, whenever we or the
  // server end. Sessions in both are ended, and new ones wait meanwhile.
  Task<Result<void>> Replace(std::string name, std::string by, std::string old);
  // With its sessions; tried again for a while, for the server may be restarting. No error when
  // there is none.
  Task<Result<void>> Drop(std::string name);

 private:
  Task<Result<void>> Reopen();
  Task<Result<void>> EndFormer(int pid);
  Task<Result<bool>> HasDatabase(std::string name);
  Task<Result<void>> RunScript(std::string script);
  // What renames these databases, with their sessions ended until it is through. It is through,
  // whatever was answered, when there is none of the last name any more.
  Task<Result<void>> RunRenaming(std::string script, std::vector<std::string> databases);

  Runtime& runtime_;
  PgTarget target_;
  int server_version_ = 0;
  int backend_pid_ = 0;  // of the last session, which may be lost
  std::unique_ptr<PgConnection> db_;
};

}  // namespace pgsteward
