#include "jobs/job.h"

#include <array>
#include <utility>

namespace pgsteward {

namespace {

constexpr std::array<std::pair<RunStatus, std::string_view>, 7> kNames = {{
    {RunStatus::kRunning, "running"},
    {RunStatus::kOk, "ok"},
    {RunStatus::kPartial, "partial"},
    {RunStatus::kFailed, "failed"},
    {RunStatus::kSkipped, "skipped"},
    {RunStatus::kCancelled, "cancelled"},
    {RunStatus::kAborted, "aborted"},
}};

}  // namespace

std::string_view RunStatusName(RunStatus status) {
  for (const auto& [each, name] : kNames) {
    if (each == status) return name;
  }
  return "";
}

std::optional<RunStatus> FindRunStatus(std::string_view name) {
  for (const auto& [status, each] : kNames) {
    if (each == name) return status;
  }
  return std::nullopt;
}

}  // namespace pgsteward
