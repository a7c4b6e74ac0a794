// One dump on its way into a file, in one pass: pg_dump's stream is read to its end by the stock
// reader, compressed, encrypted, digested and written. No plaintext touches a disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "core/stream_child.h"
#include "jobs/backup/own_thread.h"

namespace pgsteward {

struct DumpPlan {
  explicit DumpPlan(StreamChildSpec dump) : source(std::move(dump)) {}

  StreamChildSpec source;  // pg_dump or pg_dumpall, to standard output
  // What reads the stream to prove that it can be read (pg_restore -f /dev/null).
  std::vector<std::string> reader = {};
  // Of SQL text, which has no stock reader that only reads: the line with which it ends.
  std::string trailer = {};
  std::vector<std::string> encrypt = {};  // empty: not at all
  int compression_level = 3;
  int compression_threads = 2;
  int nice = 0;
  bool idle_io = false;
  std::string path;  // is made, 0600
};

// Written by the threads of a dump, read by the loop.
class DumpProgress {
 public:
  std::atomic<std::uint64_t> dump_bytes = 0;
  std::atomic<std::uint64_t> stored_bytes = 0;

  void SetTable(std::string table) {
    const std::lock_guard guard(mutex_);
    table_ = std::move(table);
  }
  std::string table() const {
    const std::lock_guard guard(mutex_);
    return table_;
  }

 private:
  mutable std::mutex mutex_;
  std::string table_;  // whose rows come now
};

struct Dumped {
  std::uint64_t dump_bytes = 0;
  std::uint64_t stored_bytes = 0;
  std::string sha256;  // of the file
};

// Blocks, for a thread of its own. Of several children that fail the error names the one that began
// with it. kBusy: pg_dump did not get a lock. The file is synced; after an error it is gone.
Result<Dumped> RunDump(DumpPlan plan, DumpProgress& progress, StopSwitch& stop);

// The first error that a program of PostgreSQL has written, without its prefix; pure.
std::string FirstErrorLine(std::string_view error_output);
// The text ends with that line, or with pg_dump's \unrestrict behind it; pure.
bool EndsWithTrailer(std::string_view text, std::string_view trailer);

}  // namespace pgsteward
