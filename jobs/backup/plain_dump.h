// A dump in plain format as it may be fed to a server: it begins with DROP DATABASE IF EXISTS, and
// whose database that would be nobody knows. Without that, CREATE DATABASE fails where there is
// one.
#pragma once

#include <span>
#include <string>

#include "jobs/backup/stored_stream.h"

namespace pgsteward {

// Pure. The head of a dump with blanks in the place of what drops its database. Of a dump that has
// no such statement in its head, the same.
std::string WithoutDropDatabase(std::string head);

class PlainDump : public StoredStream {
 public:
  // `stream` outlives it.
  explicit PlainDump(StoredStream& stream) : stream_(stream) {}

  Result<std::size_t> Read(std::span<std::byte> into) override;
  std::optional<Error> Fault() override { return stream_.Fault(); }
  std::uint64_t stored_bytes() const override { return stream_.stored_bytes(); }

 private:
  Result<void> ReadHead();

  StoredStream& stream_;
  std::string head_;
  std::size_t given_ = 0;
  bool begun_ = false;
};

}  // namespace pgsteward
