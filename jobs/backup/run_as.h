// Programs that refuse root, or should not have its rights, run as another user when we are root.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace pgsteward {

// Nobody else: we are that user already.
struct RunAs {
  std::string name;  // empty: ourselves
  uid_t uid = 0;
  gid_t gid = 0;

  bool ourselves() const { return name.empty(); }
  // `argv` by setpriv as that user, killed when the thread that starts it ends.
  std::vector<std::string> Argv(std::vector<std::string> argv) const;
  // Gives a file or folder to that user.
  Result<void> Own(const std::string& path) const;
};

// When we are root: `user` (kBadConfig when there is none, or it is root too). Else: ourselves.
Result<RunAs> RunAsOf(const std::string& user);

}  // namespace pgsteward
