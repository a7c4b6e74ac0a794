// Values of the configuration as text, without YAML: pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace pgsteward {

// "127.0.0.1:19187", "[::1]:19187" or ":19187" (all addresses); port 0 takes a free one.
Result<void> CheckListenAddress(const std::string& address);
// A short word that is safe as a label value: [A-Za-z0-9._-]{1,63}.
Result<void> CheckServerName(std::string_view name);
// A database's plain name, as PostgreSQL can have it.
Result<void> CheckDatabaseName(std::string_view name);

// 1 to 63 lower case letters, digits, dashes and underscores: a job, a group of jobs.
Result<void> CheckJobName(std::string_view name);

// A YAML string in double quotes: whatever it holds, it is read back the same.
std::string Quoted(const std::string& text);
// "[\"a\", \"b\"]"
std::string QuotedList(const std::vector<std::string>& texts);

// "a, b and c"; "a" alone.
std::string JoinWords(std::span<const std::string_view> words, std::string_view last_separator);

// The candidate that is a slip of the pen away from `word`; empty when none is.
std::string_view Suggestion(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace pgsteward
