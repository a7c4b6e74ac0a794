// What may be repeated of a text that somebody wrote, in messages.
#pragma once

#include <string>
#include <string_view>

namespace pgsteward {

// `text` in quotes where it is short and cannot be a secret (a connection string, a path), else
// "this value". `more`: characters that are harmless here besides letters, digits and "._-+/:[] ".
std::string Shown(std::string_view text, std::string_view more = {});

}  // namespace pgsteward
