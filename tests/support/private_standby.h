// A streaming standby of a PrivatePostgres, to fail over to.
#pragma once

#include "tests/support/private_postgres.h"

namespace pgsteward {

struct PrivateStandbyOptions {
  bool tcp = false;
  std::string name = "standby";  // its application_name in pg_stat_replication
  std::vector<std::string> settings = {};
};

// Copied from the running primary and started; everything else as for its base. The primary may
// stop or go before it.
class PrivateStandby : public PrivatePostgres {
 public:
  explicit PrivateStandby(const PrivatePostgres& primary, PrivateStandbyOptions options = {});

  // Waits until it has replayed everything that the primary has written up to now; throws when it
  // has not within 10 s.
  void CatchUp(const PrivatePostgres& primary) const;
  // A primary on a timeline of its own when it returns.
  void Promote() const;
};

}  // namespace pgsteward
