// Reads what the throttle gates need from the server.
#pragma once

#include <string>

#include "core/pg_session.h"
#include "jobs/throttle/throttle.h"

namespace pgsteward {

// Asks only what `policy` needs, in one statement, and one more each for the archiver's backlog and
// the policy's query. `table` ("public.messages"; empty: none) is the one that must not be under
// VACUUM. Gates that the role cannot look at are in `unknown`; an error is only the connection's or
// the whole statement's.
Task<Result<ThrottleFacts>> ReadThrottleFacts(Database& db, const ThrottlePolicy& policy,
                                              std::string table);

}  // namespace pgsteward
