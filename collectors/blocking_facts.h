// Asks the server who waits for whom.
#pragma once

#include "collectors/blocking_tree.h"
#include "core/pg_session.h"

namespace pgsteward {

// pg_blocking_pids stops all other users of the lock table while it looks: it is asked for the
// sessions that have waited longest, this many at most.
inline constexpr int kMaxExaminedWaits = 200;

// One cheap statement while nobody waits, a second one when somebody does. `timeout` is of each.
Task<Result<BlockingFacts>> LoadBlockingFacts(Database& db, Duration timeout, bool with_query_text);

}  // namespace pgsteward
