// The coroutine type of the whole program.
#pragma once

#include <boost/asio/awaitable.hpp>

namespace pgsteward {

template <class T>
using Task = boost::asio::awaitable<T>;

}  // namespace pgsteward
