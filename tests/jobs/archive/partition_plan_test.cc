#include "jobs/archive/partition_plan.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using std::chrono::year;
using std::chrono::year_month;

constexpr long long kDay = 86'400'000'000;
constexpr long long kMarch2001 = 11'382 * kDay;

std::string Text(const std::vector<TimeRange>& ranges) {
  std::string text;
  for (const TimeRange& range : ranges) {
    text += "[" + std::to_string(range.from) + "," + std::to_string(range.to) + ")";
  }
  return text;
}

std::string Text(const std::vector<PlannedPartition>& planned) {
  std::string text;
  for (const PlannedPartition& each : planned)
    text += each.name + " " + BoundsSql(each.range) + "\n";
  return text;
}

TEST(PartitionPlan, SubtractsRangesOfAnyWidth) {
  const struct {
    TimeRange whole;
    std::vector<TimeRange> taken;
    const char* left;
  } cases[] = {
      {{10, 20}, {}, "[10,20)"},
      {{10, 20}, {{10, 20}}, ""},
      {{10, 20}, {{0, 30}}, ""},
      {{10, 20}, {{TimeRange::kBegin, TimeRange::kEnd}}, ""},
      {{10, 20}, {{TimeRange::kBegin, 12}}, "[12,20)"},
      {{10, 20}, {{18, TimeRange::kEnd}}, "[10,18)"},
      {{10, 20}, {{12, 14}}, "[10,12)[14,20)"},
      {{10, 20}, {{16, 18}, {12, 14}}, "[10,12)[14,16)[18,20)"},
      {{10, 20}, {{5, 12}, {12, 14}, {14, 40}}, ""},
      {{10, 20}, {{0, 10}, {20, 30}}, "[10,20)"},
      {{10, 20}, {{11, 19}, {12, 13}}, "[10,11)[19,20)"},
  };
  for (const auto& each : cases) EXPECT_EQ(Text(Subtract(each.whole, each.taken)), each.left);
}

TEST(PartitionPlan, WritesTimesAsPostgresReadsThem) {
  EXPECT_EQ(TimeText(0), "1970-01-01 00:00:00+00");
  EXPECT_EQ(TimeText(-1), "1969-12-31 23:59:59.999999+00");
  EXPECT_EQ(TimeText(kMarch2001), "2001-03-01 00:00:00+00");
  EXPECT_EQ(TimeText(kMarch2001 + 3'723'000'040), "2001-03-01 01:02:03.000040+00");
  EXPECT_EQ(TimeText(-62'135'596'800'000'000 - 1), "0001-12-31 23:59:59.999999+00 BC");
  EXPECT_EQ(TimeText(TimeRange::kBegin), "-infinity");
  EXPECT_EQ(TimeText(TimeRange::kEnd), "infinity");
  EXPECT_EQ(BoundsSql({}), "FROM (MINVALUE) TO (MAXVALUE)");
}

TEST(PartitionPlan, MakesAMonthForEachThatIsMissing) {
  EXPECT_EQ(Text(PlanPartitions({year(2001) / 3, year(2025) / 12, year(2024) / 2},
                                {RangeOfMonth(year(2024) / 2)}, {})),
            "messages_archive_y2001m03 FROM ('2001-03-01 00:00:00+00') TO ('2001-04-01 "
            "00:00:00+00')\n"
            "messages_archive_y2025m12 FROM ('2025-12-01 00:00:00+00') TO ('2026-01-01 "
            "00:00:00+00')\n");
}

TEST(PartitionPlan, FillsWhatPartitionsOfAnotherWidthLeave) {
  const TimeRange inside{kMarch2001 + 9 * kDay, kMarch2001 + 19 * kDay};
  EXPECT_EQ(Text(PlanPartitions({year(2001) / 3}, {inside}, {})),
            "messages_archive_y2001m03 FROM ('2001-03-01 00:00:00+00') TO ('2001-03-10 "
            "00:00:00+00')\n"
            "messages_archive_y2001m03_2 FROM ('2001-03-20 00:00:00+00') TO ('2001-04-01 "
            "00:00:00+00')\n");
  const TimeRange whole_year{kMarch2001 - 59 * kDay, kMarch2001 + 306 * kDay};
  EXPECT_EQ(Text(PlanPartitions({year(2001) / 1, year(2001) / 12}, {whole_year}, {})), "");
}

TEST(PartitionPlan, TakesNoNameThatIsTaken) {
  EXPECT_EQ(PlanPartitions({year(2001) / 3}, {},
                           {"messages_archive_y2001m03", "messages_archive_y2001m03_2"})[0]
                .name,
            "messages_archive_y2001m03_3");
}

TEST(PartitionPlan, LeavesOutMonthsWithoutAName) {
  EXPECT_EQ(PlanPartitions({year(0) / 12, year(10'000) / 1}, {}, {}).size(), 0U);
  EXPECT_EQ(PlanPartitions({year(1) / 1, year(9999) / 12}, {}, {})[0].name,
            "messages_archive_y0001m01");
}

}  // namespace
}  // namespace pgsteward
