#include "daemon/measuring.h"

#include "collectors/registry.h"
#include "core/log.h"

namespace pgsteward {

namespace {

// What died of a bug of ours is started again after this.
constexpr Duration kPauseAfterBug = std::chrono::seconds(60);

Task<void> RunAfter(Duration delay, std::function<Task<void>()> make) {
  if (delay > Duration{}) co_await SleepUntil(SteadyNow() + delay);
  co_await make();
}

}  // namespace

PgTarget TargetOf(const ServerConfig& server, const std::string& database, std::string_view part) {
  PgTarget target;
  target.conninfo = server.conninfo;
  target.database = database;
  target.password_file = server.password_file;
  target.part = part;
  target.connect_timeout = server.connect_timeout;
  return target;
}

Measuring::Measuring(Runtime& runtime, const Config& config, Store& store)
    : runtime_(runtime), config_(config), store_(store), phase_(SteadyNow()), tasks_(runtime) {
  for (const ServerConfig& server : config_.servers) {
    PgSession& main = AddSession(server, "");
    main_sessions_.push_back(&main);
    AddRunners(main, true);
    for (const std::string& database : server.databases) {
      AddRunners(AddSession(server, database), false);
    }
  }
}

PgSession& Measuring::AddSession(const ServerConfig& server, const std::string& database) {
  sessions_.push_back(
      std::make_unique<PgSession>(runtime_, server.name, TargetOf(server, database, "collector")));
  return *sessions_.back();
}

void Measuring::AddRunners(PgSession& session, bool main_database) {
  for (const CollectorSpec* spec : AllCollectors()) {
    if (!EnabledIn(config_, *spec)) continue;
    if (!main_database && spec->scope != Scope::kDatabase) continue;
    const CollectorPlan plan{spec, IntervalOf(config_, *spec), TimeoutOf(config_, *spec),
                             config_.stale_after_intervals};
    runners_.push_back(
        std::make_unique<CollectorRunner>(session, config_.options, store_, plan, phase_));
  }
}

void Measuring::Start() {
  const auto nothing = [] {};
  for (const auto& session : sessions_) {
    PgSession* each = session.get();
    const std::string name = each->server() + "/" + each->target().database;
    Supervise(
        "session " + name, [each] { return each->Run(); }, nothing);
    Supervise(
        "watch " + name, [this, each] { return WatchSession(*each); }, nothing);
  }
  for (const auto& runner : runners_) {
    CollectorRunner* each = runner.get();
    const std::string name = "collector " + std::string(each->plan().spec->name) + " on " +
                             each->session().server() + "/" + each->session().target().database;
    Supervise(
        name, [each] { return each->Run(); }, [each] { each->NoteBug(); });
  }
}

void Measuring::Supervise(std::string name, std::function<Task<void>()> make,
                          std::function<void()> on_bug, Duration delay) {
  auto again = [this, name, make, on_bug] {
    on_bug();
    if (!stopping_) Supervise(name, make, on_bug, kPauseAfterBug);
  };
  tasks_.Spawn(name, RunAfter(delay, make), again);
}

Task<void> Measuring::WatchSession(PgSession& session) {
  // The page says at once that a server went away or came back, not at the next beat.
  for (;;) {
    co_await session.changed().WaitUntil(SteadyNow() + std::chrono::hours(1));
    store_.MarkDirty();
  }
}

Task<bool> Measuring::Stop(Deadline deadline) {
  stopping_ = true;
  tasks_.Stop();
  const bool ended = co_await tasks_.Join(deadline);
  for (const std::string& name : tasks_.Running()) {
    LogWarning("task did not stop in time", {{"task", name}});
  }
  co_return ended;
}

Task<void> Measuring::CollectOnce(std::string collector) {
  for (const auto& session : sessions_) {
    tasks_.Spawn("session " + session->server(), session->Run());
  }
  for (const auto& session : sessions_) {
    while (session->state() == ServerState::kConnecting) {
      const Deadline deadline = SteadyNow() + session->target().connect_timeout;
      co_await session->changed().WaitUntil(deadline);
    }
  }
  for (const auto& runner : runners_) {
    if (collector.empty() || runner->plan().spec->name == collector) co_await runner->RunOnce();
  }
  co_await Stop(SteadyNow() + std::chrono::seconds(5));
}

Families Measuring::SelfMetrics() const {
  Families families = CollectorSelfMetrics(runners_);
  auto up = GaugeFamily("pg_up", "1 while the server is connected and being measured, else 0.");
  auto states = GaugeFamily("pgsteward_server_state",
                            "Why the server is measured or not: 1 for the current state.");
  auto connects = CounterFamily("pgsteward_connects_total", "Connections established.");
  auto failures =
      CounterFamily("pgsteward_connect_failures_total", "Connection attempts that failed.");
  auto databases =
      GaugeFamily("pgsteward_database_up",
                  "1 while this database of the server is connected and being measured, else 0.");
  for (const PgSession* session : main_sessions_) {
    const prometheus::ClientMetric::Label server{"server", session->server()};
    AddSample(up, {server}, session->up() ? 1 : 0);
    for (int i = 0; i < kServerStateCount; ++i) {
      const auto state = static_cast<ServerState>(i);
      const std::string name(ServerStateName(state));
      AddSample(states, {server, {"state", name}}, session->state() == state ? 1 : 0);
    }
  }
  for (const auto& session : sessions_) {
    const Labels labels = {{"server", session->server()}, {"datname", session->database()}};
    AddSample(connects, labels, static_cast<double>(session->connects()));
    AddSample(failures, labels, static_cast<double>(session->connect_failures()));
    AddSample(databases, labels, session->up() ? 1 : 0);
  }
  for (auto* family : {&up, &states, &connects, &failures, &databases}) {
    families.push_back(std::move(*family));
  }
  return families;
}

std::vector<ServerStatus> Measuring::Servers() const {
  std::vector<ServerStatus> servers;
  for (const PgSession* session : main_sessions_) {
    servers.push_back({session->server(), session->state(), session->reason()});
  }
  return servers;
}

int Measuring::failing_collectors() const {
  int failing = 0;
  for (const auto& runner : runners_) {
    const CollectorStatus& status = runner->status();
    if (status.ran && !status.success && !status.skipped) ++failing;
  }
  return failing;
}

bool Measuring::SameServer(const Config& other, const std::string& name) const {
  for (const ServerConfig& mine : config_.servers) {
    if (mine.name != name) continue;
    for (const ServerConfig& theirs : other.servers) {
      if (theirs.name == name) return theirs.conninfo == mine.conninfo;
    }
  }
  return false;
}

bool Measuring::Publishes(const SnapshotKey& key) const {
  for (const auto& runner : runners_) {
    if (runner->key() == key) return true;
  }
  return false;
}

}  // namespace pgsteward
