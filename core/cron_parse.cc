#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include "core/cron.h"
#include "core/schedule_text.h"

namespace pgsteward {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
struct Field {
  std::string_view name;
  int least;
  int most;
  std::span<const std::string_view> words;  // for `least` and on
  std::string_view forms;                   // more than numbers, for the hint
};

constexpr Field kSecond = {"second", 0, 59, {}, ""};
constexpr Field kMinute = {"minute", 0, 59, {}, ""};
constexpr Field kHour = {"hour", 0, 23, {}, ""};
constexpr Field kDay = {"day-of-month", 1, 31, {}, ", L (the last day)"};
constexpr Field kMonth = {"month", 1, 12, kMonths, ", jan to dec"};
constexpr Field kWeekday = {"day-of-week", 0, 7, kWeekdayWords,
                            ", sun to sat, 5L or friL (the last Friday)"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kMacros = {{
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
}};

Error BadField(const Field& field, std::string_view text, std::string_view what) {
  std::string message = ShownSchedule(text) + " in the " + std::string(field.name) + " field ";
  std::string hint = "This field takes " + std::to_string(field.least) + " to " +
                     std::to_string(field.most) + std::string(field.forms) +
                     ", *, lists (1,3), ranges (1-5) and steps (*/2, 1-5/2).";
  return BadSchedule(message + std::string(what), std::move(hint));
}

std::optional<int> Number(std::string_view text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  if (text.empty() || text.size() > 4 || text.front() == '-') return std::nullopt;
  if (std::from_chars(text.data(), end, number).ptr != end) return std::nullopt;
  return number;
}

Result<int> Value(const Field& field, std::string_view text, std::string_view item) {
  const auto word = std::find(field.words.begin(), field.words.end(), LowerCase(text));
  if (word != field.words.end()) {
    return field.least + static_cast<int>(word - field.words.begin());
  }
  const auto number = Number(text);
  if (!number) return BadField(field, item, "is not understood");
  if (*number < field.least || *number > field.most) {
    return BadField(field, item, "is out of range");
  }
  return *number;
}

// "*", "a", "a-b", "*/n" and "a-b/n".
Result<std::uint64_t> Item(const Field& field, std::string_view item) {
  const auto slash = item.find('/');
  const std::string_view range = item.substr(0, slash);
  const auto dash = range.find('-');
  int from = field.least;
  int to = &field == &kWeekday ? 6 : field.most;
  if (range != "*") {
    const auto first = Value(field, range.substr(0, dash), item);
    if (!first) return first.error();
    from = to = *first;
    if (dash != std::string_view::npos) {
      const auto last = Value(field, range.substr(dash + 1), item);
      if (!last) return last.error();
      // "fri-sun": the Sunday that ends the week.
      to = &field == &kWeekday && *last == 0 && from > 0 ? 7 : *last;
      if (to < from) return BadField(field, item, "ends before it begins");
    }
  }
  int step = 1;
  if (slash != std::string_view::npos) {
    const auto number = Number(item.substr(slash + 1));
    if (!number) return BadField(field, item, "is not understood");
    if (range != "*" && dash == std::string_view::npos) {
      return BadField(field, item, "has a step without a range");
    }
    // A step that is never taken is a slip: "*/90" would mean 0 alone.
    if (*number < 1 || *number > to - from) {
      return BadField(field, item, "has a step that does not fit into its range");
    }
    step = *number;
  }
  std::uint64_t set = 0;
  for (int value = from; value <= to; value += step) set |= std::uint64_t{1} << value;
  return set;
}

struct FieldSets {
  std::uint64_t values = 0;
  std::uint64_t last = 0;  // day-of-month: 1 for L; day-of-week: of the last such days
  bool star = false;       // begins with "*"
};

Result<FieldSets> ReadField(const Field& field, std::string_view text) {
  FieldSets sets;
  sets.star = text.front() == '*';
  std::string_view rest = text;
  while (true) {
    const auto comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    if (item.empty()) return BadField(field, text, "has an empty place in its list");
    if (&field == &kDay && (item == "l" || item == "L")) {
      sets.last = 1;
    } else if (&field == &kWeekday && item.size() > 1 &&
               (item.back() == 'l' || item.back() == 'L')) {
      const auto day = Value(field, item.substr(0, item.size() - 1), item);
      if (!day) return day.error();
      sets.last |= std::uint64_t{1} << (*day % 7);
    } else {
      const auto values = Item(field, item);
      if (!values) return values.error();
      sets.values |= *values;
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (&field == &kWeekday) {
    sets.values = (sets.values | (sets.values >> 7)) & 0x7f;
  }
  return sets;
}

}  // namespace

class CronParser {
 public:
  static Result<CronExpression> Parse(std::string_view text) {
    auto words = SplitWords(text);
    if (words.size() == 1 && words.front().front() == '@') {
      const auto macro = std::find_if(kMacros.begin(), kMacros.end(), [&](const auto& pair) {
        return pair.first == LowerCase(words.front());
      });
      if (macro == kMacros.end()) {
        return BadSchedule(ShownSchedule(words.front()) + " is not a known schedule",
                           "Write @yearly, @monthly, @weekly, @daily or @hourly, or five fields.");
      }
      words = SplitWords(macro->second);
    }
    if (words.size() != 5 && words.size() != 6) {
      return BadSchedule(
          ShownSchedule(text) + " has " + std::to_string(words.size()) +
              (words.size() == 1 ? " field" : " fields") + ", not 5 or 6",
          "Write minute, hour, day-of-month, month and day-of-week, such as 0 2 * * 1-5; "
          "seconds may stand before them.");
    }
    CronExpression cron;
    if (words.size() == 6) {
      const auto seconds = ReadField(kSecond, words.front());
      if (!seconds) return seconds.error();
      cron.seconds_ = seconds->values;
      words.erase(words.begin());
    }
    const auto minutes = ReadField(kMinute, words[0]);
    if (!minutes) return minutes.error();
    const auto hours = ReadField(kHour, words[1]);
    if (!hours) return hours.error();
    const auto days = ReadField(kDay, words[2]);
    if (!days) return days.error();
    const auto months = ReadField(kMonth, words[3]);
    if (!months) return months.error();
    const auto weekdays = ReadField(kWeekday, words[4]);
    if (!weekdays) return weekdays.error();
    cron.minutes_ = minutes->values;
    cron.hours_ = hours->values;
    cron.wildcard_hour_ = hours->star;
    cron.days_ = days->values;
    cron.last_day_ = days->last != 0;
    cron.months_ = months->values;
    cron.weekdays_ = weekdays->values;
    cron.last_weekdays_ = weekdays->last;
    cron.either_day_ = !days->star && !weekdays->star;
    Simplify(cron);
    if (!cron.CanFire()) {
      const std::string date =
          std::string(words[2]) + " " + std::string(words[3]) + " " + std::string(words[4]);
      return BadSchedule(
          ShownSchedule(date) +
              " as day-of-month, month and day-of-week never fires: there is no such date",
          "Write a day that the month has, or L for its last one.");
    }
    return cron;
  }

 private:
  // So that other spellings of the same days look the same in Normalised().
  static void Simplify(CronExpression& cron) {
    constexpr std::uint64_t kAllDays = 0xfffffffe;
    constexpr std::uint64_t kAllWeekdays = 0x7f;
    if (cron.either_day_ && (cron.days_ == kAllDays || cron.weekdays_ == kAllWeekdays)) {
      cron.either_day_ = false;
      cron.days_ = kAllDays;
      cron.weekdays_ = kAllWeekdays;
    }
    if (cron.days_ == kAllDays) cron.last_day_ = false;
    cron.last_weekdays_ &= ~cron.weekdays_;
  }
};

// The calendar repeats after 400 years.
bool CronExpression::CanFire() const {
  using std::chrono::days;
  constexpr LocalDays kBegin = LocalDays(std::chrono::year(2000) / 1 / 1);
  constexpr LocalDays kEnd = LocalDays(std::chrono::year(2400) / 1 / 1);
  for (LocalDays day = kBegin; day < kEnd; day += days(1)) {
    if (MatchesDay(day)) return true;
  }
  return false;
}

Result<CronExpression> ParseCron(std::string_view text) { return CronParser::Parse(text); }

}  // namespace pgsteward
