// The rows that a request for messages from the archive means, as SQL.
#pragma once

#include <string>
#include <vector>

#include "jobs/archive/archive_tables.h"
#include "jobs/archive/archive_walk.h"
#include "jobs/archive/unarchive_request.h"
#include "jobs/job.h"

namespace pgsteward {

struct UnarchiveScope {
  UnarchiveRequest request;
  // As timestamptz text; from and to may be infinite.
  std::string from = "-infinity";
  std::string to = "infinity";
  std::string until;
  std::string reason;  // of the holds
  // What rows go back into public.messages with; all but what the server computes there.
  std::vector<std::string> columns;
  std::string conflict_target;  // "\"id\""
  std::string catalog;          // ArchiveFacts::catalog

  ArchiveWalk Walk() const;
  // $5 to $9 of the conditions below, behind those of the walk: chat, user, run, until, reason.
  PgValues Values(const ArchiveWalk& walk, int size) const;
  // For an index. Names $5 and $6.
  std::string OnlySql() const;
  // Names $7.
  std::string RunSql() const;
  // Rows that can come back: their chat and user are there, they are not set aside.
  static std::string RestorableSql();
};

// Checks the arguments, the tables and the rights. kBadConfig: a time that is none, from not before
// to, until not in the future.
Task<Result<UnarchiveScope>> ReadUnarchiveScope(JobContext& context);

// The statement's parameters that it may not mention have types all the same.
inline constexpr std::string_view kUnarchiveTypesSql =
    "($5::uuid IS NULL OR true) AND ($6::uuid IS NULL OR true) AND ($7::uuid IS NULL OR true) AND "
    "($8::timestamptz IS NULL OR true) AND ($9::text IS NULL OR true)";

}  // namespace pgsteward
