// The one error vocabulary: what the caller does about it (Errc), and what a person reads.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>

namespace pgsteward {

// Small on purpose: each value is a different reaction of the caller, not a different cause.
enum class Errc {
  kTimeout,         // our deadline or the server's statement_timeout; try again at the next beat
  kConnectionLost,  // the session is gone; reconnect
  kUnavailable,     // no session can be had now; the message says why
  kQueryFailed,     // the statement is wrong or not allowed here; a person must look
  kUnsupported,     // this server lacks the object or feature: not an error of ours
  kNoData,          // asked for something that has no rows
  kBadConfig,       // the configuration or the command line
  kBusy,            // a lock or slot is held by somebody else; try again later
  kChildFailed,     // a child process exited badly
};

std::string_view ErrcName(Errc code);

// `message` is lower case without full stop; `hint` is a full sentence of advice, empty when we
// know none. `sqlstate` is set when PostgreSQL said so. Never holds a secret.
struct Error {
  // Has a constructor so that temporaries of it are safe in statements with co_await (style 4.1).
  Error(Errc what, std::string text, std::string state = {}, std::string advice = {})
      : code(what), message(std::move(text)), sqlstate(std::move(state)), hint(std::move(advice)) {}

  // boost::system::result asks for it; nobody makes an empty error.
  Error() = default;

  Errc code = Errc::kQueryFailed;
  std::string message;
  std::string sqlstate;
  std::string hint;
};

// "message (SQLSTATE 42501); hint: Grant ..." on one line, for terminals and logs.
std::string ToText(const Error& error);

template <class T>
using Result = boost::system::result<T, Error>;

// Called by Result::value() on an error: a bug of ours, not an expected failure.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& loc);

}  // namespace pgsteward
