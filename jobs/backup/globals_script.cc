#include "jobs/backup/globals_script.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "core/pg_text.h"

namespace pgsteward {

namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
bool IsWordStart(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' ||
         (static_cast<signed char>(c) < 0);
}
bool IsWordPart(char c) { return IsWordStart(c) || (c >= '0' && c <= '9') || c == '$'; }

// Behind what begins at `at`, which must be no plain character; `at` itself when it is one.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::size_t SkipSpaceAndComments(std::size_t at) const {
    for (;;) {
      while (at < text_.size() && IsSpace(text_[at])) ++at;
      if (Has(at, "--")) {
        at = std::min(text_.find('\n', at), text_.size());
      } else if (Has(at, "/*")) {
        at = SkipBlock(at);
      } else {
        return at;
      }
    }
  }

  // The word, name, literal or sign at `at`, which is no space.
  SqlWord Next(std::size_t at) const {
    SqlWord word;
    word.begin = at;
    const char c = text_[at];
    if (c == '"') {
      word.kind = SqlWord::Kind::kName;
      word.end = Quoted(at, '"', false, word.text);
    } else if (c == '\'') {
      word.kind = SqlWord::Kind::kText;
      word.end = Quoted(at, '\'', false, word.text);
    } else if ((c == 'E' || c == 'e') && Has(at + 1, "'")) {
      word.kind = SqlWord::Kind::kText;
      word.end = Quoted(at + 1, '\'', true, word.text);
    } else if (const std::size_t end = Dollar(at, word.text); end != at) {
      word.kind = SqlWord::Kind::kText;
      word.end = end;
    } else if (IsWordStart(c)) {
      word.kind = SqlWord::Kind::kWord;
      word.end = at;
      while (word.end < text_.size() && IsWordPart(text_[word.end])) {
        word.text += static_cast<char>(std::toupper(static_cast<unsigned char>(text_[word.end++])));
      }
    } else {
      word.text = c;
      word.end = at + 1;
    }
    return word;
  }

 private:
  bool Has(std::size_t at, std::string_view what) const {
    return text_.size() >= at && text_.substr(at, what.size()) == what;
  }
  std::size_t SkipBlock(std::size_t at) const {
    int depth = 0;
    while (at < text_.size()) {
      if (Has(at, "/*")) {
        ++depth;
        at += 2;
      } else if (Has(at, "*/")) {
        at += 2;
        if (--depth == 0) return at;
      } else {
        ++at;
      }
    }
    return at;
  }
  std::size_t Quoted(std::size_t at, char quote, bool backslashes, std::string& content) const {
    for (++at; at < text_.size(); ++at) {
      if (backslashes && text_[at] == '\\' && at + 1 < text_.size()) {
        content += text_[++at];
      } else if (text_[at] == quote) {
        if (at + 1 >= text_.size() || text_[at + 1] != quote) return at + 1;
        content += text_[++at];
      } else {
        content += text_[at];
      }
    }
    return at;
  }
  std::size_t Dollar(std::size_t at, std::string& content) const {
    if (text_[at] != '$') return at;
    std::size_t end = at + 1;
    while (end < text_.size() && IsWordPart(text_[end]) && text_[end] != '$') ++end;
    if (end >= text_.size() || text_[end] != '$') return at;
    const std::string_view tag = text_.substr(at, end + 1 - at);
    const std::size_t close = text_.find(tag, end + 1);
    const std::size_t stop = close == std::string_view::npos ? text_.size() : close;
    content = text_.substr(end + 1, stop - end - 1);
    return close == std::string_view::npos ? text_.size() : close + tag.size();
  }

  std::string_view text_;
};

bool IsWord(const std::vector<SqlWord>& words, std::size_t i, std::string_view text) {
  return i < words.size() && words[i].kind == SqlWord::Kind::kWord && words[i].text == text;
}

