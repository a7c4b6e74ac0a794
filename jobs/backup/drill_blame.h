// Whether a failure of a restore is the backup's, or this machine's. Pure.
#pragma once

#include <optional>

#include "core/error.h"

namespace pgsteward {

// The error as one of this machine, with what to do about it; empty: the backup's.
std::optional<Error> BlameOnMachine(const Error& error);

}  // namespace pgsteward
