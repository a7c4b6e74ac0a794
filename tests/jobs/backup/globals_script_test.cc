#include "jobs/backup/globals_script.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

constexpr char kGlobals[] = R"(--
-- PostgreSQL database cluster dump
--

\restrict abc

SET standard_conforming_strings = on;

--
-- Roles
--

CREATE ROLE "app ""x""; DROP";
ALTER ROLE "app ""x""; DROP" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'SCRAM-SHA-256$4096:a;b''c';
COMMENT ON ROLE "app ""x""; DROP" IS E'back\\slash''; CREATE ROLE no;';
CREATE ROLE boss;
ALTER ROLE boss WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS;
ALTER ROLE postgres SET search_path TO 'x', 'y;z';
GRANT boss TO "app ""x""; DROP" GRANTED BY postgres;
GRANT boss TO postgres GRANTED BY postgres;
CREATE TABLESPACE "fast; disk" OWNER boss LOCATION '/mnt/it''s';
GRANT ALL ON TABLESPACE "fast; disk" TO PUBLIC;
ALTER TABLESPACE "fast; disk" SET (seq_page_cost=1);

\unrestrict abc

--
-- PostgreSQL database cluster dump complete
--

)";

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part;
  return text;
}

TEST(GlobalsScriptTest, TheStatementsTogetherAreTheText) {
  const auto statements = SplitScript(kGlobals);
  EXPECT_EQ(Join(statements), kGlobals);
  EXPECT_EQ(statements.size(), 17u);
  EXPECT_EQ(statements[3].substr(0, 10), "ALTER ROLE");
}

TEST(GlobalsScriptTest, QuotesDollarsAndCommentsHideSemicolons) {
  const std::string text =
      "SELECT $a$;$b$;$a$ /* ; /* ; */ ; */; SELECT U&\"x;\"\"y\", ';' -- ;\n; \\connect "
      "a;b\nSELECT 1";
  const auto statements = SplitScript(text);
  EXPECT_EQ(Join(statements), text);
  ASSERT_EQ(statements.size(), 4u);
  EXPECT_EQ(statements[2], " \\connect a;b\n");
  // What never ends is one statement.
  EXPECT_EQ(SplitScript("SELECT 'a;").size(), 1u);
  EXPECT_EQ(SplitScript("/* ;").size(), 1u);
  EXPECT_EQ(SplitScript("").size(), 0u);
}

TEST(GlobalsScriptTest, WordsKnowNamesFromLiterals) {
  const auto words = WordsOf("create -- x\n ROLE \"a\"\"b\" 'it''s' E'\\'' $$q$$;");
  ASSERT_EQ(words.size(), 7u);
  EXPECT_EQ(words[0].text, "CREATE");
  EXPECT_EQ(words[2].kind, SqlWord::Kind::kName);
  EXPECT_EQ(words[2].text, "a\"b");
  EXPECT_EQ(words[3].text, "it's");
  EXPECT_EQ(words[4].text, "'");
  EXPECT_EQ(words[5].text, "q");
}

TEST(GlobalsScriptTest, TheSuperuserIsPostgresWhereItIsOne) {
  EXPECT_EQ(SuperuserOf(kGlobals, "own"), "postgres");
  EXPECT_EQ(
      SuperuserOf("ALTER ROLE a WITH NOSUPERUSER LOGIN;\nALTER ROLE b WITH SUPERUSER LOGIN;\n",
                  "own"),
      "b");
  EXPECT_EQ(SuperuserOf("ALTER ROLE \"a b\" WITH SUPERUSER LOGIN;\n"
                        "ALTER ROLE c WITH SUPERUSER NOLOGIN;\n",
                        "own"),
            "own");
}

TEST(GlobalsScriptTest, WhatIsThereIsLeftOut) {
  GlobalsTarget target;
  target.roles = {"postgres", "app \"x\"; DROP"};
  const GlobalsScript script = FitGlobals(kGlobals, target);
  EXPECT_EQ(script.left_out, (std::vector<std::string>{"role app \"x\"; DROP", "role postgres"}));
  EXPECT_EQ(script.sql.find("app \"\"x"), std::string::npos);
  EXPECT_EQ(script.sql.find("SCRAM"), std::string::npos);
  EXPECT_NE(script.sql.find("CREATE ROLE boss;"), std::string::npos);
  EXPECT_EQ(script.sql.find("TO postgres"), std::string::npos);
  EXPECT_NE(script.sql.find("LOCATION '/mnt/it''s'"), std::string::npos);

  target.tablespaces = {"fast; disk"};
  EXPECT_EQ(FitGlobals(kGlobals, target).sql.find("TABLESPACE"), std::string::npos);
}

TEST(GlobalsScriptTest, InAScratchClusterTheSuperuserIsAlteredAndTablespacesMove) {
  GlobalsTarget target;
  target.roles = {"postgres"};
  target.alter_roles = {"postgres"};
  target.tablespace_root = "/scratch/it's";
  const GlobalsScript script = FitGlobals(kGlobals, target);
  EXPECT_EQ(script.sql.find("CREATE ROLE postgres"), std::string::npos);
  EXPECT_NE(script.sql.find("ALTER ROLE postgres SET search_path"), std::string::npos);
  EXPECT_EQ(script.folders, std::vector<std::string>{"/scratch/it's/1"});
  EXPECT_EQ(script.sql.find("/mnt"), std::string::npos);
  EXPECT_NE(script.sql.find("OWNER boss LOCATION E'/scratch/it''s/1';"), std::string::npos);
  EXPECT_NE(script.sql.find("GRANT ALL ON TABLESPACE"), std::string::npos);
}

}  // namespace
}  // namespace pgsteward
