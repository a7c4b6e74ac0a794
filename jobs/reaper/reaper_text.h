// What the reaper tells people: names that clients chose are made harmless. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jobs/reaper/reaper_facts.h"
#include "jobs/reaper/reaper_policy.h"

namespace pgsteward {

inline constexpr char kReaperNoWaits[] =
    "off: PostgreSQL 13 does not say since when a session waits";

// "pid 12 (app@hub, application psql), long_active: active for 6m12s".
std::string ReaperCaseText(const ReaperDecision& decision);

// Of a dry run: the rules, what would be done now and why, what is spared and why; bounded.
std::vector<std::string> ReaperPlan(const ReaperAbility& ability, const ReaperPolicy& policy,
                                    const ReaperVerdict& verdict, const std::vector<double>& recent,
                                    long long confirm_after_s);

// "breaker: ..."
std::string ReaperBreakerText(const ReaperPolicy& policy, std::size_t candidates);

}  // namespace pgsteward
