#include "core/time_window.h"

#include <algorithm>

#include "core/schedule_text.h"

namespace pgsteward {

namespace {

using std::chrono::days;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year;

constexpr unsigned kEveryDay = 0x7f;
constexpr sys_seconds kLatest = sys_days(year(2200) / 1 / 1);

bool OnDay(unsigned weekdays, LocalDays day) {
  return ((weekdays >> std::chrono::weekday(day).c_encoding()) & 1) != 0;
}

sys_seconds ToSys(LocalSeconds local, seconds offset) {
  return sys_seconds(local.time_since_epoch() - offset);
}

std::string Two(std::int64_t number) { return (number < 10 ? "0" : "") + std::to_string(number); }

std::string ClockText(minutes time) {
  return Two(time / std::chrono::hours(1)) + ":" + Two((time % std::chrono::hours(1)).count());
}

std::string DateText(LocalSeconds local) {
  const LocalDays day = std::chrono::floor<days>(local);
  const std::chrono::year_month_day date(day);
  return std::to_string(static_cast<int>(date.year())) + "-" +
         Two(static_cast<unsigned>(date.month())) + "-" + Two(static_cast<unsigned>(date.day())) +
         " " + ClockText(std::chrono::floor<minutes>(local - day));
}

Error Bad(std::string_view text, const std::string& what) {
  return BadSchedule(ShownSchedule(text) + " " + what,
                     "Write it like 22:00-05:00, Sat,Sun 01:00-06:00 or "
                     "2026-12-24 00:00 - 2027-01-02 00:00.");
}

std::optional<unsigned> ReadWeekday(std::string_view word) {
  const auto found = std::find(kWeekdayWords.begin(), kWeekdayWords.end(), LowerCase(word));
  if (found == kWeekdayWords.end()) return std::nullopt;
  return static_cast<unsigned>(found - kWeekdayWords.begin());
}

// "Sat,Sun", "Mon-Fri", "Fri-Mon"; zero when it is something else.
unsigned ReadWeekdays(std::string_view text) {
  unsigned set = 0;
  while (true) {
    const auto comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const auto dash = item.find('-');
    const auto first = ReadWeekday(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : ReadWeekday(item.substr(dash + 1));
    if (!first || !last) return 0;
    for (unsigned day = *first;; day = (day + 1) % 7) {
      set |= 1U << day;
      if (day == *last) break;
    }
    if (comma == std::string_view::npos) return set;
    text.remove_prefix(comma + 1);
  }
}

std::optional<LocalDays> ReadDate(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  int parts[3] = {0, 0, 0};
  int part = 0;
  for (const char c : text) {
    if (c == '-') {
      ++part;
      if (part > 2) return std::nullopt;
    } else if (c >= '0' && c <= '9') {
      parts[part] = parts[part] * 10 + (c - '0');
    } else {
      return std::nullopt;
    }
  }
  const std::chrono::month month(static_cast<unsigned>(parts[1]));
  const std::chrono::day day(static_cast<unsigned>(parts[2]));
  const std::chrono::year_month_day date{year(parts[0]), month, day};
  if (!date.ok() || parts[0] < 1970 || parts[0] > 2199) return std::nullopt;
  return LocalDays(date);
}

}  // namespace

Result<TimeWindow> ParseTimeWindow(std::string_view text) {
  const auto words = SplitWords(text);
  TimeWindow window;
  if (words.size() == 5 && words[2] == "-") {
    const auto first_day = ReadDate(words[0]);
    const auto first_time = ReadClock(words[1]);
    const auto last_day = ReadDate(words[3]);
    const auto last_time = ReadClock(words[4]);
    if (!first_day || !last_day) return Bad(text, "has no such date (1970 to 2199)");
    if (!first_time || !last_time) return Bad(text, "has no such time of day");
    window.first_ = *first_day + *first_time;
    window.last_ = *last_day + *last_time;
    if (window.last_ <= window.first_) return Bad(text, "ends before it begins");
    return window;
  }
  if (words.empty() || words.size() > 2) return Bad(text, "is not a time window");
  window.weekdays_ = kEveryDay;
  if (words.size() == 2) {
    window.weekdays_ = ReadWeekdays(words[0]);
    if (window.weekdays_ == 0) return Bad(text, "has no such day of the week");
  }
  const std::string_view range = words.back();
  const auto dash = range.find('-');
  if (dash == std::string_view::npos) return Bad(text, "is not a time window");
  const auto begin = ReadClock(range.substr(0, dash));
  const auto end = ReadClock(range.substr(dash + 1));
  if (!begin || !end || *begin == days(1)) return Bad(text, "has no such time of day");
  // Nothing or a whole day? 00:00-24:00 leaves no doubt.
  if (*begin == *end) return Bad(text, "ends when it begins");
  window.begin_ = *begin;
  window.end_ = *end;
  return window;
}

bool TimeWindow::Contains(LocalSeconds local) const {
  if (once()) return first_ <= local && local < last_;
  const LocalDays day = std::chrono::floor<days>(local);
  const seconds time = local - day;
  if (begin_ < end_) return OnDay(weekdays_, day) && begin_ <= time && time < end_;
  return (time >= begin_ && OnDay(weekdays_, day)) ||
         (time < end_ && OnDay(weekdays_, day - days(1)));
}

std::optional<LocalSeconds> TimeWindow::NextEdge(LocalSeconds local) const {
  if (once()) {
    if (local < first_) return first_;
    if (local < last_) return last_;
    return std::nullopt;
  }
  const LocalDays day = std::chrono::floor<days>(local);
  LocalSeconds next = day + days(1) + std::min(begin_, end_);
  for (const minutes edge : {begin_, end_}) {
    if (day + edge > local) next = std::min<LocalSeconds>(next, day + edge);
  }
  return next;
}

std::string TimeWindow::ToText() const {
  if (once()) return DateText(first_) + " - " + DateText(last_);
  std::string text;
  if (weekdays_ != kEveryDay) {
    for (unsigned i = 0; i < 7; ++i) {
      const unsigned weekday = (i + 1) % 7;  // Monday first
      if (((weekdays_ >> weekday) & 1) == 0) continue;
      std::string word(kWeekdayWords[weekday]);
      word.front() = static_cast<char>(word.front() - 'a' + 'A');
      text += (text.empty() ? "" : ",") + word;
    }
    text += " ";
  }
  return text + ClockText(begin_) + "-" + ClockText(end_);
}

WindowSet::WindowSet(TimeZone zone, std::vector<TimeWindow> windows)
    : zone_(std::move(zone)), windows_(std::move(windows)) {}

bool WindowSet::ContainsLocal(LocalSeconds local) const {
  return windows_.empty() ||
         std::any_of(windows_.begin(), windows_.end(),
                     [local](const TimeWindow& window) { return window.Contains(local); });
}

bool WindowSet::Contains(WallTime time) const { return ContainsLocal(zone_.ToLocal(time)); }

std::optional<WallTime> WindowSet::NextChange(WallTime time) const {
  if (windows_.empty()) return std::nullopt;
  const bool before = Contains(time);
  sys_seconds now = std::chrono::floor<seconds>(time);
  // Weekly windows repeat: if nothing has changed in two weeks (one of which may lack an hour)
  // since a window that is once began or ended, the next change is at the next such edge.
  sys_seconds patience = now + days(15);
  while (now < kLatest) {
    const ZonePeriod period = zone_.PeriodOf(now);
    const LocalSeconds local(now.time_since_epoch() + period.offset);
    std::optional<LocalSeconds> edge;
    std::optional<LocalSeconds> once_edge;
    for (const TimeWindow& window : windows_) {
      const auto next = window.NextEdge(local);
      if (!next) continue;
      if (!edge || *next < *edge) edge = next;
      if (window.once() && (!once_edge || *next < *once_edge)) once_edge = next;
    }
    if (now > patience) {
      if (!once_edge) return std::nullopt;
      // The offset there is not known yet: land before it.
      now = std::max(now, sys_seconds(once_edge->time_since_epoch()) - days(2));
      patience = now + days(15);
      continue;
    }
    // A change of the offset moves the clock on the wall and may be a change too.
    sys_seconds next = period.end;
    if (edge) next = std::min(next, ToSys(*edge, period.offset));
    if (once_edge && next >= ToSys(*once_edge, period.offset)) patience = next + days(15);
    now = next;
    if (Contains(now) != before) return now;
  }
  return std::nullopt;
}

std::string WindowSet::Describe() const {
  if (windows_.empty()) return "always";
  std::string text;
  for (const TimeWindow& window : windows_) {
    text += (text.empty() ? "" : " or ") + window.ToText();
  }
  return text + ", " + zone_.name();
}

}  // namespace pgsteward
