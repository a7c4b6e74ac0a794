#include "core/pg_session.h"

#include "core/log.h"
#include "core/pg_conninfo.h"
#include "core/random.h"

namespace pgsteward {

namespace {

// A connection that breaks sooner counts as a failed attempt: something cuts them down.
constexpr Duration kShortLife = std::chrono::seconds(2);

}  // namespace

PgSession::PgSession(Runtime& runtime, std::string server, PgTarget target, BackoffPolicy backoff)
    : runtime_(runtime),
      server_(std::move(server)),
      target_(std::move(target)),
      backoff_(backoff),
      turn_(runtime),
      changed_(runtime),
      lost_(runtime),
      database_(TargetDatabase(target_)) {}

Task<void> PgSession::Run() {
  for (int failures = 0;;) {
    auto opened = co_await PgConnection::Open(runtime_, target_);
    if (opened) {
      const SteadyTime connected = SteadyNow();
      ++connects_;
      connection_ = std::move(*opened);
      server_version_ = connection_->server_version();
      database_ = connection_->database();
      SetState(ServerState::kUp, "");
      co_await WaitLost();
      connection_.reset();
      // The first attempt after a loss comes at once, unless the connection never really lived.
      if (SteadyNow() - connected > kShortLife) {
        failures = 0;
        continue;
      }
    } else {
      ++connect_failures_;
      SetState(opened.error().state, ToText(opened.error().error));
    }
    ++failures;
    const Duration pause = BackoffPause(backoff_, failures, RandomFraction());
    co_await SleepUntil(SteadyNow() + pause);
  }
}

Task<void> PgSession::WaitLost() {
  // Woken by the statement that met the loss; the deadline only bounds a missed wake-up.
  while (up()) co_await lost_.WaitUntil(SteadyNow() + std::chrono::minutes(1));
}

Task<Result<PgResult>> PgSession::Query(std::string sql, PgValues values, Duration timeout) {
  const Deadline turn_deadline =
      SteadyNow() + std::max<Duration>(timeout, std::chrono::seconds(60));
  if (!up()) co_return Error(Errc::kUnavailable, reason_.empty() ? "not connected" : reason_);
  auto turn = co_await turn_.Acquire(turn_deadline, timeout);
  if (!turn) co_return Error(Errc::kTimeout, "other statements took the connection's whole time");
  if (!up()) co_return Error(Errc::kUnavailable, reason_.empty() ? "not connected" : reason_);
  auto rows = co_await connection_->Query(std::move(sql), std::move(values), timeout);
  for (const PgNotice& notice : connection_->TakeNotices()) {
    LogDebug("notice from server", {{"server", server_}, {"notice", notice.Text()}});
  }
  if (!connection_->usable()) {
    SetState(ServerState::kLost, rows ? "the connection is closed" : ToText(rows.error()));
    lost_.Notify();
  }
  co_return rows;
}

void PgSession::SetState(ServerState state, std::string reason) {
  const bool same = state == state_ && reason == reason_;
  const bool was_up = up();
  state_ = state;
  reason_ = std::move(reason);
  if (same) return;
  const std::string label = TargetLabel(target_);
  if (up()) {
    LogInfo("connected", {{"server", server_},
                          {"database", database_},
                          {"target", label},
                          {"version", server_version_},
                          {"pid", connection_->backend_pid()}});
  } else {
    LogWarning(was_up ? "connection lost" : "cannot connect", {{"server", server_},
                                                               {"target", label},
                                                               {"state", ServerStateName(state_)},
                                                               {"err", reason_}});
  }
  changed_.Notify();
}

}  // namespace pgsteward
