#include "schema/versions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "schema/check.h"
#include "schema/embedded.h"

namespace pgsteward {

namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

std::string Text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Folder(const SchemaComponent& component, const SchemaVersion& version) {
  return (&component == &StewardSchema() ? "steward/v" : "v") + std::string(version.name) + "/";
}

// "v1.0.0/create_tables.sql" of every file below a folder v* or steward/v*.
std::set<std::string> FilesOfVersions() {
  std::set<std::string> files;
  for (const std::string prefix : {"", "steward/"}) {
    for (const auto& folder : fs::directory_iterator(PGSTEWARD_SCHEMA "/" + prefix)) {
      const std::string name = folder.path().filename();
      if (!folder.is_directory() || name[0] != 'v') continue;
      for (const auto& file : fs::directory_iterator(folder)) {
        files.insert(prefix + name + "/" + file.path().filename().string());
      }
    }
  }
  return files;
}

TEST(Versions, HoldEveryFileOnce) {
  std::multiset<std::string> listed;
  for (const SchemaComponent* component : AllComponents()) {
    for (const SchemaVersion& version : component->versions) {
      const std::string folder = Folder(*component, version);
      for (const SchemaFile& file : version.files) listed.insert(folder + std::string(file.name));
      if (version.concurrent) listed.insert(folder + std::string(version.concurrent->name));
    }
  }
  const std::set<std::string> present = FilesOfVersions();
  EXPECT_EQ(listed, std::multiset<std::string>(present.begin(), present.end()));
  EXPECT_EQ(listed.size(), 19U);
}

TEST(Versions, AreEmbeddedAsTheyAre) {
  EXPECT_EQ(EmbeddedFiles().size(), 22U);
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    EXPECT_EQ(file.text, Text(fs::path(PGSTEWARD_SCHEMA) / file.path)) << file.path;
  }
}

TEST(Versions, AreListedInTheOrderThatTheirChecksumCovers) {
  std::vector<std::string_view> embedded;
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    if (file.path.find('/') != file.path.npos) embedded.push_back(file.text);
  }
  std::vector<std::string_view> applied;
  for (const SchemaComponent* component : AllComponents()) {
    for (const SchemaVersion& version : component->versions) {
      for (const SchemaFile& file : version.files) applied.push_back(file.sql);
      if (version.concurrent) applied.push_back(version.concurrent->sql);
    }
  }
  EXPECT_EQ(embedded, applied);
}

TEST(Versions, HaveAChecksumEach) {
  std::set<std::string_view> checksums;
  for (const SchemaComponent* component : AllComponents()) {
    for (const SchemaVersion& version : component->versions) {
      EXPECT_EQ(version.checksum.size(), 64U);
      checksums.insert(version.checksum);
    }
  }
  EXPECT_EQ(checksums.size(), 5U);
}

TEST(Versions, AreFoundByName) {
  EXPECT_EQ(FindVersion(HubSchema(), "1.0.0"), 0U);
  EXPECT_EQ(FindVersion(HubSchema(), "1.2.0"), 2U);
  EXPECT_EQ(FindVersion(HubSchema(), "1.2"), std::nullopt);
}

TEST(Versions, ComponentsAreFoundByName) {
  EXPECT_THAT(AllComponents(), ElementsAre(&HubSchema(), &StewardSchema()));
  EXPECT_EQ(FindComponent("hub"), &HubSchema());
  EXPECT_EQ(FindComponent("pgsteward"), &StewardSchema());
  EXPECT_EQ(FindComponent("all"), nullptr);
}

TEST(Versions, AreLabelledWithTheirComponentButForTheHub) {
  EXPECT_EQ(HubSchema().versions[1].label, "1.1.0");
  EXPECT_EQ(StewardSchema().versions[0].label, "pgsteward 1.0.0");
}

TEST(Versions, RelationsAreAnArray) {
  EXPECT_EQ(RelationsArray(HubSchema().versions[2]), "{\"messages_archive\",\"messages_all\"}");
}

TEST(Versions, NoEmbeddedFileIsABug) { EXPECT_THROW(SchemaText("v9.9.9/x.sql"), std::logic_error); }

std::vector<std::string> Names(const std::vector<ConcurrentIndex>& indexes) {
  std::vector<std::string> names;
  for (const ConcurrentIndex& index : indexes) names.push_back(index.table + "." + index.name);
  return names;
}

