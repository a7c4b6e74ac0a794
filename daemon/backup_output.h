// What `pgsteward backup` prints of backups: pure. Names of the database come out harmless.
#pragma once

#include <string>

#include "core/clock.h"
#include "jobs/backup/expire.h"

namespace pgsteward {

std::string BackupsTable(const PlaceContent& content, WallTime now);
std::string BackupSheet(const FoundBackup& backup, WallTime now);
// The plan and what comes of it, a line each.
std::string ExpireText(const ExpireOutcome& outcome, bool dry_run);

// The same things for programs, see docs/commands.md.
std::string BackupsJson(const PlaceContent& content, WallTime now);
std::string BackupJson(const FoundBackup& backup, WallTime now);
std::string ExpireJson(const ExpireOutcome& outcome, bool dry_run);

}  // namespace pgsteward
