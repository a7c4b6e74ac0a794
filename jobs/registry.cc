#include "jobs/registry.h"

#include <array>

namespace pgsteward {

// Each in its own file; alphabetical here.
extern const JobSpec kEncryptPii;
extern const JobSpec kReconcileMessageCount;
extern const JobSpec kSessionCleanup;
extern const JobSpec kSql;
extern const JobSpec kVacuumAnalyze;

namespace {

constexpr std::array<const JobSpec*, 5> kJobs = {&kEncryptPii, &kReconcileMessageCount,
                                                 &kSessionCleanup, &kSql, &kVacuumAnalyze};

}  // namespace

std::span<const JobSpec* const> AllJobs() { return kJobs; }

const JobSpec* FindJob(std::string_view name) {
  for (const JobSpec* spec : AllJobs()) {
    if (spec->name == name) return spec;
  }
  return nullptr;
}

}  // namespace pgsteward
