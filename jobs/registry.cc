#include "jobs/registry.h"

#include <array>

namespace pgsteward {

extern const JobSpec kArchivePartitions;
extern const JobSpec kArchivePurge;
extern const JobSpec kMessageUnarchive;
extern const JobSpec kOrphanPurge;

namespace {

constexpr auto kJobs = std::to_array<const JobSpec*>({
    &kArchivePartitions,
    &kArchivePurge,
    &kMessageUnarchive,
    &kOrphanPurge,
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
