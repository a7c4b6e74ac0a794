// What pg_dumpall --globals-only wrote, taken apart: roles and tablespaces do not fit everywhere as
// they are. Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteward {

// One statement with the comments before it, or a line with a backslash command of psql. All of
// them together are the text.
std::vector<std::string> SplitScript(std::string_view text);

struct SqlWord {
  enum class Kind { kWord, kName, kText, kSign } kind = Kind::kSign;
  std::string text;  // a word in capitals; a quoted name or a literal without its quotes
  std::size_t begin = 0;
  std::size_t end = 0;  // in the statement
};
// Comments are left out.
std::vector<SqlWord> WordsOf(std::string_view statement);

// The bootstrap superuser that a cluster of this dump had, or may have: grants of PostgreSQL 16
// and later name it. "postgres" where it is one, else the first superuser that can log in and has
// a plain name; `fallback` when there is none.
std::string SuperuserOf(std::string_view globals, std::string_view fallback);

struct GlobalsScript {
  std::string sql;
  std::vector<std::string> folders;   // that must be made for tablespaces before it runs
  std::vector<std::string> left_out;  // for people: "role postgres, which is there"
};

struct GlobalsTarget {
  std::set<std::string> roles;        // that are there: left as they are
  std::set<std::string> tablespaces;  // likewise
  // Tablespaces go to folders below this one instead of where they were; empty: where they were.
  std::string tablespace_root = {};
  // A role that is there gets its attributes and settings all the same (never its creation).
  std::set<std::string> alter_roles = {};
};
GlobalsScript FitGlobals(std::string_view globals, const GlobalsTarget& target);

}  // namespace pgsteward
