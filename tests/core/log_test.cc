#include "core/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using testing::ElementsAre;

constexpr char kTime[] = "2026-01-02T03:04:05.678Z";

std::string Logfmt(std::string_view value) {
  return FormatLogLine(LogFormat::kLogfmt, LogLevel::kInfo, "", "m", {{"k", value}});
}
std::string Json(std::string_view value) {
  return FormatLogLine(LogFormat::kJson, LogLevel::kInfo, "", "m", {{"k", value}});
}

TEST(Log, LogfmtLine) {
  EXPECT_EQ(FormatLogLine(LogFormat::kLogfmt, LogLevel::kWarning, kTime, "cannot connect",
                          {{"server", "hub"}, {"port", 5432}, {"took", 0.25}}),
            "time=2026-01-02T03:04:05.678Z level=warning msg=\"cannot connect\" server=hub "
            "port=5432 took=0.250");
  EXPECT_EQ(FormatLogLine(LogFormat::kLogfmt, LogLevel::kDebug, "", "ready", {}),
            "level=debug msg=ready");
}

TEST(Log, JsonLine) {
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, LogLevel::kError, kTime, "task failed",
                          {{"task", "locks"}, {"failures", 3}}),
            "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"error\",\"msg\":\"task failed\","
            "\"task\":\"locks\",\"failures\":\"3\"}");
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, LogLevel::kInfo, "", "ready", {}),
            "{\"level\":\"info\",\"msg\":\"ready\"}");
}

TEST(Log, LogfmtQuotesOnlyWhereNeeded) {
  EXPECT_EQ(Logfmt("plain-value_1.5/x:y,z"), "level=info msg=m k=plain-value_1.5/x:y,z");
  EXPECT_EQ(Logfmt(""), "level=info msg=m k=\"\"");
  EXPECT_EQ(Logfmt("two words"), "level=info msg=m k=\"two words\"");
  EXPECT_EQ(Logfmt("a=b"), "level=info msg=m k=\"a=b\"");
  EXPECT_EQ(Logfmt("größe"), "level=info msg=m k=größe");
}

TEST(Log, HostileValuesStayOnOneLineInQuotes) {
  EXPECT_EQ(Logfmt("x\nlevel=error msg=forged"),
            "level=info msg=m k=\"x\\nlevel=error msg=forged\"");
  EXPECT_EQ(Logfmt("say \"hi\""), "level=info msg=m k=\"say \\\"hi\\\"\"");
  EXPECT_EQ(Logfmt("back\\slash"), "level=info msg=m k=\"back\\\\slash\"");
  EXPECT_EQ(Logfmt("a\tb\rc"), "level=info msg=m k=\"a\\tb\\u000dc\"");
  EXPECT_EQ(Logfmt("\x1b[31mred\x7f"), "level=info msg=m k=\"\\u001b[31mred\\u007f\"");
  EXPECT_EQ(Logfmt(std::string_view("nul\0byte", 8)), "level=info msg=m k=\"nul\\u0000byte\"");

  EXPECT_EQ(Json("x\"}\n{\"level\":\"error"),
            "{\"level\":\"info\",\"msg\":\"m\",\"k\":\"x\\\"}\\n{\\\"level\\\":\\\"error\"}");
  EXPECT_EQ(Json("tab\there \\ \x01"),
            "{\"level\":\"info\",\"msg\":\"m\",\"k\":\"tab\\there \\\\ \\u0001\"}");
}

// A JSON reader refuses the whole line otherwise. Values from SQL_ASCII databases are any bytes.
TEST(Log, InvalidUtf8IsReplaced) {
  EXPECT_EQ(Json("caf\xe9"), "{\"level\":\"info\",\"msg\":\"m\",\"k\":\"caf\xef\xbf\xbd\"}");
  EXPECT_EQ(Logfmt("caf\xe9"), "level=info msg=m k=caf\xef\xbf\xbd");
}

TEST(Log, FieldsOfEveryType) {
  const std::string text = "string";
  EXPECT_EQ(
      FormatLogLine(LogFormat::kLogfmt, LogLevel::kInfo, "", "m",
                    {{"a", text},
                     {"b", std::string_view("view")},
                     {"c", -1},
                     {"d", 18446744073709551615U},
                     {"e", 1e9},
                     {"f", 0.0004}}),
      "level=info msg=m a=string b=view c=-1 d=18446744073709551615 e=1000000000.000 f=0.000");
}

TEST(Log, CaptureCollectsLinesOfEveryLevel) {
  const LogCapture capture;
  LogDebug("one");
  LogInfo("two", {{"n", 2}});
  LogWarning("three");
  LogError("four", {{"err", "no such file"}});
  EXPECT_THAT(capture.lines(),
              ElementsAre("level=debug msg=one", "level=info msg=two n=2",
                          "level=warning msg=three", "level=error msg=four err=\"no such file\""));
}

TEST(Log, CountsLinesByLevel) {
  const LogCapture capture;
  const auto before = LogCounts();
  LogInfo("one");
  LogError("two");
  LogError("three");
  const auto after = LogCounts();
  EXPECT_EQ(after[0] - before[0], 0U);
  EXPECT_EQ(after[1] - before[1], 1U);
  EXPECT_EQ(after[2] - before[2], 0U);
  EXPECT_EQ(after[3] - before[3], 2U);
}

TEST(Log, LinesBelowTheLevelAreNeitherWrittenNorCounted) {
  InitLog({.level = LogLevel::kWarning, .format = LogFormat::kLogfmt});
  const auto before = LogCounts();
  testing::internal::CaptureStderr();
  LogDebug("not written");
  LogInfo("not written");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  InitLog({});
  EXPECT_EQ(LogCounts(), before);
}

TEST(Log, WritesUtcTimeToStderr) {
  InitLog({.level = LogLevel::kInfo, .format = LogFormat::kLogfmt});
  testing::internal::CaptureStderr();
  LogInfo("ready", {{"n", 1}});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::MatchesRegex("time=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
                                    "\\.[0-9]{3}Z level=info msg=ready n=1\n"));
}

TEST(Log, ErrorFieldsFollowTheGivenOnes) {
  const LogCapture capture;
  const Error error(Errc::kQueryFailed, "permission denied", "42501", "Grant it.");
  Log(LogLevel::kError, "collector failed", WithError({{"collector", "locks"}}, error));
  Log(LogLevel::kError, "collector failed", WithError({}, Error(Errc::kTimeout, "no answer")));
  EXPECT_THAT(capture.lines(),
              ElementsAre("level=error msg=\"collector failed\" collector=locks "
                          "err=\"permission denied\" sqlstate=42501 hint=\"Grant it.\"",
                          "level=error msg=\"collector failed\" err=\"no answer\""));
}

}  // namespace
}  // namespace pgsteward
