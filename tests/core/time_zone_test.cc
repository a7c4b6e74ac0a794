#include "core/time_zone.h"

#include <gtest/gtest.h>

#include "tests/core/civil_time.h"

namespace pgsteward {
namespace {

TEST(TimeZoneTest, KnowsIanaNames) {
  for (const char* name : {"UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Ushuaia",
                           "Etc/GMT+3", "GMT", "Asia/Kolkata"}) {
    EXPECT_TRUE(IsTimeZone(name)) << name;
  }
}

TEST(TimeZoneTest, RefusesEverythingElse) {
  for (const char* name :
       {"", "localtime", "Mars/Phobos", "europe/berlin", "Europe", "Europe/Berlin ", "UTC+1",
        "posix/UTC", "right/UTC", "tzdata.zi", "zone.tab", "leapseconds", "posixrules",
        "../../../etc/passwd", "/usr/share/zoneinfo/UTC", "SYSTEM"}) {
    EXPECT_FALSE(IsTimeZone(name)) << name;
  }
}

std::string InstantsText(const TimeZone& zone, const std::string& local) {
  const LocalInstants instants = zone.Resolve(Local(local));
  switch (instants.kind) {
    case LocalInstants::Kind::kUnique:
      EXPECT_EQ(instants.first, instants.second);
      return UtcText(instants.first);
    case LocalInstants::Kind::kGap:
      EXPECT_EQ(instants.first, instants.second);
      return "gap " + UtcText(instants.first);
    case LocalInstants::Kind::kFold:
      return "fold " + UtcText(instants.first) + " and " + UtcText(instants.second);
  }
  return "";
}

TEST(TimeZoneTest, FindsZonesByName) {
  for (const char* name : {"UTC", "Etc/UTC", "Europe/Berlin", "Asia/Kathmandu"}) {
    const auto zone = TimeZone::Find(name);
    ASSERT_TRUE(zone) << name;
    EXPECT_EQ(zone->name(), name);
  }
  const auto mars = TimeZone::Find("Mars/Phobos");
  ASSERT_FALSE(mars);
  EXPECT_EQ(ToText(mars.error()),
            "\"Mars/Phobos\" is not a time zone of this machine; hint: Write a name of tzdata such "
            "as Europe/Berlin, or UTC.");
  EXPECT_EQ(mars.error().code, Errc::kBadConfig);
  EXPECT_EQ(TimeZone().name(), "UTC");
  EXPECT_EQ(TimeZone(), Zone("UTC"));
  EXPECT_FALSE(Zone("Europe/Berlin") == Zone("UTC"));
}

TEST(TimeZoneTest, ResolvesLocalTimes) {
  const struct {
    std::string zone;
    std::string local;
    std::string instants;
  } kCases[] = {
      {"UTC", "2026-03-29 02:30", "2026-03-29 02:30:00 UTC"},
      {"Etc/UTC", "2026-03-29 02:30", "2026-03-29 02:30:00 UTC"},
      {"Asia/Kathmandu", "2026-01-01 00:00", "2025-12-31 18:15:00 UTC"},
      {"Europe/Berlin", "2026-03-29 01:59:59", "2026-03-29 00:59:59 UTC"},
      {"Europe/Berlin", "2026-03-29 02:00", "gap 2026-03-29 01:00:00 UTC"},
      {"Europe/Berlin", "2026-03-29 02:59:59", "gap 2026-03-29 01:00:00 UTC"},
      {"Europe/Berlin", "2026-03-29 03:00", "2026-03-29 01:00:00 UTC"},
      {"Europe/Berlin", "2026-10-25 01:59:59", "2026-10-24 23:59:59 UTC"},
      {"Europe/Berlin", "2026-10-25 02:00",
       "fold 2026-10-25 00:00:00 UTC and 2026-10-25 01:00:00 UTC"},
      {"Europe/Berlin", "2026-10-25 02:59:59",
       "fold 2026-10-25 00:59:59 UTC and 2026-10-25 01:59:59 UTC"},
      {"Europe/Berlin", "2026-10-25 03:00", "2026-10-25 02:00:00 UTC"},
      {"Australia/Lord_Howe", "2026-10-04 02:15", "gap 2026-10-03 15:30:00 UTC"},
      {"Australia/Lord_Howe", "2026-10-04 02:30", "2026-10-03 15:30:00 UTC"},
      {"Australia/Lord_Howe", "2026-04-05 01:45",
       "fold 2026-04-04 14:45:00 UTC and 2026-04-04 15:15:00 UTC"},
      {"Pacific/Apia", "2011-12-30 12:00", "gap 2011-12-30 10:00:00 UTC"},
      {"Pacific/Apia", "2011-12-31 00:00", "2011-12-30 10:00:00 UTC"},
      {"America/St_Johns", "2010-11-06 23:30",
       "fold 2010-11-07 02:00:00 UTC and 2010-11-07 03:00:00 UTC"},
      // After the last change that the tables know of.
      {"Europe/Berlin", "2150-01-01 00:00", "2149-12-31 23:00:00 UTC"},
  };
  for (const auto& [name, local, instants] : kCases) {
    EXPECT_EQ(InstantsText(Zone(name), local), instants) << name << " " << local;
  }
}

TEST(TimeZoneTest, DaysBeginAtTheirFirstInstant) {
  const struct {
    std::string zone;
    std::string day;
    std::string utc;
    std::string local;
  } kCases[] = {
      {"UTC", "2026-09-06 00:00", "2026-09-06 00:00:00 UTC", "2026-09-06 00:00:00 UTC"},
      {"Europe/Berlin", "2026-03-29 00:00", "2026-03-28 23:00:00 UTC", "2026-03-29 00:00:00 CET"},
      // Midnight is skipped.
      {"America/Santiago", "2026-09-06 00:00", "2026-09-06 04:00:00 UTC",
       "2026-09-06 01:00:00 -03"},
      {"America/Sao_Paulo", "2018-11-04 00:00", "2018-11-04 03:00:00 UTC",
       "2018-11-04 01:00:00 -02"},
      {"Asia/Beirut", "2026-03-29 00:00", "2026-03-28 22:00:00 UTC", "2026-03-29 01:00:00 EEST"},
      {"Africa/Cairo", "2026-04-24 00:00", "2026-04-23 22:00:00 UTC", "2026-04-24 01:00:00 EEST"},
      // The hour before midnight comes twice, midnight once.
      {"America/Santiago", "2026-04-05 00:00", "2026-04-05 04:00:00 UTC",
       "2026-04-05 00:00:00 -04"},
      // Midnight comes twice.
      {"America/Havana", "2026-11-01 00:00", "2026-11-01 04:00:00 UTC", "2026-11-01 00:00:00 CDT"},
      // The day never was.
      {"Pacific/Apia", "2011-12-30 00:00", "2011-12-30 10:00:00 UTC", "2011-12-31 00:00:00 +14"},
  };
  for (const auto& [name, day, utc, local] : kCases) {
    const TimeZone zone = Zone(name);
    const WallTime start = zone.StartOfDay(std::chrono::floor<std::chrono::days>(Local(day)));
    EXPECT_EQ(UtcText(start), utc) << name;
    EXPECT_EQ(zone.Format(start), local) << name;
    // The second before belongs to another day.
    EXPECT_LT(zone.LocalDay(start - std::chrono::seconds(1)), zone.LocalDay(start)) << name;
  }
}

TEST(TimeZoneTest, FormatsForPeople) {
  const WallTime time = Utc("2026-03-29 01:00") + std::chrono::milliseconds(999);
  EXPECT_EQ(Zone("Europe/Berlin").Format(time), "2026-03-29 03:00:00 CEST");
  EXPECT_EQ(Zone("Europe/Berlin").FormatWithOffset(time), "2026-03-29 03:00:00+02:00");
  EXPECT_EQ(Zone("America/St_Johns").FormatWithOffset(time), "2026-03-28 22:30:00-02:30");
  EXPECT_EQ(Zone("Asia/Kathmandu").Format(time), "2026-03-29 06:45:00 +0545");
  EXPECT_EQ(TimeZone().Format(time), "2026-03-29 01:00:00 UTC");
  EXPECT_EQ(TimeZone().FormatWithOffset(time), "2026-03-29 01:00:00+00:00");
  EXPECT_EQ(Zone("Europe/Berlin").FormatWithOffset(Utc("1890-01-01 00:00")),
            "1890-01-01 00:53:28+00:53:28");
  EXPECT_EQ(TimeZone().Format(WallTime(std::chrono::milliseconds(-1))), "1969-12-31 23:59:59 UTC");
}

TEST(TimeZoneTest, HasNoEnds) {
  for (const char* name : {"UTC", "Europe/Berlin", "Pacific/Apia", "America/Santiago"}) {
    const TimeZone zone = Zone(name);
    for (const WallTime time : {WallTime::min(), WallTime::max()}) {
      EXPECT_LT(zone.PeriodOf(std::chrono::floor<std::chrono::seconds>(time)).begin,
                zone.PeriodOf(std::chrono::floor<std::chrono::seconds>(time)).end);
      EXPECT_EQ(zone.Format(time).substr(0, 4), time < WallTime() ? "1677" : "2262") << name;
    }
    EXPECT_EQ(zone.Resolve(LocalSeconds::min()).first, zone.Resolve(LocalSeconds::min()).second);
    EXPECT_EQ(zone.Resolve(LocalSeconds::max()).kind, LocalInstants::Kind::kUnique);
  }
}

}  // namespace
}  // namespace pgsteward
