// One loop for everything that waits, one small pool for everything that blocks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

namespace pgsteward {

struct Runtime {
  boost::asio::io_context loop{1};
  // PQconnect* (name resolution, certificate files), PQcancel, compression, fsync.
  boost::asio::thread_pool blocking{2};
};

}  // namespace pgsteward
