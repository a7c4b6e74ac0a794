#include "core/terminal_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/utf8.h"

namespace pgsteward {

namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Control, format and other characters without a picture of their own (Unicode Cc, Cf, Zl, Zp).
constexpr Range kInvisible[] = {
    {0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},     {0x61C, 0x61C},    {0x115F, 0x1160},
    {0x180E, 0x180E}, {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},  {0x3164, 0x3164},
    {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF9, 0xFFFB}, {0xE0000, 0xE0FFF}};

bool IsInvisible(char32_t c) {
  return std::any_of(std::begin(kInvisible), std::end(kInvisible),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

// The character at the front of valid UTF-8, which is not empty.
struct Character {
  char32_t code;
  std::size_t length;
};

Character First(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) code = (code << 6) | (byte(i) & 0x3FU);
  return {code, length};
}

int Columns(char32_t c) { return c < 0x1100 ? 1 : 2; }

std::string Print(const char* format, auto... values) {
  std::array<char, 48> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, values...);
  return buffer.data();
}

}  // namespace

std::string HarmlessText(std::string_view text) {
  const std::string valid = ValidUtf8(text);
  std::string harmless;
  for (std::string_view rest = valid; !rest.empty();) {
    const Character c = First(rest);
    if (IsInvisible(c.code)) {
      harmless += Print(c.code < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(c.code));
    } else {
      harmless += rest.substr(0, c.length);
    }
    rest.remove_prefix(c.length);
  }
  return harmless;
}

std::string HarmlessLine(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (std::string_view(" \t\n\v\f\r").find(c) == std::string_view::npos) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  if (!line.empty() && line.back() == ' ') line.pop_back();
  return HarmlessText(line);
}

std::string CutToWidth(std::string text, int columns) {
  int used = 0;
  std::size_t kept = 0;  // bytes that leave room for the ellipsis
  for (std::size_t at = 0; at < text.size();) {
    const Character c = First(std::string_view(text).substr(at));
    used += Columns(c.code);
    if (used > columns) {
      text.resize(kept);
      return columns > 0 ? text + "…" : text;
    }
    at += c.length;
    if (used <= columns - 1) kept = at;
  }
  return text;
}

std::string ShortDuration(double seconds) {
  if (seconds < 9.95) return Print("%.1fs", std::max(seconds, 0.0));
  const long long whole = std::llround(seconds);
  if (whole < 60) return Print("%llds", whole);
  if (whole < 3600) return Print("%lldm%02llds", whole / 60, whole % 60);
  if (whole < 86400) return Print("%lldh%02lldm", whole / 3600, whole % 3600 / 60);
  return Print("%lldd%02lldh", whole / 86400, whole % 86400 / 3600);
}

}  // namespace pgsteward
