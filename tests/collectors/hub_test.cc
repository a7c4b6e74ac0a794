// The collectors of the hub's own tables.
#include <gmock/gmock.h>

#include "tests/collectors/collector_fixture.h"

namespace pgsteward {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Hub : public CollectorTest {
 protected:
  void SetUp() override {
    CollectorTest::SetUp();
    Exec(
        "CREATE FUNCTION person(name text) RETURNS uuid LANGUAGE sql AS $$"
        "  INSERT INTO users (id, email, first_name, last_name)"
        "  VALUES (md5(name)::uuid, name, name, name) ON CONFLICT DO NOTHING;"
        "  INSERT INTO chat_sessions (id, user_id) VALUES (md5(name)::uuid, md5(name)::uuid)"
        "  ON CONFLICT DO NOTHING;"
        "  SELECT md5(name)::uuid $$");
  }
  // A message of `name` at `when`, an SQL expression.
  void Say(const std::string& name, const std::string& when) const {
    Exec(
        "INSERT INTO messages (session_id, user_id, content, created_at) "
        "SELECT p, p, 'hello', " +
        when + " FROM person('" + name + "') AS p");
  }
  void Use(const std::string& tool, int times) const {
    Exec(
        "INSERT INTO tools_usage (user_id, tool_name, operation, status) "
        "SELECT p, " +
        tool +
        ", 'run', 'success' FROM person('user') AS p, "
        "generate_series(1, " +
        std::to_string(times) + ")");
  }
  std::vector<std::string> Users(const std::string& zone) {
    options_.time_zone = zone;
    return Lines("active_users", "hub_active_users");
  }
  std::vector<std::string> Tools() { return Lines("tool_uses", "hub_tool_uses"); }
};

std::vector<std::string> Active(int day, int week, int month) {
  return {"hub_active_users{window=\"1d\"} " + std::to_string(day),
          "hub_active_users{window=\"7d\"} " + std::to_string(week),
          "hub_active_users{window=\"30d\"} " + std::to_string(month)};
}

TEST_F(Hub, NobodyIsZeroUsers) { EXPECT_EQ(Users("UTC"), Active(0, 0, 0)); }

TEST_F(Hub, UsersAreCountedOnce) {
  Say("ada", "now()");
  Say("ada", "now() - interval '3 days'");
  Say("ben", "now() - interval '3 days'");
  Say("chloe", "now() - interval '20 days'");
  Say("dmitri", "now() - interval '40 days'");
  Exec(
      "INSERT INTO messages (session_id, content) SELECT id, 'answer of nobody' "
      "FROM chat_sessions");
  EXPECT_EQ(Users("UTC"), Active(1, 2, 3));
}

// "The last 7 days" are today and the seven whole days before it, as the document's CURRENT_DATE
// says, in the configured zone.
TEST_F(Hub, DaysBeginAtMidnightOfTheConfiguredZone) {
  const auto midnight = [](const std::string& zone) {
    return "((date_trunc('day', now() AT TIME ZONE '" + zone +
           "') - interval '7 days') AT TIME ZONE '" + zone + "')";
  };
  const std::string far = "Pacific/Kiritimati";  // 14 hours ahead of UTC
  Say("far_in", midnight(far));
  Say("far_out", midnight(far) + " - interval '1 microsecond'");
  Say("utc_in", midnight("UTC"));
  Say("utc_out", midnight("UTC") + " - interval '1 microsecond'");
  // Until 10:00 UTC, Kiritimati's day began before the one of UTC, afterwards it is tomorrow.
  const bool far_is_first = Value("SELECT " + midnight(far) + " < " + midnight("UTC")) == "t";
  EXPECT_EQ(Users(far), far_is_first ? Active(0, 3, 4) : Active(0, 1, 4));
  EXPECT_EQ(Users("UTC"), far_is_first ? Active(0, 1, 4) : Active(0, 3, 4));
}

TEST_F(Hub, AgreesWithTheDocumentsQuery) {
  for (int i = 0; i < 40; ++i) {
    Say("user" + std::to_string(i % 17), "now() - interval '" + std::to_string(i * 21) + " hours'");
  }
  const auto documented = [&](int days) {
    return std::stoi(
        Value("SET TimeZone = 'UTC'; SELECT COUNT(DISTINCT user_id) FROM messages "
              "WHERE created_at >= CURRENT_DATE - INTERVAL '" +
              std::to_string(days) + " days'"));
  };
  EXPECT_EQ(Users("UTC"), Active(documented(1), documented(7), documented(30)));
}

TEST_F(Hub, AnUnknownZoneIsAnError) {
  options_.time_zone = "Mars/Olympus";
  const auto refused = Run("active_users");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().sqlstate, "22023");
}

