// Rows that must be kept: pgsteward.retention_hold.
#pragma once

#include <string>
#include <string_view>

namespace pgsteward {

// A condition: the message row `alias` is under a hold that is in force: of its chat, of its user,
// or of the user whose chat it is in. With `until`, an expression ("$3::timestamptz"), only of one
// that lasts at least so long.
std::string HeldSql(std::string_view alias, std::string_view until = {});

}  // namespace pgsteward
