#include "core/host.h"

#include <unistd.h>

#include <array>

namespace pgsteward {

std::string HostName() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace pgsteward
