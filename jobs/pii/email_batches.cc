#include "jobs/pii/email_batches.h"

#include <algorithm>
#include <utility>

#include "jobs/pii/parameter_logging.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);
// So many rows of one run may be unreadable; more is a wrong key, and not a few damaged rows.
constexpr std::size_t kMostUnreadable = 10;

constexpr std::string_view kNextSql = R"sql(
SELECT u.id::text, u.email_encrypted IS NULL FROM public.users AS u
WHERE u.id > $1::uuid AND ($2::boolean OR u.email_encrypted IS NULL)
  AND NOT EXISTS (SELECT FROM pgsteward.quarantine AS q
                  WHERE q.target = 'public.users' AND q.row_id = u.id::text)
ORDER BY u.id LIMIT $3::int
)sql";

constexpr std::string_view kAgainSql = R"sql(
SELECT u.id::text, u.email_encrypted IS NULL FROM public.users AS u
WHERE u.id = ANY (string_to_array($1, ',')::uuid[]) ORDER BY u.id
)sql";

}  // namespace

Error LeakingKey(const std::string& leak) {
  return Error(Errc::kQueryFailed, "the server would write the key into its log: " + leak, {},
               "Have a superuser say for the role of the jobs: ALTER ROLE pgsteward_jobs SET "
               "log_parameter_max_length = 0, and the same for auto_explain.log_min_duration = -1 "
               "or pgaudit.log_parameter = off where they are named.");
}

Task<Result<BatchOutcome>> EmailBatches::Run(JobSession& db, int size) {
  pending_ = Pending();
  BatchOutcome outcome;
  auto users = co_await Next(db, size);
  if (!users) co_return users.error();
  if (users->rows() == 0) co_return outcome;
  outcome.seen = users->rows();
  pending_.count = static_cast<std::size_t>(users->rows());
  pending_.cursor = users->Text(users->rows() - 1, 0);
  // Settings may have been reloaded since the run began, and this transaction sends the key.
  auto settings = co_await ReadLogSettings(db);
  if (!settings) co_return settings.error();
  const Silencing silencing = SilenceParameters(*settings);
  if (!silencing.leak.empty()) co_return LeakingKey(silencing.leak);
  if (!silencing.local.empty())
    co_return LeakingKey(silencing.local.front().first + " was changed");

  std::vector<std::string> todo;
  std::vector<std::string> encrypted;
  for (int row = 0; row < users->rows(); ++row) {
    (users->Bool(row, 1) ? todo : encrypted).emplace_back(users->Text(row, 0));
  }
  pending_.plain = static_cast<long long>(todo.size());
  auto states = co_await cipher_.Examine(db, std::move(encrypted), 1);
  if (!states) co_return states.error();
  if (!states->unreadable.empty()) {
    outcome.mismatch = true;
    co_return outcome;
  }
  pending_.stale = static_cast<long long>(states->stale.size());
  pending_.old = static_cast<long long>(states->old.size());
  todo.insert(todo.end(), states->stale.begin(), states->stale.end());
  todo.insert(todo.end(), states->old.begin(), states->old.end());
  if (todo.empty()) co_return outcome;
  auto done = co_await cipher_.Encrypt(db, todo);
  if (!done) co_return done.error();
  outcome.done = static_cast<long long>(done->size());
  outcome.skipped = static_cast<long long>(todo.size() - done->size());
  for (std::string& id : todo) {
    if (std::find(done->begin(), done->end(), id) == done->end()) {
      pending_.skipped.push_back(std::move(id));
    }
  }
  co_return outcome;
}

void EmailBatches::Committed() {
  if (again_.empty()) {
    cursor_ = pending_.cursor;
    checked += static_cast<long long>(pending_.count);
    plain += pending_.plain;
    stale += pending_.stale;
    old += pending_.old;
  } else {
    again_at_ += std::max<std::size_t>(pending_.asked, 1);
  }
  skipped_.insert(skipped_.end(), pending_.skipped.begin(), pending_.skipped.end());
}

Task<Result<void>> EmailBatches::Quarantine(JobSession&) {
  unreadable.push_back(pending_.cursor);
  if (unreadable.size() <= kMostUnreadable) co_return Result<void>();
  co_return Error(Errc::kQueryFailed,
                  "more than " + std::to_string(kMostUnreadable) +
                      " encrypted addresses cannot be decrypted with this key",
                  "39000", "A rotation that was not finished needs rotate_from.");
}

void EmailBatches::Rewind() {
  again_ = std::exchange(skipped_, {});
  again_at_ = 0;
}

Task<Result<PgResult>> EmailBatches::Next(JobSession& db, int size) {
  PgValues values;
  if (again_.empty()) {
    values = {cursor_, all_ ? "true" : "false", std::to_string(size)};
    co_return co_await db.Query(std::string(kNextSql), std::move(values), kTimeout);
  }
  std::string ids;
  const std::size_t end = std::min(again_.size(), again_at_ + static_cast<std::size_t>(size));
  for (std::size_t at = again_at_; at < end; ++at) {
    ids += (ids.empty() ? "" : ",") + again_[at];
  }
  pending_.asked = end - std::min(again_at_, end);
  values.emplace_back(std::move(ids));
  co_return co_await db.Query(std::string(kAgainSql), std::move(values), kTimeout);
}

}  // namespace pgsteward
