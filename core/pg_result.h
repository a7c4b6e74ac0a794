// Rows of a query. The only homes of libpq are the core/pg_* files.
#pragma once

#include <libpq-fe.h>

#include <charconv>
#include <concepts>
#include <memory>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace pgsteward {

// Owns a PGresult in text format. Rows and columns count from 0.
class PgResult {
 public:
  PgResult() = default;
  explicit PgResult(PGresult* result) : result_(result) {}

  int rows() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  std::string_view column_name(int column) const { return PQfname(result_.get(), column); }
  // -1 when there is no such column.
  int FindColumn(std::string_view name) const;
  // "INSERT 0 5" and the like.
  std::string_view command_tag() const { return PQcmdStatus(result_.get()); }

  bool IsNull(int row, int column) const { return PQgetisnull(result_.get(), row, column) == 1; }
  // "" for NULL.
  std::string_view Text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }
  // Empty for NULL, for true/false 1/0, and for text that is not a number.
  std::optional<double> Number(int row, int column) const;
  std::optional<long long> Integer(int row, int column) const;
  bool Bool(int row, int column) const { return Text(row, column) == "t"; }

  const PGresult* get() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

}  // namespace pgsteward
