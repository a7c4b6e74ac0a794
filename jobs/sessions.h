// Logins one batch after the other, for session_cleanup, and what the table is like.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jobs/batches.h"
#include "jobs/cascades.h"

namespace pgsteward {

inline constexpr char kSessionsTable[] = "public.sessions";

// Conditions on the row s; $1 is the cut-off. NULL in active or last_activity is never due, as in
// the document. An unknown state is taken for active, which is the column's default.
inline constexpr std::string_view kDueSessions =
    "s.active = false AND s.last_activity < $1::timestamptz";
inline constexpr std::string_view kStaleSessions =
    "s.active IS DISTINCT FROM false AND s.last_activity < $1::timestamptz";
inline constexpr std::string_view kSessionHeld =
    "EXISTS (SELECT FROM pgsteward.retention_hold AS h "
    "WHERE h.user_id = s.user_id AND h.until > now())";

struct SessionTable {
  // Triggers that run for a session that is deleted or made inactive, "a, b"; of what goes along
  // with it too.
  std::string triggers;
  // Foreign keys that keep a session from being deleted: "public.logins by logins_session_fkey".
  std::vector<std::string> blockers;
  // One of those speaks only at COMMIT.
  bool deferred = false;
};

// An error with what is in the way: no ordinary table, heirs, rights.
Task<Result<SessionTable>> ReadSessionTable(Database& db, const std::vector<Cascade>& cascades,
                                            bool deactivates);

// Makes sessions inactive, or deletes them.
enum class SessionAction { kDeactivate, kDelete };

class SessionBatches : public BatchWork {
 public:
  SessionBatches(SessionAction action, std::string cutoff, JobContext& context, bool deferred);

  Task<Result<BatchOutcome>> Run(JobSession& db, int size) override;
  void Committed() override;
  Task<Result<void>> Quarantine(JobSession& db) override;
  void Rewind() override;

 private:
  Task<Result<PgResult>> Next(JobSession& db, int size);

  std::string sql_;
  std::string next_sql_;
  std::string cutoff_;
  JobContext& context_;
  bool deferred_;
  std::string time_, id_, next_time_, next_id_;
  std::string refusal_;
  int quarantined_ = 0;
};

}  // namespace pgsteward
