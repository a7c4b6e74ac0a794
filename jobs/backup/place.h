// Where backups lie: TARGET/PGSTEWARD-BACKUPS (the sentinel: this is the mounted target and no
// empty mount point), TARGET/<server>/<id>/ (published), TARGET/<server>/.partial/<id>/ (being
// taken), TARGET/<server>/.trash/<id>/ (quarantined; <id>.since says when), TARGET/<server>/.pins/
// <id> (kept by hand), .pins/<id>.accepted (its anomaly was looked at), .pins/<id>.offsite (copied
// elsewhere), TARGET/<server>/.lock.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "jobs/backup/manifest.h"

namespace pgsteward {

inline constexpr std::string_view kSentinelFile = "PGSTEWARD-BACKUPS";
inline constexpr std::size_t kLargestManifest = std::size_t{256} << 20;

struct BackupPlace {
  std::string target;  // absolute
  std::string server;  // percent-encoded in paths

  std::string Root() const;
  std::string Published(std::string_view id) const;
  std::string Partial(std::string_view id) const;
  std::string Trash(std::string_view id) const;
  std::string Pin(std::string_view id) const;
  std::string Accepted(std::string_view id) const;
  std::string Offsite(std::string_view id) const;
};

// Without slashes at its end: one target, one name.
std::string NormalTarget(std::string target);

// "a/b" -> "a%2Fb": letters, digits, '-', '_' and inner dots stay; the rest as %XX.
std::string FileNameOf(std::string_view name);
// "20261125T030000Z-7f3a".
std::string NewBackupId(WallTime now);
bool IsBackupId(std::string_view name);

// A copy of it lay there, whole and compared, at that time.
struct OffsiteMark {
  std::string remote;  // as rclone calls it, "s3:backups"
  WallTime at;
};
// "2026-11-25T03:10:00.000000Z s3:backups".
std::string OffsiteMarkText(const OffsiteMark& mark);
std::optional<OffsiteMark> ParseOffsiteMark(const std::string& line);

// A folder of the place that looks like a backup, readable or not.
struct FoundBackup {
  std::string id;
  std::string folder;
  Result<Manifest> manifest;      // or why it is none
  std::string pin;                // the reason given when it was pinned by hand; empty: not pinned
  bool anomaly_accepted = false;  // somebody has looked at the anomaly of its manifest
  std::optional<OffsiteMark> offsite = {};  // the last copy elsewhere
};

struct PlaceContent {
  std::vector<FoundBackup> backups;  // by id, oldest first
  std::vector<std::string> foreign;  // names that are not ours
  std::vector<std::string> partial;  // ids under .partial
  std::vector<std::string> trash;    // ids under .trash
};

// All of these block.
// kUnavailable: the target is not there, or has no sentinel (not mounted, or not made yet: the hint
// says how), or holds the sentinel of something else.
Result<void> CheckSentinel(const BackupPlace& place);
// Makes the target (0700) and its sentinel; kBusy when it is there already.
Result<void> MakeSentinel(const std::string& target);
Result<PlaceContent> ReadPlace(const BackupPlace& place);

}  // namespace pgsteward
