// Texts as PostgreSQL reads them: names, literals, arrays. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgsteward {

// "messages" with the quotes, whatever the name holds.
std::string QuoteIdentifier(std::string_view name);

// "a.\"id\", a.\"content\"": each name quoted behind `prefix`, separated by commas.
std::string IdentifierList(const std::vector<std::string>& names, std::string_view prefix = {});

// E'it''s': the same in every setting of standard_conforming_strings. Without NUL bytes.
std::string QuoteLiteral(std::string_view text);

// 'it\'s': a value of a connection string.
std::string QuoteConninfo(std::string_view value);

// {"a","b"}: the text form of an array, whatever the elements hold; none is NULL.
std::string ArrayText(const std::vector<std::string>& elements);

}  // namespace pgsteward
