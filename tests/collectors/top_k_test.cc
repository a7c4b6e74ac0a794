#include "collectors/top_k.h"

#include <gmock/gmock.h>

#include <numeric>
#include <random>
#include <set>

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;
using Counts = std::vector<NamedCount>;

std::int64_t Sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0},
                         [](std::int64_t sum, const NamedCount& c) { return sum + c.count; });
}

TopK Choose(const Names& previous, const Counts& counts, std::size_t size) {
  return ChooseTop(previous, counts, Sum(counts), size);
}

Names NamesOf(const TopK& top) {
  Names names;
  for (const NamedCount& member : top.members) names.push_back(member.name);
  return names;
}

TEST(TopK, NothingIsNothing) {
  EXPECT_EQ(Choose({}, {}, 10), TopK());
  EXPECT_EQ(Choose({"a"}, {}, 10), TopK());
}

TEST(TopK, TakesTheLargestAtFirst) {
  const TopK top = Choose({}, {{"a", 1}, {"b", 3}, {"c", 2}, {"d", 4}}, 2);
  EXPECT_THAT(top.members, ElementsAre(NamedCount{"d", 4}, NamedCount{"b", 3}));
  EXPECT_EQ(top.other, 3);
}

TEST(TopK, EqualCountsGoByName) {
  EXPECT_THAT(NamesOf(Choose({}, {{"c", 5}, {"a", 5}, {"b", 5}}, 2)), ElementsAre("a", "b"));
}

TEST(TopK, AllFitWhenThereAreFew) {
  const TopK top = Choose({}, {{"a", 1}, {"b", 3}}, 10);
  EXPECT_THAT(NamesOf(top), ElementsAre("b", "a"));
  EXPECT_EQ(top.other, 0);
}

struct Duel {
  std::int64_t member, challenger;
  bool displaced;
};

TEST(TopK, AMemberYieldsOnlyToMoreThanElevenTenths) {
  for (const Duel& duel : std::vector<Duel>{{100, 100, false},
                                            {100, 101, false},
                                            {100, 110, false},
                                            {100, 111, true},
                                            {10, 11, false},
                                            {10, 12, true},
                                            {9, 10, true},
                                            {1, 1, false},
                                            {1, 2, true},
                                            {0, 1, true},
                                            {1000000000000000000, 1100000000000000000, false},
                                            {1000000000000000000, 1100000000000000001, true}}) {
    SCOPED_TRACE(testing::Message() << duel.member << " against " << duel.challenger);
    const TopK top = Choose({"m"}, {{"m", duel.member}, {"c", duel.challenger}}, 1);
    EXPECT_THAT(NamesOf(top), ElementsAre(duel.displaced ? "c" : "m"));
    EXPECT_EQ(top.other, duel.displaced ? duel.member : duel.challenger);
  }
}

TEST(TopK, TheStrongestChallengerMeetsTheWeakestMember) {
  const TopK top =
      Choose({"a", "b", "c"}, {{"a", 50}, {"b", 40}, {"c", 10}, {"x", 30}, {"y", 41}}, 3);
  EXPECT_THAT(NamesOf(top), ElementsAre("a", "y", "b"));
  EXPECT_EQ(top.other, 40);
}

TEST(TopK, AVanishedMemberMakesRoom) {
  const TopK top = Choose({"a", "gone"}, {{"a", 100}, {"b", 2}, {"c", 1}}, 2);
  EXPECT_THAT(NamesOf(top), ElementsAre("a", "b"));
  EXPECT_EQ(top.other, 1);
}

TEST(TopK, ASmallerSizeKeepsTheLargestMembers) {
  EXPECT_THAT(NamesOf(Choose({"a", "b", "c"}, {{"a", 1}, {"b", 2}, {"c", 3}}, 2)),
              ElementsAre("c", "b"));
  const TopK none = Choose({"a"}, {{"a", 7}}, 0);
  EXPECT_THAT(none.members, IsEmpty());
  EXPECT_EQ(none.other, 7);
}

