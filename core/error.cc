#include "core/error.h"

#include <stdexcept>

namespace pgsteward {

std::string_view ErrcName(Errc code) {
  switch (code) {
    case Errc::kTimeout:
      return "timeout";
    case Errc::kConnectionLost:
      return "connection_lost";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kQueryFailed:
      return "query_failed";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kNoData:
      return "no_data";
    case Errc::kBadConfig:
      return "bad_config";
    case Errc::kBusy:
      return "busy";
    case Errc::kChildFailed:
      return "child_failed";
  }
  return "unknown";
}

std::string ToText(const Error& error) {
  std::string text = error.message;
  if (!error.sqlstate.empty()) text += " (SQLSTATE " + error.sqlstate + ")";
  if (!error.hint.empty()) text += "; hint: " + error.hint;
  return text;
}

void throw_exception_from_error(const Error& error, const boost::source_location& loc) {
  throw std::logic_error("unchecked result at " + loc.to_string() + ": " + ToText(error));
}

}  // namespace pgsteward
