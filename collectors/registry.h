// The table of all collectors.
#pragma once

#include <span>
#include <string_view>

#include "collectors/collector.h"

namespace pgsteward {

// In alphabetical order of names.
std::span<const CollectorSpec* const> AllCollectors();
// nullptr when there is none.
const CollectorSpec* FindCollector(std::string_view name);

}  // namespace pgsteward