TEST(TopK, AToolCalledOtherIsNotAMember) {
  const TopK top = Choose({"other"}, {{"other", 1000}, {"a", 1}}, 2);
  EXPECT_THAT(NamesOf(top), ElementsAre("a"));
  EXPECT_EQ(top.other, 1000);
}

TEST(TopK, OddNamesAreNames) {
  const Counts counts = {{"", 5}, {"a\"b\\c\n", 4}, {"\xff\xfe", 3}, {"Other", 2}};
  EXPECT_EQ(Choose({""}, counts, 4).members, counts);
}

TEST(TopK, OtherCountsWhatTheListLeavesOut) {
  EXPECT_EQ(ChooseTop({}, {{"a", 10}}, 25, 1).other, 15);
}

// Random growing histories: never more than N members, nothing lost, and only what the server's
// query sends (members and the N largest) is needed for the same choice.
TEST(TopK, HistoriesKeepTheirPromises) {
  std::mt19937 random(20);
  for (int history = 0; history < 200; ++history) {
    const std::size_t size = 1 + random() % 10;
    Counts counts;
    const unsigned tools = 1 + random() % 30;
    for (unsigned tool = 0; tool < tools; ++tool) {
      const std::string name = tool == 7 ? "other" : "tool" + std::to_string(tool);
      counts.push_back({name, static_cast<std::int64_t>(random() % 50)});
    }
    Names members;
    for (int step = 0; step < 30; ++step) {
      for (NamedCount& c : counts) c.count += static_cast<std::int64_t>(random() % 10);
      const TopK top = Choose(members, counts, size);
      ASSERT_LE(top.members.size(), size);
      ASSERT_EQ(Sum(top.members) + top.other, Sum(counts));
      ASSERT_GE(top.other, 0);
      const Names names = NamesOf(top);
      ASSERT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
      ASSERT_EQ(std::count(names.begin(), names.end(), "other"), 0);
      const auto weakest = top.members.empty() ? 0 : top.members.back().count;
      for (const NamedCount& c : counts) {
        if (c.name == "other" || std::count(names.begin(), names.end(), c.name) > 0) continue;
        ASSERT_EQ(top.members.size(), size) << "there was room for " << c.name;
        ASSERT_LE(c.count * 10, weakest * 11) << c.name << " should have displaced a member";
      }

      Counts sent = counts;
      std::erase_if(sent, [](const NamedCount& c) { return c.name == "other"; });
      std::sort(sent.begin(), sent.end(), [](const NamedCount& a, const NamedCount& b) {
        return a.count != b.count ? a.count > b.count : a.name < b.name;
      });
      Counts needed(sent.begin(),
                    sent.begin() + static_cast<std::ptrdiff_t>(std::min(size, sent.size())));
      for (std::size_t i = needed.size(); i < sent.size(); ++i) {
        if (std::count(members.begin(), members.end(), sent[i].name) > 0) needed.push_back(sent[i]);
      }
      ASSERT_EQ(ChooseTop(members, needed, Sum(counts), size), top);
      members = names;
    }
  }
}

// Twenty equal tools whose counts swing by 4.7 % either way: 1.047 / 0.953 is still below 1.1.
TEST(TopK, NoiseDoesNotChangeTheMembers) {
  std::mt19937 random(7);
  std::uniform_int_distribution<std::int64_t> noise(-470, 470);
  Names members;
  for (int step = 0; step < 1000; ++step) {
    Counts counts;
    for (int tool = 0; tool < 20; ++tool) {
      counts.push_back({"tool" + std::to_string(tool), 10000 + noise(random)});
    }
    Names now = NamesOf(Choose(members, counts, 10));
    ASSERT_EQ(now.size(), 10U);
    std::sort(now.begin(), now.end());
    if (step > 0) {
      ASSERT_EQ(now, members) << "step " << step;
    }
    members = now;
  }
}

}  // namespace
}  // namespace pgsteward
