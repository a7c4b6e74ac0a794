// The session that changes a schema: one at a time per database, watched, and interruptible.
#pragma once

#include <memory>
#include <string>

#include "core/pg_session.h"
#include "core/task_group.h"
#include "schema/statement_watch.h"

namespace pgsteward {

struct ApplyOptions {
  // How long to wait while another session applies.
  Duration wait = std::chrono::seconds(60);
  // Of each statement; building an index on a large table takes long.
  Duration timeout = std::chrono::hours(1);
  // A version's statements wait this long for a lock, then the version is rolled back and tried
  // again: whoever waits for ACCESS EXCLUSIVE makes everybody else wait behind it.
  Duration lock_timeout = std::chrono::seconds(5);
  int lock_retries = 3;
  Duration retry_pause = std::chrono::seconds(1);
  std::string daemon_version;  // recorded with each version
};

// What happens, for a person to read.
class ApplyListener {
 public:
  virtual ~ApplyListener() = default;
  virtual void Started(const std::string& step) = 0;  // "1.0.0 create_tables.sql"
  // Ends what Started() began: "ok", "failed".
  virtual void Finished(const std::string& outcome, Duration duration) = 0;
  virtual void Note(const std::string& text) = 0;    // "waiting for pid 4711 (psql, ...)"
  virtual void Notice(const std::string& text) = 0;  // of the server
};

class ApplySession : public Database {
 public:
  // `listener` must outlive this, and this its coroutines: end it with Close().
  ApplySession(Runtime& runtime, PgTarget target, ApplyOptions options, ApplyListener& listener);

  // Connects and waits for its turn.
  Task<Result<void>> Open();
  Task<void> Close();

  // Statements separated by semicolons, without parameters.
  Task<Result<PgResult>> Script(std::string sql);
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  int server_version() const override { return connection_->server_version(); }
  std::string database() const override { return connection_->database(); }
  // 0 waits without limit (for CREATE INDEX CONCURRENTLY, which nobody has to wait behind).
  Task<Result<void>> SetLockTimeout(Duration timeout);

  // Cancels what runs; everything from now on fails. May be called at any time.
  void Interrupt();
  bool interrupted() const { return interrupted_; }
  // After the failure of attempt 0, 1, ...: true, after a pause, when it was for want of a lock and
  // another attempt is worth it.
  Task<bool> RetryAfter(Error failure, int attempt);

  const ApplyOptions& options() const { return options_; }
  ApplyListener& listener() { return listener_; }

 private:
  Task<Result<void>> TakeLock();
  Task<Result<std::string>> LockHolder();
  Result<PgResult> Ended(Result<PgResult> done);
  // Interrupt() ends it.
  Task<void> Pause(Duration duration);

  Runtime& runtime_;
  PgTarget target_;
  ApplyOptions options_;
  ApplyListener& listener_;
  bool interrupted_ = false;
  bool locked_ = false;
  Event interrupt_;
  StatementWatch watch_;
  TaskGroup tasks_;
  std::unique_ptr<PgConnection> connection_;
};

}  // namespace pgsteward
