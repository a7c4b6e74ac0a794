#include "jobs/runner/journal.h"

#include <cstdio>

#include "core/durable_file.h"
#include "core/json.h"
#include "core/wait.h"
#include "jobs/runner/store_values.h"

namespace pgsteward {

namespace {

constexpr Duration kWriteTimeout = std::chrono::seconds(30);

std::string TimeText(std::optional<WallTime> time) { return EpochText(time).value_or(""); }

// What metrics and `job list` show of a job whose database is away.
FlatObject StateToFlat(const JobState& state) {
  FlatObject flat;
  flat["kind"] = "state";
  flat["job"] = state.job;
  flat["type"] = state.type;
  flat["timetable"] = state.timetable;
  flat["registered_at"] = TimeText(state.registered_at);
  flat["next_due"] = TimeText(state.next_due);
  flat["last_due"] = TimeText(state.last_due);
  flat["last_run"] = state.last_run;
  flat["last_status"] = state.last_status;
  flat["last_started_at"] = TimeText(state.last_started_at);
  flat["last_finished_at"] = TimeText(state.last_finished_at);
  flat["last_success_at"] = TimeText(state.last_success_at);
  flat["last_duration_s"] = std::to_string(state.last_duration_s);
  flat["last_rows"] = std::to_string(state.last_rows);
  flat["consecutive_failures"] = std::to_string(state.consecutive_failures);
  flat["paused_until"] = TimeText(state.paused_until);
  for (const auto& [name, number] : state.counters) {
    flat["counter." + name] = std::to_string(number);
  }
  for (const auto& [name, text] : state.memory) flat["memory." + name] = text;
  return flat;
}

JobState StateOfFlat(FlatObject flat) {
  JobState state;
  state.job = flat["job"];
  state.type = flat["type"];
  state.timetable = flat["timetable"];
  state.registered_at = TimeOfEpoch(flat["registered_at"]).value_or(WallTime());
  state.next_due = TimeOfEpoch(flat["next_due"]);
  state.last_due = TimeOfEpoch(flat["last_due"]);
  state.last_run = flat["last_run"];
  state.last_status = flat["last_status"];
  state.last_started_at = TimeOfEpoch(flat["last_started_at"]);
  state.last_finished_at = TimeOfEpoch(flat["last_finished_at"]);
  state.last_success_at = TimeOfEpoch(flat["last_success_at"]);
  state.last_duration_s = std::atof(flat["last_duration_s"].c_str());
  state.last_rows = std::atoll(flat["last_rows"].c_str());
  state.consecutive_failures = std::atoi(flat["consecutive_failures"].c_str());
  state.paused_until = TimeOfEpoch(flat["paused_until"]);
  constexpr std::string_view kCounter = "counter.";
  constexpr std::string_view kMemory = "memory.";
  for (const auto& [key, text] : flat) {
    if (key.rfind(kMemory, 0) == 0) state.memory[key.substr(kMemory.size())] = text;
    if (key.rfind(kCounter, 0) != 0) continue;
    state.counters[key.substr(kCounter.size())] = std::atof(text.c_str());
  }
  return state;
}

// Also when the writer is cancelled.
class SavingFlag {
 public:
  explicit SavingFlag(bool& flag) : flag_(flag) { flag_ = true; }
  ~SavingFlag() { flag_ = false; }
  SavingFlag(const SavingFlag&) = delete;
  SavingFlag& operator=(const SavingFlag&) = delete;

