#include "jobs/sql_statement.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace pgsteward {

namespace {

constexpr std::string_view kWhite = " \t\n\r\f\v";

constexpr std::array<std::string_view, 11> kTransaction = {
    "abort", "begin",     "commit",  "end",     "release", "rollback",
    "start", "savepoint", "prepare", "declare", "move"};
constexpr std::array<std::string_view, 9> kSession = {
    "deallocate", "discard", "execute", "fetch", "listen", "load", "reset", "set", "unlisten"};
constexpr std::array<std::string_view, 8> kExplained = {"delete", "insert", "merge",  "select",
                                                        "table",  "update", "values", "with"};

template <class Words>
bool IsOneOf(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Behind a comment that begins at the front; nested ones of /* */ as in SQL.
std::string_view SkipComment(std::string_view sql) {
  if (sql.substr(0, 2) == "--") return sql.substr(std::min(sql.find('\n'), sql.size()));
  int depth = 0;
  do {
    if (sql.substr(0, 2) == "/*") {
      ++depth;
      sql.remove_prefix(2);
    } else if (sql.substr(0, 2) == "*/") {
      --depth;
      sql.remove_prefix(2);
    } else {
      sql.remove_prefix(1);
    }
  } while (depth > 0 && !sql.empty());
  return sql;
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

Error Refused(const std::string& word, std::string why) {
  return Error(Errc::kBadConfig, "a job cannot run " + word + ": " + std::move(why), {},
               "Write one statement; the job has a transaction of its own around it.");
}

}  // namespace

std::string FirstWord(std::string_view sql) {
  for (;;) {
    const std::size_t at = sql.find_first_not_of(kWhite);
    if (at == std::string_view::npos) return "";
    sql.remove_prefix(at);
    if (sql.substr(0, 2) == "--" || sql.substr(0, 2) == "/*") {
      sql = SkipComment(sql);
    } else if (sql.front() == '(') {
      sql.remove_prefix(1);
    } else {
      break;
    }
  }
  std::string word;
  for (const char c : sql) {
    if (!IsLetter(c)) break;
    word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return word;
}

Result<void> CheckJobSql(std::string_view sql) {
  const std::string word = FirstWord(sql);
  if (word.empty()) return Error(Errc::kBadConfig, "the option sql holds no statement");
  if (IsOneOf(kTransaction, word)) {
    return Refused(word, "it begins, ends or needs a transaction of more than one statement");
  }
  if (IsOneOf(kSession, word)) {
    return Refused(word, "it speaks of a session, and the next run may have another one");
  }
  if (word == "copy") return Refused(word, "nobody is there to send or take the rows");
  return Result<void>();
}

bool CanExplain(std::string_view sql) { return IsOneOf(kExplained, FirstWord(sql)); }

long long RowsOfTag(std::string_view tag) {
  const std::size_t space = tag.rfind(' ');
  if (space == std::string_view::npos) return 0;
  const std::string_view digits = tag.substr(space + 1);
  long long rows = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), rows);
  return failed == std::errc() && end == digits.data() + digits.size() ? rows : 0;
}

}  // namespace pgsteward
