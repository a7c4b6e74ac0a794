#include "jobs/backup/run_as.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pgsteward {

std::vector<std::string> RunAs::Argv(std::vector<std::string> argv) const {
  if (ourselves()) return argv;
  // The kernel forgets the signal of the parent's death with a change of the user.
  std::vector<std::string> all = {"setpriv", "--pdeathsig=KILL", "--reuid=" + std::to_string(uid),
                                  "--regid=" + std::to_string(gid), "--clear-groups"};
  all.insert(all.end(), argv.begin(), argv.end());
  return all;
}

Result<void> RunAs::Own(const std::string& path) const {
  if (ourselves() || ::chown(path.c_str(), uid, gid) == 0) return Result<void>();
  return Error(Errc::kUnavailable,
               "cannot give " + path + " to user " + name + ": " + std::strerror(errno));
}

Result<RunAs> RunAsOf(const std::string& user) {
  RunAs as;
  if (::geteuid() != 0) return as;
  errno = 0;
  const passwd* found = ::getpwnam(user.c_str());
  if (!found || found->pw_uid == 0) {
    return Error(Errc::kBadConfig,
                 "PostgreSQL does not run as root, and " +
                     (found ? "user " + user + " is root" : "there is no user " + user),
                 {}, "Name an unprivileged user of this machine.");
  }
  as.name = user;
  as.uid = found->pw_uid;
  as.gid = found->pw_gid;
  return as;
}

}  // namespace pgsteward
