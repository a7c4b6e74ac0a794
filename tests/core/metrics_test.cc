#include "core/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/utf8.h"
#include "tests/support/make_result.h"
#include "tests/support/print.h"

namespace pgsteward {
namespace {

constexpr int kVersion = 150018;

constexpr Column kColumns[] = {
    {"datname"},
    {"mode"},
    {"held", Kind::kGauge, "pg_locks_count", "Number of locks held."},
    {"taken", Kind::kCounter, "pg_locks_taken_total", "Locks taken."},
};

// Everything of the families in text form.
std::string Page(const Families& families, const Labels& common = {}) {
  std::string page;
  for (const auto& family : families) {
    page += RenderHeader(family) + RenderSamples(family, common).text;
  }
  return page;
}

std::string Rendered(double value) {
  auto family = GaugeFamily("g", "h");
  AddSample(family, {}, value);
  return RenderSamples(family, {}).text;
}

std::string RenderedLabel(std::string value) {
  auto family = GaugeFamily("g", "h");
  AddSample(family, {{"l", std::move(value)}}, 1);
  return RenderSamples(family, {}).text;
}

TEST(RowsToFamilies, OneFamilyPerMetricColumn) {
  const PgResult rows =
      MakeResult({"datname", "mode", "held", "taken"},
                 {{"hub", "accesssharelock", "3", "100"}, {"hub", "exclusivelock", "0", "7"}});
  const auto families = RowsToFamilies(kColumns, rows, kVersion);
  ASSERT_TRUE(families) << ToText(families.error());
  EXPECT_EQ(Page(*families),
            "# HELP pg_locks_count Number of locks held.\n"
            "# TYPE pg_locks_count gauge\n"
            "pg_locks_count{datname=\"hub\",mode=\"accesssharelock\"} 3\n"
            "pg_locks_count{datname=\"hub\",mode=\"exclusivelock\"} 0\n"
            "# HELP pg_locks_taken_total Locks taken.\n"
            "# TYPE pg_locks_taken_total counter\n"
            "pg_locks_taken_total{datname=\"hub\",mode=\"accesssharelock\"} 100\n"
            "pg_locks_taken_total{datname=\"hub\",mode=\"exclusivelock\"} 7\n");
}

TEST(RowsToFamilies, OrderOfTheResultsColumnsDoesNotMatter) {
  const PgResult rows = MakeResult({"taken", "held", "mode", "datname"}, {{"9", "2", "m", "d"}});
  const auto families = RowsToFamilies(kColumns, rows, kVersion);
  ASSERT_TRUE(families) << ToText(families.error());
  EXPECT_EQ(RenderSamples((*families)[0], {}).text, "pg_locks_count{datname=\"d\",mode=\"m\"} 2\n");
  EXPECT_EQ(RenderSamples((*families)[1], {}).text,
            "pg_locks_taken_total{datname=\"d\",mode=\"m\"} 9\n");
}

TEST(RowsToFamilies, NullIsNoSampleAndAnEmptyLabel) {
  const PgResult rows =
      MakeResult({"datname", "mode", "held", "taken"},
                 {{std::nullopt, "m", std::nullopt, "1"}, {"hub", "m", "0", std::nullopt}});
  const auto families = RowsToFamilies(kColumns, rows, kVersion);
  ASSERT_TRUE(families) << ToText(families.error());
  EXPECT_EQ(RenderSamples((*families)[0], {}).text,
            "pg_locks_count{datname=\"hub\",mode=\"m\"} 0\n");
  EXPECT_EQ(RenderSamples((*families)[1], {}).text,
            "pg_locks_taken_total{datname=\"\",mode=\"m\"} 1\n");
}

TEST(RowsToFamilies, NoRows) {
  const auto families =
      RowsToFamilies(kColumns, MakeResult({"datname", "mode", "held", "taken"}, {}), kVersion);
  ASSERT_TRUE(families) << ToText(families.error());
  for (const auto& family : *families) EXPECT_TRUE(family.metric.empty()) << family.name;
}

TEST(RowsToFamilies, BooleansAndSpecialNumbers) {
  constexpr Column kColumn[] = {{"v", Kind::kUntyped, "m", "h"}, {"l"}};
  const PgResult rows = MakeResult(
      {"v", "l"},
      {{"t", "1"}, {"f", "2"}, {"NaN", "3"}, {"Infinity", "4"}, {"-Infinity", "5"}, {"0.5", "6"}});
  const auto families = RowsToFamilies(kColumn, rows, kVersion);
  ASSERT_TRUE(families) << ToText(families.error());
  EXPECT_EQ(Page(*families),
            "# HELP m h\n# TYPE m untyped\n"
            "m{l=\"1\"} 1\nm{l=\"2\"} 0\nm{l=\"3\"} NaN\nm{l=\"4\"} +Inf\nm{l=\"5\"} -Inf\n"
            "m{l=\"6\"} 0.5\n");
}

TEST(RowsToFamilies, MissingColumn) {
  const auto families =
      RowsToFamilies(kColumns, MakeResult({"datname", "mode", "held"}, {}), kVersion);
  ASSERT_FALSE(families);
  EXPECT_EQ(families.error().code, Errc::kQueryFailed);
  EXPECT_EQ(families.error().message, "the query has no column \"taken\"");
}

TEST(RowsToFamilies, UndeclaredColumn) {
  const auto families = RowsToFamilies(
      kColumns, MakeResult({"datname", "mode", "held", "taken", "extra"}, {}), kVersion);
  ASSERT_FALSE(families);
  EXPECT_EQ(families.error().message, "the query has an undeclared column \"extra\"");
}

TEST(RowsToFamilies, SecondColumnOfTheSameName) {
  const auto families = RowsToFamilies(
      kColumns, MakeResult({"datname", "mode", "held", "taken", "held"}, {}), kVersion);
  ASSERT_FALSE(families);
  EXPECT_EQ(families.error().message, "the query has an undeclared column \"held\"");
}

TEST(RowsToFamilies, TextThatIsNoNumber) {
  const PgResult rows =
      MakeResult({"datname", "mode", "held", "taken"}, {{"hub", "m", "8 kB", "1"}});
  const auto families = RowsToFamilies(kColumns, rows, kVersion);
  ASSERT_FALSE(families);
  EXPECT_EQ(families.error().message, "column \"held\" is not a number");
}

TEST(RowsToFamilies, VersionGates) {
  constexpr Column kGated[] = {
      {"a", Kind::kGauge, "old", "h", 0, 139999},
      {"b", Kind::kGauge, "always", "h"},
      {"c", Kind::kGauge, "fresh", "h", 160000},
  };
  const auto names = [&](const PgResult& rows, int version) {
    const auto families = RowsToFamilies(kGated, rows, version);
    std::vector<std::string> all;
    if (!families) return std::vector<std::string>{families.error().message};
    for (const auto& family : *families) all.push_back(family.name);
    return all;
  };
  using testing::ElementsAre;
  EXPECT_THAT(names(MakeResult({"a", "b"}, {}), 139999), ElementsAre("old", "always"));
  EXPECT_THAT(names(MakeResult({"b"}, {}), 140000), ElementsAre("always"));
  EXPECT_THAT(names(MakeResult({"b", "c"}, {}), 160000), ElementsAre("always", "fresh"));
  // A gated column in the result of a server that should not have it: the SQL is wrong.
  EXPECT_THAT(names(MakeResult({"b", "c"}, {}), 159999),
              ElementsAre("the query has an undeclared column \"c\""));
  EXPECT_THAT(names(MakeResult({"b"}, {}), 160000), ElementsAre("the query has no column \"c\""));
}

TEST(RenderSamples, CommonLabelsComeFirst) {
  auto family = GaugeFamily("pg_up", "h");
  AddSample(family, {}, 1);
  AddSample(family, {{"datname", "hub"}}, 0);
  EXPECT_EQ(RenderSamples(family, {{"server", "main"}}).text,
            "pg_up{server=\"main\"} 1\npg_up{server=\"main\",datname=\"hub\"} 0\n");
  EXPECT_EQ(RenderSamples(family, {}).text, "pg_up 1\npg_up{datname=\"hub\"} 0\n");
}

TEST(RenderSamples, LabelValuesAreEscaped) {
  EXPECT_EQ(RenderedLabel("a\\b"), "g{l=\"a\\\\b\"} 1\n");
  EXPECT_EQ(RenderedLabel("say \"hi\""), "g{l=\"say \\\"hi\\\"\"} 1\n");
  EXPECT_EQ(RenderedLabel("two\nlines"), "g{l=\"two\\nlines\"} 1\n");
  EXPECT_EQ(RenderedLabel("\\n"), "g{l=\"\\\\n\"} 1\n");
  EXPECT_EQ(RenderedLabel("größe, 表"), "g{l=\"größe, 表\"} 1\n");
}

TEST(RenderSamples, InvalidUtf8IsReplaced) {
  EXPECT_EQ(RenderedLabel("caf\xe9"), "g{l=\"caf\xef\xbf\xbd\"} 1\n");
  // The byte before the closing quote must not swallow it.
  EXPECT_EQ(RenderedLabel("\xe2\x82"), "g{l=\"\xef\xbf\xbd\xef\xbf\xbd\"} 1\n");
}

TEST(RenderSamples, NumbersAreExactAndShort) {
  EXPECT_EQ(Rendered(0), "g 0\n");
  EXPECT_EQ(Rendered(-1), "g -1\n");
  EXPECT_EQ(Rendered(1763200000), "g 1763200000\n");
  EXPECT_EQ(Rendered(100000000000000), "g 100000000000000\n");
  EXPECT_EQ(Rendered(9007199254740992), "g 9007199254740992\n");
  EXPECT_EQ(Rendered(0.1), "g 0.1\n");
  EXPECT_EQ(Rendered(1763200000.125), "g 1763200000.125\n");
  EXPECT_EQ(Rendered(1e-9), "g 1e-09\n");
  EXPECT_EQ(Rendered(1e100), "g 1e+100\n");
  EXPECT_EQ(Rendered(std::numeric_limits<double>::infinity()), "g +Inf\n");
  EXPECT_EQ(Rendered(-std::numeric_limits<double>::infinity()), "g -Inf\n");
  EXPECT_EQ(Rendered(std::nan("")), "g NaN\n");
}

TEST(RenderSamples, NumbersBeyondTheExactOnesReadBackTheSame) {
  for (const double value : {9007199254740994.0, 9223372036854775807.0, 1.8446744073709552e19}) {
    const std::string text = Rendered(value);
    EXPECT_EQ(std::stod(text.substr(2)), value) << text;
  }
}

TEST(RenderSamples, DuplicateLabelSetsKeepTheFirst) {
  auto family = GaugeFamily("g", "h");
  AddSample(family, {{"a", "1"}}, 10);
  AddSample(family, {{"a", "2"}}, 20);
  AddSample(family, {{"a", "1"}}, 30);
  AddSample(family, {{"a", "1"}}, 10);
  const RenderedSamples rendered = RenderSamples(family, {});
  EXPECT_EQ(rendered.text, "g{a=\"1\"} 10\ng{a=\"2\"} 20\n");
  EXPECT_EQ(rendered.samples, 2U);
  EXPECT_EQ(rendered.duplicates, 2U);
}

TEST(RenderSamples, DifferentBytesThatRenderTheSameAreDuplicates) {
  auto family = GaugeFamily("g", "h");
  AddSample(family, {{"a", "\xe9"}}, 1);
  AddSample(family, {{"a", "\xe8"}}, 2);
  const RenderedSamples rendered = RenderSamples(family, {});
  EXPECT_EQ(rendered.text, "g{a=\"\xef\xbf\xbd\"} 1\n");
  EXPECT_EQ(rendered.duplicates, 1U);
}

TEST(RenderSamples, LooksTheSameButIsNot) {
  auto family = GaugeFamily("g", "h");
  AddSample(family, {{"a", "1\",b=\"2"}}, 1);
  AddSample(family, {{"a", "1"}, {"b", "2"}}, 2);
  EXPECT_EQ(RenderSamples(family, {}).text, "g{a=\"1\\\",b=\\\"2\"} 1\ng{a=\"1\",b=\"2\"} 2\n");
}

TEST(RenderHeader, TypesAndEscapes) {
  EXPECT_EQ(RenderHeader(CounterFamily("c_total", "Counts.")),
            "# HELP c_total Counts.\n# TYPE c_total counter\n");
  EXPECT_EQ(RenderHeader(GaugeFamily("g", "a\\b \"quoted\"\nsecond line")),
            "# HELP g a\\\\b \"quoted\"\\nsecond line\n# TYPE g gauge\n");
  EXPECT_EQ(RenderHeader(MakeFamily("u", prometheus::MetricType::Untyped, "")),
            "# HELP u \n# TYPE u untyped\n");
}

TEST(ValidUtf8, KeepsTheValidAndReplacesEachInvalidByte) {
  const std::string replacement = "\xef\xbf\xbd";
  EXPECT_EQ(ValidUtf8(""), "");
  EXPECT_EQ(ValidUtf8("plain"), "plain");
  EXPECT_EQ(ValidUtf8("é€😀"), "é€😀");
  EXPECT_EQ(ValidUtf8("\x80"), replacement) << "continuation without a start";
  EXPECT_EQ(ValidUtf8("\xc3"), replacement) << "cut off at the end";
  EXPECT_EQ(ValidUtf8("\xc3(x"), replacement + "(x");
  EXPECT_EQ(ValidUtf8("\xc0\xaf"), replacement + replacement) << "overlong";
  EXPECT_EQ(ValidUtf8("\xe0\x80\xaf"), replacement + replacement + replacement) << "overlong";
  EXPECT_EQ(ValidUtf8("\xed\xa0\x80"), replacement + replacement + replacement) << "surrogate";
  EXPECT_EQ(ValidUtf8("\xf4\x90\x80\x80"), replacement + replacement + replacement + replacement)
      << "above U+10FFFF";
  EXPECT_EQ(ValidUtf8("\xf8x"), replacement + "x");
  EXPECT_EQ(ValidUtf8("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf") << "the last code point";
}

}  // namespace
}  // namespace pgsteward
