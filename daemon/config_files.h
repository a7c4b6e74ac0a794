// Files that the configuration names.
#pragma once

#include <optional>
#include <string>

#include "core/error.h"

namespace pgsteward {

// A relative `path` begins at the directory of the configuration file; an empty one stays empty.
std::string ResolvePath(const std::string& config_path, const std::string& path);

// What is odd about a file with a secret. It is read when it is needed, so nothing of this is an
// error. The path is not repeated: somebody may have written the password itself there.
// `write_it` says what to do with an empty one.
std::optional<Error> SecretFileWarning(const std::string& path, const std::string& write_it);

}  // namespace pgsteward
