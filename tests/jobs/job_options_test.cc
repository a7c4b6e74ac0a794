#include "jobs/job_options.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <tuple>

#include "core/error.h"

namespace pgsteward {
namespace {

constexpr std::string_view kModes[] = {"one", "two"};
constexpr JobOption kOptions[] = {
    {.name = "age", .kind = OptionKind::kAge, .fallback = "1 year", .help = "A.", .widens = true},
    {.name = "mode", .kind = OptionKind::kWord, .fallback = "one", .help = "M.", .words = kModes},
    {.name = "rows",
     .kind = OptionKind::kInteger,
     .fallback = "5",
     .help = "R.",
     .least = 1,
     .most = 10},
    {.name = "names", .kind = OptionKind::kTexts, .fallback = "", .help = "N."},
    {.name = "pause", .kind = OptionKind::kDuration, .fallback = "1m", .help = "P.", .least = 1},
};

TEST(JobOptionsTest, AgesHaveOneNormalForm) {
  for (const auto& [text, normal] : {std::pair("30 days", "30 days"),
                                     {"1 year", "1 year"},
                                     {"1 Years", "1 year"},
                                     {"18months", "18 months"},
                                     {"2  WEEK", "2 weeks"}}) {
    const auto age = ParseAge(text);
    ASSERT_TRUE(age) << text;
    EXPECT_EQ(*age, normal);
  }
  for (const char* text : {"", "year", "0 days", "-1 days", "1", "1.5 years", "36501 days",
                           "1 hour", "1 year 2 days", "99999999999 days"}) {
    EXPECT_FALSE(ParseAge(text)) << text;
  }
  EXPECT_EQ(ToText(ParseAge("1 hour").error()),
            "\"1 hour\" is not an age; hint: Write a whole number and days, weeks, months or "
            "years: 30 days, 1 year.");
}

TEST(JobOptionsTest, RefusesWhatDoesNotFit) {
  for (const auto& [option, text, error] :
       {std::tuple(1, "three", "\"three\" is unknown here; hint: Write one of: one, two."),
        {2, "11", "\"11\" does not fit; hint: Write a whole number of at least 1 and at most 10."},
        {2, "5x", "\"5x\" does not fit; hint: Write a whole number of at least 1 and at most 10."},
        {2, "1e1",
         "\"1e1\" does not fit; hint: Write a whole number of at least 1 and at most 10."},
        {4, "0s", "0s is out of range; hint: Write at least 1s."}}) {
    const auto value = NormalOption(kOptions[option], text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(ToText(value.error()), error);
  }
}

TEST(JobOptionsTest, LargeNumbersStayWhatTheyAre) {
  constexpr JobOption kLarge[] = {
      {.name = "rows", .kind = OptionKind::kInteger, .fallback = "5", .help = "R."}};
  for (const auto& [text, number] : {std::pair("10000000", 10'000'000LL),
                                     {"1000000", 1'000'000LL},
                                     {"0", 0LL},
                                     {"9007199254740993", 9'007'199'254'740'993LL}}) {
    const auto normal = NormalOption(kLarge[0], text);
    ASSERT_TRUE(normal) << text;
    EXPECT_EQ(*normal, text);
    JobOptions options(kLarge);
    options.Set("rows", *normal);
    EXPECT_EQ(options.Integer("rows"), number);
  }
}

TEST(JobOptionsTest, GivesDefaultsAndWhatWasSet) {
  JobOptions options(kOptions);
  EXPECT_EQ(options.Text("age"), "1 year");
  EXPECT_EQ(options.Integer("rows"), 5);
  EXPECT_EQ(options.Duration("pause"), std::chrono::minutes(1));
  EXPECT_EQ(options.Texts("names"), std::vector<std::string>());
  options.Set("names", "a\nb c");
  EXPECT_EQ(options.Texts("names"), (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(options.WideningText(), "age=1 year");
  EXPECT_THROW(options.Text("nothing"), std::logic_error);
  EXPECT_THROW(options.Set("nothing", "1"), std::logic_error);
}

}  // namespace
}  // namespace pgsteward
