// How GoogleTest shows our enumerations when a comparison fails.
#pragma once

#include <ostream>

#include "core/error.h"
#include "core/pg_error.h"

namespace pgsteward {

inline void PrintTo(Errc code, std::ostream* out) { *out << ErrcName(code); }
inline void PrintTo(ServerState state, std::ostream* out) { *out << ServerStateName(state); }

}  // namespace pgsteward
