#include "collectors/top_k.h"

#include <algorithm>

namespace pgsteward {

namespace {

bool Larger(const NamedCount& a, const NamedCount& b) {
  return a.count != b.count ? a.count > b.count : a.name < b.name;
}

// challenger > 1.1 * member in whole numbers.
bool Displaces(const NamedCount& challenger, const NamedCount& member) {
  return challenger.count - member.count > member.count / 10;
}

}  // namespace

TopK ChooseTop(const std::vector<std::string>& previous, std::vector<NamedCount> counts,
               std::int64_t total, std::size_t size) {
  std::erase_if(counts, [](const NamedCount& c) { return c.name == kOtherName; });
  std::sort(counts.begin(), counts.end(), Larger);

  TopK top;
  std::vector<NamedCount> challengers;
  for (const NamedCount& c : counts) {
    const bool stays = std::find(previous.begin(), previous.end(), c.name) != previous.end();
    (stays && top.members.size() < size ? top.members : challengers).push_back(c);
  }
  // Both are sorted: the first challenger meets the last member until one is not displaced.
  for (const NamedCount& challenger : challengers) {
    if (top.members.size() < size) {
      top.members.push_back(challenger);
    } else if (size > 0 && Displaces(challenger, top.members.back())) {
      top.members.back() = challenger;
    } else {
      break;
    }
    std::sort(top.members.begin(), top.members.end(), Larger);
  }

  top.other = total;
  for (const NamedCount& member : top.members) top.other -= member.count;
  return top;
}

}  // namespace pgsteward
