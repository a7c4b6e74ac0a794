#include "core/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/print.h"

namespace pgsteward {
namespace {

TEST(Error, NamesOfCodes) {
  EXPECT_EQ(ErrcName(Errc::kTimeout), "timeout");
  EXPECT_EQ(ErrcName(Errc::kConnectionLost), "connection_lost");
  EXPECT_EQ(ErrcName(Errc::kUnavailable), "unavailable");
  EXPECT_EQ(ErrcName(Errc::kQueryFailed), "query_failed");
  EXPECT_EQ(ErrcName(Errc::kUnsupported), "unsupported");
  EXPECT_EQ(ErrcName(Errc::kNoData), "no_data");
  EXPECT_EQ(ErrcName(Errc::kBadConfig), "bad_config");
  EXPECT_EQ(ErrcName(Errc::kBusy), "busy");
  EXPECT_EQ(ErrcName(Errc::kChildFailed), "child_failed");
}

TEST(Error, TextHoldsWhatIsSet) {
  EXPECT_EQ(ToText(Error(Errc::kTimeout, "no answer")), "no answer");
  EXPECT_EQ(ToText(Error(Errc::kQueryFailed, "permission denied", "42501")),
            "permission denied (SQLSTATE 42501)");
  EXPECT_EQ(ToText(Error(Errc::kBadConfig, "no such file", "", "Create it.")),
            "no such file; hint: Create it.");
  EXPECT_EQ(ToText(Error(Errc::kQueryFailed, "permission denied", "42501", "Grant it.")),
            "permission denied (SQLSTATE 42501); hint: Grant it.");
}

Result<int> Half(int number) {
  if (number % 2 != 0) return Error(Errc::kQueryFailed, "odd number", "22003");
  return number / 2;
}

TEST(Error, ResultIsAValueOrAnError) {
  const Result<int> good = Half(8);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 4);

  const Result<int> bad = Half(7);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Errc::kQueryFailed);
  EXPECT_EQ(bad.error().sqlstate, "22003");
}

TEST(Error, TakingTheValueOfAnErrorIsABug) {
  try {
    Half(7).value();
    FAIL() << "no exception";
  } catch (const std::logic_error& e) {
    EXPECT_THAT(e.what(), testing::StartsWith("unchecked result at "));
    EXPECT_THAT(e.what(), testing::HasSubstr("error_test.cc:"));
    EXPECT_THAT(e.what(), testing::EndsWith(": odd number (SQLSTATE 22003)"));
  }
}

}  // namespace
}  // namespace pgsteward
