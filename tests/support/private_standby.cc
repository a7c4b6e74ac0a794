#include "tests/support/private_standby.h"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace pgsteward {

namespace {

PrivatePostgresOptions Options(const PrivatePostgres& primary, PrivateStandbyOptions options) {
  PrivatePostgresOptions all;
  all.tcp = options.tcp;
  all.settings = std::move(options.settings);
  all.standby_of = primary.Conninfo() + " application_name=" + options.name;
  return all;
}

}  // namespace

PrivateStandby::PrivateStandby(const PrivatePostgres& primary, PrivateStandbyOptions options)
    : PrivatePostgres(Options(primary, std::move(options))) {}

void PrivateStandby::CatchUp(const PrivatePostgres& primary) const {
  const std::string end = primary.Value("SELECT pg_current_wal_insert_lsn()");
  // With synchronous_commit off it may not be written yet, and only then it is sent.
  primary.Exec("CHECKPOINT");
  PgClient client = Connect();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (client.Value("SELECT pg_last_wal_replay_lsn() >= '" + end + "'") != "t") {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("standby is behind");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void PrivateStandby::Promote() const {
  PgClient client = Connect();
  if (client.Value("SELECT pg_promote(true, 30)") != "t") throw std::runtime_error("not promoted");
}

}  // namespace pgsteward
