#include <gtest/gtest.h>

#include "jobs/backup/dump_stream.h"

namespace pgsteward {
namespace {

constexpr std::string_view kTrailer = "-- PostgreSQL database dump complete";

TEST(DumpText, Trailer) {
  const std::string end = "\n--\n-- PostgreSQL database dump complete\n--\n\n";
  EXPECT_TRUE(EndsWithTrailer("x" + end, kTrailer));
  EXPECT_TRUE(EndsWithTrailer("x" + end + "\\unrestrict abc\n\n", kTrailer));
  EXPECT_FALSE(EndsWithTrailer("x" + end + "SELECT 1;\n", kTrailer));
  EXPECT_FALSE(EndsWithTrailer("x" + end.substr(0, end.size() - 20), kTrailer));
  EXPECT_FALSE(EndsWithTrailer("", kTrailer));
}

TEST(DumpText, FirstError) {
  EXPECT_EQ(FirstErrorLine("pg_dump: reading x\npg_dump: error: a\npg_dump: error: b\n"), "a");
  EXPECT_EQ(FirstErrorLine("age: something odd\n\n"), "age: something odd");
  EXPECT_EQ(FirstErrorLine(""), "");
}

}  // namespace
}  // namespace pgsteward
