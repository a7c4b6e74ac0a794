// A local file that keeps the truth of one server's jobs while its database cannot be reached: ends
// of runs that could not be told yet, the last known states for the metrics, and which server it
// was.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/runtime.h"
#include "core/task.h"
#include "jobs/runner/lease.h"
#include "jobs/runner/run_record.h"

namespace pgsteward {

class Journal {
 public:
  enum class Use { kOwn, kReadOnly };

  // An empty path keeps everything in memory only, and so does kReadOnly: somebody else's file.
  Journal(Runtime& runtime, std::string path, Use use = Use::kOwn);

  // Reads the file; one that is absent is an empty journal, one that cannot be understood is kept
  // aside as <path>.broken and is an error to be shown.
  Result<void> Load();
  // The same for those who only look at a daemon's file: a broken one stays where it is.
  Result<void> Peek();

  // Ends of runs that the database does not know yet, the oldest first.
  const std::vector<RunRecord>& untold() const { return untold_; }
  void AddUntold(const RunRecord& record) { untold_.push_back(record); }
  void Told(const std::string& run_id);

  // Of the last time that the database was asked.
  const std::vector<JobState>& states() const { return states_; }
  void SetStates(std::vector<JobState> states) { states_ = std::move(states); }

  // The server that jobs ran on last; 0: none yet.
  std::int64_t system_identifier() const { return system_identifier_; }
  int timeline() const { return timeline_; }
  void SetServer(std::int64_t system_identifier, int timeline);
  // kBadConfig: another cluster than that, or a primary from before a failover.
  Result<void> CheckServer(std::int64_t system_identifier, int timeline) const;
  // The same as a function that lives as long as the journal.
  ServerCheck Check() const;

  // Writes the file, on the pool. Of several calls at once the last one's content stays.
  Task<Result<void>> Save();

  // The content of the file.
  std::string ToText() const;

 private:
  Result<void> Parse(const std::string& text);

  Runtime& runtime_;
  std::string path_;
  Use use_;
  std::vector<RunRecord> untold_;
  std::vector<JobState> states_;
  std::int64_t system_identifier_ = 0;
  int timeline_ = 0;
  bool saving_ = false;
  bool save_again_ = false;
};

}  // namespace pgsteward
