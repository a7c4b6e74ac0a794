#include "core/random.h"

#include <random>

namespace pgsteward {

double RandomFraction() {
  static std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

}  // namespace pgsteward
