// What `pgsteward job` prints for people: pure. Values of the database come out harmless.
#pragma once

#include <string>
#include <vector>

#include "daemon/job_due.h"
#include "daemon/job_facts.h"
#include "daemon/job_why_not.h"

namespace pgsteward {

std::string JobTable(const std::vector<JobFacts>& jobs, WallTime now);
std::string JobSheet(const JobFacts& job, WallTime now);
// A run of the history, and the zone in which its times are shown.
struct ShownRun {
  RunRecord run;
  TimeZone zone;
};
std::string HistoryTable(const std::vector<ShownRun>& runs);
// The end of one run.
std::string RunSummary(const RunRecord& run);
// The plan of a dry run; lines keep their indentation.
std::string PlanLines(const std::vector<std::string>& plan);
std::string NextTable(const JobFacts& job, const std::vector<DueTime>& due, WallTime now);
std::string WhyNotText(const JobFacts& job, const WhyNot& why);

// Of a run under way: "12000 rows, 4000 rows/s, 12 batches, 3s; throttled by replica_lag".
std::string ProgressLine(const JobReport& so_far, double seconds, const std::string& throttled_by);

// An option's value on one line; a file, whose content is a secret, by its presence only.
std::string ShownOption(const JobOption& option, const JobOptions& options);

// The same things for programs, see docs/commands.md.
std::string JobsJson(const std::vector<JobFacts>& jobs, WallTime now);
std::string JobJson(const JobFacts& job, WallTime now);
std::string HistoryJson(const std::vector<ShownRun>& runs);
// With the plan of a dry run.
std::string RunJson(const RunRecord& run, const JobFacts& job, bool dry_run);
std::string NextJson(const JobFacts& job, const std::vector<DueTime>& due);
std::string WhyNotJson(const JobFacts& job, const WhyNot& why);

}  // namespace pgsteward
