// Thousands of random years of backups: whatever happens, the invariants hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "jobs/backup/retention.h"
#include "tests/jobs/backup/place_model.h"

namespace pgsteward {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

class History {
 public:
  explicit History(unsigned seed) : random_(seed), now_(At("2026-01-01 03:00")) {
    policy_.keep_last = Below(6);
    policy_.keep_within = hours(24 * Below(10));
    policy_.daily = Below(8);
    policy_.weekly = Below(5);
    policy_.monthly = Below(4);
    policy_.yearly = Below(3);
    policy_.min_keep = 1 + Below(5);
    policy_.freeze_after = hours(Below(3) == 0 ? 0 : 48 + Below(48));
    policy_.freeze_failures = Below(4);
  }

  void Play(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      Step();
      Expire();
    }
  }

 private:
  int Below(int most) { return static_cast<int>(random_() % static_cast<unsigned>(most)); }

  void Step() {
    now_ += hours(6 + Below(30));
    switch (Below(40)) {
      case 0:
        now_ += hours(24 * Below(400));  // away, or a clock that jumps
        break;
      case 1:
        now_ -= hours(24 * Below(60));
        break;
      case 2:
        place_.content.foreign.emplace_back("lost+found");
        return;
      case 3:
        if (!place_.content.backups.empty()) Any().pin = "mine";
        return;
      case 4:
        if (!place_.content.backups.empty() && Any().manifest) Any().pin.clear();
        return;
      case 5:
        if (!place_.content.backups.empty()) Spoil(Any());
        return;
      case 6:
        for (FoundBackup& each : place_.content.backups) each.anomaly_accepted = Below(2) == 0;
        return;
      default:
        break;
    }
    place_.content.foreign.clear();
    if (Below(6) == 0) {
      ++failures_;
      return;
    }
    failures_ = 0;
    const char* const drills[] = {"", "", "", "proven", "proven", "failed"};
    FoundBackup& taken = place_.Add(now_ + minutes(Below(60)) - minutes(59), drills[Below(6)]);
    if (Below(12) == 0) taken.manifest->anomaly = "rows fell";
  }

  FoundBackup& Any() { return place_.content.backups[random_() % place_.content.backups.size()]; }
  // Damaged; or repaired, by a person.
  static void Spoil(FoundBackup& backup) {
    if (backup.manifest) backup.manifest = Error(Errc::kQueryFailed, "no good manifest");
  }

  void Expire() {
    const RetentionFacts facts{place_.content, now_, std::nullopt, failures_};
    const RetentionPlan plan = PlanRetention(policy_, facts);
    Check(plan);
    // The same facts, the same plan.
    ASSERT_EQ(Text(plan), Text(PlanRetention(policy_, facts)));
    const std::vector<std::string> going = plan.Expiring();
    const std::set<std::string> gone(going.begin(), going.end());
    std::erase_if(place_.content.backups,
                  [&](const FoundBackup& each) { return gone.contains(each.id); });
    // What was carried out leaves nothing more to do at the same moment.
    const RetentionFacts after{place_.content, now_, std::nullopt, failures_};
    ASSERT_TRUE(PlanRetention(policy_, after).Expiring().empty());
    if (plan.freeze == Freeze::kUnreadable && Below(3) == 0) {
      std::erase_if(place_.content.backups, [](const FoundBackup& each) { return !each.manifest; });
    }
  }

  void Check(const RetentionPlan& plan) {
    ASSERT_EQ(plan.backups.size(), place_.content.backups.size());
    ASSERT_TRUE(std::is_sorted(plan.backups.rbegin(), plan.backups.rend(),
                               [](const auto& a, const auto& b) { return a.id < b.id; }));
    int good = 0;
    int kept = 0;
    bool expires = false;
    WallTime newest;
    WallTime newest_proven;
    const FoundBackup* last = nullptr;
    const FoundBackup* last_proven = nullptr;
    std::set<std::string> going;
    for (const PlannedBackup& each : plan.backups) {
      ASSERT_FALSE(each.reason.empty());
      ASSERT_EQ(each.reason.find('\n'), std::string::npos);
      if (each.expires) going.insert(each.id);
    }
    for (const FoundBackup& each : place_.content.backups) {
      const bool goes = going.contains(each.id);
      expires = expires || goes;
      const BackupState state = StateOf(each);
      ASSERT_FALSE(goes && state == BackupState::kUnreadable);
      ASSERT_FALSE(goes && !each.pin.empty());
      if (state != BackupState::kProven && state != BackupState::kUnproven) continue;
      ++good;
      kept += goes ? 0 : 1;
      const WallTime at = each.manifest->covers_until();
      if (at >= newest) newest = at, last = &each;
      if (state == BackupState::kProven && at >= newest_proven) {
        newest_proven = at;
        last_proven = &each;
      }
    }
    // Never below the least, and never the last good one.
    ASSERT_GE(kept, std::min(good, policy_.min_keep));
    ASSERT_FALSE(last && going.contains(last->id));
    ASSERT_FALSE(last_proven && going.contains(last_proven->id));
    ASSERT_EQ(plan.kept, kept);
    CheckFreezes(plan, expires, last);
    CheckAnomalies(going);
  }

  void CheckFreezes(const RetentionPlan& plan, bool expires, const FoundBackup* last) {
    ASSERT_EQ(plan.freeze == Freeze::kNone, plan.frozen_because.empty());
    if (plan.freeze != Freeze::kNone) {
      ASSERT_FALSE(expires);
    }
    if (!place_.content.foreign.empty()) {
      ASSERT_NE(plan.freeze, Freeze::kNone);
    }
    if (policy_.freeze_failures > 0 && failures_ >= policy_.freeze_failures) {
      ASSERT_NE(plan.freeze, Freeze::kNone);
    }
    for (const FoundBackup& each : place_.content.backups) {
      if (!each.manifest || each.manifest->covers_until() > now_ + minutes(10)) {
        ASSERT_NE(plan.freeze, Freeze::kNone);
      }
    }
    if (last && policy_.freeze_after.count() > 0 &&
        last->manifest->covers_until() + policy_.freeze_after < now_) {
      ASSERT_NE(plan.freeze, Freeze::kNone);
    }
  }

  void CheckAnomalies(const std::set<std::string>& going) {
    const FoundBackup* before = nullptr;
    for (const FoundBackup& each : place_.content.backups) {
      if (!each.manifest) continue;
      if (!each.manifest->anomaly.empty() && !each.anomaly_accepted) {
        ASSERT_FALSE(going.contains(each.id));
        ASSERT_FALSE(before && going.contains(before->id));
      }
      if (StateOf(each) != BackupState::kFailed) before = &each;
    }
  }

  std::mt19937 random_;
  PlaceModel place_;
  RetentionPolicy policy_;
  WallTime now_;
  int failures_ = 0;
};

TEST(RetentionHistories, HoldTheInvariants) {
  for (unsigned seed = 0; seed < 2'000; ++seed) {
    History(seed).Play(40);
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pgsteward
