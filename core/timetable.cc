#include "core/timetable.h"

#include <algorithm>

#include "core/duration.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year;

// So far from the ends of WallTime that no step leaves it.
constexpr sys_seconds kEarliest = sys_days(year(1900) / 1 / 1);
constexpr sys_seconds kLatest = sys_days(year(2200) / 1 / 1);

sys_seconds Clamp(WallTime time) {
  return std::clamp(std::chrono::floor<seconds>(time), kEarliest, kLatest);
}

std::int64_t FloorDivide(seconds a, seconds b) {
  const std::int64_t quotient = a / b;
  return quotient - (a % b < seconds(0) ? 1 : 0);
}

LocalSeconds ToLocal(sys_seconds time, seconds offset) {
  return LocalSeconds(time.time_since_epoch() + offset);
}

sys_seconds ToSys(LocalSeconds local, seconds offset) {
  return sys_seconds(local.time_since_epoch() - offset);
}

// What a cron expression does while the offset stays: fires at its matches in
// [from, ToLocal(end)), and at `begin` when it makes up for the gap before.
struct Stretch {
  sys_seconds begin;
  sys_seconds end;
  seconds offset;
  LocalSeconds from;
  bool at_begin = false;
};

Stretch StretchOf(sys_seconds time, const CronExpression& cron, const TimeZone& zone, GapRule gap,
                  FoldRule fold) {
  const ZonePeriod period = zone.PeriodOf(time);
  const LocalSeconds begin = ToLocal(period.begin, period.offset);
  Stretch stretch{period.begin, period.end, period.offset, begin, false};
  if (cron.wildcard_hour()) return stretch;
  const seconds offset_before = zone.PeriodOf(period.begin - seconds(1)).offset;
  const LocalSeconds end_before = ToLocal(period.begin, offset_before);
  if (fold == FoldRule::kFirst) stretch.from = std::max(begin, end_before);
  // What is due at the end of the gap anyway is not due twice.
  stretch.at_begin =
      gap == GapRule::kRunAtEnd && cron.CountMatches(end_before, begin) > 0 && !cron.Matches(begin);
  return stretch;
}

}  // namespace

std::string_view GapRuleName(GapRule rule) {
  return rule == GapRule::kSkip ? "skip" : "run_at_end";
}

std::string_view FoldRuleName(FoldRule rule) { return rule == FoldRule::kBoth ? "both" : "first"; }

std::optional<WallTime> Timetable::Next(WallTime after) const {
  if (kind_ == Kind::kManual) return std::nullopt;
  sys_seconds time = Clamp(after);
  if (kind_ == Kind::kEvery) {
    const sys_seconds next = anchor_ + (FloorDivide(time - anchor_, period_) + 1) * period_;
    if (next >= kLatest) return std::nullopt;
    return next;
  }
  time -= shift_;
  while (time < kLatest) {
    const Stretch stretch = StretchOf(time + seconds(1), cron_, zone_, gap_, fold_);
    if (stretch.at_begin && stretch.begin > time) return stretch.begin + shift_;
    const LocalSeconds from = std::max(ToLocal(time, stretch.offset) + seconds(1), stretch.from);
    const sys_seconds next = ToSys(cron_.NextMatch(from - seconds(1)), stretch.offset);
    if (next + shift_ >= kLatest) return std::nullopt;
    if (next < stretch.end) return next + shift_;
    time = stretch.end - seconds(1);
  }
  return std::nullopt;
}

DueTimes Timetable::Between(WallTime after, WallTime until, std::size_t most) const {
  DueTimes due;
  sys_seconds begin = Clamp(after);
  sys_seconds end = std::min(Clamp(until), kLatest - seconds(1));
  if (kind_ == Kind::kManual || end <= begin) return due;
  if (kind_ == Kind::kEvery) {
    const std::int64_t last = FloorDivide(end - anchor_, period_);
    due.total = static_cast<std::uint64_t>(last - FloorDivide(begin - anchor_, period_));
    const auto taken = static_cast<std::int64_t>(std::min<std::uint64_t>(most, due.total));
    due.latest.reserve(static_cast<std::size_t>(taken));
    for (std::int64_t n = last - taken + 1; n <= last; ++n) {
      due.latest.push_back(anchor_ + n * period_);
    }
    return due;
  }
  begin -= shift_;
  end -= shift_;
  while (begin < end) {  // backwards, a stretch at a time
    const Stretch stretch = StretchOf(end, cron_, zone_, gap_, fold_);
    const LocalSeconds from = std::max(ToLocal(begin, stretch.offset) + seconds(1), stretch.from);
    LocalSeconds local = ToLocal(end, stretch.offset) + seconds(1);
    const std::uint64_t count = cron_.CountMatches(from, local);
    due.total += count;
    for (std::uint64_t n = 0; n < count && due.latest.size() < most; ++n) {
      local = cron_.PreviousMatch(local);
      due.latest.push_back(ToSys(local, stretch.offset) + shift_);
    }
    if (stretch.at_begin && stretch.begin > begin) {
      ++due.total;
      if (due.latest.size() < most) due.latest.push_back(stretch.begin + shift_);
    }
    end = stretch.begin - seconds(1);
  }
  std::reverse(due.latest.begin(), due.latest.end());
  return due;
}

Timetable Timetable::WithRules(GapRule gap, FoldRule fold) const {
  Timetable other = *this;
  other.gap_ = gap;
  other.fold_ = fold;
  return other;
}

std::string Timetable::fingerprint() const {
  if (kind_ == Kind::kManual) return "manual";
  if (kind_ == Kind::kEvery) {
    const seconds phase = anchor_.time_since_epoch();
    const seconds first = phase - FloorDivide(phase, period_) * period_;
    return "every " + std::to_string(period_.count()) + " at " + std::to_string(first.count());
  }
  std::string text = "cron " + cron_.Normalised() + " in " + zone_.name();
  if (!cron_.wildcard_hour()) {
    text += " gap " + std::string(GapRuleName(gap_)) + " fold " + std::string(FoldRuleName(fold_));
  }
  return text + " shift " + std::to_string(shift_.count());
}

std::string Timetable::Describe() const {
  if (kind_ == Kind::kManual) return text_;
  std::string text = text_ + ", " + zone_.name();
  if (kind_ == Kind::kCron && !cron_.wildcard_hour()) {
    text +=
        ", gap " + std::string(GapRuleName(gap_)) + ", fold " + std::string(FoldRuleName(fold_));
  }
  if (shift_ != seconds(0)) text += ", " + FormatDuration(shift_) + " late by jitter";
  return text;
}

}  // namespace pgsteward
