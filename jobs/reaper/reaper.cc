#include <algorithm>

#include "jobs/job.h"
#include "jobs/reaper/reaper_facts.h"
#include "jobs/reaper/reaper_policy.h"
#include "jobs/reaper/reaper_run.h"
#include "jobs/reaper/reaper_text.h"

namespace pgsteward {

namespace {

constexpr std::string_view kModeWords[] = {"observe", "dry_run", "cancel", "terminate"};

constexpr JobOption kOptions[] = {
    {.name = "mode",
     .kind = OptionKind::kWord,
     .fallback = "dry_run",
     .help = "observe: note candidates; dry_run: decide everything and only log it; cancel: end "
             "statements; terminate: end sessions that a cancel does not help.",
     .words = kModeWords},
    {.name = "long_active",
     .kind = OptionKind::kDuration,
     .fallback = "5m",
     .help = "A statement that runs for this long is a candidate; 0s: none is."},
    {.name = "idle_in_tx",
     .kind = OptionKind::kDuration,
     .fallback = "30m",
     .help = "A session that idles in its transaction for this long is a candidate; 0s: none is."},
    {.name = "root_blocker_victims",
     .kind = OptionKind::kInteger,
     .fallback = "5",
     .help = "A session for which so many others wait is a candidate; 0: none is.",
     .most = 200},
    {.name = "root_blocker_after",
     .kind = OptionKind::kDuration,
     .fallback = "1m",
     .help = "For how long each of them must have waited."},
    {.name = "confirm_after",
     .kind = OptionKind::kDuration,
     .fallback = "10s",
     .help = "Candidates must still do the same this long after the first look.",
     .least = 1,
     .most = 600},
    {.name = "cancel_wait",
     .kind = OptionKind::kDuration,
     .fallback = "10s",
     .help = "How long a cancelled statement may take to end before its session is terminated.",
     .least = 1,
     .most = 600},
    {.name = "all_databases",
     .kind = OptionKind::kSwitch,
     .fallback = "false",
     .help = "Also treat sessions of the server's other databases."},
    {.name = "exclude_users",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Users that are spared; * and ? are wildcards."},
    {.name = "exclude_roles",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Roles whose members are spared; * and ? are wildcards."},
    {.name = "exclude_databases",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Databases whose sessions are spared; * and ? are wildcards."},
    {.name = "exclude_applications",
     .kind = OptionKind::kTexts,
     .fallback = "",
     .help = "Values of application_name that are spared; * and ? are wildcards."},
    {.name = "max_per_minute",
     .kind = OptionKind::kInteger,
     .fallback = "3",
     .help = "Statements and sessions to be ended within a minute, by all daemons together.",
     .least = 1,
     .most = 1000},
    {.name = "max_per_hour",
     .kind = OptionKind::kInteger,
     .fallback = "10",
     .help = "The same within an hour.",
     .least = 1,
     .most = 10'000},
    {.name = "breaker",
     .kind = OptionKind::kInteger,
     .fallback = "5",
     .help = "With more candidates than this at once nothing is done.",
     .least = 1,
     .most = 1000},
};

ReaperPolicy PolicyOf(const JobOptions& options, int server_version) {
  const auto seconds = [&options](std::string_view name) {
    return static_cast<double>(options.Duration(name).count());
  };
  ReaperPolicy policy;
  policy.mode = FindReaperMode(options.Text("mode")).value();
  policy.long_active_s = seconds("long_active");
  policy.idle_in_tx_s = seconds("idle_in_tx");
  policy.root_blocker_victims = static_cast<int>(options.Integer("root_blocker_victims"));
  policy.root_blocker_s = seconds("root_blocker_after");
  policy.knows_waits = server_version >= 140'000;
  policy.all_databases = options.Switch("all_databases");
  policy.exclude_users = options.Texts("exclude_users");
  policy.exclude_databases = options.Texts("exclude_databases");
  policy.exclude_applications = options.Texts("exclude_applications");
  policy.most_per_minute = static_cast<int>(options.Integer("max_per_minute"));
  policy.most_per_hour = static_cast<int>(options.Integer("max_per_hour"));
  policy.breaker = static_cast<int>(options.Integer("breaker"));
  return policy;
}

Task<Result<void>> RunReaper(JobContext& context, JobReport& report) {
  ReaperPolicy policy = PolicyOf(context.options, context.db.server_version());
  if (!policy.knows_waits && policy.root_blocker_victims > 0) {
    report.details["root_blocker"] = kReaperNoWaits;
  }
  co_return co_await Reap(context, std::move(policy), report);
}

double ThresholdOf(const ReaperPolicy& policy, ReaperRule rule) {
  switch (rule) {
    case ReaperRule::kRootBlocker:
      return policy.root_blocker_s;
    case ReaperRule::kIdleInTx:
      return policy.idle_in_tx_s;
    case ReaperRule::kLongActive:
      return policy.long_active_s;
  }
  return 0;
}

Task<Result<Backlog>> MeasureCandidates(JobSession& db, const JobOptions& options,
                                        const std::string&) {
  auto ability = co_await ReadReaperAbility(db);
  if (!ability) co_return ability.error();
  const ReaperPolicy policy = PolicyOf(options, db.server_version());
  auto able = CheckReaperAbility(*ability, ReaperMode::kObserve);
  if (!able) co_return able.error();
  const std::vector<std::string> roles = options.Texts("exclude_roles");
  auto facts = co_await LookAtSessions(db, roles);
  if (!facts) co_return facts.error();
  const ReaperVerdict verdict = DecideReaping(*facts, policy, {}, nullptr);
  Backlog backlog;
  backlog.rows = static_cast<long long>(verdict.decisions.size());
  for (const ReaperDecision& decision : verdict.decisions) {
    backlog.oldest_age_s =
        std::max(backlog.oldest_age_s, decision.age_s - ThresholdOf(policy, decision.rule));
  }
  co_return backlog;
}

}  // namespace

extern const JobSpec kReaper;
const JobSpec kReaper{
    .name = "reaper",
    .summary = "cancels or terminates sessions that run, idle or block others for too long",
    .schedule = "every 1m",
    .deadline = std::chrono::minutes(5),
    .options = kOptions,
    .run = &RunReaper,
    .backlog = &MeasureCandidates,
};

}  // namespace pgsteward
