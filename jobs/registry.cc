#include "jobs/registry.h"

#include <array>

namespace pgsteward {

// Each in its own file; alphabetical here.
extern const JobSpec kReaper;

namespace {

constexpr auto kJobs = std::to_array<const JobSpec*>({
    &kReaper,
});

}  // namespace

std::span<const JobSpec* const> AllJobs() { return kJobs; }

const JobSpec* FindJob(std::string_view name) {
  for (const JobSpec* spec : AllJobs()) {
    if (spec->name == name) return spec;
  }
  return nullptr;
}

}  // namespace pgsteward