 private:
  bool& flag_;
};

}  // namespace

Journal::Journal(Runtime& runtime, std::string path, Use use)
    : runtime_(runtime), path_(std::move(path)), use_(use) {}

Result<void> Journal::Peek() {
  if (path_.empty()) return {};
  const auto text = ReadWholeFile(path_);
  if (!text && text.error().code == Errc::kNoData) return {};
  if (!text) return text.error();
  auto parsed = Parse(*text);
  if (parsed) return {};
  untold_.clear();
  states_.clear();
  return Error(Errc::kBadConfig, parsed.error().message);
}

Result<void> Journal::Load() {
  auto peeked = Peek();
  if (peeked) return peeked;
  // Nothing of it is thrown away, and nothing of it stops the daemon. Also what cannot be read: the
  // next Save would replace it.
  const std::string aside = path_ + ".broken";
  if (std::rename(path_.c_str(), aside.c_str()) != 0) return peeked;
  const bool read = peeked.error().code == Errc::kBadConfig;
  return Error(Errc::kUnavailable,
               read ? "the journal was not understood and was set aside"
                    : peeked.error().message + "; the journal was set aside",
               {},
               "Look at " + aside + ": it may hold ends of runs that the database does not know.");
}

Result<void> Journal::Parse(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) return Error(Errc::kQueryFailed, "the last line has no end");
    auto flat = ParseFlatJson(std::string_view(text).substr(at, end - at));
    if (!flat) return flat.error();
    at = end + 1;
    const std::string kind = (*flat)["kind"];
    if (kind == "server") {
      system_identifier_ = std::atoll((*flat)["system_identifier"].c_str());
      timeline_ = std::atoi((*flat)["timeline"].c_str());
    } else if (kind == "state") {
      states_.push_back(StateOfFlat(*flat));
    } else if (kind == "run") {
      auto run = RunFromFlat(*flat);
      if (!run) return run.error();
      untold_.push_back(std::move(*run));
    } else {
      return Error(Errc::kQueryFailed, "a line of an unknown kind");
    }
  }
  return {};
}

std::string Journal::ToText() const {
  FlatObject server;
  server["kind"] = "server";
  server["system_identifier"] = std::to_string(system_identifier_);
  server["timeline"] = std::to_string(timeline_);
  std::string text = FlatJson(server) + "\n";
  for (const JobState& state : states_) text += FlatJson(StateToFlat(state)) + "\n";
  for (const RunRecord& run : untold_) {
    FlatObject flat = ToFlat(run);
    flat["kind"] = "run";
    text += FlatJson(flat) + "\n";
  }
  return text;
}

void Journal::Told(const std::string& run_id) {
  std::erase_if(untold_, [&run_id](const RunRecord& run) { return run.run_id == run_id; });
}

void Journal::SetServer(std::int64_t system_identifier, int timeline) {
  system_identifier_ = system_identifier;
  timeline_ = timeline;
}

Result<void> Journal::CheckServer(std::int64_t system_identifier, int timeline) const {
  if (system_identifier_ == 0) return {};
  const std::string hint = path_.empty() ? "Restart pgsteward if this is the right server."
                                         : "If this is the right server, remove " + path_ + ".";
  if (system_identifier != system_identifier_) {
    return Error(Errc::kBadConfig,
                 "this is another cluster than that of the last time (system identifier " +
                     std::to_string(system_identifier) + ", before " +
                     std::to_string(system_identifier_) + ")",
                 {}, hint);
  }
  if (timeline < timeline_) {
    return Error(Errc::kBadConfig,
                 "this server is on timeline " + std::to_string(timeline) + ", and " +
                     std::to_string(timeline_) +
                     " was seen before: it is a primary from before a failover",
                 {}, hint);
  }
  return {};
}

ServerCheck Journal::Check() const {
  return [this](const ServerFacts& facts) {
    return CheckServer(facts.system_identifier, facts.timeline);
  };
}

Task<Result<void>> Journal::Save() {
  if (path_.empty() || use_ == Use::kReadOnly) co_return Result<void>();
  save_again_ = true;
  if (saving_) co_return Result<void>();
  const SavingFlag saving(saving_);
  Result<void> saved;
  while (save_again_) {
    save_again_ = false;
    auto write = [path = path_, text = ToText()] { return WriteFileDurably(path, text); };
    auto written = co_await Offload(runtime_, std::move(write), SteadyNow() + kWriteTimeout);
    saved = written ? *written : Result<void>(Error(Errc::kTimeout, "writing " + path_ + " hangs"));
  }
  co_return saved;
}

}  // namespace pgsteward
