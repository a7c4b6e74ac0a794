// What `pgsteward schema` prints: pure.
#pragma once

#include <string>
#include <vector>

#include "schema/apply.h"
#include "schema/check.h"
#include "schema/status.h"

namespace pgsteward {

std::string StatusTable(const SchemaStatus& status);
std::string StatusJson(const SchemaStatus& status);

std::string CheckTable(const SchemaCheck& check);
std::string CheckJson(const SchemaCheck& check);

// With `sql`, the statements too: a script for psql, comments between them.
std::string PlanText(const std::vector<PlannedStep>& steps, bool sql);

// "1 version", "3 versions".
std::string Counted(std::size_t count, const std::string& noun);

}  // namespace pgsteward
