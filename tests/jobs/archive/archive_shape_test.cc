#include <gtest/gtest.h>

#include <functional>

#include "core/pg_text.h"
#include "jobs/archive/archive_tables.h"

namespace pgsteward {
namespace {

TableColumn Column(std::string name, std::string type, bool not_null) {
  TableColumn column;
  column.name = std::move(name);
  column.type = std::move(type);
  column.not_null = not_null;
  column.can_select = column.can_insert = column.can_update = true;
  return column;
}

TableIndex Index(std::string name, std::vector<std::string> columns, bool unique) {
  return {std::move(name), std::move(columns), unique, unique, true};
}

// The hub as pgsteward schema apply makes it, seen by a role that may do everything.
ArchiveFacts Hub() {
  ArchiveFacts facts;
  facts.role = "pgsteward_jobs";
  facts.has_steward_tables = facts.can_use_steward_tables = true;
  facts.can_read_chats = facts.can_count_chats = facts.can_lock_chats = facts.can_lock_users = true;
  for (TableFacts* table : {&facts.live, &facts.archive}) {
    table->exists = true;
    table->kind = 'r';
    table->can_delete = table->can_maintain = true;
    table->columns = {Column("id", "uuid", true), Column("session_id", "uuid", true),
                      Column("user_id", "uuid", false), Column("content", "text", true),
                      Column("created_at", "timestamp with time zone", false)};
    table->references = {{"fk_chat", "session_id", "public.chat_sessions", 'c'},
                         {"fk_user", "user_id", "public.users", 'c'}};
    table->indexes = {Index("pkey", {"id"}, true)};
  }
  facts.live.indexes.push_back(Index("walk", {"created_at", "id"}, false));
  facts.archive.columns[4].not_null = true;
  facts.archive.columns.push_back(Column("archived_at", "timestamp with time zone", true));
  facts.archive.columns.back().has_default = true;
  facts.archive.columns.push_back(Column("archive_run", "uuid", false));
  return facts;
}

std::string Texts(const std::vector<ShapeFinding>& findings) {
  std::string texts;
  for (const ShapeFinding& finding : findings) {
    texts += (texts.empty() ? "" : "\n") + finding.text + " / " + finding.hint;
  }
  return texts;
}

struct Case {
  std::string problems;
  std::string warnings;
  std::function<void(ArchiveFacts&)> change;
};

TEST(ArchiveShapeTest, TheHubIsFine) {
  const ShapeReport report = CheckShape(Hub());
  EXPECT_EQ(Texts(report.problems), "");
  EXPECT_EQ(Texts(report.warnings), "");
}

TEST(ArchiveShapeTest, SaysWhatIsWrongAndWhatToDo) {
  const std::vector<Case> cases = {
      {"the server is a standby / Connect to the primary: target_session_attrs=read-write in the "
       "conninfo.",
       "", [](ArchiveFacts& f) { f.standby = true; }},
      {"pgsteward's own tables are missing / Run pgsteward schema apply.", "",
       [](ArchiveFacts& f) { f.has_steward_tables = f.can_use_steward_tables = false; }},
      {"role \"pgsteward_jobs\" may not use pgsteward.retention_hold and pgsteward.quarantine / "
       "Run "
       "schema/job_roles.sql.",
       "", [](ArchiveFacts& f) { f.can_use_steward_tables = false; }},
      {"there is no table public.messages_archive / Run pgsteward schema apply.", "",
       [](ArchiveFacts& f) { f.archive = TableFacts(); }},
      {"public.messages is not an ordinary table / Detach whole partitions instead of archiving "
       "their rows.",
       "", [](ArchiveFacts& f) { f.live.kind = 'p'; }},
      {"other tables inherit from public.messages / ALTER TABLE ... NO INHERIT public.messages for "
       "each of them.",
       "", [](ArchiveFacts& f) { f.live.has_children = true; }},
      {"public.messages_archive is not a table / Rename it and run pgsteward schema apply.", "",
       [](ArchiveFacts& f) { f.archive.kind = 'v'; }},
      {"public.messages_archive is partitioned, but not by range of created_at / Partition it by "
       "RANGE (created_at), or not at all.\npublic.messages_archive has no unique index on (id, "
       "created_at) / ALTER TABLE public.messages_archive ADD PRIMARY KEY (id, created_at).",
       "", [](ArchiveFacts& f) { f.archive.kind = 'p'; }},
      {"public.messages_archive has no column \"tokens\" / ALTER TABLE public.messages_archive ADD "
       "COLUMN \"tokens\" integer.",
       "", [](ArchiveFacts& f) { f.live.columns.push_back(Column("tokens", "integer", false)); }},
      {"column \"content\" is text in public.messages and character varying(80) in "
       "public.messages_archive / ALTER TABLE public.messages_archive ALTER COLUMN \"content\" "
       "TYPE "
       "text.",
       "", [](ArchiveFacts& f) { f.archive.columns[3].type = "character varying(80)"; }},
      {"column \"content\" of public.messages_archive is computed by the server and cannot keep "
       "what was written / ALTER TABLE public.messages_archive ALTER COLUMN \"content\" DROP "
       "EXPRESSION.",
       "", [](ArchiveFacts& f) { f.archive.columns[3].generated = true; }},
      {"column \"why \"\"now\"\"\" of public.messages_archive must be written and does not come "
       "from "
       "public.messages / Give it a default, or DROP NOT NULL.",
       "",
       [](ArchiveFacts& f) { f.archive.columns.push_back(Column("why \"now\"", "text", true)); }},
      {"",
       "column \"user_id\" may be null in public.messages and not in public.messages_archive / "
       "Rows with a null there will be set aside in pgsteward.quarantine.",
       [](ArchiveFacts& f) { f.archive.columns[2].not_null = true; }},
      {"",
       "public.messages_archive lacks archived_at (timestamptz) or archive_run (uuid): what a "
       "run moved cannot be told from the rest afterwards / Run pgsteward schema apply, or add "
       "the columns.",
       [](ArchiveFacts& f) { f.archive.columns.pop_back(); }},
      {"public.messages_archive has no unique index on id / ALTER TABLE public.messages_archive "
       "ADD "
       "PRIMARY KEY (id).",
       "", [](ArchiveFacts& f) { f.archive.indexes.clear(); }},
      {"",
       "no index on (created_at, id) of public.messages: rows with the same created_at, as of "
       "an import, are sorted anew by each batch / CREATE INDEX CONCURRENTLY "
       "idx_messages_created_id ON public.messages (created_at, id).",
       [](ArchiveFacts& f) { f.live.indexes[1].columns.pop_back(); }},
      {"",
       "public.messages has no index on created_at: each batch reads all of it / CREATE INDEX "
       "CONCURRENTLY idx_messages_created_id ON public.messages (created_at, id).",
       [](ArchiveFacts& f) { f.live.indexes[1].walkable = false; }},
      {"",
       "index \"fts\" of public.messages_archive is over an expression: it makes moving slower, "
       "and a full-text one refuses very long messages / Drop it, unless somebody searches the "
       "archive by it.",
       [](ArchiveFacts& f) { f.archive.indexes.push_back(Index("fts", {""}, false)); }},
      {"moving messages would delete rows of public.reactions (constraint \"r\") / Archive that "
       "table first, or let it refer to the chat.",
       "",
       [](ArchiveFacts& f) {
         f.live.referenced_by = {{"r", "message_id", "public.reactions", 'c'}};
       }},
      {"moving messages would cut the link of rows of public.reactions (constraint \"r\") / "
       "Archive "
       "that table first, or let it refer to the chat.",
       "",
       [](ArchiveFacts& f) {
         f.live.referenced_by = {{"r", "message_id", "public.reactions", 'n'}};
       }},
      {"",
       "messages that rows of public.reactions (constraint \"r\") refer to cannot be moved and "
       "will be set aside in pgsteward.quarantine / Archive that table first, or let it refer "
       "to the chat.",
       [](ArchiveFacts& f) {
         f.live.referenced_by = {{"r", "message_id", "public.reactions", 'a'}};
       }},
      {"",
       "public.messages_archive has no foreign key on \"user_id\" with ON DELETE CASCADE: "
       "archived messages stay when what they belong to in public.users is deleted / Add the "
       "key, or run the job orphan_purge.",
       [](ArchiveFacts& f) { f.archive.references.pop_back(); }},
      {"row level security hides rows of public.messages from role \"pgsteward_jobs\" / ALTER ROLE "
       "\"pgsteward_jobs\" BYPASSRLS.",
       "", [](ArchiveFacts& f) { f.live.hides_rows = true; }},
      {"role \"pgsteward_jobs\" may not read \"content\" of public.messages / GRANT SELECT ON "
       "public.messages TO \"pgsteward_jobs\"; or run schema/job_roles.sql.",
       "", [](ArchiveFacts& f) { f.live.columns[3].can_select = false; }},
      {"role \"pgsteward_jobs\" may not delete from public.messages / GRANT DELETE ON "
       "public.messages TO \"pgsteward_jobs\"; or run schema/job_roles.sql.",
       "", [](ArchiveFacts& f) { f.live.can_delete = false; }},
      {"role \"pgsteward_jobs\" may not lock rows of public.messages / GRANT UPDATE (id) ON "
       "public.messages TO \"pgsteward_jobs\"; or run schema/job_roles.sql.",
       "",
       [](ArchiveFacts& f) {
         for (TableColumn& column : f.live.columns) column.can_update = false;
       }},
      {"role \"pgsteward_jobs\" may not write \"content\", \"archive_run\" of "
       "public.messages_archive / GRANT INSERT ON public.messages_archive TO \"pgsteward_jobs\"; "
       "or "
       "run schema/job_roles.sql.",
       "",
       [](ArchiveFacts& f) {
         f.archive.columns[3].can_insert = f.archive.columns[6].can_insert = false;
       }},
      {"role \"pgsteward_jobs\" may not read \"content\" of public.messages_archive / GRANT SELECT "
       "ON public.messages_archive TO \"pgsteward_jobs\"; or run schema/job_roles.sql.",
       "", [](ArchiveFacts& f) { f.archive.columns[3].can_select = false; }},
      {"",
       "role \"pgsteward_jobs\" may not vacuum public.messages: the space of moved rows waits "
       "for autovacuum / GRANT MAINTAIN (PostgreSQL 17), make the role a member of the table's "
       "owner, or set vacuum to false.",
       [](ArchiveFacts& f) { f.live.can_maintain = false; }},
  };
  for (const Case& each : cases) {
    ArchiveFacts facts = Hub();
    each.change(facts);
    const ShapeReport report = CheckShape(facts);
    EXPECT_EQ(Texts(report.problems), each.problems);
    EXPECT_EQ(Texts(report.warnings), each.warnings) << each.problems;
  }
}

TEST(ArchiveShapeTest, AComputedColumnIsWrittenOnlyWhereItIsPlain) {
  ArchiveFacts facts = Hub();
  facts.live.columns.push_back(Column("words", "integer", false));
  facts.live.columns.back().generated = true;
  facts.archive.columns.push_back(Column("words", "integer", false));
  EXPECT_EQ(ShapeOf(facts).written.back(), "words");
  EXPECT_EQ(ShapeOf(facts).written_back.back(), "created_at");
  facts.archive.columns.back().generated = true;
  const ArchiveShape shape = ShapeOf(facts);
  EXPECT_EQ(shape.columns.back(), "words");
  EXPECT_EQ(shape.written.back(), "created_at");
  EXPECT_EQ(shape.id_type, "uuid");
  EXPECT_TRUE(shape.has_archived_at && shape.has_archive_run);
}

TEST(ArchiveShapeTest, TheConflictTargetIsTheKeyThatTheArchiveHas) {
  ArchiveFacts facts = Hub();
  EXPECT_EQ(ShapeOf(facts).conflict_target, (std::vector<std::string>{"id"}));
  facts.archive.indexes = {Index("pkey", {"created_at", "id"}, true)};
  EXPECT_EQ(Texts(CheckShape(facts).problems), "");
  EXPECT_EQ(ShapeOf(facts).conflict_target, (std::vector<std::string>{"id", "created_at"}));
  facts.archive.kind = 'p';
  facts.archive.ranged_by_created_at = true;
  EXPECT_EQ(Texts(CheckShape(facts).problems), "");
  EXPECT_EQ(ShapeOf(facts).conflict_target, (std::vector<std::string>{"id", "created_at"}));
  EXPECT_TRUE(ShapeOf(facts).partitioned);
}

TEST(SqlTextTest, QuotesEveryName) {
  EXPECT_EQ(QuoteIdentifier("a\"b; --"), "\"a\"\"b; --\"");
  EXPECT_EQ(IdentifierList({"id", "Größe"}, "a."), "a.\"id\", a.\"Größe\"");
  EXPECT_EQ(IdentifierList({}), "");
}

}  // namespace
}  // namespace pgsteward
