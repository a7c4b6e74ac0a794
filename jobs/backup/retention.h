// Which backups stay and which go: a pure function of what lies there, the policy and the time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/backup/place.h"

namespace pgsteward {

// A backup stays when any rule wants it.
struct RetentionPolicy {
  int keep_last = 7;                    // the newest ones
  std::chrono::seconds keep_within{0};  // all that are younger
  int daily = 7;                        // the newest of each of the last so many days, in UTC,
  int weekly = 5;                       // weeks (from Monday),
  int monthly = 12;                     // months
  int yearly = 0;                       // and years that have one
  // The newest with a database that no newer one holds: dropped, or not backed up any more.
  std::chrono::seconds keep_dropped = std::chrono::days(30);
  int min_keep = 3;                      // never fewer, whatever the rules say
  std::chrono::seconds freeze_after{0};  // nothing goes when the newest is older; 0: never
  int freeze_failures = 3;               // nothing goes after so many failed runs; 0: never
};

struct RetentionFacts {
  const PlaceContent& content;
  WallTime now;                        // of this machine
  std::optional<WallTime> server_now;  // of the database server, where it is known
  int failures_in_a_row = 0;           // of the job that takes backups
};

// What a backup is worth.
enum class BackupState {
  kProven,      // restored once, and all was there
  kUnproven,    // readable to its end when it was taken
  kFailed,      // its last drill failed: it counts for nothing
  kUnreadable,  // no good manifest
};
std::string_view BackupStateName(BackupState state);  // "proven"
BackupState StateOf(const FoundBackup& backup);
// Proven or unproven.
bool IsGood(const FoundBackup& backup);
// By the time of the snapshot: what the next one is compared with. Null where there is none.
const Manifest* NewestGood(const PlaceContent& content);

// Why nothing may go, in the order of their weight.
enum class Freeze {
  kNone,
  kClock,       // a clock is wrong
  kForeign,     // something lies there that is not ours
  kUnreadable,  // a backup that cannot be judged
  kFailing,     // backups fail, or are not taken
  kDrill,       // the newest drill failed
  kGap,         // too few since a time without backups
};
inline constexpr Freeze kFreezes[] = {Freeze::kClock,   Freeze::kForeign, Freeze::kUnreadable,
                                      Freeze::kFailing, Freeze::kDrill,   Freeze::kGap};
std::string_view FreezeName(Freeze freeze);  // "clock"

struct PlannedBackup {
  std::string id;
  BackupState state = BackupState::kUnproven;
  bool expires = false;
  std::string reason;  // one line
};

struct RetentionPlan {
  std::vector<PlannedBackup> backups;  // newest first
  Freeze freeze = Freeze::kNone;
  std::string frozen_because;          // one line; empty: not frozen
  std::vector<std::string> anomalies;  // ids of those that keep an older one until somebody looks
  int kept = 0;                        // that count: proven or unproven
  int proven = 0;                      // of those kept

  std::vector<std::string> Expiring() const;  // ids, oldest first
};

// Only backups with a good manifest are planned over, by the time of their snapshot, and those
// whose drill failed count for nothing. Always kept: of each job the newest and the newest proven
// one, those kept by hand, and both sides of an anomaly.
RetentionPlan PlanRetention(const RetentionPolicy& policy, const RetentionFacts& facts);

}  // namespace pgsteward
