#include "core/random.h"

#include <random>

namespace pgsteward {

namespace {

constexpr char kHex[] = "0123456789abcdef";

}  // namespace

double RandomFraction() {
  static std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

std::string RandomHex(std::size_t digits) {
  std::random_device random;
  std::string text;
  while (text.size() < digits) text += kHex[random() & 15];
  return text;
}

std::string RandomUuid() {
  std::string uuid = RandomHex(32);
  uuid[12] = '4';
  uuid[16] = kHex[8 | (uuid[16] & 3)];
  for (const std::size_t at : {8, 13, 18, 23}) uuid.insert(at, 1, '-');
  return uuid;
}

}  // namespace pgsteward
