#include "schema/apply_session.h"

#include <algorithm>
#include <utility>

namespace pgsteward {

namespace {

// How often the advisory lock is tried. Not a waiting pg_advisory_lock(): the waiter's snapshot is
// what the holder's CREATE INDEX CONCURRENTLY waits for, so they would wait for each other.
constexpr Duration kPoll = std::chrono::milliseconds(500);
constexpr Duration kWatchPeriod = std::chrono::seconds(1);
constexpr Duration kCloseGrace = std::chrono::seconds(5);

// The two halves of the advisory lock's key: "pgst" and its first use.
constexpr std::string_view kTryLockSql = "SELECT pg_try_advisory_lock(1885828980, 1)";
constexpr std::string_view kUnlockSql = "SELECT pg_advisory_unlock(1885828980, 1)";
constexpr std::string_view kHolderSql = R"sql(
SELECT format('pid %s (%s)', l.pid,
              concat_ws(', ', nullif(a.application_name, ''), 'role ' || a.usename))
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = 1885828980 AND l.objid = 1 AND l.objsubid = 2
  AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
)sql";

PgTarget Working(PgTarget target, const ApplyOptions& options) {
  target.part = "schema";
  target.read_only = false;
  target.search_path = "public";
  target.lock_timeout = options.lock_timeout;
  return target;
}

PgTarget Watching(PgTarget target) {
  target.part = "schema-watch";
  target.read_only = true;
  return target;
}

Error Interrupted() { return Error(Errc::kTimeout, "interrupted"); }

std::string Milliseconds(Duration duration) {
  return std::to_string(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

std::string InSeconds(Duration duration) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(duration).count()) + " s";
}

}  // namespace

ApplySession::ApplySession(Runtime& runtime, PgTarget target, ApplyOptions options,
                           ApplyListener& listener)
    : runtime_(runtime),
      target_(Working(target, options)),
      options_(std::move(options)),
      listener_(listener),
      interrupt_(runtime),
      // Often enough to see who blocks before the lock timeout ends the wait.
      watch_(runtime, Watching(std::move(target)),
             std::min<Duration>(kWatchPeriod, options_.lock_timeout / 3),
             [this](const std::string& text) { listener_.Note(text); }),
      tasks_(runtime) {}

Task<Result<void>> ApplySession::Open() {
  auto opened = co_await PgConnection::Open(runtime_, target_);
  if (!opened) co_return opened.error().error;
  connection_ = std::move(*opened);
  tasks_.Spawn("schema watch", watch_.Run());
  // Killed without a chance to cancel: the server then notices within seconds that nobody waits
  // for its statement any more.
  if (server_version() >= 140000) {
    auto set = co_await Script("SET client_connection_check_interval = '5s'");
    if (!set) co_return set.error();
  }
  co_return co_await TakeLock();
}

Task<void> ApplySession::Close() {
  // The end of the session would do, but only some time after we are gone.
  if (locked_ && connection_->usable()) {
    std::string unlock(kUnlockSql);
    co_await connection_->Script(std::move(unlock), options_.timeout);
  }
  connection_.reset();
  tasks_.Stop();
  co_await tasks_.Join(SteadyNow() + kCloseGrace);
}

Task<Result<PgResult>> ApplySession::Script(std::string sql) {
  if (interrupted_) co_return Interrupted();
  watch_.Begin(connection_->backend_pid());
  auto done = co_await connection_->Script(std::move(sql), options_.timeout);
  co_return Ended(std::move(done));
}

Task<Result<PgResult>> ApplySession::Query(std::string sql, PgValues values, Duration timeout) {
  if (interrupted_) co_return Interrupted();
  watch_.Begin(connection_->backend_pid());
  auto done = co_await connection_->Query(std::move(sql), std::move(values), timeout);
  co_return Ended(std::move(done));
}

Result<PgResult> ApplySession::Ended(Result<PgResult> done) {
  watch_.End();
  for (const PgNotice& notice : connection_->TakeNotices()) listener_.Notice(notice.Text());
  if (done) return done;
  if (interrupted_) return Interrupted();
  Error error = done.error();
  const std::string& blockers = watch_.blockers();
  if (error.code == Errc::kBusy && !blockers.empty()) error.message += ", held by " + blockers;
  if (error.sqlstate == "42501") {
    error.hint =
        "Run it as the owner of the hub's tables, with the right to create in the "
        "database (schemas pgsteward and auth, extension pgcrypto).";
  }
  if (error.sqlstate == "57014") {
    error.hint = "Somebody cancelled the statement, or it needs a longer --timeout.";
  }
  return error;
}

Task<Result<void>> ApplySession::SetLockTimeout(Duration timeout) {
  auto set = co_await Script("SET lock_timeout = " + Milliseconds(timeout));
  if (!set) co_return set.error();
  co_return Result<void>();
}

void ApplySession::Interrupt() {
  interrupted_ = true;
  interrupt_.Notify();
  watch_.Cancel();
}

Task<void> ApplySession::Pause(Duration duration) {
  if (interrupted_) co_return;
  co_await interrupt_.WaitUntil(SteadyNow() + duration);
}

Task<Result<void>> ApplySession::TakeLock() {
  const Deadline deadline = SteadyNow() + options_.wait;
  std::string told;
  for (;;) {
    std::string sql(kTryLockSql);
    auto taken = co_await Script(std::move(sql));
    if (!taken) co_return taken.error();
    if (taken->Bool(0, 0)) {
      locked_ = true;
      co_return Result<void>();
    }
    auto holder = co_await LockHolder();
    if (!holder) co_return holder.error();
    if (holder->empty()) continue;  // released in between
    if (SteadyNow() >= deadline) {
      co_return Error(Errc::kBusy, "the schema is being applied by " + *holder, {},
                      "Wait until it is done, or give a longer --wait.");
    }
    if (*holder != told) {
      listener_.Note("waiting up to " + InSeconds(options_.wait) + " for " + *holder +
                     ", which is applying the schema");
      told = *holder;
    }
    co_await Pause(std::min<Duration>(kPoll, deadline - SteadyNow()));
  }
}

Task<Result<std::string>> ApplySession::LockHolder() {
  std::string sql(kHolderSql);
  auto rows = co_await Script(std::move(sql));
  if (!rows) co_return rows.error();
  if (rows->rows() == 0) co_return std::string();
  co_return std::string(rows->Text(0, 0));
}

Task<bool> ApplySession::RetryAfter(Error failure, int attempt) {
  // Not when the session's turn did not come: that has waited already.
  const bool lock = failure.sqlstate == "55P03" || failure.sqlstate == "40P01";
  if (!lock || attempt >= options_.lock_retries || interrupted_) co_return false;
  listener_.Note(failure.message + "; trying again (" + std::to_string(attempt + 1) + " of " +
                 std::to_string(options_.lock_retries) + ")");
  co_await Pause(options_.retry_pause);
  co_return !interrupted_;
}

}  // namespace pgsteward
