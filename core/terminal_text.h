// Text from the database on its way to a terminal. Pure.
#pragma once

#include <string>
#include <string_view>

namespace pgsteward {

// Valid UTF-8 in which nothing moves the cursor, changes colours or hides: control characters,
// escape sequences, direction marks and invisible characters become \x1b or \u202e.
std::string HarmlessText(std::string_view text);
// The same on one line: every run of white space is one space.
std::string HarmlessLine(std::string_view text);

// Cut to so many columns, with "…" for what is left out. `text` is harmless. Characters from
// U+1100 on count as two columns, which some are: a line may end early, but it never wraps.
std::string CutToWidth(std::string text, int columns);

// "0.4s", "12s", "2m03s", "3h05m", "2d03h".
std::string ShortDuration(double seconds);

}  // namespace pgsteward
