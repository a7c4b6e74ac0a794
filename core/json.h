// The one home of JSON: quoting for those who print, flat objects for those who keep.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
std::string JsonQuoted(std::string_view text);

// An object whose values are text: {"a":"b","c":"1"}.
using FlatObject = std::map<std::string, std::string>;
std::string FlatJson(const FlatObject& object);
// Numbers and booleans come back as their text, null and "" as ""; anything nested, or no object at
// all, is an error.
Result<FlatObject> ParseFlatJson(std::string_view text);

}  // namespace pgsteward
