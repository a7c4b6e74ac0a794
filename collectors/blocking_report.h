// The lock wait tree for people and for scripts.
#pragma once

#include <string>

#include "collectors/blocking_tree.h"

namespace pgsteward {

// Each waiter is shown once, below the blocker that is nearest to a root. Names and queries come
// from the database and may be hostile: control and invisible characters are escaped, and each
// line is cut to `width` columns (0: as long as it is). `color` adds ANSI attributes.
std::string RenderBlockingTree(const BlockingFacts& facts, int width, bool color);

// One object without line breaks, snake_case, with "schema_version".
std::string BlockingJson(const BlockingFacts& facts);

}  // namespace pgsteward
