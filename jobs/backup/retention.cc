#include "jobs/backup/retention.h"

#include <algorithm>
#include <functional>
#include <set>

#include "core/duration.h"
#include "core/iso_time.h"
#include "jobs/backup/retention_periods.h"

namespace pgsteward {

namespace {

using std::chrono::seconds;

// Of clocks of two machines that are both right.
constexpr seconds kClockTolerance = std::chrono::minutes(10);

struct Candidate {
  const FoundBackup* backup;
  WallTime at;
  BackupState state;
  std::string keep;  // why it stays; empty: nobody wants it
  bool counts() const { return state == BackupState::kProven || state == BackupState::kUnproven; }
};

std::string Shown(seconds age) { return FormatDuration(std::max(age, seconds(0))); }

seconds Between(WallTime from, WallTime to) {
  return std::chrono::duration_cast<seconds>(to - from);
}

// Those that can be judged, newest first.
std::vector<Candidate> Judged(const PlaceContent& content) {
  std::vector<Candidate> found;
  for (const FoundBackup& each : content.backups) {
    if (!each.manifest) continue;
    found.push_back({&each, each.manifest->covers_until(), StateOf(each), {}});
  }
  std::sort(found.begin(), found.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.at, a.backup->id) > std::tie(b.at, b.backup->id);
  });
  return found;
}

void Keep(Candidate& candidate, const std::string& why) {
  if (candidate.keep.empty()) candidate.keep = why;
}

// ---- why nothing may go ----

using Frozen = std::pair<Freeze, std::string>;

Frozen ClockProblem(const RetentionFacts& facts, const std::vector<Candidate>& found) {
  if (facts.server_now) {
    const seconds apart = std::chrono::abs(Between(*facts.server_now, facts.now));
    if (apart > kClockTolerance) {
      return {Freeze::kClock,
              "the clocks of this machine and of the server are " + Shown(apart) + " apart"};
    }
  }
  for (const Candidate& each : found) {
    const seconds ahead = Between(facts.now, each.at);
    if (ahead > kClockTolerance) {
      return {Freeze::kClock, "backup " + each.backup->id + " is " + Shown(ahead) +
                                  " in the future: the clock is or was wrong"};
    }
  }
  return {};
}

Frozen ForeignProblem(const PlaceContent& content) {
  if (!content.foreign.empty()) {
    const std::size_t more = content.foreign.size() - 1;
    return {Freeze::kForeign, "\"" + FileNameOf(content.foreign.front()) + "\"" +
                                  (more > 0 ? " and " + std::to_string(more) + " more" : "") +
                                  " among the backups is none of ours"};
  }
  for (const FoundBackup& each : content.backups) {
    if (each.manifest) continue;
    return {Freeze::kUnreadable,
            "backup " + each.id + " cannot be judged: " + each.manifest.error().message};
  }
  return {};
}

Frozen FailingProblem(const RetentionPolicy& policy, const RetentionFacts& facts,
                      const std::vector<Candidate>& found) {
  if (policy.freeze_failures > 0 && facts.failures_in_a_row >= policy.freeze_failures) {
    return {Freeze::kFailing,
            "the last " + std::to_string(facts.failures_in_a_row) + " runs failed"};
  }
  if (policy.freeze_after.count() == 0) return {};
  const auto newest = std::find_if(found.begin(), found.end(), std::mem_fn(&Candidate::counts));
  if (newest == found.end()) return {};
  const seconds age = Between(newest->at, facts.now);
  if (age <= policy.freeze_after) return {};
  return {Freeze::kFailing,
          "the newest backup is " + Shown(age) + " old, more than " + Shown(policy.freeze_after)};
}

Frozen DrillProblem(const std::vector<Candidate>& found) {
  const Candidate* last = nullptr;
  const auto proof_of = [](const Candidate& each) -> const BackupProof& {
    return each.backup->manifest->proofs.back();
  };
  for (const Candidate& each : found) {
    if (each.backup->manifest->proofs.empty()) continue;
    if (!last || proof_of(each).at > proof_of(*last).at) last = &each;
  }
  if (!last || last->state != BackupState::kFailed) return {};
  return {Freeze::kDrill, "the last drill failed, of backup " + last->backup->id};
}

// After days without backups, or a jump of the clock, ages say little: the new ones must be enough
// by themselves.
Frozen GapProblem(const RetentionPolicy& policy, const std::vector<Candidate>& found) {
  if (policy.freeze_after.count() == 0) return {};
  int since = 0;
  const Candidate* later = nullptr;
  for (const Candidate& each : found) {
    if (!each.counts()) continue;
    if (later && Between(each.at, later->at) > policy.freeze_after) {
      if (since >= std::max(policy.min_keep, 1)) return {};
      return {Freeze::kGap, "only " + std::to_string(since) + " of " +
                                std::to_string(policy.min_keep) + " backups since " +
                                Shown(Between(each.at, later->at)) + " without any"};
    }
    ++since;
    later = &each;
  }
  return {};
}

