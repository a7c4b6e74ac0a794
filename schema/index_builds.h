// CREATE INDEX CONCURRENTLY, one at a time, and what an interrupted one leaves behind.
#pragma once

#include <string>
#include <vector>

#include "schema/apply_session.h"
#include "schema/versions.h"

namespace pgsteward {

enum class IndexState { kMissing, kInvalid, kValid };

Task<Result<IndexState>> FindIndex(Database& db, ConcurrentIndex index, Duration timeout);

// The statement that takes an invalid index away.
std::string DropIndexSql(const ConcurrentIndex& index);

// Builds what is invalid, and with `missing` also what is missing; the number of indexes built.
Task<Result<int>> BuildIndexes(ApplySession& session, const SchemaVersion& version, bool missing);

}  // namespace pgsteward
