// One loop for everything that waits, one small pool for everything that blocks.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>

namespace pgsteward {

struct Runtime {
  boost::asio::io_context loop{1};
  // PQconnect* (name resolution, certificate files), PQcancel, compression, fsync. A call may hang
  // (a resolver, a frozen server), so there are a few more threads than cores need.
  boost::asio::thread_pool blocking{4};
  // Cancel requests among them that have not come back; shared with the pool's threads.
  std::shared_ptr<std::atomic<int>> cancel_requests = std::make_shared<std::atomic<int>>(0);
  // All calls handed to the pool that have not come back.
  int blocked_calls = 0;
};

// Ends the process with `code` at once when a blocking call hangs (joining the pool would wait for
// it) or a task did not end (`all_ended` false: its frame refers to what would be destroyed). Else
// returns `code`. For the end of main(): nothing that matters may be left to destructors.
int LeaveWith(Runtime& runtime, int code, bool all_ended = true);

}  // namespace pgsteward
