// What a user's SQL begins with, as far as a job must know. Pure.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// The first word in lower case, behind white space, comments and opening parentheses; "" when there
// is none.
std::string FirstWord(std::string_view sql);

// An error for statements that would end our transaction, outlive it in the session, or wait for
// data: they cannot be a job. What the server refuses by itself (VACUUM, a second statement) is not
// looked for.
Result<void> CheckJobSql(std::string_view sql);

// SELECT, INSERT, UPDATE, DELETE, MERGE, WITH, VALUES, TABLE: EXPLAIN shows their plan.
bool CanExplain(std::string_view sql);

// The count at the end of a command tag, "UPDATE 5" or "INSERT 0 5"; 0 when there is none.
long long RowsOfTag(std::string_view tag);

}  // namespace pgsteward
