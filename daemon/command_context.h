// What commands that talk to a database have in common.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/pg_session.h"
#include "daemon/config.h"

namespace pgsteward {

// Loads the configuration; on failure prints all its problems to stderr and is empty.
std::optional<LoadedConfig> LoadOrComplain(const std::string& path);

// The named server, or the first when `name` is empty; null (and a line on stderr) when there is
// none of that name.
const ServerConfig* FindServer(const Config& config, const std::string& name);

// One connection for one command, without a session's owner.
class DirectDatabase : public Database {
 public:
  explicit DirectDatabase(std::unique_ptr<PgConnection> connection)
      : connection_(std::move(connection)) {}
  Task<Result<PgResult>> Query(std::string sql, PgValues values, Duration timeout) override;
  int server_version() const override { return connection_->server_version(); }
  std::string database() const override { return connection_->database(); }
  PgConnection& connection() { return *connection_; }

 private:
  std::unique_ptr<PgConnection> connection_;
};

// "pgsteward: <what>: <error> ..." on stderr.
void Complain(std::string_view what, const Error& error);

}  // namespace pgsteward
