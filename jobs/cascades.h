// What a DELETE takes along through foreign keys.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "jobs/job.h"

namespace pgsteward {

// A table whose rows go, or lose their reference, when rows of another table are deleted.
struct Cascade {
  std::string table;       // "public.artifacts", quoted as in SQL; of a partition: its root
  std::string from;        // whose deleted rows do it
  std::string constraint;  // the foreign key's name
  std::string action;      // "cascade", "set null", "set default"
  // Its triggers for this, "trigger_name, ..."; empty: none. They run for rows nobody named.
  std::string triggers;

  // "public.artifacts (set null of public.chat_sessions by artifacts_session_id_fkey)"
  std::string Text() const;
};

// Everything that deleting from `table` ("public.sessions") reaches: through ON DELETE CASCADE from
// table to table, with partitions and inheriting tables on both sides, ordered by name. SET NULL
// and SET DEFAULT are reached and lead no further.
Task<Result<std::vector<Cascade>>> ReadCascades(Database& db, std::string table);

// An error with all tables that are reached and not in `named` ("artifacts" means
// public.artifacts). Pure.
Result<void> CheckCascades(const std::string& table, std::span<const Cascade> cascades,
                           std::span<const std::string> named);

}  // namespace pgsteward