Frozen FindFreeze(const RetentionPolicy& policy, const RetentionFacts& facts,
                  const std::vector<Candidate>& found) {
  for (const Frozen& each :
       {ClockProblem(facts, found), ForeignProblem(facts.content),
        FailingProblem(policy, facts, found), DrillProblem(found), GapProblem(policy, found)}) {
    if (each.first != Freeze::kNone) return each;
  }
  return {};
}

// ---- why a backup stays ----

using Among = std::function<bool(const Candidate&)>;

void KeepNewest(std::vector<Candidate>& found, const Among& among, const std::string& of) {
  const auto newest = std::find_if(found.begin(), found.end(), [&among](const Candidate& each) {
    return each.counts() && among(each);
  });
  if (newest != found.end()) Keep(*newest, "the newest" + of);
  const auto proven = std::find_if(found.begin(), found.end(), [&among](const Candidate& each) {
    return each.state == BackupState::kProven && among(each);
  });
  if (proven != found.end()) Keep(*proven, "the newest" + of + " that is proven");
}

bool Holds(const Candidate& each, const std::string& database) {
  const auto& databases = each.backup->manifest->databases;
  return std::any_of(databases.begin(), databases.end(),
                     [&database](const auto& held) { return held.name == database; });
}

// A newer backup that was taken by another job, or holds other databases, makes none superfluous.
void KeepAlways(const RetentionPolicy& policy, WallTime now, std::vector<Candidate>& found) {
  KeepNewest(
      found, [](const Candidate&) { return true; }, "");
  std::set<std::string> jobs;
  std::set<std::string> databases;
  for (const Candidate& each : found) {
    jobs.insert(each.backup->manifest->job);
    for (const auto& held : each.backup->manifest->databases) databases.insert(held.name);
  }
  for (const std::string& job : jobs) {
    KeepNewest(
        found, [&job](const Candidate& each) { return each.backup->manifest->job == job; },
        " of job " + job);
  }
  for (const std::string& name : databases) {
    const auto young = [&](const Candidate& each) {
      return Holds(each, name) && Between(each.at, now) <= policy.keep_dropped;
    };
    KeepNewest(found, young, " with database " + name);
  }
  for (Candidate& each : found) {
    if (!each.backup->pin.empty()) Keep(each, "kept by hand: " + each.backup->pin);
  }
}

void KeepAroundAnomalies(std::vector<Candidate>& found, std::vector<std::string>& anomalies) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    const FoundBackup& backup = *found[i].backup;
    if (backup.manifest->anomaly.empty() || backup.anomaly_accepted) continue;
    anomalies.push_back(backup.id);
    Keep(found[i], "somebody must look at it: " + backup.manifest->anomaly);
    const std::string& job = backup.manifest->job;
    const auto older = std::find_if(
        found.begin() + static_cast<std::ptrdiff_t>(i) + 1, found.end(),
        [&job](const Candidate& e) { return e.counts() && e.backup->manifest->job == job; });
    if (older != found.end()) Keep(*older, "the last before the anomaly of " + backup.id);
  }
}

void KeepByCountAndAge(const RetentionPolicy& policy, WallTime now, std::vector<Candidate>& found) {
  int number = 0;
  for (Candidate& each : found) {
    if (!each.counts()) continue;
    if (++number <= policy.keep_last) {
      Keep(each, "number " + std::to_string(number) + " of the newest " +
                     std::to_string(policy.keep_last));
    }
    if (policy.keep_within.count() > 0 && Between(each.at, now) <= policy.keep_within) {
      Keep(each, Shown(Between(each.at, now)) + " old, younger than " + Shown(policy.keep_within));
    }
  }
}

// Of each period the newest proven one, else the newest.
void KeepPeriods(int periods, PeriodName name_of, std::string_view word,
                 std::vector<Candidate>& found) {
  std::size_t i = 0;
  for (int period = 0; period < periods && i < found.size();) {
    if (!found[i].counts()) {
      ++i;
      continue;
    }
    const std::string name = name_of(found[i].at);
    Candidate* chosen = nullptr;
    for (; i < found.size() && (!found[i].counts() || name_of(found[i].at) == name); ++i) {
      if (!found[i].counts()) continue;
      const bool better =
          chosen && chosen->state != BackupState::kProven && found[i].state == BackupState::kProven;
      if (!chosen || better) chosen = &found[i];
    }
    Keep(*chosen, std::string(word) + " " + name);
    ++period;
  }
}

