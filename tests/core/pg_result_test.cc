#include "core/pg_result.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/make_result.h"

namespace pgsteward {
namespace {

TEST(PgResult, RowsColumnsAndNames) {
  const PgResult result =
      MakeResult({"datname", "Size"}, {{"hub", "1"}, {"postgres", std::nullopt}});
  EXPECT_EQ(result.rows(), 2);
  EXPECT_EQ(result.columns(), 2);
  EXPECT_EQ(result.column_name(1), "Size");
  EXPECT_EQ(result.FindColumn("Size"), 1);
  EXPECT_EQ(result.FindColumn("size"), -1) << "case counts";
  EXPECT_EQ(result.Text(0, 0), "hub");
  EXPECT_EQ(result.Text(1, 1), "");
  EXPECT_TRUE(result.IsNull(1, 1));
  EXPECT_FALSE(result.IsNull(0, 1));
}

struct NumberCase {
  std::optional<std::string> text;
  std::optional<double> number;
  std::optional<long long> integer;
};

TEST(PgResult, Numbers) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const NumberCase cases[] = {
      {std::nullopt, std::nullopt, std::nullopt},
      {"", std::nullopt, std::nullopt},
      {"42", 42, 42},
      {"-7", -7, -7},
      {"0.125", 0.125, std::nullopt},
      {"1.5e-05", 1.5e-05, std::nullopt},
      {"9223372036854775807", 9223372036854775807.0, 9223372036854775807LL},
      {"9223372036854775808", 9223372036854775808.0, std::nullopt},
      {"t", 1, std::nullopt},
      {"f", 0, std::nullopt},
      {"Infinity", kInfinity, std::nullopt},
      {"-Infinity", -kInfinity, std::nullopt},
      {"12 kB", std::nullopt, std::nullopt},
      {" 1", std::nullopt, std::nullopt},
      {"true", std::nullopt, std::nullopt},
  };
  for (const NumberCase& c : cases) {
    const PgResult result = MakeResult({"n"}, {{c.text}});
    EXPECT_EQ(result.Number(0, 0), c.number) << c.text.value_or("NULL");
    EXPECT_EQ(result.Integer(0, 0), c.integer) << c.text.value_or("NULL");
  }
  const PgResult nan = MakeResult({"n"}, {{"NaN"}});
  ASSERT_TRUE(nan.Number(0, 0));
  EXPECT_TRUE(std::isnan(*nan.Number(0, 0)));
}

TEST(PgResult, Booleans) {
  const PgResult result = MakeResult({"b"}, {{"t"}, {"f"}, {std::nullopt}});
  EXPECT_TRUE(result.Bool(0, 0));
  EXPECT_FALSE(result.Bool(1, 0));
  EXPECT_FALSE(result.Bool(2, 0));
}

TEST(PgResult, EmptyOneHasNoRows) {
  const PgResult result;
  EXPECT_EQ(result.rows(), 0);
  EXPECT_EQ(result.columns(), 0);
  EXPECT_EQ(result.FindColumn("x"), -1);
}

}  // namespace
}  // namespace pgsteward
