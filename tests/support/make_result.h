// Real PGresults without a server, so that unit tests run the true row mapper.
#pragma once

#include <libpq-fe.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/pg_result.h"

namespace pgsteward {

using ResultRow = std::vector<std::optional<std::string>>;  // empty is NULL

inline PgResult MakeResult(std::vector<std::string> columns, const std::vector<ResultRow>& rows) {
  PGresult* made = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  PgResult result(made);
  std::vector<PGresAttDesc> attributes;
  for (std::string& column : columns) {
    attributes.push_back({column.data(), 0, 0, 0, 25 /* text */, -1, -1});
  }
  if (PQsetResultAttrs(made, static_cast<int>(columns.size()), attributes.data()) == 0) {
    throw std::runtime_error("PQsetResultAttrs failed");
  }
  for (int row = 0; row < static_cast<int>(rows.size()); ++row) {
    ResultRow values = rows[static_cast<std::size_t>(row)];
    if (values.size() != columns.size()) throw std::runtime_error("row and columns differ in size");
    for (int column = 0; column < static_cast<int>(columns.size()); ++column) {
      auto& value = values[static_cast<std::size_t>(column)];
      const int size = value ? static_cast<int>(value->size()) : -1;
      if (PQsetvalue(made, row, column, value ? value->data() : nullptr, size) == 0) {
        throw std::runtime_error("PQsetvalue failed");
      }
    }
  }
  return result;
}

}  // namespace pgsteward
