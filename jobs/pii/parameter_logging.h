// Keeps parameters of our statements out of the server's log. The decision is pure.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/pg_session.h"

namespace pgsteward {

struct LogSetting {
  std::string name;
  std::string value;
  bool may_set = false;  // by our role, with SET
};

struct Silencing {
  // Settings of the transaction that keep parameters out: for TransactionSettings::local.
  std::vector<std::pair<std::string, std::string>> local;
  // What would log them and may not be set by us; empty: nothing.
  std::string leak;
};

Silencing SilenceParameters(std::span<const LogSetting> settings);

// The settings that decide, with their values in the open transaction or, outside one, of the
// session.
Task<Result<std::vector<LogSetting>>> ReadLogSettings(Database& db);

}  // namespace pgsteward
