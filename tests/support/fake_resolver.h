// A host name that resolves when the test says so. Replaces getaddrinfo() of the whole executable,
// libpq's calls included; all other names are resolved as ever.
#pragma once

namespace pgsteward {

inline constexpr char kSwitchedName[] = "switched.invalid";

enum class Resolving {
  kUnknown,   // the name does not resolve
  kLoopback,  // to 127.0.0.1
  kHangs,     // no answer until another mode is set
};
// What happens to kSwitchedName from now on. From any thread.
void SetResolving(Resolving mode);

}  // namespace pgsteward
