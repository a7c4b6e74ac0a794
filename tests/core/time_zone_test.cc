#include "core/time_zone.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace pgsteward
