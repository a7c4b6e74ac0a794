// The counts that 1.2.0 makes without the fan-out of joins: the documented ones where those were
// right, and the right ones where they were not.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

#include "tests/schema/schema_fixture.h"
#include "tests/support/private_postgres.h"

namespace pgsteward {

namespace {

using ::testing::ElementsAre;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// "get_user_activity Cleo 0/0/1/2", a line per row.
std::vector<std::string> Rows(const std::string& column) {
  const PgResult rows =
      Postgres().Exec(ReadFile(PGSTEWARD_TESTS_SCHEMA "/activity_equivalence.sql"), "hub");
  const int at = rows.FindColumn(column);
  std::vector<std::string> lines;
  for (int row = 0; row < rows.rows(); ++row) {
    lines.push_back(std::string(rows.Text(row, 0)) + " " + std::string(rows.Text(row, 1)) + " " +
                    (rows.IsNull(row, at) ? "-" : std::string(rows.Text(row, at))));
  }
  return lines;
}

std::string UserStats() {
  return Postgres().Value("SELECT string_agg(s::text, E'\\n' ORDER BY s.id) FROM user_stats AS s",
                          "hub");
}

using ActivityTest = SchemaTest;

TEST_F(ActivityTest, EquivalentWhereTheDocumentedCountsAreRight) {
  ASSERT_TRUE(Apply(Conninfo(), "1.1.0").report);
  Postgres().Exec(ReadFile(PGSTEWARD_TESTS_SCHEMA "/seed_small.sql"), "hub");
  EXPECT_EQ(Rows("actual").size(), 18U);
  EXPECT_EQ(Rows("actual"), Rows("documented"));
  const std::string documented_stats = UserStats();

  ASSERT_TRUE(Apply(Conninfo()).report);
  EXPECT_EQ(Rows("actual"), Rows("expected"));
  EXPECT_EQ(UserStats(), documented_stats);
  EXPECT_EQ(std::count(documented_stats.begin(), documented_stats.end(), '\n'), 6);

  // The one place where they differ on purpose.
  std::vector<std::string> corrected;
  const auto documented = Rows("documented");
  for (const std::string& row : Rows("actual")) {
    if (std::find(documented.begin(), documented.end(), row) == documented.end()) {
      corrected.push_back(row);
    }
  }
  EXPECT_THAT(corrected, ElementsAre("get_user_activity Cleo 0/5/1/2"));
}

}  // namespace

}  // namespace pgsteward
