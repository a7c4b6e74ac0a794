#include "core/pg_conninfo.h"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "core/pg_connection.h"

namespace pgsteward {

namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

constexpr std::string_view kSecret = "<secret>";

// libpq quotes the string in its messages, so they cannot be shown. The beginnings of those it has
// (PostgreSQL 13 to 18) are the only way to learn the cause; an unknown one gets a general answer.
struct ParseMessage {
  std::string_view libpq;
  std::string_view message;
  std::string_view hint;
};
constexpr std::string_view kWriteKeywords =
    "Write it like host=/run/postgresql dbname=postgres user=pgsteward.";
constexpr std::string_view kWriteUri =
    "Write it like postgresql://user@host:5432/dbname, special characters as %XX.";
constexpr ParseMessage kParseMessages[] = {
    {"missing \"=\"", "has a word that is not keyword=value", kWriteKeywords},
    {"unterminated quoted", "has a quote (') that is not closed",
     "Write a quote inside a value as \\'."},
    {"invalid connection option", "has an option that libpq does not know",
     "The usual ones are host, port, dbname, user, sslmode, passfile and service."},
    {"invalid URI query parameter", "has a URI parameter that libpq does not know",
     "The usual ones are sslmode, passfile and target_session_attrs."},
    {"extra key/value separator", "has a URI parameter with two \"=\"", kWriteUri},
    {"missing key/value separator", "has a URI parameter without \"=\"", kWriteUri},
    {"invalid percent-encoded", "has a bad %XX in its URI", "Write a percent sign as %25."},
    {"forbidden value %00", "has a %00 in its URI", "Leave it out."},
    {"end of string reached", "has a \"[\" without \"]\" in its URI",
     "Write an IPv6 host like [::1]."},
    {"IPv6 host address", "has an empty IPv6 host in its URI", "Write an IPv6 host like [::1]."},
    {"unexpected character", "has a wrong character after the IPv6 host in its URI",
     "After \"]\" comes \":port\", \"/dbname\" or the end."},
};

Options Parse(const std::string& conninfo, std::string* message = nullptr) {
  char* text = nullptr;
  Options options(PQconninfoParse(conninfo.c_str(), &text));
  if (text && message) *message = text;
  PQfreemem(text);
  return options;
}

bool IsSet(const PQconninfoOption& option) { return option.val && *option.val; }
// libpq's mark for "hide the value in a dialog": password, sslpassword and what comes later.
bool IsSecret(const PQconninfoOption& option) { return std::strchr(option.dispchar, '*'); }

std::string ValueIn(const Options& options, std::string_view keyword) {
  for (const auto* option = options.get(); option && option->keyword; ++option) {
    if (option->keyword == keyword) return option->val ? option->val : "";
  }
  return {};
}

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const auto comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

bool IsPort(const std::string& text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

std::string QuoteValue(std::string_view value) {
  const bool plain = !value.empty() && std::none_of(value.begin(), value.end(), [](char c) {
    return c == ' ' || c == '\'' || c == '\\' || c == '\t' || c == '\n' || c == '\r' || c == '\f' ||
           c == '\v';
  });
  if (plain) return std::string(value);
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace

Result<void> CheckConninfo(const std::string& conninfo) {
  if (conninfo.find('\0') != std::string::npos) {
    return Error(Errc::kBadConfig, "connection string has a NUL byte");
  }
  std::string libpq_message;
  const Options options = Parse(conninfo, &libpq_message);
  if (!options) {
    for (const ParseMessage& known : kParseMessages) {
      if (libpq_message.compare(0, known.libpq.size(), known.libpq) == 0) {
        return Error(Errc::kBadConfig, "connection string " + std::string(known.message), {},
                     std::string(known.hint));
      }
    }
    return Error(Errc::kBadConfig, "connection string is not one that libpq understands", {},
                 std::string(kWriteKeywords));
  }
  if (const std::string ports = ValueIn(options, "port"); !ports.empty()) {
    for (const std::string& port : SplitAtCommas(ports)) {
      if (port.empty() || IsPort(port)) continue;
      return Error(Errc::kBadConfig, "connection string has a bad port", {},
                   "Write a number from 1 to 65535.");
    }
  }
  if (LooksLikeConninfo(ValueIn(options, "dbname"))) {
    return Error(Errc::kBadConfig, "connection string has another one as its dbname", {},
                 "Write the name of the database only.");
  }
  // Mistakes that libpq takes without a word, and that would show (a part of) the password: in
  // "host= password=x" the host is "password=x"; "@", "/" and ":" in a URI's password end it early.
  for (const auto* option = options.get(); option->keyword; ++option) {
    if (IsSet(*option) && !IsSecret(*option) && std::strstr(option->val, "password=")) {
      return Error(Errc::kBadConfig, "connection string has a keyword without a value", {},
                   "Write nothing after \"=\" as ''.");
    }
  }
  const std::string hosts = ValueIn(options, "host");
  const bool at_in_host = hosts.find('@', hosts.rfind('@', 0) == 0 ? 1 : 0) != std::string::npos;
  if (at_in_host || ValueIn(options, "dbname").find('@') != std::string::npos) {
    return Error(Errc::kBadConfig, "connection string has an \"@\" in a host or database name", {},
                 "In a URI write special characters of user and password as %XX.");
  }
  return {};
}

bool LooksLikeConninfo(std::string_view text) {
  return text.find('=') != std::string_view::npos || text.find("://") != std::string_view::npos;
}

bool HasPassword(const std::string& conninfo) {
  const Options options = Parse(conninfo);
  for (const auto* option = options.get(); option && option->keyword; ++option) {
    if (IsSet(*option) && IsSecret(*option)) return true;
  }
  return false;
}

std::string MaskPasswords(const std::string& conninfo) {
  const Options options = Parse(conninfo);
  // What libpq cannot read may hide a password anywhere.
  if (!options) return std::string(kSecret);
  if (!HasPassword(conninfo)) return conninfo;
  std::string masked;
  for (const auto* option = options.get(); option->keyword; ++option) {
    if (!option->val) continue;
    if (!masked.empty()) masked += ' ';
    masked += option->keyword;
    masked += '=';
    masked += IsSecret(*option) && IsSet(*option) ? std::string(kSecret) : QuoteValue(option->val);
  }
  return masked;
}

std::string TargetDatabase(const PgTarget& target) {
  if (!target.database.empty()) return target.database;
  const Options own = Parse(target.conninfo);
  if (const std::string database = ValueIn(own, "dbname"); !database.empty()) return database;
  if (!ValueIn(own, "service").empty()) return {};
  const Options defaults(PQconndefaults());
  if (const std::string database = ValueIn(defaults, "dbname"); !database.empty()) return database;
  const std::string user = ValueIn(own, "user");
  return user.empty() ? ValueIn(defaults, "user") : user;
}

std::string TargetLabel(const PgTarget& target) {
  const Options own = Parse(target.conninfo);
  const Options defaults(PQconndefaults());
  const auto value = [&own, &defaults](std::string_view keyword) {
    const std::string text = ValueIn(own, keyword);
    return text.empty() ? ValueIn(defaults, keyword) : text;
  };
  std::string database = target.database.empty() ? value("dbname") : target.database;
  std::string hosts = value("host");
  if (hosts.empty()) hosts = value("hostaddr");
  // A service file is read at connect only: its name is all that is known before.
  if (const std::string service = ValueIn(own, "service"); !service.empty()) {
    if (hosts.empty()) return "service " + service + (database.empty() ? "" : "/" + database);
  }
  if (database.empty()) database = value("user");

  const std::vector<std::string> ports = SplitAtCommas(value("port"));
  std::string label;
  std::size_t index = 0;
  for (const std::string& host : SplitAtCommas(hosts)) {
    std::string port = ports[ports.size() == 1 ? 0 : std::min(index, ports.size() - 1)];
    if (port.empty()) port = "5432";
    if (index++ > 0) label += ',';
    const bool ipv6 = host.find(':') != std::string::npos;
    if (host.empty()) {
      label += "local";  // libpq's compiled-in socket directory
    } else {
      label += ipv6 ? "[" + host + "]" : host;
    }
    label += ":" + port;
  }
  return label + "/" + database;
}

}  // namespace pgsteward
