// Chance: for back-offs that must not come together, and for names that must not meet.
#pragma once

#include <cstddef>
#include <string>

namespace pgsteward {

// Uniform in [0, 1). Not for secrets. For the loop's thread only.
double RandomFraction();

// From the kernel's generator; of any thread.
std::string RandomHex(std::size_t digits);
// Version 4, RFC 4122.
std::string RandomUuid();

}  // namespace pgsteward
