// The jobs' part of the configuration.
#pragma once

#include <span>
#include <string>

#include "daemon/config.h"
#include "daemon/config_map.h"

namespace pgsteward {

// jobs, jobs_state_directory, jobs_keep_history, jobs_lease. Servers and the time zone of all are
// read before.
void ReadJobs(ConfigMap& root, const std::string& config_path,
              std::span<const JobSpec* const> types, Config& config);

// The declared options that stand in `map`, which is asked for all of them. `needed`: also
// complains of required ones that have no value.
void ReadJobOptions(ConfigMap& map, const std::string& config_path, bool needed,
                    JobOptions& options);

// A password that stands in the text of an option.
enum class SecretText { kMasked, kPlain };

// The lines of PrintConfig.
std::string PrintJobs(const Config& config, SecretText secrets);

}  // namespace pgsteward
