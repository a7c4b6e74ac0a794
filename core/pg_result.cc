#include "core/pg_result.h"

#include <limits>

namespace pgsteward {

int PgResult::FindColumn(std::string_view name) const {
  // Not PQfnumber: it folds case and wants quotes.
  for (int column = 0; column < columns(); ++column) {
    if (column_name(column) == name) return column;
  }
  return -1;
}

std::optional<double> PgResult::Number(int row, int column) const {
  if (IsNull(row, column)) return std::nullopt;
  const std::string_view text = Text(row, column);
  if (text == "t") return 1;
  if (text == "f") return 0;
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<long long> PgResult::Integer(int row, int column) const {
  if (IsNull(row, column)) return std::nullopt;
  const std::string_view text = Text(row, column);
  long long value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace pgsteward
