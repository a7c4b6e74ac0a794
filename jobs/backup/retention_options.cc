#include "jobs/backup/retention_options.h"

namespace pgsteward {

RetentionPolicy RetentionPolicyOf(const JobOptions& options) {
  const auto count = [&](std::string_view name) { return static_cast<int>(options.Integer(name)); };
  RetentionPolicy policy;
  policy.keep_last = count("keep_last");
  policy.keep_within = options.Duration("keep_within");
  policy.daily = count("keep_daily");
  policy.weekly = count("keep_weekly");
  policy.monthly = count("keep_monthly");
  policy.yearly = count("keep_yearly");
  policy.keep_dropped = options.Duration("keep_dropped");
  policy.min_keep = count("min_keep");
  policy.freeze_after = options.Duration("freeze_after");
  policy.freeze_failures = count("freeze_failures");
  return policy;
}

AnomalyPolicy AnomalyPolicyOf(const JobOptions& options) {
  AnomalyPolicy policy;
  policy.drop = options.Number("anomaly_drop");
  policy.least_rows = options.Integer("anomaly_rows");
  policy.ignored = options.Texts("anomaly_ignore");
  return policy;
}

}  // namespace pgsteward
