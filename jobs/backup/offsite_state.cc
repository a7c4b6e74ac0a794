#include "jobs/backup/offsite_state.h"

#include <algorithm>
#include <set>

namespace pgsteward {

namespace {

void AddOne(std::string_view name, std::string_view help, double value, Families& families) {
  families.push_back(GaugeFamily(name, help));
  AddSample(families.back(), {}, value);
}

}  // namespace

OffsiteState OffsiteStateOf(const RetentionPolicy& policy, const PlaceContent& content,
                            const std::string& remote, WallTime now) {
  const RetentionFacts facts{content, now, std::nullopt, 0};
  const std::vector<std::string> expiring = PlanRetention(policy, facts).Expiring();
  const std::set<std::string> goes(expiring.begin(), expiring.end());
  const Manifest* newest = NewestGood(content);
  OffsiteState state;
  for (const FoundBackup& each : content.backups) {
    if (!IsGood(each) || goes.contains(each.id)) continue;
    const bool copied = each.offsite && each.offsite->remote == remote;
    const bool is_newest = each.id == newest->id;
    if (copied) {
      ++state.copied;
      state.verified = std::max(state.verified.value_or(each.offsite->at), each.offsite->at);
      state.newest_copied |= is_newest;
    } else {
      state.missing.insert(is_newest ? state.missing.begin() : state.missing.end(), each.id);
    }
  }
  return state;
}

Families OffsiteFamilies(const OffsiteState& state) {
  Families families;
  AddOne("pgsteward_backup_offsite_last_verified_timestamp_seconds",
         "When a copy on the remote was last verified; 0: never.",
         state.verified ? UnixSeconds(*state.verified) : 0, families);
  AddOne("pgsteward_backup_offsite_success",
         "1 when the newest good backup has a verified copy on the remote.",
         state.newest_copied ? 1 : 0, families);
  auto backups = GaugeFamily("pgsteward_backup_offsite_backups",
                             "Good backups that retention keeps, with a verified copy on the "
                             "remote (copied) or without (missing).");
  AddSample(backups, {{"state", "copied"}}, state.copied);
  AddSample(backups, {{"state", "missing"}}, static_cast<double>(state.missing.size()));
  families.push_back(std::move(backups));
  return families;
}

}  // namespace pgsteward
