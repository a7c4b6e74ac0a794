#include "core/pg_text.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

TEST(PgTextTest, Identifiers) {
  EXPECT_EQ(QuoteIdentifier("messages"), "\"messages\"");
  EXPECT_EQ(QuoteIdentifier("a\"b\n"), "\"a\"\"b\n\"");
  EXPECT_EQ(IdentifierList({}), "");
  EXPECT_EQ(IdentifierList({"id", "x\"y"}, "a."), "a.\"id\", a.\"x\"\"y\"");
}

TEST(PgTextTest, Literals) {
  EXPECT_EQ(QuoteLiteral(""), "E''");
  EXPECT_EQ(QuoteLiteral("it's \\ so"), "E'it''s \\\\ so'");
}

TEST(PgTextTest, Arrays) {
  EXPECT_EQ(ArrayText({}), "{}");
  EXPECT_EQ(ArrayText({"a", "", "NULL", "x,y", "q\"u\\o", "{}"}),
            "{\"a\",\"\",\"NULL\",\"x,y\",\"q\\\"u\\\\o\",\"{}\"}");
}

}  // namespace
}  // namespace pgsteward
