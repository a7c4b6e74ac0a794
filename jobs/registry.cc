#include "jobs/registry.h"

#include <array>

namespace pgsteward {

// Each in its own file.
extern const JobSpec kArchivePartitions;
extern const JobSpec kArchivePurge;
extern const JobSpec kBackup;
extern const JobSpec kEncryptPii;
extern const JobSpec kMessageArchive;
extern const JobSpec kMessageUnarchive;
extern const JobSpec kOrphanPurge;
extern const JobSpec kReaper;
extern const JobSpec kReconcileMessageCount;
extern const JobSpec kRestoreDrill;
extern const JobSpec kSessionCleanup;
extern const JobSpec kSql;
extern const JobSpec kVacuumAnalyze;

namespace {

constexpr auto kJobs = std::to_array<const JobSpec*>({
    &kArchivePartitions,
    &kArchivePurge,
    &kBackup,
    &kEncryptPii,
    &kMessageArchive,
    &kMessageUnarchive,
    &kOrphanPurge,
    &kReaper,
    &kReconcileMessageCount,
    &kRestoreDrill,
    &kSessionCleanup,
    &kSql,
    &kVacuumAnalyze,
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
