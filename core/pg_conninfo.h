// What libpq connection strings say: checked and shown without connecting, and without ever
// repeating a password.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

struct PgTarget;

// Says what is wrong with a conninfo string (keywords or URI) without quoting it, for it may hold a
// password. The empty string is right: libpq's environment and defaults say everything.
Result<void> CheckConninfo(const std::string& conninfo);

// Where a database name is expected: libpq would take this for a connection string.
bool LooksLikeConninfo(std::string_view text);

// The following take a string that CheckConninfo accepts; any other counts as an empty one.

// The conninfo holds a password (of the role or of a key) in plain text.
bool HasPassword(const std::string& conninfo);

// The same settings with every password as <secret>, to be shown. A string without a password comes
// back as it is, one with a password as keywords, also where it was a URI.
std::string MaskPasswords(const std::string& conninfo);

// "host:port/dbname" as the conninfo (and libpq's environment) says, never with a password: for
// logs and messages.
std::string TargetLabel(const PgTarget& target);

// The database that will be connected to, as far as it is known before: empty when only a service
// file says it.
std::string TargetDatabase(const PgTarget& target);

}  // namespace pgsteward
