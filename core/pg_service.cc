#include "core/pg_service.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <string_view>

#include "core/pg_connection.h"
#include "core/pg_text.h"

namespace pgsteward {

namespace {

// Said otherwise, or not of a connection that dumps.
constexpr auto kLeftOut = std::to_array<std::string_view>(
    {"dbname", "password", "service", "servicefile", "application_name",
     "fallback_application_name", "client_encoding", "replication"});
// Servers of 13 and older know no more of a line.
constexpr std::size_t kLongestLine = 250;

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

bool IsSet(const PQconninfoOption& option) { return option.val && *option.val; }

std::string ValueIn(const PQconninfoOption* options, std::string_view keyword) {
  for (const auto* o = options; o && o->keyword; ++o) {
    if (o->keyword == keyword && IsSet(*o)) return o->val;
  }
  return {};
}

// What the string says itself, with what the service that it names says.
Options Given(const std::string& conninfo) {
  char* message = nullptr;
  Options options(PQconninfoParse(conninfo.c_str(), &message));
  PQfreemem(message);
  if (!options || ValueIn(options.get(), "service").empty()) return options;
  // Only connecting reads a service file: begun, and given up at once.
  const std::unique_ptr<PGconn, decltype(&PQfinish)> begun(PQconnectStart(conninfo.c_str()),
                                                           &PQfinish);
  return Options(PQconninfo(begun.get()));
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

bool Fits(std::string_view keyword, std::string_view value) {
  const bool trimmed = !value.empty() && (value.back() == ' ' || value.back() == '\t');
  return !trimmed && value.find_first_of("\r\n") == std::string_view::npos &&
         keyword.size() + 1 + value.size() < kLongestLine;
}

std::string PasswordLine(std::string_view password) {
  std::string line = "*:*:*:*:";
  for (const char c : password) {
    if (c == ':' || c == '\\') line += '\\';
    line += c;
  }
  return line + "\n";
}

}  // namespace

Result<PgService> ServiceOf(const PgTarget& target) {
  const Options own = Given(target.conninfo);
  const Options defaults(PQconndefaults());
  if (!own || !defaults) {
    return Error(Errc::kBadConfig, "the connection string is not one that libpq understands");
  }
  std::string password = ValueIn(own.get(), "password");
  if (!target.password_file.empty()) password = FirstLine(target.password_file);
  if (password.empty()) password = ValueIn(defaults.get(), "password");
  if (password.find_first_of("\r\n") != std::string::npos) {
    return Error(Errc::kBadConfig, "the password holds a line break, so that pg_dump cannot get it",
                 {}, "Set another password.");
  }
  PgService service;
  if (!password.empty()) service.password_file = PasswordLine(password);
  service.service_file = "[pgsteward]\n";
  std::string refused;
  for (const auto* o = own.get(); o->keyword; ++o) {
    const std::string_view keyword = o->keyword;
    const std::string value = IsSet(*o) ? o->val : ValueIn(defaults.get(), keyword);
    if (value.empty() || (o->compiled && value == o->compiled)) continue;
    // The file with our password is the one; of two lines libpq takes the first.
    if (keyword == "passfile" && !password.empty()) continue;
    if (std::find(kLeftOut.begin(), kLeftOut.end(), keyword) != kLeftOut.end()) continue;
    if (!Fits(keyword, value) && refused.empty()) refused = keyword;
    service.service_file += std::string(keyword) + "=" + value + "\n";
  }
  if (!refused.empty()) {
    return Error(Errc::kBadConfig,
                 "the connection's " + refused + " cannot be given to pg_dump in a service file",
                 {}, "Leave out line breaks, blanks at the end and values of more than 240 bytes.");
  }
  return service;
}

std::string ServiceConninfo(const std::string& database) {
  return "service='pgsteward' dbname=" + QuoteConninfo(database);
}

}  // namespace pgsteward
