#include "collectors/registry.h"

#include <algorithm>
#include <array>

namespace pgsteward {

extern const CollectorSpec kActiveUsers;
extern const CollectorSpec kBlocking;
extern const CollectorSpec kConnections;
extern const CollectorSpec kDatabase;
extern const CollectorSpec kLocks;
extern const CollectorSpec kLongRunning;
extern const CollectorSpec kPostmaster;
extern const CollectorSpec kReplication;
extern const CollectorSpec kReplicationSlots;
extern const CollectorSpec kRoles;
extern const CollectorSpec kSchemaDrift;
extern const CollectorSpec kSettings;
extern const CollectorSpec kStatActivity;
extern const CollectorSpec kStatArchiver;
extern const CollectorSpec kStatBgwriter;
extern const CollectorSpec kStatDatabase;
extern const CollectorSpec kStatDatabaseConflicts;
extern const CollectorSpec kStatProgressVacuum;
extern const CollectorSpec kStatReplication;
extern const CollectorSpec kStatUserTables;
extern const CollectorSpec kStatic;
extern const CollectorSpec kStatioUserTables;
extern const CollectorSpec kTableSize;
extern const CollectorSpec kToolUses;
extern const CollectorSpec kWal;

namespace {

constexpr auto kCollectors = std::to_array<const CollectorSpec*>({
    &kActiveUsers,
    &kBlocking,
    &kConnections,
    &kDatabase,
    &kLocks,
    &kLongRunning,
    &kPostmaster,
    &kReplication,
    &kReplicationSlots,
    &kRoles,
    &kSchemaDrift,
    &kSettings,
    &kStatActivity,
    &kStatArchiver,
    &kStatBgwriter,
    &kStatDatabase,
    &kStatDatabaseConflicts,
    &kStatProgressVacuum,
    &kStatReplication,
    &kStatUserTables,
    &kStatic,
    &kStatioUserTables,
    &kTableSize,
    &kToolUses,
    &kWal,
});

}  // namespace

std::span<const CollectorSpec* const> AllCollectors() { return kCollectors; }

const CollectorSpec* FindCollector(std::string_view name) {
  const auto found = std::find_if(kCollectors.begin(), kCollectors.end(),
                                  [&](const CollectorSpec* spec) { return spec->name == name; });
  return found == kCollectors.end() ? nullptr : *found;
}

}  // namespace pgsteward
