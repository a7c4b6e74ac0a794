#include "daemon/config_values.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <vector>

#include "core/pg_conninfo.h"
#include "core/shown.h"

namespace pgsteward {

namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsDigit);
}

// Number of insertions, deletions, changes and swaps of neighbours.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> distance(a.size() + 1,
                                                 std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        distance[i][j] = i + j;
        continue;
      }
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1,
                                 distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[a.size()][b.size()];
}

Error Bad(std::string message, std::string hint) {
  return Error(Errc::kBadConfig, std::move(message), {}, std::move(hint));
}

}  // namespace

Result<void> CheckListenAddress(const std::string& address) {
  const Error bad = Bad(Shown(address) + " is not an address to listen on",
                        "Write it like 127.0.0.1:19187, [::1]:19187 or :19187 (all addresses).");
  const auto colon = address.rfind(':');
  if (colon == std::string::npos) return bad;
  const std::string_view port_text = std::string_view(address).substr(colon + 1);
  int port = 0;
  std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (!IsDigits(port_text) || port_text.size() > 5 || port > 65535) {
    return Bad("the port is not a number from 0 to 65535", bad.hint);
  }
  std::string host = address.substr(0, colon);
  if (host.empty()) return {};
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  boost::system::error_code failed;
  const auto ip = boost::asio::ip::make_address(host, failed);
  if (failed || ip.is_v6() != brackets) return bad;
  return {};
}

Result<void> CheckServerName(std::string_view name) {
  const bool word =
      !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
        return IsLetter(c) || IsDigit(c) || c == '.' || c == '_' || c == '-';
      });
  if (word) return {};
  return Bad(name.empty() ? "is empty" : Shown(name) + " is not a server name",
             "Write 1 to 63 letters, digits, dots, dashes or underscores.");
}

Result<void> CheckJobName(std::string_view name) {
  const bool word =
      !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || IsDigit(c) || c == '_' || c == '-';
      });
  if (word) return {};
  return Bad(name.empty() ? "is empty" : Shown(name) + " is not a name",
             "Write 1 to 63 lower case letters, digits, dashes or underscores.");
}

std::string Quoted(const std::string& text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += "\\x";
      quoted += kHex[byte >> 4];
      quoted += kHex[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string QuotedList(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ", ") + Quoted(text);
  return "[" + list + "]";
}

Result<void> CheckDatabaseName(std::string_view name) {
  if (name.empty()) return Bad("is empty", "Write the name of a database.");
  if (LooksLikeConninfo(name)) {
    return Bad("looks like a connection string", "Write the name of a database of this server.");
  }
  const bool control = std::any_of(name.begin(), name.end(),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (control) return Bad("has a control character", "Write the name of a database.");
  if (name.size() > 63) {
    return Bad("is longer than the 63 bytes of a PostgreSQL name", "Write the name of a database.");
  }
  return {};
}

std::string JoinWords(std::span<const std::string_view> words, std::string_view last_separator) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? last_separator : ", ";
    text += words[i];
  }
  return text;
}

std::string_view Suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  std::string lower(word.substr(0, 64));
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
    if (c == '-') return '_';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  std::string_view best;
  std::size_t best_distance = lower.size() < 4 ? 2 : 3;  // one slip in short words, two in others
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = EditDistance(lower, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace pgsteward
