#include "core/shown.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

TEST(ShownTest, ShowsOnlyWhatIsHarmless) {
  EXPECT_EQ(Shown("Europe/Berlin"), "\"Europe/Berlin\"");
  EXPECT_EQ(Shown("12 h"), "\"12 h\"");
  for (const char* text : {"", "password=swordfish", "postgresql://u:swordfish@h", "sw0rdf!sh",
                           "a\nb", "\xff", "11111111112222222222333333333344444444445"}) {
    EXPECT_EQ(Shown(text), "this value") << text;
  }
  EXPECT_EQ(Shown("*/15 1,2"), "this value");
  EXPECT_EQ(Shown("*/15 1,2", "*,"), "\"*/15 1,2\"");
  EXPECT_EQ(Shown("user=a", "="), "this value");
}

}  // namespace
}  // namespace pgsteward