TEST_F(Hub, RowsHiddenByPoliciesAreAnErrorAndNotZero) {
  Say("ada", "now()");
  Use("'painter'", 3);
  Exec(
      "ALTER TABLE messages ENABLE ROW LEVEL SECURITY; "
      "ALTER TABLE tools_usage ENABLE ROW LEVEL SECURITY");
  for (const char* collector : {"active_users", "tool_uses"}) {
    SCOPED_TRACE(collector);
    const auto refused = Run(collector);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, Errc::kQueryFailed);
    EXPECT_EQ(refused.error().sqlstate, "42501");
    EXPECT_FALSE(refused.error().hint.empty());
  }
  Postgres().Exec("ALTER ROLE monitor BYPASSRLS");
  EXPECT_EQ(Users("UTC"), Active(1, 1, 1));
  Postgres().Exec("ALTER ROLE monitor NOBYPASSRLS");
}

TEST_F(Hub, TheLastDaysAreReadByTheIndex) {
  Exec(
      "SET pgsteward.archiving = 'on'; "  // no update of the chat per row
      "INSERT INTO messages (session_id, user_id, content, created_at) "
      "SELECT p, p, 'hello', now() - i * interval '1 hour' "
      "FROM person('ada') AS p, generate_series(1, 20000) AS i; ANALYZE messages");
  PgClient client = Connect("client");
  const auto scans =
      "SELECT idx_scan FROM pg_stat_user_indexes "
      "WHERE indexrelname IN ('idx_messages_created_at', 'idx_messages_created_id') "
      "ORDER BY idx_scan DESC LIMIT 1";
  const auto seq_scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'messages'";
  EXPECT_EQ(client.Value(scans), "0");
  const std::string before = client.Value(seq_scans);
  EXPECT_EQ(Users("UTC"), Active(1, 1, 1));
  WaitFor("SELECT (" + std::string(scans) + ") = 1");
  EXPECT_EQ(Value(seq_scans), before);
}

std::string Uses(const std::string& tool, int uses) {
  return "hub_tool_uses{tool_name=\"" + tool + "\"} " + std::to_string(uses);
}

TEST_F(Hub, WithoutUsesThereIsOnlyOther) { EXPECT_THAT(Tools(), ElementsAre(Uses("other", 0))); }

TEST_F(Hub, TenToolsByNameAndTheRestAsOther) {
  std::vector<std::string> expected;
  for (int i = 13; i >= 1; --i) {
    Use("'tool" + std::to_string(i) + "'", i);
    if (i > 3) expected.push_back(Uses("tool" + std::to_string(i), i));
  }
  Use("'other'", 50);
  expected.push_back(Uses("other", 50 + 1 + 2 + 3));
  EXPECT_EQ(Tools(), expected);
}

TEST_F(Hub, TheMembershipIsRemembered) {
  options_.tool_uses_top = 2;
  Use("'a'", 30);
  Use("'b'", 20);
  Use("'c'", 19);
  EXPECT_THAT(Tools(), ElementsAre(Uses("a", 30), Uses("b", 20), Uses("other", 19)));
  Use("'c'", 3);  // 22 is 1.1 times 20 and no more
  EXPECT_THAT(Tools(), ElementsAre(Uses("a", 30), Uses("b", 20), Uses("other", 22)));
  Use("'c'", 1);
  EXPECT_THAT(Tools(), ElementsAre(Uses("a", 30), Uses("c", 23), Uses("other", 20)));
  // A member that falls far behind the largest is still asked for by name.
  Use("'d'", 24);
  Use("'e'", 25);
  EXPECT_THAT(Tools(), ElementsAre(Uses("a", 30), Uses("c", 23), Uses("other", 69)));
  Exec("DELETE FROM tools_usage WHERE tool_name = 'a'");
  EXPECT_THAT(Tools(), ElementsAre(Uses("e", 25), Uses("c", 23), Uses("other", 44)));
}

TEST_F(Hub, HostileToolNamesAreNames) {
  Use("''", 9);
  Use("'NULL'", 8);
  Use("E'a\"b\\\\c\\n{},'", 7);
  Use("E'\\u00e9\\U0001F600'", 6);
  Use("repeat('x', 100)", 5);
  const std::vector<std::string> expected = {Uses("", 9),
                                             Uses("NULL", 8),
                                             Uses("a\\\"b\\\\c\\n{},", 7),
                                             Uses("\xC3\xA9\xF0\x9F\x98\x80", 6),
                                             Uses(std::string(100, 'x'), 5),
                                             Uses("other", 0)};
  EXPECT_EQ(Tools(), expected);
  // And once more with all of them as members of last time.
  EXPECT_EQ(Tools(), expected);
}

TEST_F(Hub, ManyNamesStayElevenSeriesAndTheSumIsTheTotal) {
  Exec(
      "INSERT INTO tools_usage (user_id, tool_name, operation, status) "
      "SELECT p, 'tool ' || (i * i) % 997, 'run', 'success' "
      "FROM person('user') AS p, generate_series(1, 5000) AS i");
  for (int run = 0; run < 2; ++run) {
    const auto families = Run("tool_uses");
    ASSERT_TRUE(families.has_value());
    EXPECT_EQ(families->at(0).metric.size(), 11U);
    double sum = 0;
    for (const auto& metric : families->at(0).metric) sum += metric.gauge.value;
    EXPECT_EQ(sum, 5000);
  }
}

}  // namespace
}  // namespace pgsteward