void KeepEnough(int min_keep, std::vector<Candidate>& found) {
  auto kept = std::count_if(found.begin(), found.end(), [](const Candidate& each) {
    return each.counts() && !each.keep.empty();
  });
  for (Candidate& each : found) {
    if (kept >= min_keep) return;
    if (!each.counts() || !each.keep.empty()) continue;
    Keep(each, "one of the least " + std::to_string(min_keep));
    ++kept;
  }
  if (kept >= min_keep) return;
  for (Candidate& each : found) {
    Keep(each, "fewer than " + std::to_string(min_keep) + " good ones are there");
  }
}

std::string Unwanted(const Candidate& each) {
  return each.state == BackupState::kFailed ? "its drill failed, and later ones are good"
                                            : "no rule keeps it";
}

PlannedBackup Planned(const Candidate& each, const RetentionPlan& plan) {
  PlannedBackup planned;
  planned.id = each.backup->id;
  planned.state = each.state;
  planned.reason = each.keep.empty() ? Unwanted(each) : each.keep;
  planned.expires = each.keep.empty() && plan.freeze == Freeze::kNone;
  if (each.keep.empty() && !planned.expires) {
    planned.reason = "frozen (" + std::string(FreezeName(plan.freeze)) +
                     "); else it would go: " + planned.reason;
  }
  return planned;
}

}  // namespace

std::string_view BackupStateName(BackupState state) {
  switch (state) {
    case BackupState::kProven:
      return "proven";
    case BackupState::kUnproven:
      return "unproven";
    case BackupState::kFailed:
      return "failed";
    case BackupState::kUnreadable:
      return "unreadable";
  }
  return "unknown";
}

BackupState StateOf(const FoundBackup& backup) {
  if (!backup.manifest) return BackupState::kUnreadable;
  if (backup.manifest->proven()) return BackupState::kProven;
  return backup.manifest->proofs.empty() ? BackupState::kUnproven : BackupState::kFailed;
}

bool IsGood(const FoundBackup& backup) {
  const BackupState state = StateOf(backup);
  return state == BackupState::kProven || state == BackupState::kUnproven;
}

const Manifest* NewestGood(const PlaceContent& content) {
  const Manifest* newest = nullptr;
  for (const FoundBackup& each : content.backups) {
    if (!IsGood(each)) continue;
    if (!newest || each.manifest->covers_until() > newest->covers_until()) newest = &*each.manifest;
  }
  return newest;
}

std::string_view FreezeName(Freeze freeze) {
  switch (freeze) {
    case Freeze::kNone:
      return "none";
    case Freeze::kClock:
      return "clock";
    case Freeze::kForeign:
      return "foreign";
    case Freeze::kUnreadable:
      return "unreadable";
    case Freeze::kFailing:
      return "failing";
    case Freeze::kDrill:
      return "drill";
    case Freeze::kGap:
      return "gap";
  }
  return "unknown";
}

std::vector<std::string> RetentionPlan::Expiring() const {
  std::vector<std::string> ids;
  for (auto each = backups.rbegin(); each != backups.rend(); ++each) {
    if (each->expires) ids.push_back(each->id);
  }
  return ids;
}

RetentionPlan PlanRetention(const RetentionPolicy& policy, const RetentionFacts& facts) {
  std::vector<Candidate> found = Judged(facts.content);
  RetentionPlan plan;
  std::tie(plan.freeze, plan.frozen_because) = FindFreeze(policy, facts, found);
  KeepAlways(policy, facts.now, found);
  KeepAroundAnomalies(found, plan.anomalies);
  KeepByCountAndAge(policy, facts.now, found);
  KeepPeriods(policy.daily, &DayName, "daily", found);
  KeepPeriods(policy.weekly, &WeekName, "weekly", found);
  KeepPeriods(policy.monthly, &MonthName, "monthly", found);
  KeepPeriods(policy.yearly, &YearName, "yearly", found);
  KeepEnough(std::max(policy.min_keep, 1), found);
  for (const Candidate& each : found) plan.backups.push_back(Planned(each, plan));
  for (const FoundBackup& each : facts.content.backups) {
    if (each.manifest) continue;
    plan.backups.push_back(
        {each.id, BackupState::kUnreadable, false, "left alone: " + each.manifest.error().message});
  }
  std::stable_sort(plan.backups.begin(), plan.backups.end(),
                   [](const PlannedBackup& a, const PlannedBackup& b) { return a.id > b.id; });
  for (const PlannedBackup& each : plan.backups) {
    const bool proven = each.state == BackupState::kProven;
    if (each.expires || (!proven && each.state != BackupState::kUnproven)) continue;
    ++plan.kept;
    plan.proven += proven ? 1 : 0;
  }
  return plan;
}

}  // namespace pgsteward
