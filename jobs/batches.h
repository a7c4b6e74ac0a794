// The loop that every job with many rows shares: fence, one batch in one transaction, verdict,
// commit, rest, throttle, stop at a safe point.
#pragma once

#include <limits>
#include <string>
#include <utility>

#include "jobs/job.h"
#include "jobs/pacing.h"

namespace pgsteward {

// What one batch did, before it is committed.
struct BatchOutcome {
  // Rows that the batch looked at; 0: the pass is at its end.
  long long seen = 0;
  long long done = 0;
  // Seen and left because somebody else holds them: tried again in the next pass.
  long long skipped = 0;
  // The rows that were taken out of one place are not those that were put into the other: roll back
  // and try half as many, down to the single row that cannot be handled.
  bool mismatch = false;
};

// One job's batches. Every call is inside a transaction that is fenced already.
class BatchWork {
 public:
  virtual ~BatchWork() = default;
  // Handles up to `size` rows after the cursor. Must not move the cursor. Leaves out what is in
  // pgsteward.quarantine: after Rewind() it would be found, and counted, once more.
  virtual Task<Result<BatchOutcome>> Run(JobSession& db, int size) = 0;
  // The batch was committed: move the cursor behind what it saw.
  virtual void Committed() = 0;
  // A single row at the cursor cannot be handled. Outside of a transaction: true when the cause may
  // be gone now, so that the row is tried again and not set aside.
  virtual Task<Result<bool>> Mend(JobContext& context);
  // A single row at the cursor cannot be handled (mismatch at size 1): note it in
  // pgsteward.quarantine. Called in a fenced transaction of its own; Committed() follows.
  virtual Task<Result<void>> Quarantine(JobSession& db) = 0;
  // Outside of a transaction, after each batch that was committed: VACUUM once in a while.
  virtual Task<Result<void>> Between(JobContext& context);
  // Begin again at the start, for rows that were skipped.
  virtual void Rewind() = 0;

  // Before each Run(): how many rows it may treat. It may look at more of them, up to its size:
  // where most are passed over a run under a limit would crawl else.
  void Allow(long long rows) { allowed_ = rows; }

 protected:
  long long allowed() const { return allowed_; }

 private:
  long long allowed_ = std::numeric_limits<long long>::max();
};

// Data, constraints, cardinality, limits (a text too long for an index), a trigger's own errors:
// the error is about rows of a batch and not about its statement.
bool IsAboutRows(const Error& error);

// A setting for transactions in which the hub's triggers fire: their functions are resolved in the
// session that fires them, and find public only where it is in the path. Behind pg_catalog, and not
// for transactions without triggers: whoever may create in public could put a function there that
// fits better than pg_catalog's.
std::pair<std::string, std::string> TriggerSearchPath();

struct BatchPolicy {
  PacingPolicy pacing;
  TransactionSettings transaction;
  long long most_rows = 0;  // treated per run, of work that heeds allowed(); 0: no limit
  int passes = 3;           // over rows that were skipped
  // Of retryable failures (lock timeout, deadlock, cancelled statement) in a row; then the run
  // fails.
  int failures = 10;
};

// The option for pacing.nice.
inline constexpr JobOption kNiceOption = {
    .name = "nice",
    .kind = OptionKind::kNumber,
    .fallback = "1",
    .help = "Rest after a batch, as a multiple of its duration.",
    .least = 0,
    .most = 100};

// Runs batches until a pass is at its end and nothing was skipped, or the control says stop (status
// kPartial with its reason), or a limit is reached (kPartial, "rows"). A pass limit with skipped
// rows left is kPartial, "skipped_locked". Adds to the report. After an error `report` says what
// was committed before; after kConnectionLost the last batch may be committed and is not in it.
Task<Result<void>> RunInBatches(JobContext& context, BatchWork& work, BatchPolicy policy,
                                JobReport& report);

}  // namespace pgsteward
