#include "tests/support/private_postgres.h"

namespace pgsteward {
namespace {

// Few connections, so that the test that takes all of them is quick.
[[maybe_unused]] const auto* const kPostgres = ::testing::AddGlobalTestEnvironment(
    new PostgresEnvironment({.tcp = true, .max_connections = 20}));

}  // namespace
}  // namespace pgsteward
