#include "jobs/cascades.h"

#include <gmock/gmock.h>

#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Task<Result<std::vector<Cascade>>> OpenAndRead(JobSession& db, std::string table) {
  auto opened = co_await db.Open();
  if (!opened) co_return opened.error();
  co_return co_await ReadCascades(db, std::move(table));
}

class CascadesTest : public JobTest {
 protected:
  std::vector<std::string> Read(const std::string& table) {
    Runtime runtime;
    JobSession db(runtime, Target());
    const auto cascades = RunCoro(runtime, OpenAndRead(db, table)).value();
    std::vector<std::string> texts;
    for (const Cascade& cascade : cascades) texts.push_back(cascade.Text());
    return texts;
  }
};

// Defect D9: the diagram says that messages belong to sessions; the constraints say that nothing
// does.
TEST_F(CascadesTest, D9NothingRefersToSessions) {
  EXPECT_THAT(Read("public.sessions"), IsEmpty());
  EXPECT_THAT(Read("public.messages"), IsEmpty());
  EXPECT_THAT(Read("public.no_such_table"), IsEmpty());
}

TEST_F(CascadesTest, FollowsDeletedRowsAndNotThoseThatLoseTheirReference) {
  EXPECT_THAT(
      Read("public.chat_sessions"),
      ElementsAre(
          "public.artifacts (set null of public.chat_sessions by artifacts_session_id_fkey)",
          "public.messages (cascade of public.chat_sessions by messages_session_id_fkey, "
          "triggers update_message_count_trigger)",
          "public.messages_archive (cascade of public.chat_sessions by "
          "messages_archive_session_id_fkey)"));
  EXPECT_THAT(Read("public.artifacts"),
              ElementsAre("public.google_drive_files (cascade of public.artifacts by "
                          "google_drive_files_artifact_id_fkey)",
                          "public.tools_usage (set null of public.artifacts by "
                          "tools_usage_artifact_id_fkey)"));
}

TEST_F(CascadesTest, GoesThroughPartitionsOnBothSidesAndCircles) {
  Exec(
      "CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a ON DELETE CASCADE);"
      "CREATE TABLE \"B b\" (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE) "
      "PARTITION BY RANGE (id);"
      "CREATE TABLE b1 PARTITION OF \"B b\" FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE c (b int DEFAULT 1 REFERENCES \"B b\" ON DELETE SET DEFAULT);"
      "CREATE TABLE d (b int REFERENCES b1 ON DELETE CASCADE);"
      "CREATE TABLE kept (a int REFERENCES a ON DELETE RESTRICT, b int REFERENCES a)");
  const auto all = ElementsAre("public.\"B b\" (cascade of public.a by B b_a_fkey)",
                               "public.a (cascade of public.a by a_up_fkey)",
                               "public.c (set default of public.\"B b\" by c_b_fkey)",
                               "public.d (cascade of public.b1 by d_b_fkey)");
  EXPECT_THAT(Read("public.a"), all);
  EXPECT_THAT(Read("public.b1"), ElementsAre("public.c (set default of public.\"B b\" by c_b_fkey)",
                                             "public.d (cascade of public.b1 by d_b_fkey)"));
}

TEST_F(CascadesTest, AnHeirTakesItsOwnAlong) {
  Exec(
      "CREATE TABLE old_sessions (PRIMARY KEY (id)) INHERITS (sessions);"
      "CREATE TABLE notes (session uuid REFERENCES old_sessions ON DELETE CASCADE)");
  EXPECT_THAT(Read("public.sessions"),
              ElementsAre("public.notes (cascade of public.old_sessions by notes_session_fkey)"));
}

std::string Check(std::vector<std::string> named) {
  Cascade first;
  first.table = "public.notes";
  first.from = "public.sessions";
  first.constraint = "n_fk";
  first.action = "cascade";
  Cascade second = first;
  second.table = "crm.leads";
  second.action = "set null";
  const std::vector<Cascade> cascades = {first, second};
  const auto checked = CheckCascades("public.sessions", cascades, named);
  return checked ? "ok" : checked.error().message;
}

TEST(CheckCascadesTest, EachMustBeNamed) {
  const std::string reaches =
      "deleting from public.sessions reaches tables that the plan does not name: ";
  const std::string notes = "public.notes (cascade of public.sessions by n_fk)";
  const std::string leads = "crm.leads (set null of public.sessions by n_fk)";
  EXPECT_EQ(Check({}), reaches + notes + "; " + leads);
  EXPECT_EQ(Check({"notes", "leads"}), reaches + leads);
  EXPECT_EQ(Check({"crm.leads"}), reaches + notes);
  EXPECT_EQ(Check({"public.notes", "crm.leads", "gone"}), "ok");
}

}  // namespace
}  // namespace pgsteward
