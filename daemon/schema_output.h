// What `pgsteward schema` prints: pure.
#pragma once

#include <string>
#include <vector>

#include "schema/apply.h"
#include "schema/check.h"
#include "schema/status.h"

namespace pgsteward {

// One of each component.
std::string StatusTable(const std::vector<SchemaStatus>& components);
std::string StatusJson(const std::vector<SchemaStatus>& components);

std::string CheckTable(const std::vector<SchemaCheck>& components);
std::string CheckJson(const std::vector<SchemaCheck>& components);

// With `sql`, the statements too: a script for psql, comments between them.
std::string PlanText(const std::vector<PlannedStep>& steps, bool sql);

// "1 version", "3 versions".
std::string Counted(std::size_t count, const std::string& noun);

}  // namespace pgsteward