TEST(ConcurrentIndexes, OfTheVersions) {
  EXPECT_THAT(
      Names(ConcurrentIndexes(HubSchema().versions[0])),
      ElementsAre("users.idx_users_email_active", "messages.idx_messages_session_created",
                  "artifacts.idx_artifacts_user_created",
                  "tools_usage.idx_tools_usage_tool_created", "messages.idx_messages_content_fts"));
  EXPECT_TRUE(ConcurrentIndexes(HubSchema().versions[1]).empty());
  EXPECT_THAT(Names(ConcurrentIndexes(HubSchema().versions[2])),
              ElementsAre("messages.idx_messages_created_id"));
}

TEST(ConcurrentIndexes, SpanLinesAndLoseCommentsAndSemicolon) {
  const auto parsed = ParseConcurrentIndexes(
      "-- a comment; not a statement;\n"
      "\n"
      "CREATE UNIQUE INDEX CONCURRENTLY one ON t(a)\n"
      "-- why\n"
      "    WHERE b = ';' OR true;  \r\n"
      "CREATE INDEX CONCURRENTLY two ON u USING gin (c);");
  ASSERT_TRUE(parsed);
  ASSERT_THAT(Names(*parsed), ElementsAre("t.one", "u.two"));
  EXPECT_EQ((*parsed)[0].sql,
            "CREATE UNIQUE INDEX CONCURRENTLY one ON t(a)\n    WHERE b = ';' OR true");
  EXPECT_EQ((*parsed)[1].sql, "CREATE INDEX CONCURRENTLY two ON u USING gin (c)");
}

TEST(ConcurrentIndexes, RefuseAnythingElse) {
  const auto message = [](const char* sql) {
    const auto parsed = ParseConcurrentIndexes(sql);
    return parsed ? "accepted" : parsed.error().message;
  };
  EXPECT_EQ(message("CREATE INDEX i ON t(a);"),
            "not a CREATE INDEX CONCURRENTLY name ON table: CREATE INDEX i ON t(a)");
  EXPECT_EQ(message("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t(a);"),
            "not a CREATE INDEX CONCURRENTLY name ON table: "
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t(a)");
  EXPECT_EQ(message("CREATE INDEX CONCURRENTLY i ON t(a)"),
            "no semicolon at the end of: CREATE INDEX CONCURRENTLY i ON t(a)");
  EXPECT_EQ(message("-- nothing\n"), "accepted");
}

TEST(Catalog, DeclaresEveryKind) {
  std::set<std::string> kinds;
  for (const SchemaObject& object : DeclaredObjects(HubSchema())) kinds.insert(object.kind);
  EXPECT_EQ(kinds, std::set<std::string>(SchemaKinds().begin(), SchemaKinds().end()));
  EXPECT_EQ(DeclaredObjects(HubSchema()).size(), 151U);
  EXPECT_EQ(DeclaredObjects(StewardSchema()).size(), 124U);
}

TEST(Catalog, ReadsTheTextFormatOfCopy) {
  const auto objects = ParseCatalog("a\tb\tc\\nd\\te\\\\n\nview\tv\t\n");
  ASSERT_TRUE(objects);
  ASSERT_EQ(objects->size(), 2U);
  EXPECT_EQ((*objects)[0].definition, "c\nd\te\\n");
  EXPECT_EQ((*objects)[1].kind, "view");
  EXPECT_EQ((*objects)[1].definition, "");
}

TEST(Catalog, RefusesOtherThanThreeColumns) {
  EXPECT_EQ(ParseCatalog("a\tb\n").error().message, "not three columns: a\tb");
  EXPECT_EQ(ParseCatalog("a\tb\tc\td\n").error().message, "not three columns: a\tb\tc\td");
}

std::vector<std::string> Compared(const std::vector<SchemaObject>& declared,
                                  const std::vector<SchemaObject>& found) {
  std::vector<std::string> lines;
  for (const SchemaDifference& d : CompareObjects(declared, found)) {
    lines.push_back(d.kind + " " + d.name + " " + std::string(DriftName(d.drift)) + " [" +
                    d.expected + "] [" + d.found + "]");
  }
  return lines;
}

TEST(CompareObjects, TellsMissingUnexpectedAndDifferent) {
  const std::vector<SchemaObject> declared = {
      {"table", "t", "one"}, {"column", "t.a", "int"}, {"column", "t.b", "text"}};
  const std::vector<SchemaObject> found = {
      {"table", "t", "one"}, {"column", "t.c", "uuid"}, {"column", "t.a", "bigint"}};
  EXPECT_THAT(Compared(declared, found),
              ElementsAre("column t.a differs [int] [bigint]", "column t.b missing [text] []",
                          "column t.c unexpected [] [uuid]"));
  EXPECT_THAT(Compared(declared, declared), ElementsAre());
  EXPECT_EQ(Compared(declared, {}).size(), 3U);
  EXPECT_EQ(Compared({}, found).size(), 3U);
}

}  // namespace

}  // namespace pgsteward
