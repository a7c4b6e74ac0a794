// Who may do what, among all daemons and commands that look after one database: rows of
// pgsteward.lease. Transactions only, so that a pooler may lie between; the database's clock
// counts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "jobs/job_session.h"

namespace pgsteward {

// "host:pid:nonce", another one in each process.
std::string LeaseHolder();

// A lease that we hold. An epoch is never used twice for a name.
struct LeaseGrant {
  std::string name;
  std::int64_t epoch = 0;
};

// What the server is, as far as jobs must know.
struct ServerFacts {
  bool in_recovery = false;
  bool read_only = false;
  bool has_tables = false;  // pgsteward's own schema
  std::int64_t system_identifier = 0;
  int timeline = 0;  // 0 in recovery
};
Task<Result<ServerFacts>> ReadServerFacts(Database& db);

// Whether this is the server that is meant: the same cluster, not a primary from before a failover.
using ServerCheck = std::function<Result<void>(const ServerFacts&)>;
// Connects where that is needed, to a server on which jobs may run: a primary, writable, with
// pgsteward's tables, that `check` accepts. Closed again after an error.
Task<Result<ServerFacts>> OpenPrimary(JobSession& db, const ServerCheck& check);

// Takes all of `names` or none, for `ttl` from now. To be called in an open transaction, which must
// be rolled back on an error; whoever waits for one of the names goes on when it ends. kBusy: one
// is held, the message names its holder and since when. Waits for a transaction that an earlier
// holder has fenced and not yet ended, at most the transaction's lock_timeout.
Task<Result<std::vector<LeaseGrant>>> AcquireLeases(JobSession& db, std::vector<std::string> names,
                                                    std::string holder, Duration ttl);

// Prolongs those of `grants` that are still ours, and says which: the others are lost.
Task<Result<std::vector<LeaseGrant>>> RenewLeases(JobSession& db, std::vector<LeaseGrant> grants,
                                                  std::string holder, Duration ttl);

// Gives them back, for somebody else to take at once. What is no longer ours is left alone.
Task<Result<void>> ReleaseLeases(JobSession& db, std::vector<LeaseGrant> grants,
                                 std::string holder);

// In an open transaction, before it changes anything: holds the rows until the transaction ends, so
// that nobody can take over before. kBusy: somebody has taken over, or the server is another one
// (a promoted standby).
Task<Result<void>> FenceByLeases(JobSession& db, const std::vector<LeaseGrant>& grants,
                                 const std::string& holder);

// A row of pgsteward.lease, for showing.
struct LeaseRow {
  std::string name;
  std::string holder;
  std::int64_t epoch = 0;
  WallTime acquired_at{};
  WallTime expires_at{};
  bool held = false;  // by the database's clock
};
// Those of `names` that were ever taken, by name.
Task<Result<std::vector<LeaseRow>>> ReadLeases(Database& db, std::vector<std::string> names);

// Keeps grants alive on a connection of its own.
class LeaseKeeper {
 public:
  // The runtime must outlive it. `target` as for any session of jobs.
  // `check`: of each server that it connects to.
  LeaseKeeper(Runtime& runtime, PgTarget target, std::string holder, Duration ttl,
              ServerCheck check);

  // For ever, until cancelled: renews every third of `ttl`.
  Task<void> Run();

  // `asked`: when they were asked for, before that statement was sent.
  void Add(const std::vector<LeaseGrant>& grants, SteadyTime asked);
  void Remove(const std::vector<LeaseGrant>& grants);
  // Still ours as far as we can know without asking: renewed less than `ttl` minus a margin ago.
  bool Holds(const LeaseGrant& grant) const;
  // Notified when a lease is lost.
  Event& lost() { return lost_; }
  const std::string& holder() const { return holder_; }
  Duration ttl() const { return ttl_; }

 private:
  struct Kept {
    LeaseGrant grant;
    SteadyTime trusted_until;
  };
  Task<void> RenewAll();

  JobSession db_;
  std::string holder_;
  Duration ttl_;
  ServerCheck check_;
  std::vector<Kept> kept_;
  Event changed_;
  Event lost_;
};

}  // namespace pgsteward
