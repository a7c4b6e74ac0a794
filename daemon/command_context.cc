#include "daemon/command_context.h"

#include <iostream>

namespace pgsteward {

std::optional<LoadedConfig> LoadOrComplain(const std::string& path) {
  auto loaded = LoadConfig(path);
  if (loaded) return std::move(*loaded);
  for (const ConfigProblem& problem : loaded.error()) std::cerr << problem.ToText() << "\n";
  return std::nullopt;
}

const ServerConfig* FindServer(const Config& config, const std::string& name) {
  if (name.empty()) return &config.servers.front();
  std::string known;
  for (const ServerConfig& server : config.servers) {
    if (server.name == name) return &server;
    known += (known.empty() ? "" : ", ") + server.name;
  }
  std::cerr << "pgsteward: no server \"" << name << "\" in the configuration; it has: " << known
            << "\n";
  return nullptr;
}

Task<Result<PgResult>> DirectDatabase::Query(std::string sql, PgValues values, Duration timeout) {
  co_return co_await connection_->Query(std::move(sql), std::move(values), timeout);
}

void Complain(std::string_view what, const Error& error) {
  std::cerr << "pgsteward: " << what << ": " << ToText(error) << "\n";
}

}  // namespace pgsteward
