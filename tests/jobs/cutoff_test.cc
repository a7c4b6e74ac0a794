#include "jobs/cutoff.h"

#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

class CutoffTest : public JobTest {
 protected:
  Task<Result<std::string>> Read(JobSession& db, std::string zone, std::string age) {
    auto opened = co_await db.Open();
    if (!opened) co_return opened.error();
    co_return co_await ReadCutoff(db, zone, age);
  }
  Result<std::string> Cutoff(const std::string& zone, const std::string& age) {
    Runtime runtime;
    JobSession db(runtime, Target());
    return RunCoro(runtime, Read(db, zone, age));
  }
};

TEST_F(CutoffTest, IsMidnightInThePolicysZoneWhateverTheServerThinks) {
  Exec("ALTER DATABASE " + hub_ + " SET TimeZone = 'Pacific/Kiritimati'");
  for (const std::string zone : {"UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12"}) {
    const auto cutoff = Cutoff(zone, "1 year");
    ASSERT_TRUE(cutoff) << ToText(cutoff.error());
    EXPECT_EQ(
        Value("SELECT '" + *cutoff + "'::timestamptz = ((date_trunc('day', now() AT TIME ZONE '" +
              zone + "') - interval '1 year') AT TIME ZONE '" + zone + "')"),
        "t")
        << *cutoff;
    EXPECT_EQ(Value("SELECT to_char('" + *cutoff + "'::timestamptz AT TIME ZONE '" + zone +
                    "', 'HH24:MI:SS')"),
              "00:00:00");
  }
}

TEST_F(CutoffTest, AnUnknownZoneIsAnErrorAndTheSessionGoesOn) {
  Runtime runtime;
  JobSession db(runtime, Target());
  const auto wrong = RunCoro(runtime, Read(db, "Mars/Olympus", "1 year"));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().sqlstate, "22023");
  const auto right = RunCoro(runtime, ReadCutoff(db, "UTC", "1 year"));
  EXPECT_TRUE(right);
}

}  // namespace
}  // namespace pgsteward
