// Text from outside is made valid before it is shown.
#pragma once

#include <string>
#include <string_view>

namespace pgsteward {

// UTF-8 with every invalid byte replaced by U+FFFD: values from SQL_ASCII databases.
std::string ValidUtf8(std::string_view text);
bool IsUtf8(std::string_view text);

}  // namespace pgsteward
