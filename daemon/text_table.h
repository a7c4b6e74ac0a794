// Columns for terminals: pure.
#pragma once

#include <string>
#include <vector>

namespace pgsteward {

using TableRow = std::vector<std::string>;

// Columns as wide as their longest cell, no spaces at the end of a line. Cells are harmless lines;
// all rows have as many as the first.
std::string AlignedTable(const std::vector<TableRow>& rows);

}  // namespace pgsteward
