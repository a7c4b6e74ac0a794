#include "jobs/vacuum_choice.h"

#include <algorithm>
#include <utility>

namespace pgsteward {

namespace {

bool IsChurned(const TableChurn& table, const ChurnPolicy& policy) {
  const auto dead = static_cast<double>(table.dead);
  const auto all = static_cast<double>(table.live + table.dead);
  return table.dead > policy.dead_rows && dead >= policy.dead_fraction * all &&
         (!table.vacuumed_s || *table.vacuumed_s >= policy.not_within_s);
}

}  // namespace

VacuumChoice ChooseListed(std::span<const TableChurn> tables) {
  VacuumChoice choice;
  for (const TableChurn& table : tables) {
    if (!table.exists) {
      choice.passed_over.push_back(table.table + ": there is no such table");
    } else if (table.vacuum_running) {
      choice.passed_over.push_back(table.table + ": a vacuum of it is running");
    } else {
      choice.chosen.push_back(table);
    }
  }
  return choice;
}

VacuumChoice ChooseChurned(std::span<const TableChurn> tables, const ChurnPolicy& policy) {
  std::vector<TableChurn> churned;
  for (const TableChurn& table : tables) {
    if (IsChurned(table, policy)) churned.push_back(table);
  }
  std::sort(churned.begin(), churned.end(), [](const TableChurn& a, const TableChurn& b) {
    return std::pair(-a.dead, a.table) < std::pair(-b.dead, b.table);
  });
  VacuumChoice choice = ChooseListed(churned);
  for (std::size_t at = policy.most_tables; at < choice.chosen.size(); ++at) {
    choice.passed_over.push_back(choice.chosen[at].table + ": left for the next run");
  }
  if (choice.chosen.size() > policy.most_tables) choice.chosen.resize(policy.most_tables);
  return choice;
}

}  // namespace pgsteward
