#include "jobs/archive/archive_preflight.h"

#include "jobs/cutoff.h"

namespace pgsteward {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

Task<Result<ArchivePreflight>> Prepare(JobSession& db, const std::string& time_zone,
                                       const std::string& older_than,
                                       const std::string& trigger_mode) {
  auto facts = co_await ReadArchiveFacts(db);
  if (!facts) co_return facts.error();
  ShapeReport report = CheckShape(*facts);
  if (!report.problems.empty()) co_return ErrorOf(report.problems);

  auto triggers = co_await ReadTriggers(db);
  if (!triggers) co_return triggers.error();
  auto choice = ChooseTriggerMode(*triggers, trigger_mode);
  if (!choice) co_return choice.error();
  report.problems = CheckMode(*facts, choice->mode == TriggerMode::kRespect,
                              choice->mode == TriggerMode::kReplica);
  if (!report.problems.empty()) co_return ErrorOf(report.problems);

  auto cutoff = co_await ReadCutoff(db, time_zone, older_than);
  if (!cutoff) co_return cutoff.error();
  ArchivePreflight ready;
  ready.shape = ShapeOf(*facts);
  ready.triggers = std::move(*choice);
  ready.cutoff = std::move(*cutoff);
  ready.walkable = facts->live.HasWalkable({"created_at"});
  ready.can_maintain = facts->live.can_maintain;
  ready.warnings = std::move(report.warnings);
  co_return ready;
}

}  // namespace

Error ErrorOf(const std::vector<ShapeFinding>& problems) {
  std::string text;
  std::string hints;
  for (const ShapeFinding& problem : problems) {
    text += (text.empty() ? "" : "; ") + problem.text;
    if (hints.find(problem.hint) != std::string::npos) continue;
    hints += (hints.empty() ? "" : " ") + problem.hint;
  }
  return Error(Errc::kQueryFailed, std::move(text), {}, std::move(hints));
}

Task<Result<ArchivePreflight>> PrepareArchive(JobSession& db, const std::string& time_zone,
                                              const std::string& older_than,
                                              const std::string& trigger_mode) {
  TransactionSettings settings(kTimeout);
  settings.read_only = true;
  auto begun = co_await db.Begin(settings);
  if (!begun) co_return begun.error();
  auto ready = co_await Prepare(db, time_zone, older_than, trigger_mode);
  co_await db.Rollback();
  co_return ready;
}

}  // namespace pgsteward
