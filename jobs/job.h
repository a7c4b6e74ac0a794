// What a job is: a name, options, and a function that does one run. Schedule, leases, deadline,
// retries, history, metrics and log lines belong to the runner.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/metrics.h"
#include "core/process.h"
#include "core/runtime.h"
#include "core/task.h"
#include "jobs/job_options.h"
#include "jobs/job_session.h"

namespace pgsteward {

// How a run ended: column `status` of pgsteward.job_run.
enum class RunStatus {
  kRunning,
  kOk,
  kPartial,    // stopped at a safe point with work left, or left rows aside; the reason says why
  kFailed,     // an error
  kSkipped,    // did not begin: the reason says why
  kCancelled,  // by a person, or by the next run (overlap: cancel_previous)
  kAborted,    // its process or connection went away without a word
};
std::string_view RunStatusName(RunStatus status);  // "ok"
std::optional<RunStatus> FindRunStatus(std::string_view name);

// What a run did, or in a dry run would do.
struct JobReport {
  RunStatus status = RunStatus::kOk;
  std::string
      reason;  // of everything but ok: a word and, after a colon, what a person wants to know
  long long rows_done = 0;
  long long rows_skipped = 0;      // left because somebody holds them
  long long rows_quarantined = 0;  // left because they cannot be handled; pgsteward.quarantine
  int batches = 0;
  std::string cutoff;                          // timestamptz text, empty where there is none
  std::map<std::string, std::string> details;  // job's own facts, for the history
  std::vector<std::string> plan;               // of a dry run: what would be done, a line each
};

// What a run may ask of its runner and must tell it. Tests have a fake (tests/jobs/fake_control.h).
class RunControl {
 public:
  virtual ~RunControl() = default;
  // Why the run must end at its next safe point, empty to go on: "deadline", "window", "paused",
  // "shutdown", "lease_lost", "cancelled".
  virtual std::string StopReason() = 0;
  // The first statement of each transaction that changes anything: kBusy when somebody else has
  // taken over, and then the transaction must be rolled back and the run ended.
  virtual Task<Result<void>> Fence(JobSession& db) = 0;
  // Returns at once while all throttle gates are open, else waits until they are, or until
  // StopReason() says something. Call between batches.
  virtual Task<void> Throttle() = 0;
  // After each batch, to be shown: on metrics, on the terminal.
  virtual void Progress(const JobReport& so_far) = 0;
  // A step of which a person reading along wants to know ("vacuum public.messages").
  virtual void Note(const std::string& text) = 0;
};

struct JobContext {
  Runtime& runtime;
  JobSession& db;  // open
  const JobOptions& options;
  RunControl& control;
  std::string job;        // its name in the configuration
  std::string run_id;     // a UUID
  std::string time_zone;  // of calendar days
  bool dry_run = false;   // change nothing, fill report.plan
  // Arguments of this one run (`job run NAME --arg name=value`), for jobs that take some.
  std::map<std::string, std::string> arguments = {};
  std::string server = {};  // its name in the configuration
};

// An error fails the run; kBusy of Fence() included. What was done until then is in `report`.
using JobFunction = Task<Result<void>> (*)(JobContext& context, JobReport& report);

struct Backlog {
  long long rows = 0;       // that a run would handle now
  double oldest_age_s = 0;  // how long the oldest of them is overdue
};
// Reads only; bounded: an estimate is better than a long scan.
using BacklogFunction = Task<Result<Backlog>> (*)(JobSession& db, const JobOptions& options,
                                                  const std::string& time_zone);

// What a job's metrics of its own subject are made from.
struct SubjectContext {
  Runtime& runtime;
  const JobOptions& options;
  std::string server;  // its name in the configuration
  std::string job;     // its name in the configuration
};
// Families about what the job looks after (backups that lie in a folder), independent of its runs:
// the daemon reads them from its start on, every minute, also while the database is away. Samples
// without the labels server and job_name; those are added.
using SubjectFunction = Task<Result<Families>> (*)(SubjectContext context);

struct JobSpec {
  std::string_view name;                 // the word: file, configuration type, docs section
  std::string_view summary;              // for people, one line
  std::string_view schedule = "manual";  // default
  std::chrono::seconds deadline{3600};   // default
  std::span<const JobOption> options = {};
  // Names of arguments of one run.
  std::span<const std::string_view> arguments = {};
  // Never at the same time as another job of the same group. Default.
  std::span<const std::string_view> groups = {};
  // An option by which no two jobs of this type and of one server may be equal.
  std::string_view sole_option = {};
  // Destroys or moves rows: a first run, or one whose options that define what is destroyed have
  // changed, needs a person's word.
  bool needs_confirmation = false;
  // Works in batches, so that throttle gates (throttle.h) can hold it in between; the table that
  // must not be under VACUUM meanwhile, "public.messages". Empty: it knows no gates.
  std::string_view throttle_table = {};
  JobFunction run = nullptr;
  BacklogFunction backlog = nullptr;
  SubjectFunction subject = nullptr;
};

}  // namespace pgsteward
