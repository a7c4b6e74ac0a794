// A stored file as the input of one of PostgreSQL's programs. Blocks; for a thread of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/stream_child.h"
#include "jobs/backup/own_thread.h"
#include "jobs/backup/stored_stream.h"

namespace pgsteward {

// Bytes that have gone through since the last call. Called on the thread that works.
using FeedProgress = std::function<void(std::uint64_t)>;

struct Fed {
  std::uint64_t bytes = 0;
  std::string tail;  // the last few hundred of them
};

// Reads the stream to its end without a program.
Result<Fed> ReadThrough(StoredStream& stream, const FeedProgress& progress);
// The whole of it, for small ones: kUnsupported beyond `most` bytes.
Result<std::string> ReadAll(StoredStream& stream, std::size_t most);
// kChildFailed: the program's words. An error of the stream comes before those of the program,
// which can only be its consequence. Nothing is right before the program has ended with 0 and the
// stream with its checks.
Result<Fed> FeedProgram(StoredStream& stream, StreamChildSpec spec, StopSwitch& stop,
                        const FeedProgress& progress);
// The same with a text.
Result<void> FeedText(std::string_view text, StreamChildSpec spec, StopSwitch& stop);

// Our environment for PostgreSQL's programs: nothing of libpq's, English messages, and no setting
// of a database or role in force that keeps its sessions from writing.
std::vector<std::string> PgProgramEnvironment();

// The end of a plain dump of a database, or of pg_dumpall --globals-only: a text that was cut off
// has none, and psql would not mind.
bool HasDumpTrailer(std::string_view tail);
bool HasGlobalsTrailer(std::string_view tail);

}  // namespace pgsteward
