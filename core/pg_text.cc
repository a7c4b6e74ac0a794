#include "core/pg_text.h"

namespace pgsteward {

namespace {

// `text` between two quotes, with every one of `special` escaped by `escape`, or by itself.
std::string Quoted(std::string_view text, char quote, std::string_view special, char escape) {
  std::string quoted(1, quote);
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) quoted += escape ? escape : c;
    quoted += c;
  }
  return quoted + quote;
}

}  // namespace

std::string QuoteIdentifier(std::string_view name) { return Quoted(name, '"', "\"", 0); }

std::string IdentifierList(const std::vector<std::string>& names, std::string_view prefix) {
  std::string list;
  for (const std::string& name : names) {
    list += (list.empty() ? "" : ", ") + std::string(prefix) + QuoteIdentifier(name);
  }
  return list;
}

std::string QuoteLiteral(std::string_view text) { return "E" + Quoted(text, '\'', "'\\", 0); }

std::string QuoteConninfo(std::string_view value) { return Quoted(value, '\'', "'\\", '\\'); }

std::string ArrayText(const std::vector<std::string>& elements) {
  std::string array = "{";
  for (const std::string& element : elements) {
    array += (array.size() > 1 ? "," : "") + Quoted(element, '"', "\"\\", '\\');
  }
  return array + "}";
}

}  // namespace pgsteward
