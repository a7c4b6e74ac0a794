#include "jobs/runner/job_policy.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace pgsteward {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

// A run that begins this late is still on time.
constexpr seconds kLeastGrace{60};
constexpr seconds kMostGrace = hours(6);

}  // namespace

std::string_view OverlapName(Overlap overlap) {
  constexpr std::array<std::string_view, 3> kNames = {"skip", "queue_one", "cancel_previous"};
  return kNames[static_cast<std::size_t>(overlap)];
}

std::string_view MisfireName(Misfire misfire) {
  constexpr std::array<std::string_view, 3> kNames = {"run_once", "skip", "run_all"};
  return kNames[static_cast<std::size_t>(misfire)];
}

seconds JobPolicy::Grace() const {
  if (misfire_grace) return *misfire_grace;
  return std::clamp(timetable.period() / 2, kLeastGrace, kMostGrace);
}

std::optional<WallTime> JobPolicy::OverdueAt(WallTime success) const {
  if (max_age) return success + *max_age;
  auto due = timetable.Next(success);
  if (due) due = timetable.Next(*due);
  if (!due) return std::nullopt;
  return *due + deadline;
}

std::string_view JobPolicy::ClosedAt(WallTime now) const {
  if (!window.empty() && !window.Contains(now)) return "window";
  if (!blackout.empty() && blackout.Contains(now)) return "blackout";
  return {};
}

std::optional<WallTime> JobPolicy::NextChange(WallTime now) const {
  std::optional<WallTime> next;
  for (const WindowSet* windows : {&window, &blackout}) {
    if (windows->empty()) continue;
    const auto change = windows->NextChange(now);
    if (change && (!next || *change < *next)) next = change;
  }
  return next;
}

std::string JobPolicy::PlanHash() const {
  const std::string text =
      std::string(spec->name) + ";" + zone.name() + ";" + options.WideningText();
  // FNV-1a: a name for a plan, not a seal.
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  constexpr char kHex[] = "0123456789abcdef";
  std::string digits;
  for (int shift = 60; shift >= 16; shift -= 4) digits += kHex[(hash >> shift) & 15];
  return digits;
}

}  // namespace pgsteward
