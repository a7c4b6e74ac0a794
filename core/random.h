// Chance, for back-offs that must not come together.
#pragma once

namespace pgsteward {

// Uniform in [0, 1). Not for secrets. For the loop's thread only.
double RandomFraction();

}  // namespace pgsteward
