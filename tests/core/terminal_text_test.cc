#include "core/terminal_text.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

TEST(HarmlessText, LeavesWhatCanBeSeen) {
  EXPECT_EQ(HarmlessText("Müller 注文 😀 \"x\" \\"), "Müller 注文 😀 \"x\" \\");
  EXPECT_EQ(HarmlessText(""), "");
}

TEST(HarmlessText, ShowsWhatActsOrHides) {
  EXPECT_EQ(HarmlessText("\x1b[2J\x1b]0;title\x07"), "\\x1b[2J\\x1b]0;title\\x07");
  EXPECT_EQ(HarmlessText("a\nb\r\tc\x7f"), "a\\x0ab\\x0d\\x09c\\x7f");
  EXPECT_EQ(HarmlessText("\xC2\x9B"
                         "31m"),
            "\\x9b31m");  // one-character CSI
  EXPECT_EQ(HarmlessText("a\xE2\x80\xAE"
                         "b\xE2\x80\x8B"
                         "c\xEF\xBB\xBF"),
            "a\\u202eb\\u200bc\\ufeff");
  EXPECT_EQ(HarmlessText("\xF3\xA0\x81\x81"), "\\ue0041");
  EXPECT_EQ(HarmlessText("\xFFx\xC3"), "\xEF\xBF\xBDx\xEF\xBF\xBD");
}

TEST(HarmlessLine, IsOneLine) {
  EXPECT_EQ(HarmlessLine("  SELECT 1,\n\t\r\n   2\n"), "SELECT 1, 2");
  EXPECT_EQ(HarmlessLine("a\x1b\nb"), "a\\x1b b");
  EXPECT_EQ(HarmlessLine(" \n "), "");
}

TEST(CutToWidth, CountsColumns) {
  EXPECT_EQ(CutToWidth("abcdef", 6), "abcdef");
  EXPECT_EQ(CutToWidth("abcdefg", 6), "abcde…");
  EXPECT_EQ(CutToWidth("üüüü", 3), "üü…");
  EXPECT_EQ(CutToWidth("注文注文", 8), "注文注文");
  EXPECT_EQ(CutToWidth("注文注文", 7), "注文注…");
  EXPECT_EQ(CutToWidth("注文注文", 6), "注文…");
  EXPECT_EQ(CutToWidth("ab", 1), "…");
  EXPECT_EQ(CutToWidth("ab", 0), "");
  EXPECT_EQ(CutToWidth("", 0), "");
}

TEST(ShortDuration, HasTwoUnits) {
  EXPECT_EQ(ShortDuration(-1), "0.0s");
  EXPECT_EQ(ShortDuration(0.44), "0.4s");
  EXPECT_EQ(ShortDuration(9.94), "9.9s");
  EXPECT_EQ(ShortDuration(9.96), "10s");
  EXPECT_EQ(ShortDuration(59.4), "59s");
  EXPECT_EQ(ShortDuration(59.6), "1m00s");
  EXPECT_EQ(ShortDuration(123), "2m03s");
  EXPECT_EQ(ShortDuration(3599.9), "1h00m");
  EXPECT_EQ(ShortDuration(11100), "3h05m");
  EXPECT_EQ(ShortDuration(183600), "2d03h");
}

}  // namespace
}  // namespace pgsteward
