#include "jobs/sql_text.h"

namespace pgsteward {

std::string QuoteIdentifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string IdentifierList(const std::vector<std::string>& names, std::string_view prefix) {
  std::string list;
  for (const std::string& name : names) {
    if (!list.empty()) list += ", ";
    list += prefix;
    list += QuoteIdentifier(name);
  }
  return list;
}

}  // namespace pgsteward
