#include "jobs/backup/database_statements.h"

#include "core/pg_text.h"
#include "jobs/backup/globals_script.h"

namespace pgsteward {

namespace {

// Lists of names stand in the catalog as they were written, each perhaps in quotes.
bool IsListOfNames(const std::string& setting) {
  return setting == "search_path" || setting == "temp_tablespaces" ||
         setting == "session_preload_libraries" || setting == "local_preload_libraries";
}

std::string ListLiterals(const std::string& value) {
  std::string list;
  for (const SqlWord& word : WordsOf(value)) {
    if (word.kind == SqlWord::Kind::kSign && word.text == ",") continue;
    // A word as it was written: WordsOf gives keywords in capitals.
    const std::string text = word.kind == SqlWord::Kind::kWord
                                 ? value.substr(word.begin, word.end - word.begin)
                                 : word.text;
    list += (list.empty() ? "" : ", ") + QuoteLiteral(text);
  }
  return list.empty() ? "''" : list;
}

// The name behind ON DATABASE, whatever it was.
std::string OnDatabase(const std::string& statement, const std::string& name) {
  const std::vector<SqlWord> words = WordsOf(statement);
  for (std::size_t i = 2; i < words.size(); ++i) {
    const bool here = words[i - 2].kind == SqlWord::Kind::kWord && words[i - 2].text == "ON" &&
                      words[i - 1].kind == SqlWord::Kind::kWord && words[i - 1].text == "DATABASE";
    if (!here) continue;
    return statement.substr(0, words[i].begin) + QuoteIdentifier(name) +
           statement.substr(words[i].end);
  }
  return statement;
}

// Said also where it is libc: template0 may have another one.
std::string LocaleOf(const BackupDatabase& database) {
  const std::string provider = PropertyOf(database, "locale_provider");
  if (provider.empty()) return " LOCALE_PROVIDER libc";
  const std::string locale = QuoteLiteral(PropertyOf(database, "locale"));
  if (provider == "builtin") return " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + locale;
  const std::string rules = PropertyOf(database, "icu_rules");
  return " LOCALE_PROVIDER icu ICU_LOCALE " + locale +
         (rules.empty() ? "" : " ICU_RULES " + QuoteLiteral(rules));
}

}  // namespace

std::string PropertyOf(const BackupDatabase& database, const std::string& name) {
  for (const NamedText& each : database.properties) {
    if (each.name == name) return each.text;
  }
  return {};
}

std::string CreateDatabaseStatement(const BackupDatabase& database, const std::string& name,
                                    const DatabasePlace& place) {
  std::string sql = "CREATE DATABASE " + QuoteIdentifier(name) + " TEMPLATE template0 ENCODING " +
                    QuoteLiteral(database.encoding) + " LC_COLLATE " +
                    QuoteLiteral(database.collate) + " LC_CTYPE " + QuoteLiteral(database.ctype);
  if (place.server_version >= 150000) sql += LocaleOf(database);
  const std::string tablespace = PropertyOf(database, "tablespace");
  if (place.has_tablespace && !tablespace.empty()) {
    sql += " TABLESPACE " + QuoteIdentifier(tablespace);
  }
  return sql;
}

std::vector<std::string> DatabaseStatements(const BackupDatabase& database,
                                            const std::string& name) {
  std::vector<std::string> statements;
  const std::string quoted = QuoteIdentifier(name);
  if (!database.owner.empty()) {
    statements.push_back("ALTER DATABASE " + quoted + " OWNER TO " +
                         QuoteIdentifier(database.owner));
  }
  if (const std::string comment = PropertyOf(database, "comment"); !comment.empty()) {
    statements.push_back("COMMENT ON DATABASE " + quoted + " IS " + QuoteLiteral(comment));
  }
  if (const std::string limit = PropertyOf(database, "connection_limit"); !limit.empty()) {
    statements.push_back("ALTER DATABASE " + quoted + " CONNECTION LIMIT " + limit);
  }
  for (const NamedText& setting : database.settings) {
    const std::size_t equals = setting.text.find('=');
    if (equals == std::string::npos) continue;
    const std::string variable = setting.text.substr(0, equals);
    const std::string value = setting.text.substr(equals + 1);
    const std::string whose = setting.name.empty() ? "ALTER DATABASE " + quoted
                                                   : "ALTER ROLE " + QuoteIdentifier(setting.name) +
                                                         " IN DATABASE " + quoted;
    statements.push_back(whose + " SET " + QuoteIdentifier(variable) + " = " +
                         (IsListOfNames(variable) ? ListLiterals(value) : QuoteLiteral(value)));
  }
  for (const std::string& grant : SplitScript(database.acl)) {
    if (!WordsOf(grant).empty()) statements.push_back(OnDatabase(grant, name));
  }
  return statements;
}

}  // namespace pgsteward
