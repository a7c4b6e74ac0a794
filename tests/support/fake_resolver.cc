#include "tests/support/fake_resolver.h"

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <cstring>
#include <mutex>

namespace pgsteward {

namespace {

std::mutex mutex;
std::condition_variable changed;
Resolving resolving = Resolving::kUnknown;

bool SwitchedNameResolves() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [] { return resolving != Resolving::kHangs; });
  return resolving == Resolving::kLoopback;
}

}  // namespace

void SetResolving(Resolving mode) {
  const std::lock_guard lock(mutex);
  resolving = mode;
  changed.notify_all();
}

}  // namespace pgsteward

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (node && std::strcmp(node, pgsteward::kSwitchedName) == 0) {
    if (!pgsteward::SwitchedNameResolves()) return EAI_NONAME;
    node = "127.0.0.1";
  }
  return real(node, service, hints, result);
}
