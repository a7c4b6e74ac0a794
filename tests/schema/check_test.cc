#include "schema/check.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "collectors/registry.h"
#include "tests/schema/schema_fixture.h"
#include "tests/support/private_postgres.h"
#include "tests/support/run_coro.h"

namespace pgsteward {

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// "kind name drift: expected -> found", white space and all.
std::vector<std::string> Lines(const std::vector<SchemaDifference>& differences) {
  std::vector<std::string> lines;
  for (const SchemaDifference& d : differences) {
    std::string line = d.kind + " " + d.name + " " + std::string(DriftName(d.drift));
    if (d.drift != Drift::kUnexpected) line += ": " + d.expected;
    if (d.drift == Drift::kDiffers) line += " -> " + d.found;
    if (d.drift == Drift::kUnexpected) line += ": " + d.found;
    lines.push_back(std::move(line));
  }
  return lines;
}

using CheckTest = SchemaTest;

// catalog.tsv is what the versions of both components make. PGSTEWARD_UPDATE_GOLDEN=1 writes it
// again.
TEST_F(CheckTest, TheCatalogIsThatOfAFreshHub) {
  UseAppliedHub();
  ASSERT_TRUE(Apply(Conninfo(), "", QuickOptions(), StewardSchema()).report);
  std::string select(ReadFile(PGSTEWARD_SCHEMA "/catalog.sql"));
  select.erase(select.rfind(';'));
  const std::filesystem::path script =
      std::filesystem::temp_directory_path() / ("catalog." + std::to_string(::getpid()));
  std::ofstream(script) << "COPY (" << select << ") TO STDOUT;\n";
  const std::string live = Postgres().Psql("hub", {"-qAt", "-f", script.string()});
  std::filesystem::remove(script);
  const std::string golden = PGSTEWARD_SCHEMA "/catalog.tsv";
  const char* update = std::getenv("PGSTEWARD_UPDATE_GOLDEN");
  if (update && std::string(update) == "1") std::ofstream(golden, std::ios::binary) << live;
  EXPECT_EQ(live, ReadFile(golden));
}

TEST_F(CheckTest, AFreshHubHasNoDifferences) {
  UseAppliedHub();
  const auto check = Check(Conninfo());
  ASSERT_TRUE(check) << ToText(check.error());
  EXPECT_TRUE(check->present);
  EXPECT_THAT(check->pending, IsEmpty());
  EXPECT_THAT(check->differences, IsEmpty());
  EXPECT_THAT(check->information, IsEmpty());
}

TEST_F(CheckTest, ADatabaseThatIsNoHubSaysSo) {
  Postgres().Exec("CREATE TABLE users (id int); CREATE TABLE messages (id int)", "hub");
  const auto check = Check(Conninfo());
  ASSERT_TRUE(check) << ToText(check.error());
  EXPECT_FALSE(check->present);
  EXPECT_THAT(check->pending, ElementsAre("1.0.0", "1.1.0", "1.2.0"));
  EXPECT_EQ(check->differences.size(), 150U);  // 151 objects, and messages is a table as declared
}

TEST_F(CheckTest, AVersionBehindLacksWhatIsPending) {
  ASSERT_TRUE(Apply(Conninfo(), "1.0.0").report);
  const auto check = Check(Conninfo());
  ASSERT_TRUE(check) << ToText(check.error());
  EXPECT_TRUE(check->present);
  EXPECT_THAT(check->pending, ElementsAre("1.1.0", "1.2.0"));
  std::vector<std::string> tables;
  for (const std::string& line : Summary(check->differences)) {
    if (line.substr(0, 6) == "table ") tables.push_back(line);
  }
  EXPECT_THAT(tables, ElementsAre("table artifacts differs", "table google_drive_files missing",
                                  "table messages_archive missing", "table sessions differs",
                                  "table users differs"));
}

struct DriftCase {
  const char* name;
  const char* sql;
  std::vector<std::string> differences;
  std::vector<std::string> information = {};
};

void PrintTo(const DriftCase& drift, std::ostream* out) { *out << drift.name; }

class DriftTest : public SchemaTest, public ::testing::WithParamInterface<DriftCase> {};

TEST_P(DriftTest, IsListed) {
  UseAppliedHub();
  Postgres().Exec(GetParam().sql, "hub");
  const auto check = Check(Conninfo());
  ASSERT_TRUE(check) << ToText(check.error());
  EXPECT_THAT(check->pending, IsEmpty());
  EXPECT_THAT(Lines(check->differences), ElementsAreArray(GetParam().differences));
  EXPECT_THAT(Lines(check->information), ElementsAreArray(GetParam().information));
}

const DriftCase kDrifts[] = {
    {"ExtraColumn",
     "ALTER TABLE users ADD COLUMN nickname text",
     {"column users.nickname unexpected: text NULL"}},
    {"DroppedColumn", "ALTER TABLE users DROP COLUMN bio", {"column users.bio missing: text NULL"}},
    {"ChangedType",
     "ALTER TABLE artifacts ALTER COLUMN name TYPE text",
     {"column artifacts.name differs: character varying(255) NOT NULL -> text NOT NULL"}},
    {"ChangedDefault",
     "ALTER TABLE users ALTER COLUMN active SET DEFAULT false",
     {"column users.active differs: boolean NULL DEFAULT true -> boolean NULL DEFAULT false"}},
    {"ChangedNull",
     "ALTER TABLE messages ALTER COLUMN content DROP NOT NULL",
     {"column messages.content differs: text NOT NULL -> text NULL"}},
    {"DroppedIndex",
     "DROP INDEX idx_messages_created_at",
     {"index messages.idx_messages_created_at missing: CREATE INDEX idx_messages_created_at ON "
      "messages USING btree (created_at) valid ready"}},
    {"ExtraIndex",
     "CREATE INDEX mine ON users (bio)",
     {"index users.mine unexpected: CREATE INDEX mine ON users USING btree (bio) valid ready"}},
    {"InvalidIndex",
     "UPDATE pg_index SET indisvalid = false "
     "WHERE indexrelid = 'idx_messages_created_id'::regclass",
     {"index messages.idx_messages_created_id differs: CREATE INDEX idx_messages_created_id ON "
      "messages USING btree (created_at, id) valid ready -> CREATE INDEX idx_messages_created_id "
      "ON messages USING btree (created_at, id) invalid ready"}},
    {"DisabledTrigger",
     "ALTER TABLE messages DISABLE TRIGGER update_message_count_trigger",
     {"trigger messages.update_message_count_trigger differs: CREATE TRIGGER "
      "update_message_count_trigger AFTER INSERT OR DELETE ON messages FOR EACH ROW WHEN "
      "((current_setting('pgsteward.archiving'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE "
      "FUNCTION update_message_count() enabled -> CREATE TRIGGER update_message_count_trigger "
      "AFTER INSERT OR DELETE ON messages FOR EACH ROW WHEN "
      "((current_setting('pgsteward.archiving'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE "
      "FUNCTION update_message_count() disabled"}},
    {"DroppedConstraint",
     "ALTER TABLE messages DROP CONSTRAINT messages_user_id_fkey",
     {"constraint messages.messages_user_id_fkey missing: FOREIGN KEY (user_id) REFERENCES "
      "users(id) ON DELETE CASCADE"}},
    {"ConstraintNotValidated",
     "ALTER TABLE users ADD CONSTRAINT short CHECK (length(bio) < 10) NOT VALID",
     {"constraint users.short unexpected: CHECK ((length(bio) < 10)) NOT VALID"}},
    {"DroppedPolicy",
     "DROP POLICY user_session ON sessions",
     {"policy sessions.user_session missing: PERMISSIVE FOR ALL TO public USING (auth.uid() = "
      "user_id)"}},
    {"ChangedPolicy",
     "ALTER POLICY user_session ON sessions USING (true)",
     {"policy sessions.user_session differs: PERMISSIVE FOR ALL TO public USING (auth.uid() = "
      "user_id) -> PERMISSIVE FOR ALL TO public USING true"}},
    {"ChangedFunction",
     "CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger AS "
     "'BEGIN RETURN NEW; END' LANGUAGE plpgsql",
     {"function update_updated_at_column() differs: () RETURNS trigger LANGUAGE plpgsql VOLATILE "
      "SECURITY INVOKER AS BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END; -> () "
      "RETURNS trigger LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS BEGIN RETURN NEW; END"}},
    {"ChangedView",
     "DROP VIEW messages_all; CREATE VIEW messages_all AS SELECT id FROM messages",
     {"view messages_all differs: view (id uuid, session_id uuid, user_id uuid, content text, "
      "is_from_user boolean, metadata jsonb, created_at timestamp with time zone, archived "
      "boolean) AS SELECT id, session_id, user_id, content, is_from_user, metadata, created_at, "
      "false AS archived FROM messages UNION ALL SELECT id, session_id, user_id, content, "
      "is_from_user, metadata, created_at, true AS archived FROM messages_archive; -> view (id "
      "uuid) AS SELECT id FROM messages;"}},
    {"ForcedRowSecurity",
     "ALTER TABLE users FORCE ROW LEVEL SECURITY",
     {"table users differs: table logged row_security=on force=off -> table logged "
      "row_security=on force=on"}},
    {"DisabledRowSecurity",
     "ALTER TABLE artifacts DISABLE ROW LEVEL SECURITY",
     {"table artifacts differs: table logged row_security=on force=off -> table logged "
      "row_security=off force=off"}},
    {"UnloggedTable",
     "ALTER TABLE tools_usage SET UNLOGGED",
     {"table tools_usage differs: table logged row_security=off force=off -> table unlogged "
      "row_security=off force=off"}},
    {"DroppedExtension", "DROP EXTENSION pgcrypto", {"extension pgcrypto missing: installed"}},
    {"ForeignAuthUid",
     "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid AS 'SELECT NULL::uuid' LANGUAGE sql",
     {},
     {"function auth.uid() differs: () RETURNS uuid LANGUAGE sql STABLE SECURITY INVOKER AS "
      "SELECT coalesce( nullif(current_setting('request.jwt.claim.sub', true), ''), "
      "nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', ''), "
      "nullif(current_setting('hub.user_id', true), '') )::uuid -> () RETURNS uuid LANGUAGE sql "
      "VOLATILE SECURITY INVOKER AS SELECT NULL::uuid"}},
};

INSTANTIATE_TEST_SUITE_P(Check, DriftTest, ::testing::ValuesIn(kDrifts),
                         [](const auto& drift) { return drift.param.name; });

// What the collector says, as it is on the page.
Result<std::string> Page(const std::string& conninfo) {
  Runtime runtime;
  OneConnection db(runtime, conninfo);
  CollectorOptions options;
  std::any memory;
  CollectorContext context{db, options, 10s, memory};
  const auto families = RunCoro(runtime, Collect(*FindCollector("schema_drift"), context));
  if (!families) return families.error();
  std::string page;
  for (const auto& family : *families) page += RenderSamples(family, {}).text;
  return page;
}

TEST_F(CheckTest, TheCollectorCountsByKind) {
  UseAppliedHub();
  const std::string fresh =
      "hub_schema_drift_objects{kind=\"column\"} 0\n"
      "hub_schema_drift_objects{kind=\"constraint\"} 0\n"
      "hub_schema_drift_objects{kind=\"extension\"} 0\n"
      "hub_schema_drift_objects{kind=\"function\"} 0\n"
      "hub_schema_drift_objects{kind=\"index\"} 0\n"
      "hub_schema_drift_objects{kind=\"policy\"} 0\n"
      "hub_schema_drift_objects{kind=\"table\"} 0\n"
      "hub_schema_drift_objects{kind=\"trigger\"} 0\n"
      "hub_schema_drift_objects{kind=\"view\"} 0\n"
      "hub_schema_pending_versions 0\n";
  EXPECT_EQ(*Page(Conninfo()), fresh);
  Postgres().Exec(
      "ALTER TABLE users ADD COLUMN a int, ADD COLUMN b int; DROP VIEW messages_all;"
      "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid AS 'SELECT NULL::uuid' LANGUAGE sql;"
      "UPDATE pgsteward.schema_version SET completed_at = NULL WHERE version = '1.2.0';"
      "DELETE FROM pgsteward.schema_version WHERE version = '1.1.0'",
      "hub");
  EXPECT_EQ(*Page(Conninfo()),
            "hub_schema_drift_objects{kind=\"column\"} 2\n"
            "hub_schema_drift_objects{kind=\"constraint\"} 0\n"
            "hub_schema_drift_objects{kind=\"extension\"} 0\n"
            "hub_schema_drift_objects{kind=\"function\"} 0\n"
            "hub_schema_drift_objects{kind=\"index\"} 0\n"
            "hub_schema_drift_objects{kind=\"policy\"} 0\n"
            "hub_schema_drift_objects{kind=\"table\"} 0\n"
            "hub_schema_drift_objects{kind=\"trigger\"} 0\n"
            "hub_schema_drift_objects{kind=\"view\"} 1\n"
            "hub_schema_pending_versions 2\n");
}

TEST_F(CheckTest, TheCollectorIsSkippedWhereThereIsNoHub) {
  const auto page = Page(Conninfo());
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code, Errc::kNoData);
  // And not where everything was dropped: that is the greatest drift of all.
  UseAppliedHub();
  Postgres().Exec("DROP SCHEMA public CASCADE; CREATE SCHEMA public", "hub");
  EXPECT_EQ(Page(Conninfo())->substr(0, 43), "hub_schema_drift_objects{kind=\"column\"} 69\n");
}

}  // namespace

}  // namespace pgsteward
