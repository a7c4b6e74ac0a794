// Pieces of SQL built from the catalog. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgsteward {

// "messages" with the quotes, whatever the name holds.
std::string QuoteIdentifier(std::string_view name);

// "a.\"id\", a.\"content\"": each name quoted behind `prefix`, separated by commas.
std::string IdentifierList(const std::vector<std::string>& names, std::string_view prefix = {});

}  // namespace pgsteward
