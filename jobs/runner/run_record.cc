#include "jobs/runner/run_record.h"

#include <cstdlib>

#include "jobs/runner/store_values.h"

namespace pgsteward {

FlatObject ToFlat(const RunRecord& record) {
  FlatObject flat;
  flat["run_id"] = record.run_id;
  flat["job"] = record.job;
  flat["trigger"] = TriggerName(record.trigger);
  flat["type"] = record.type;
  flat["due"] = EpochText(record.due).value_or("");
  flat["attempt"] = std::to_string(record.attempt);
  flat["host"] = record.host;
  flat["pid"] = std::to_string(record.pid);
  flat["holder"] = record.holder;
  flat["epoch"] = std::to_string(record.epoch);
  flat["timeline"] = std::to_string(record.timeline);
  flat["started"] = *EpochText(record.started);
  flat["finished"] = *EpochText(record.finished);
  flat["status"] = RunStatusName(record.report.status);
  flat["reason"] = record.report.reason;
  flat["cutoff"] = record.report.cutoff;
  flat["rows_done"] = std::to_string(record.report.rows_done);
  flat["rows_skipped"] = std::to_string(record.report.rows_skipped);
  flat["rows_quarantined"] = std::to_string(record.report.rows_quarantined);
  flat["batches"] = std::to_string(record.report.batches);
  flat["throttled"] = JsonNumbers(record.throttled);
  flat["details"] = FlatJson(record.report.details);
  flat["error_sqlstate"] = record.error_sqlstate;
  flat["error_text"] = record.error_text;
  flat["retry_at"] = EpochText(record.retry_at).value_or("");
  flat["accepted_plan"] = record.accepted_plan;
  return flat;
}

Result<RunRecord> RunFromFlat(const FlatObject& object) {
  const auto text = [&object](const char* name) {
    const auto found = object.find(name);
    return found == object.end() ? std::string() : found->second;
  };
  const auto time = [&text](const char* name) { return TimeOfEpoch(text(name)); };
  RunRecord record;
  record.run_id = text("run_id");
  record.job = text("job");
  const auto status = FindRunStatus(text("status"));
  const auto details = ParseFlatJson(text("details"));
  if (record.run_id.empty() || record.job.empty() || !status || !details) {
    return Error(Errc::kQueryFailed, "not the end of a run");
  }
  record.trigger = FindTrigger(text("trigger")).value_or(Trigger::kManual);
  record.type = text("type");
  record.due = time("due");
  record.attempt = std::atoi(text("attempt").c_str());
  record.host = text("host");
  record.pid = std::atoi(text("pid").c_str());
  record.holder = text("holder");
  record.epoch = std::atoll(text("epoch").c_str());
  record.timeline = std::atoi(text("timeline").c_str());
  record.started = time("started").value_or(WallTime());
  record.finished = time("finished").value_or(WallTime());
  record.report.status = *status;
  record.report.reason = text("reason");
  record.report.cutoff = text("cutoff");
  record.report.rows_done = std::atoll(text("rows_done").c_str());
  record.report.rows_skipped = std::atoll(text("rows_skipped").c_str());
  record.report.rows_quarantined = std::atoll(text("rows_quarantined").c_str());
  record.report.batches = std::atoi(text("batches").c_str());
  record.throttled = NumbersOf(text("throttled"));
  record.report.details = *details;
  record.error_sqlstate = text("error_sqlstate");
  record.error_text = text("error_text");
  record.retry_at = time("retry_at");
  record.accepted_plan = text("accepted_plan");
  return record;
}

}  // namespace pgsteward
