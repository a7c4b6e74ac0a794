#include "jobs/backup/expire.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "core/durable_file.h"
#include "core/iso_time.h"
#include "jobs/backup/pins.h"
#include "jobs/backup/target_files.h"

namespace pgsteward {

namespace {

namespace fs = std::filesystem;

std::string TrashOf(const BackupPlace& place) { return place.Root() + "/.trash"; }
std::string SinceFile(const BackupPlace& place, const std::string& id) {
  return place.Trash(id) + ".since";
}

// When it was moved there; of one that nobody noted, nothing.
std::optional<WallTime> TrashedAt(const BackupPlace& place, const std::string& id) {
  const auto text = ReadWholeFile(SinceFile(place, id));
  if (!text) return std::nullopt;
  return ParseIsoMicros(text->substr(0, text->find('\n')));
}

Result<void> NoteTrashed(const BackupPlace& place, const std::string& id, WallTime now) {
  return WriteFileDurably(SinceFile(place, id), IsoMicros(now) + "\n");
}

Result<void> Quarantine(const BackupPlace& place, const std::string& id, WallTime now) {
  const std::string trash = TrashOf(place);
  if (auto made = MakeFolder(trash); !made) return made;
  // The note first: a crash in between leaves a backup with its delay still before it, not one
  // that lies there for ever.
  if (auto noted = NoteTrashed(place, id, now); !noted) return noted;
  const std::string from = place.Published(id);
  if (const int failed = RenameToNew(from, place.Trash(id)); failed != 0) {
    return CannotDo("move to .trash", from, failed);
  }
  if (auto synced = SyncDirectory(place.Root()); !synced) return synced;
  return SyncDirectory(trash);
}

std::uint64_t BytesIn(const std::string& folder) {
  std::uint64_t bytes = 0;
  std::error_code failed;
  for (fs::recursive_directory_iterator each(folder, failed), end; !failed && each != end;
       each.increment(failed)) {
    std::error_code unknown;
    if (each->is_regular_file(unknown) && !each->is_symlink(unknown)) {
      bytes += each->file_size(unknown);
    }
  }
  return bytes;
}

Result<void> Remove(const BackupPlace& place, const std::string& id) {
  std::error_code failed;
  fs::remove_all(place.Trash(id), failed);  // follows no links
  if (failed) {
    return Error(Errc::kUnavailable, "cannot remove " + place.Trash(id) + ": " + failed.message());
  }
  for (const std::string& mark :
       {SinceFile(place, id), place.Pin(id), place.Accepted(id), place.Offsite(id)}) {
    if (::unlink(mark.c_str()) != 0 && errno != ENOENT) return CannotDo("remove", mark, errno);
  }
  return SyncDirectory(TrashOf(place));
}

bool IsDue(const ExpireRequest& request, WallTime since) {
  return request.empty_trash || since + request.trash_delay <= request.now;
}

Result<void> QuarantineExpiring(const ExpireRequest& request, ExpireOutcome& outcome) {
  for (const std::string& id : outcome.plan.Expiring()) {
    if (!request.dry_run) {
      if (auto moved = Quarantine(request.place, id, request.now); !moved) return moved;
    }
    outcome.quarantined.push_back(id);
  }
  return {};
}

Result<void> EmptyTrash(const ExpireRequest& request, ExpireOutcome& outcome) {
  std::vector<std::string> trashed = outcome.content.trash;
  trashed.insert(trashed.end(), outcome.quarantined.begin(), outcome.quarantined.end());
  for (const std::string& id : trashed) {
    const bool just_now =
        request.dry_run && std::find(outcome.quarantined.begin(), outcome.quarantined.end(), id) !=
                               outcome.quarantined.end();
    auto since = just_now ? request.now : TrashedAt(request.place, id);
    if (!since && !request.dry_run) {
      if (auto noted = NoteTrashed(request.place, id, request.now); !noted) return noted;
    }
    if (!IsDue(request, since.value_or(request.now))) continue;
    outcome.freed_bytes +=
        BytesIn(just_now ? request.place.Published(id) : request.place.Trash(id));
    if (!request.dry_run) {
      if (auto removed = Remove(request.place, id); !removed) return removed;
    }
    outcome.removed.push_back(id);
  }
  return {};
}

}  // namespace

Result<ExpireOutcome> ExpireBackups(const ExpireRequest& request) {
  if (auto checked = CheckSentinel(request.place); !checked) return checked.error();
  std::optional<PlaceLock> lock;
  if (!request.dry_run) {
    auto taken = PlaceLock::Take(request.place);
    if (!taken) return taken.error();
    lock.emplace(std::move(*taken));
  }
  auto content = ReadPlace(request.place);
  if (!content) return content.error();
  ExpireOutcome outcome;
  outcome.content = std::move(*content);
  const RetentionFacts facts{outcome.content, request.now, request.server_now,
                             request.failures_in_a_row};
  outcome.plan = PlanRetention(request.policy, facts);
  if (outcome.plan.freeze != Freeze::kNone) return outcome;
  if (auto moved = QuarantineExpiring(request, outcome); !moved) return moved.error();
  if (auto emptied = EmptyTrash(request, outcome); !emptied) return emptied.error();
  return outcome;
}

std::vector<std::string> ExpireLines(const ExpireOutcome& outcome) {
  std::vector<std::string> lines;
  for (const PlannedBackup& each : outcome.plan.backups) {
    lines.push_back(std::string(each.expires ? "expire " : "keep ") + each.id + " " +
                    std::string(BackupStateName(each.state)) + ": " + each.reason);
  }
  if (outcome.plan.freeze != Freeze::kNone) {
    lines.push_back("frozen, nothing goes: " + std::string(FreezeName(outcome.plan.freeze)) + ": " +
                    outcome.plan.frozen_because);
  }
  for (const std::string& id : outcome.removed) lines.push_back("delete " + id + " from .trash");
  return lines;
}

}  // namespace pgsteward