// The name at position `i`; what is not quoted is folded to small letters.
std::optional<std::string> NameAt(const std::vector<SqlWord>& words, std::size_t i) {
  if (i >= words.size()) return std::nullopt;
  if (words[i].kind == SqlWord::Kind::kName) return words[i].text;
  if (words[i].kind != SqlWord::Kind::kWord) return std::nullopt;
  std::string name;
  for (const char c : words[i].text) {
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return name;
}

std::size_t FindWord(const std::vector<SqlWord>& words, std::string_view text) {
  std::size_t i = 0;
  while (i < words.size() && !IsWord(words, i, text)) ++i;
  return i;
}

bool IsPlainName(const std::string& name) {
  if (name.empty() || name.starts_with("pg_")) return false;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return true;
}

// Of which tablespace a statement speaks.
std::optional<std::string> TablespaceOf(const std::vector<SqlWord>& words) {
  const bool about = IsWord(words, 0, "CREATE") || IsWord(words, 0, "ALTER");
  if (about && IsWord(words, 1, "TABLESPACE")) return NameAt(words, 2);
  const bool on = IsWord(words, 0, "COMMENT") || IsWord(words, 0, "GRANT") ||
                  IsWord(words, 0, "REVOKE") || IsWord(words, 0, "SECURITY");
  const std::size_t at = FindWord(words, "TABLESPACE");
  if (on && at > 0 && IsWord(words, at - 1, "ON")) return NameAt(words, at + 1);
  return std::nullopt;
}

// The role that a statement makes or changes; of a membership the one that becomes a member.
std::optional<std::string> RoleOf(const std::vector<SqlWord>& words) {
  if ((IsWord(words, 0, "CREATE") || IsWord(words, 0, "ALTER")) && IsWord(words, 1, "ROLE")) {
    return NameAt(words, 2);
  }
  if (IsWord(words, 0, "COMMENT") && IsWord(words, 2, "ROLE")) return NameAt(words, 3);
  if (IsWord(words, 0, "GRANT") && FindWord(words, "ON") == words.size()) {
    return NameAt(words, FindWord(words, "TO") + 1);
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> SplitScript(std::string_view text) {
  const Lexer lexer(text);
  std::vector<std::string> statements;
  std::size_t begin = 0;
  std::size_t at = 0;
  bool fresh = true;  // no word of the statement yet
  for (;;) {
    at = lexer.SkipSpaceAndComments(at);
    if (at >= text.size()) break;
    if (fresh && text[at] == '\\') {
      at = text.find('\n', at);
      at = at == std::string_view::npos ? text.size() : at + 1;
    } else {
      const SqlWord word = lexer.Next(at);
      at = word.end;
      fresh = false;
      if (word.kind != SqlWord::Kind::kSign || word.text != ";") continue;
      if (at < text.size() && text[at] == '\n') ++at;
    }
    statements.emplace_back(text.substr(begin, at - begin));
    begin = at;
    fresh = true;
  }
  if (begin < text.size()) statements.emplace_back(text.substr(begin));
  return statements;
}

std::vector<SqlWord> WordsOf(std::string_view statement) {
  const Lexer lexer(statement);
  std::vector<SqlWord> words;
  for (std::size_t at = lexer.SkipSpaceAndComments(0); at < statement.size();
       at = lexer.SkipSpaceAndComments(at)) {
    words.push_back(lexer.Next(at));
    at = words.back().end;
  }
  return words;
}

std::string SuperuserOf(std::string_view globals, std::string_view fallback) {
  std::optional<std::string> first;
  for (const std::string& statement : SplitScript(globals)) {
    const std::vector<SqlWord> words = WordsOf(statement);
    if (!IsWord(words, 0, "ALTER") || !IsWord(words, 1, "ROLE") || !IsWord(words, 3, "WITH"))
      continue;
    const bool suitable =
        FindWord(words, "SUPERUSER") < words.size() && FindWord(words, "LOGIN") < words.size();
    const auto name = NameAt(words, 2);
    if (!suitable || !name || !IsPlainName(*name)) continue;
    if (*name == "postgres") return *name;
    if (!first) first = name;
  }
  return first ? *first : std::string(fallback);
}

GlobalsScript FitGlobals(std::string_view globals, const GlobalsTarget& target) {
  GlobalsScript script;
  for (const std::string& statement : SplitScript(globals)) {
    const std::vector<SqlWord> words = WordsOf(statement);
    const auto tablespace = TablespaceOf(words);
    if (tablespace && target.tablespaces.contains(*tablespace)) {
      if (IsWord(words, 0, "CREATE")) script.left_out.push_back("tablespace " + *tablespace);
      continue;
    }
    const auto role = RoleOf(words);
    if (role && target.roles.contains(*role)) {
      const bool creates = IsWord(words, 0, "CREATE");
      if (creates) script.left_out.push_back("role " + *role);
      if (creates || !target.alter_roles.contains(*role)) continue;
    }
    const bool makes = tablespace && IsWord(words, 0, "CREATE");
    const std::size_t location = FindWord(words, "LOCATION");
    if (makes && !target.tablespace_root.empty() && location + 1 < words.size()) {
      const std::string folder =
          target.tablespace_root + "/" + std::to_string(script.folders.size() + 1);
      const SqlWord& path = words[location + 1];
      script.folders.push_back(folder);
      script.sql +=
          statement.substr(0, path.begin) + QuoteLiteral(folder) + statement.substr(path.end);
      continue;
    }
    script.sql += statement;
  }
  return script;
}

}  // namespace pgsteward
