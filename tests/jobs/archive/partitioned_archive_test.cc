#include "schema/check.h"
#include "schema/versions.h"
#include "tests/jobs/archive/purge_fixture.h"
#include "tests/support/run_coro.h"

namespace pgsteward {
namespace {

Task<Result<SchemaCheck>> OpenAndCheck(JobSession& db) {
  auto opened = co_await db.Open();
  if (!opened) co_return opened.error();
  co_return co_await CheckSchema(db, HubSchema(), std::chrono::seconds(20));
}

class PartitionedArchiveTest : public PurgeTest {
 protected:
  std::string Differences() {
    Runtime runtime;
    JobSession db(runtime, Target());
    const auto check = RunCoro(runtime, OpenAndCheck(db));
    if (!check) throw std::runtime_error(ToText(check.error()));
    std::string text;
    for (const SchemaDifference& each : check->differences) {
      text += each.kind + " " + each.name + " " + std::string(DriftName(each.drift)) + "\n";
    }
    return text;
  }
  std::string Refusal() {
    try {
      Partition();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(PartitionedArchiveTest, KeepsRowsRightsAndTheView) {
  Archive(1, "2001-05-05 00:00:00+00", 3);
  Archive(2, "2020-02-29 23:00:00+00", 3);
  Exec("INSERT INTO public.messages (session_id, content, created_at) VALUES ('" + Chat(1) +
       "', 'x', '2019-07-01+00')");
  Postgres().Psql(hub_, {"-q", "-f", PGSTEWARD_SCHEMA "/job_roles.sql"});
  Exec(
      "CREATE ROLE convert_reader; GRANT SELECT (id) ON public.messages_archive TO convert_reader "
      "WITH GRANT OPTION; GRANT SELECT ON public.messages_all TO convert_reader");
  const std::string digest =
      "SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM public.messages_archive a";
  const std::string acl =
      "SELECT string_agg(x::text, ' ' ORDER BY x::text) FROM (SELECT (aclexplode(relacl)).* FROM "
      "pg_class WHERE relname = 'messages_archive' UNION ALL SELECT (aclexplode(attacl)).* FROM "
      "pg_attribute WHERE attrelid = 'public.messages_archive'::regclass) x";
  const std::string rows = Value(digest);
  const std::string rights = Value(acl);
  EXPECT_EQ(Differences(), "");
  Partition();
  EXPECT_EQ(Value(digest), rows);
  EXPECT_EQ(Value(acl), rights);
  EXPECT_EQ(Months(), "2001-05:3 2020-02:1 2020-03:2");
  EXPECT_EQ(Partitions().substr(0, 35), "y2001m05 y2019m07 y2020m02 y2020m03");
  EXPECT_EQ(Value("SELECT count(*) FROM public.messages_all WHERE archived"), "6");
  EXPECT_EQ(Value("SELECT has_table_privilege('convert_reader', 'public.messages_all', 'SELECT')"),
            "t");
  EXPECT_EQ(Differences(),
            "constraint messages_archive.messages_archive_pkey differs\n"
            "index messages_archive.idx_messages_archive_created_id differs\n"
            "index messages_archive.idx_messages_archive_session_created differs\n"
            "index messages_archive.idx_messages_archive_user_id differs\n"
            "index messages_archive.messages_archive_pkey differs\n"
            "table messages_archive differs\n");
  // The foreign keys still take archived messages along.
  Exec("DELETE FROM public.users WHERE id = '" + User(1) + "'");
  EXPECT_EQ(Months(), "2020-02:1 2020-03:2");
  EXPECT_NE(Refusal().find("messages_archive is not a plain table"), std::string::npos);
  Exec("DROP OWNED BY convert_reader; DROP ROLE convert_reader");
}

TEST_F(PartitionedArchiveTest, ChangesNothingWhereSomethingOfTheOwnersWouldBeLost) {
  Archive(1, "2001-05-05 00:00:00+00", 3);
  const struct {
    const char* make;
    const char* undo;
    const char* refusal;
  } cases[] = {
      {"ALTER TABLE public.messages_archive ADD COLUMN mine text",
       "ALTER TABLE public.messages_archive DROP COLUMN mine", "has other columns than in 1.2.0"},
      {"CREATE TRIGGER mine BEFORE DELETE ON public.messages_archive FOR EACH ROW EXECUTE FUNCTION "
       "public.update_updated_at_column()",
       "DROP TRIGGER mine ON public.messages_archive", "has triggers: mine"},
      {"CREATE POLICY mine ON public.messages_archive USING (true)",
       "DROP POLICY mine ON public.messages_archive", "has row level security"},
      {"CREATE INDEX mine ON public.messages_archive (content)", "DROP INDEX public.mine",
       "has what would be lost: index public.mine"},
      {"ALTER TABLE public.messages_archive ADD CONSTRAINT mine CHECK (content <> '')",
       "ALTER TABLE public.messages_archive DROP CONSTRAINT mine",
       "has what would be lost: constraint mine"},
      {"ALTER TABLE public.messages_archive SET (fillfactor = 90)",
       "ALTER TABLE public.messages_archive RESET (fillfactor)",
       "has what would be lost: storage parameters"},
      {"COMMENT ON COLUMN public.messages_archive.content IS 'mine'",
       "COMMENT ON COLUMN public.messages_archive.content IS NULL",
       "has what would be lost: comment"},
      {"CREATE STATISTICS public.mine ON session_id, user_id FROM public.messages_archive",
       "DROP STATISTICS public.mine", "has what would be lost: statistics mine"},
      {"ALTER TABLE public.messages_archive ALTER COLUMN content SET STATISTICS 500",
       "ALTER TABLE public.messages_archive ALTER COLUMN content SET STATISTICS -1",
       "has what would be lost: options of column content"},
      {"CREATE PUBLICATION mine FOR TABLE public.messages_archive", "DROP PUBLICATION mine",
       "has what would be lost: publication mine"},
      {"CREATE VIEW public.mine AS SELECT id FROM public.messages_archive", "DROP VIEW public.mine",
       "because other objects depend on it"},
  };
  for (const auto& each : cases) {
    Exec(each.make);
    EXPECT_NE(Refusal().find(each.refusal), std::string::npos) << each.make;
    EXPECT_EQ(Value("SELECT relkind FROM pg_class WHERE relname = 'messages_archive'"), "r");
    EXPECT_EQ(Months(), "2001-05:3");
    Exec(each.undo);
  }
  EXPECT_EQ(Refusal(), "");
  EXPECT_EQ(Months(), "2001-05:3");
}

}  // namespace
}  // namespace pgsteward
