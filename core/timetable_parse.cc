#include <algorithm>
#include <array>

#include "core/duration.h"
#include "core/schedule_text.h"
#include "core/timetable.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::seconds;

constexpr seconds kLongestPeriod = days(366);
constexpr seconds kLongestJitter = days(1);
constexpr std::string_view kForms =
    "Write five cron fields (0 2 * * *), @daily, every 15m or manual.";
// A Monday, so that "every 7d" runs on Mondays.
constexpr LocalDays kAnchorDay = LocalDays(std::chrono::year(2001) / 1 / 1);

// The same on every machine and in every version, which std::hash is not: FNV-1a, and then
// MurmurHash3's finish, for names that differ in one digit lie close together after the first.
std::uint64_t StableHash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

// The median of the first hundred distances by the clock on the wall.
seconds TypicalDistance(const CronExpression& cron) {
  std::array<seconds, 100> distances;
  LocalSeconds time = cron.NextMatch(kAnchorDay - seconds(1));
  for (seconds& distance : distances) {
    const LocalSeconds next = cron.NextMatch(time);
    distance = next - time;
    time = next;
  }
  const auto median = distances.begin() + distances.size() / 2;
  std::nth_element(distances.begin(), median, distances.end());
  return *median;
}

Result<seconds> ReadPeriod(std::string_view text) {
  const auto period = ParseDuration(text);
  if (!period) return period.error();
  if (*period < seconds(1) || *period > kLongestPeriod) {
    return BadSchedule(ShownSchedule(text) + " is out of range",
                       "Write 1s to " + FormatDuration(kLongestPeriod) + ".");
  }
  return *period;
}

Result<seconds> Shift(const TimetableOptions& options) {
  if (options.jitter < seconds(0) || options.jitter > kLongestJitter) {
    return BadSchedule("the jitter is out of range",
                       "Write 0s to " + FormatDuration(kLongestJitter) + ".");
  }
  if (options.jitter == seconds(0)) return seconds(0);
  const auto range = static_cast<std::uint64_t>(options.jitter.count());
  return seconds(static_cast<std::int64_t>(StableHash(options.seed) % range));
}

}  // namespace

Result<Timetable> ParseTimetable(std::string_view text, const TimetableOptions& options) {
  const auto words = SplitWords(text);
  const auto shift = Shift(options);
  if (!shift) return shift.error();
  if (words.empty()) {
    return BadSchedule("the schedule is empty", std::string(kForms));
  }
  Timetable table;
  if (words.size() == 1 && words.front() == "manual") return table;

  table.zone_ = options.zone;
  table.gap_ = options.gap;
  table.fold_ = options.fold;
  table.shift_ = *shift;
  table.text_.clear();
  for (const std::string_view word : words) {
    if (!table.text_.empty()) table.text_ += ' ';
    table.text_ += word;
  }
  if (words.front() == "every") {
    table.kind_ = Timetable::Kind::kEvery;
    std::optional<std::chrono::minutes> clock(0);
    if (words.size() == 4 && words[2] == "from") {
      clock = ReadClock(words[3]);
    } else if (words.size() != 2) {
      return BadSchedule(ShownSchedule(table.text_) + " is not a schedule",
                         "Write it like every 15m or every 1d from 00:05.");
    }
    if (!clock || *clock == days(1)) {
      return BadSchedule(ShownSchedule(words[3]) + " is not a time of day",
                         "Write 00:00 to 23:59.");
    }
    const auto period = ReadPeriod(words[1]);
    if (!period) return period.error();
    table.period_ = *period;
    const WallTime anchor = table.zone_.Resolve(kAnchorDay + *clock).first;
    table.anchor_ = std::chrono::floor<seconds>(anchor) + table.shift_;
    return table;
  }
  if (words.size() == 1 && words.front().front() != '@') {
    return BadSchedule(ShownSchedule(words.front()) + " is not a schedule", std::string(kForms));
  }
  auto cron = ParseCron(text);
  if (!cron) return cron.error();
  table.kind_ = Timetable::Kind::kCron;
  table.cron_ = *cron;
  table.period_ = TypicalDistance(*cron);
  return table;
}

}  // namespace pgsteward
