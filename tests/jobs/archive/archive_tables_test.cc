#include "jobs/archive/archive_tables.h"

#include "core/pg_text.h"
#include "tests/jobs/job_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

class ArchiveTablesTest : public JobTest {
 protected:
  Task<Result<ArchiveFacts>> ReadWith(JobSession& db) {
    auto opened = co_await db.Open();
    if (!opened) co_return opened.error();
    co_return co_await ReadArchiveFacts(db);
  }
  ArchiveFacts Read() {
    Runtime runtime;
    JobSession db(runtime, Target());
    auto facts = RunCoro(runtime, ReadWith(db));
    if (!facts) throw std::runtime_error(ToText(facts.error()));
    return *facts;
  }
  std::string Findings() {
    const ShapeReport report = CheckShape(Read());
    std::string texts;
    for (const ShapeFinding& finding : report.problems) texts += "problem: " + finding.text + "\n";
    for (const ShapeFinding& finding : report.warnings) texts += "warning: " + finding.text + "\n";
    return texts;
  }
};

TEST_F(ArchiveTablesTest, TheHubOfSchemaApplyIsFine) {
  EXPECT_EQ(Findings(), "");
  const ArchiveFacts facts = Read();
  const ArchiveShape shape = ShapeOf(facts);
  EXPECT_EQ(IdentifierList(shape.columns),
            "\"id\", \"session_id\", \"user_id\", \"content\", \"is_from_user\", \"metadata\", "
            "\"created_at\"");
  EXPECT_EQ(shape.columns, shape.written);
  EXPECT_EQ(shape.id_type, "uuid");
  EXPECT_EQ(shape.conflict_target, (std::vector<std::string>{"id"}));
  EXPECT_TRUE(shape.has_archived_at && shape.has_archive_run);
  EXPECT_FALSE(facts.standby);
  EXPECT_EQ(facts.role, "postgres");
}

TEST_F(ArchiveTablesTest, ReadsKeysIndexesAndLinks) {
  Exec(R"(
    CREATE TABLE public."odd ""one" (message_id uuid REFERENCES public.messages ON DELETE CASCADE);
    DROP INDEX public.idx_messages_created_id;
    CREATE INDEX half ON public.messages (created_at, id) WHERE is_from_user;
    CREATE INDEX mixed ON public.messages (created_at DESC, id);
    CREATE INDEX back ON public.messages (created_at DESC, id DESC, content DESC);
    CREATE UNIQUE INDEX part ON public.messages_archive (id, created_at) WHERE is_from_user;
    CREATE INDEX expression ON public.messages_archive (lower(content));
  )");
  ArchiveFacts facts = Read();
  ASSERT_EQ(facts.live.referenced_by.size(), 1U);
  EXPECT_EQ(facts.live.referenced_by[0].table, "public.\"odd \"\"one\"");
  EXPECT_EQ(facts.live.referenced_by[0].on_delete, 'c');
  ASSERT_EQ(facts.live.references.size(), 2U);
  EXPECT_EQ(facts.live.references[0].column, "session_id");
  EXPECT_EQ(facts.live.references[0].table, "public.chat_sessions");
  EXPECT_FALSE(facts.archive.HasUnique({"id", "created_at"}));
  EXPECT_TRUE(facts.live.HasWalkable({"created_at", "id"}));
  Exec("DROP INDEX public.back");
  facts = Read();
  EXPECT_FALSE(facts.live.HasWalkable({"created_at", "id"}));
  EXPECT_TRUE(facts.live.HasWalkable({"created_at"}));
}

TEST_F(ArchiveTablesTest, PassesOverDroppedColumnsAndKnowsComputedOnes) {
  Exec(R"(
    ALTER TABLE public.messages ADD gone int, ADD "Wörter ""x""" int GENERATED ALWAYS AS (length(content)) STORED;
    ALTER TABLE public.messages DROP gone;
    ALTER TABLE public.messages_archive ADD "Wörter ""x""" int;
  )");
  EXPECT_EQ(Findings(), "");
  const ArchiveShape shape = ShapeOf(Read());
  EXPECT_EQ(QuoteIdentifier(shape.columns.back()), "\"Wörter \"\"x\"\"\"");
  EXPECT_EQ(shape.written, shape.columns);
  EXPECT_EQ(shape.written_back.back(), "created_at");
}

TEST_F(ArchiveTablesTest, KnowsAPartitionedArchive) {
  Exec(R"(
    DROP VIEW public.messages_all;
    ALTER TABLE public.messages_archive RENAME TO old_archive;
    CREATE TABLE public.messages_archive (
      LIKE public.old_archive, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
  )");
  EXPECT_EQ(ShapeOf(Read()).conflict_target, (std::vector<std::string>{"id", "created_at"}));
  EXPECT_EQ(
      Findings(),
      "warning: public.messages_archive has no foreign key on \"session_id\" with ON DELETE "
      "CASCADE: archived messages stay when what they belong to in public.chat_sessions is "
      "deleted\n"
      "warning: public.messages_archive has no foreign key on \"user_id\" with ON DELETE "
      "CASCADE: archived messages stay when what they belong to in public.users is deleted\n");
  Exec(R"(
    DROP TABLE public.messages_archive;
    CREATE TABLE public.messages_archive (
      LIKE public.old_archive, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (id, created_at);
  )");
  EXPECT_FALSE(Read().archive.ranged_by_created_at);
}

TEST_F(ArchiveTablesTest, KnowsTheRightsOfARoleThatHasFew) {
  Exec(
      "CREATE ROLE archive_few LOGIN; GRANT USAGE ON SCHEMA public TO archive_few;"
      "GRANT SELECT (id, content), UPDATE (id) ON public.messages TO archive_few;"
      "ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY");
  user_ = "archive_few";
  EXPECT_EQ(Findings(),
            "problem: role \"archive_few\" may not use pgsteward.retention_hold and "
            "pgsteward.quarantine\n"
            "problem: row level security hides rows of public.messages from role \"archive_few\"\n"
            "problem: role \"archive_few\" may not read \"session_id\", \"user_id\", "
            "\"is_from_user\", \"metadata\", \"created_at\" of public.messages\n"
            "problem: role \"archive_few\" may not delete from public.messages\n"
            "problem: role \"archive_few\" may not write \"id\", \"session_id\", \"user_id\", "
            "\"content\", \"is_from_user\", \"metadata\", \"created_at\", \"archived_at\", "
            "\"archive_run\" of public.messages_archive\n"
            "problem: role \"archive_few\" may not read \"id\" of public.messages_archive\n"
            "problem: role \"archive_few\" may not update id of public.messages_archive, which "
            "recognizing a row that is there already needs\n"
            "problem: role \"archive_few\" may not read id and user_id of public.chat_sessions, "
            "or there is none\n"
            "warning: role \"archive_few\" may not vacuum public.messages: the space of moved rows "
            "waits for autovacuum\n");
  user_ = "postgres";
  EXPECT_EQ(Findings(), "");
  Exec("DROP OWNED BY archive_few; DROP ROLE archive_few");
}

TEST_F(ArchiveTablesTest, SaysWhatIsMissingAltogether) {
  Exec(
      "DROP SCHEMA pgsteward CASCADE; DROP VIEW public.messages_all;"
      "DROP TABLE public.messages_archive");
  EXPECT_EQ(Findings(),
            "problem: pgsteward's own tables are missing\n"
            "problem: there is no table public.messages_archive\n");
}

}  // namespace
}  // namespace pgsteward
