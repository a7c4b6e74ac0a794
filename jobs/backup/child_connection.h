// How pg_dump and its like connect: by files in memory that only the child sees.
#pragma once

#include <string>

#include "core/fd.h"
#include "core/pg_service.h"
#include "core/stream_child.h"

namespace pgsteward {

class ChildConnection {
 public:
  // `application` is the name of its sessions in pg_stat_activity, `options` are server settings
  // ("-c name=value").
  static Result<ChildConnection> Make(PgService service, const std::string& application,
                                      const std::string& options);

  // Puts the files and the environment into `spec`; needed until the child has started.
  void Lend(StreamChildSpec& spec) const;

 private:
  Fd service_;
  Fd password_;
};

}  // namespace pgsteward
