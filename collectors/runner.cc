#include "collectors/runner.h"

#include "core/log.h"
#include "core/schedule.h"

namespace pgsteward {

CollectorRunner::CollectorRunner(PgSession& session, const CollectorOptions& options, Store& store,
                                 CollectorPlan plan, SteadyTime phase)
    : session_(session), options_(options), store_(store), plan_(plan), phase_(phase) {}

SnapshotKey CollectorRunner::key() const {
  return {session_.server(), session_.target().database, std::string(plan_.spec->name)};
}

Task<void> CollectorRunner::Run() {
  while (session_.state() == ServerState::kConnecting) {
    const Deadline soon = SteadyNow() + plan_.interval;
    co_await session_.changed().WaitUntil(soon);
  }
  for (;;) {
    co_await RunOnce();
    const SteadyTime next = NextBeat(phase_, plan_.interval, SteadyNow());
    // A new connection does not wait for the beat: the page fills as soon as the server is back.
    const std::uint64_t connects = session_.connects();
    for (;;) {
      const bool changed = co_await session_.changed().WaitUntil(next);
      if (!changed) break;
      if (session_.up() && session_.connects() != connects) break;
    }
  }
}

Task<void> CollectorRunner::RunOnce() {
  const SteadyTime start = SteadyNow();
  CollectorContext context{session_, options_, plan_.timeout, memory_};
  auto families = co_await Collect(*plan_.spec, context);
  Note(families, SteadyNow() - start);
}

void CollectorRunner::Note(const Result<Families>& outcome, Duration duration) {
  const Labels common = {{"server", session_.server()}};
  if (outcome) {
    const SteadyTime expires = SteadyNow() + plan_.stale_after_intervals * plan_.interval;
    const std::size_t duplicates = store_.Publish(key(), *outcome, common, expires);
    if (duplicates > 0 && status_.duplicates == 0) {
      LogWarning("samples with equal labels left out", {{"server", session_.server()},
                                                        {"collector", plan_.spec->name},
                                                        {"samples", duplicates}});
    }
    if (!status_.logged.empty()) {
      LogInfo("collector works again",
              {{"server", session_.server()}, {"collector", plan_.spec->name}});
    }
    status_ = {true, true, false, duration, WallNow(), "", "", duplicates};
    return;
  }
  const Error& error = outcome.error();
  // What was there before and is missing now is a failure.
  const bool never_worked = status_.last_success == WallTime{};
  status_.skipped =
      never_worked && (error.code == Errc::kUnsupported || error.code == Errc::kNoData);
  // What the server has not got any more must not linger until its budget ends.
  if (status_.skipped) store_.Drop(key());
  LogChange(error);
  status_.ran = true;
  status_.success = false;
  status_.duration = duration;
  status_.error = ToText(error);
}

void CollectorRunner::NoteBug() {
  status_.ran = true;
  status_.success = false;
  status_.error = "a bug of pgsteward; the log says which";
}

void CollectorRunner::LogChange(const Error& error) {
  // The session itself says once that the server is away.
  if (error.code == Errc::kUnavailable || error.code == Errc::kConnectionLost) return;
  if (status_.logged == ToText(error)) return;
  status_.logged = ToText(error);
  const LogLevel level = status_.skipped ? LogLevel::kInfo : LogLevel::kWarning;
  const char* message = status_.skipped ? "collector skipped" : "collector failed";
  Log(level, message,
      WithError({{"server", session_.server()},
                 {"database", session_.database()},
                 {"collector", plan_.spec->name}},
                error));
}

Families CollectorSelfMetrics(const std::vector<std::unique_ptr<CollectorRunner>>& runners) {
  Families families = {
      GaugeFamily("pg_scrape_collector_duration_seconds", "Duration of the collector's last run."),
      GaugeFamily("pg_scrape_collector_success",
                  "1 when the collector's last run succeeded, 0 when it failed or was skipped."),
      GaugeFamily("pgsteward_collector_interval_seconds", "Interval of the collector's runs."),
      GaugeFamily("pgsteward_collector_last_success_timestamp_seconds",
                  "Unix time of the collector's last success, 0 if never."),
      GaugeFamily("pgsteward_collector_skipped",
                  "1 when the server lacks what the collector reads (a table, an extension, a "
                  "version): its series are absent, and that is no failure."),
  };
  for (const auto& runner : runners) {
    const CollectorStatus& status = runner->status();
    const Labels labels = {{"server", runner->session().server()},
                           {"datname", runner->session().database()},
                           {"collector", std::string(runner->plan().spec->name)}};
    AddSample(families[2], labels, Seconds(runner->plan().interval));
    AddSample(families[3], labels,
              status.last_success == WallTime{} ? 0 : UnixSeconds(status.last_success));
    if (!status.ran) continue;
    AddSample(families[0], labels, Seconds(status.duration));
    AddSample(families[1], labels, status.success ? 1 : 0);
    AddSample(families[4], labels, status.skipped ? 1 : 0);
  }
  return families;
}

}  // namespace pgsteward
