// Looks at a working session from a second one: names who blocks it, and cancels it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/pg_connection.h"
#include "core/wait.h"

namespace pgsteward {

class StatementWatch {
 public:
  // Looks every `period`; `note` is told once per set of blockers.
  StatementWatch(Runtime& runtime, PgTarget target, Duration period,
                 std::function<void(const std::string&)> note);

  // For ever; spawn it before the first Begin().
  Task<void> Run();

  // The session `pid` starts a statement, and has ended it.
  void Begin(int pid);
  void End();
  // Who blocked the present or last statement when it was last looked at: "pid 4711 (psql, role
  // app, idle in transaction)"; empty when nobody was seen.
  const std::string& blockers() const { return blockers_; }
  // Cancels the present statement and every further one, until the session gives up.
  void Cancel();

 private:
  Task<bool> Connect();
  Task<void> CancelStatement();
  Task<void> LookForBlockers();

  Runtime& runtime_;
  PgTarget target_;
  Duration period_;
  std::function<void(const std::string&)> note_;
  Event changed_;
  std::unique_ptr<PgConnection> connection_;
  int pid_ = 0;  // 0 between statements
  SteadyTime begun_{};
  std::string blockers_;
  bool cancel_ = false;
  bool complained_ = false;
};

}  // namespace pgsteward
