// Which tables a run of vacuum_analyze takes. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pgsteward {

struct TableChurn {
  std::string table;  // "public.messages", quoted as in SQL
  long long live = 0;
  long long dead = 0;
  // Since the last VACUUM of anybody; empty: never since the statistics began.
  std::optional<double> vacuumed_s = {};
  bool vacuum_running = false;
  bool exists = true;
};

struct ChurnPolicy {
  long long dead_rows = 0;   // more than this
  double dead_fraction = 0;  // and at least this part of all rows
  double not_within_s = 0;   // and not vacuumed since
  std::size_t most_tables = 0;
};

struct VacuumChoice {
  std::vector<TableChurn> chosen;
  // "public.messages: a vacuum of it is running", of tables that would have been chosen
  std::vector<std::string> passed_over;
};

// The neediest first: by dead rows, then by name.
VacuumChoice ChooseChurned(std::span<const TableChurn> tables, const ChurnPolicy& policy);
// What a person listed, in that order.
VacuumChoice ChooseListed(std::span<const TableChurn> tables);

}  // namespace pgsteward
