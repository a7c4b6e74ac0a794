#include "jobs/backup/offsite_state.h"

#include <algorithm>
#include <set>

namespace pgsteward {

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

}  // namespace pgsteward
