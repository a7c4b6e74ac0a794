// What this machine calls itself.
#pragma once

#include <string>

namespace pgsteward {

// gethostname(2), e.g. "db1"; at most 255 bytes.
std::string HostName();

}  // namespace pgsteward
