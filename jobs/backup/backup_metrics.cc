#include "jobs/backup/backup_metrics.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <map>
#include <string>

#include "core/runtime.h"
#include "core/wait.h"
#include "jobs/backup/retention_options.h"

namespace pgsteward {

namespace {

constexpr Duration kReadTimeout = std::chrono::seconds(50);

using Family = prometheus::MetricFamily;

// By the time of the snapshot; null where there is none.
const Manifest* NewestProven(const PlaceContent& content) {
  const Manifest* newest = nullptr;
  for (const FoundBackup& each : content.backups) {
    if (StateOf(each) != BackupState::kProven) continue;
    if (!newest || each.manifest->covers_until() > newest->covers_until()) newest = &*each.manifest;
  }
  return newest;
}

Family One(std::string_view name, std::string_view help, double value) {
  Family family = GaugeFamily(name, help);
  AddSample(family, {}, value);
  return family;
}

double Age(WallTime since, WallTime now) { return UnixSeconds(now) - UnixSeconds(since); }

void AddNewest(const PlaceContent& content, WallTime now, Families& families) {
  const Manifest* newest = NewestGood(content);
  if (!newest) return;
  families.push_back(One("pgsteward_backup_last_success_timestamp_seconds",
                         "When the newest good backup was published.",
                         UnixSeconds(newest->finished)));
  families.push_back(One("pgsteward_backup_age_seconds",
                         "Age of the newest good backup, since the moment of its snapshot.",
                         Age(newest->covers_until(), now)));
  families.push_back(One("pgsteward_backup_size_bytes",
                         "Stored bytes of the newest good backup, compressed and encrypted.",
                         static_cast<double>(newest->stored_bytes())));
  double dumped = 0;
  for (const BackupDatabase& each : newest->databases) {
    dumped += static_cast<double>(each.dump_bytes);
  }
  families.push_back(One("pgsteward_backup_dump_bytes",
                         "Bytes of the newest good backup before compression.", dumped));
  families.push_back(One("pgsteward_backup_duration_seconds",
                         "How long the newest good backup took.",
                         Age(newest->started, newest->finished)));
  families.push_back(One("pgsteward_backup_role_passwords",
                         "1 when the newest good backup has the passwords of roles.",
                         newest->role_passwords ? 1 : 0));
  Family recipients = GaugeFamily("pgsteward_backup_recipient_info",
                                  "Who can decrypt the newest good backup; always 1.");
  for (const std::string& each : newest->recipients) {
    AddSample(recipients, {{"encryption", newest->encryption}, {"recipient", each}}, 1);
  }
  families.push_back(std::move(recipients));
}

void AddProven(const PlaceContent& content, WallTime now, Families& families) {
  const Manifest* proven = NewestProven(content);
  if (!proven) return;
  families.push_back(One("pgsteward_backup_last_proven_timestamp_seconds",
                         "When the newest proven backup was last restored by a drill.",
                         UnixSeconds(proven->proofs.back().at)));
  families.push_back(One("pgsteward_backup_data_at_risk_seconds",
                         "What would be lost if only the newest proven backup is good: the time "
                         "since its snapshot.",
                         Age(proven->covers_until(), now)));
}

void AddCounts(const PlaceContent& content, Families& families) {
  std::map<std::string, int> counts;
  for (const BackupState state : {BackupState::kProven, BackupState::kUnproven,
                                  BackupState::kFailed, BackupState::kUnreadable}) {
    counts[std::string(BackupStateName(state))] = 0;
  }
  double bytes = 0;
  int pinned = 0;
  for (const FoundBackup& each : content.backups) {
    ++counts[std::string(BackupStateName(StateOf(each)))];
    if (each.manifest) bytes += static_cast<double>(each.manifest->stored_bytes());
    pinned += each.pin.empty() ? 0 : 1;
  }
  counts["partial"] = static_cast<int>(content.partial.size());
  counts["trash"] = static_cast<int>(content.trash.size());
  counts["foreign"] = static_cast<int>(content.foreign.size());
  Family family = GaugeFamily("pgsteward_backups", "Backups and other things in the folder.");
  for (const auto& [state, count] : counts) AddSample(family, {{"state", state}}, count);
  families.push_back(std::move(family));
  families.push_back(One("pgsteward_backup_pinned", "Backups that are kept by hand.", pinned));
  families.push_back(
      One("pgsteward_backup_stored_bytes", "Stored bytes of all readable backups.", bytes));
}

void AddPlan(const RetentionPolicy& policy, const PlaceContent& content, WallTime now,
             Families& families) {
  const RetentionFacts facts{content, now, std::nullopt, 0};
  const RetentionPlan plan = PlanRetention(policy, facts);
  Family frozen = GaugeFamily("pgsteward_backup_retention_frozen",
                              "1 when no backup is deleted, for this reason. That runs fail is "
                              "told by the metrics of jobs.");
  for (const Freeze each : kFreezes) {
    AddSample(frozen, {{"reason", std::string(FreezeName(each))}}, plan.freeze == each ? 1 : 0);
  }
  families.push_back(std::move(frozen));
  families.push_back(One("pgsteward_backup_anomalies",
                         "Backups that hold so much less than the one before that an older one is "
                         "kept until somebody has looked.",
                         static_cast<double>(plan.anomalies.size())));
}

Family Available(bool available) {
  return One("pgsteward_backup_target_available",
             "1 when the target of backups is there, with its sentinel.", available ? 1 : 0);
}

std::optional<TargetSpace> SpaceOf(const std::string& target) {
  struct statvfs status {};
  if (::statvfs(target.c_str(), &status) != 0) return std::nullopt;
  TargetSpace space;
  space.bytes = static_cast<std::uint64_t>(status.f_blocks) * status.f_frsize;
  space.free_bytes = static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
  return space;
}

void Append(Families more, Families& families) {
  std::move(more.begin(), more.end(), std::back_inserter(families));
}

Result<Families> ReadFamilies(const BackupPlace& place, const RetentionPolicy& policy,
                              const std::string& remote) {
  Families families;
  const auto sentinel = CheckSentinel(place);
  families.push_back(Available(sentinel.has_value()));
  if (!sentinel) return families;
  const auto content = ReadPlace(place);
  if (!content) return content.error();
  const WallTime now = WallNow();
  Append(BackupFamilies(policy, *content, now, SpaceOf(place.target)), families);
  if (!remote.empty()) {
    Append(OffsiteFamilies(OffsiteStateOf(policy, *content, remote, now)), families);
  }
  return families;
}

}  // namespace

Families BackupFamilies(const RetentionPolicy& policy, const PlaceContent& content, WallTime now,
                        std::optional<TargetSpace> space) {
  Families families;
  AddNewest(content, now, families);
  AddProven(content, now, families);
  AddCounts(content, families);
  AddPlan(policy, content, now, families);
  if (space) {
    families.push_back(One("pgsteward_backup_target_bytes",
                           "Size of the file system that has the target of backups.",
                           static_cast<double>(space->bytes)));
    families.push_back(One("pgsteward_backup_target_free_bytes", "What is free in it, for us.",
                           static_cast<double>(space->free_bytes)));
  }
  return families;
}

Families OffsiteFamilies(const OffsiteState& state) {
  Families families;
  families.push_back(One("pgsteward_backup_offsite_last_verified_timestamp_seconds",
                         "When a copy on the remote was last verified; 0: never.",
                         state.verified ? UnixSeconds(*state.verified) : 0));
  families.push_back(One("pgsteward_backup_offsite_success",
                         "1 when the newest good backup has a verified copy on the remote.",
                         state.newest_copied ? 1 : 0));
  auto backups = GaugeFamily("pgsteward_backup_offsite_backups",
                             "Good backups that retention keeps, with a verified copy on the "
                             "remote (copied) or without (missing).");
  AddSample(backups, {{"state", "copied"}}, state.copied);
  AddSample(backups, {{"state", "missing"}}, static_cast<double>(state.missing.size()));
  families.push_back(std::move(backups));
  return families;
}

Task<Result<Families>> BackupSubject(SubjectContext context) {
  BackupPlace place;
  place.target = NormalTarget(context.options.Text("target"));
  place.server = context.server;
  const RetentionPolicy policy = RetentionPolicyOf(context.options);
  const std::string remote = NormalTarget(context.options.Text("offsite_remote"));
  auto work = [place, policy, remote] { return ReadFamilies(place, policy, remote); };
  auto read = co_await Offload(context.runtime, std::move(work), SteadyNow() + kReadTimeout);
  if (!read) co_return Error(Errc::kTimeout, "reading the backups in " + place.Root() + " hangs");
  co_return std::move(*read);
}

}  // namespace pgsteward
