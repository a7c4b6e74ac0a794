// Walking the archive in the order of (created_at, id), a bounded piece of it at a time.
#pragma once

#include <limits>
#include <string>
#include <string_view>

#include "core/pg_connection.h"

namespace pgsteward {

// Where a walk begins, where it ends, and where it is. Timestamps as timestamptz text.
class ArchiveWalk {
 public:
  // `columns`, besides tableoid, ctid, id and created_at those that the conditions need, follow a
  // comma each: ", m.session_id".
  ArchiveWalk(std::string from, std::string until, std::string columns)
      : from_(std::move(from)), until_(std::move(until)), columns_(std::move(columns)) {}

  // Statement text "WITH scan AS (...), locked AS (...)", to be followed by what is done with the
  // rows of `locked` (table oid t, ctid c, id, created_at); LockedSql() names them in a WHERE.
  //   scan    the next `size` rows of the walk of which `only` holds: a condition for an index
  //   chosen  those of them of which `filter` holds, the first `most`
  //   locked  those of them that nobody else holds
  // A long stretch without a chosen row so costs a batch and no endless statement. The conditions
  // speak of the row as m; their parameters begin at $5.
  std::string Sql(std::string_view only, std::string_view filter,
                  long long most = std::numeric_limits<long long>::max()) const;
  // "m.ctid = ...": the row m of public.messages_archive is one of `locked`.
  static std::string LockedSql();
  // Columns of the last SELECT: seen, chosen, locked, the last row's created_at and id.
  static std::string_view CountsSql();

  // $1 to $4.
  PgValues Values(int size) const;
  // Behind the row (created_at, id).
  void MoveTo(std::string created_at, std::string id);
  // To another stretch of time.
  void Restart(std::string from, std::string until);
  void Rewind() { id_.clear(); }

 private:
  std::string from_;
  std::string until_;
  std::string columns_;
  std::string at_;  // of the cursor, when there is an id_
  std::string id_;
};

}  // namespace pgsteward
