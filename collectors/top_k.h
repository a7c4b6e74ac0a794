// The few largest of many names, with a membership that does not flicker. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteward {

inline constexpr std::string_view kOtherName = "other";

struct NamedCount {
  std::string name;
  std::int64_t count = 0;
  bool operator==(const NamedCount&) const = default;
};

struct TopK {
  std::vector<NamedCount> members;  // at most `size`, largest first, equal ones by name
  std::int64_t other = 0;           // the rest of the total
  bool operator==(const TopK&) const = default;
};

// Chooses from `counts`, where each name stands once, the members whose counts are shown by name.
// Members of last time (`previous`) stay unless a challenger has more than 1.1 times their count,
// so that two names that race each other do not change places at every run. A name "other" is
// never a member. `counts` needs to hold the previous members and the `size` largest other names;
// `total` is the sum of all, also of those that `counts` leaves out.
TopK ChooseTop(const std::vector<std::string>& previous, std::vector<NamedCount> counts,
               std::int64_t total, std::size_t size);

}  // namespace pgsteward
