#include "jobs/backup/plain_dump.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace pgsteward {

namespace {

// pg_dump begins with a few settings; a name has at most 63 bytes.
constexpr std::size_t kHead = std::size_t{16} << 10;
constexpr std::string_view kDrop = "\nDROP DATABASE ";
// Of a template, before it is dropped.
constexpr std::string_view kNoTemplate =
    "\nUPDATE pg_catalog.pg_database SET datistemplate = false ";

// To its semicolon, outside of quotes.
void Blank(std::string& text, std::string_view statement) {
  std::size_t at = text.find(statement);
  if (at == std::string::npos) return;
  char quote = 0;
  for (++at; at < text.size(); ++at) {
    const char c = text[at];
    text[at] = c == '\n' ? '\n' : ' ';
    if (quote == 0 && c == ';') return;
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
  }
}

}  // namespace

std::string WithoutDropDatabase(std::string head) {
  const std::size_t create = head.find("\nCREATE DATABASE ");
  if (create == std::string::npos) return head;
  std::string before = head.substr(0, create);
  Blank(before, kNoTemplate);
  Blank(before, kDrop);
  return before + head.substr(create);
}

Result<void> PlainDump::ReadHead() {
  begun_ = true;
  std::string head(kHead, '\0');
  std::size_t size = 0;
  while (size < kHead) {
    auto n = stream_.Read(std::as_writable_bytes(std::span(head.data() + size, kHead - size)));
    if (!n) return n.error();
    if (*n == 0) break;
    size += *n;
  }
  head.resize(size);
  head_ = WithoutDropDatabase(std::move(head));
  return Result<void>();
}

Result<std::size_t> PlainDump::Read(std::span<std::byte> into) {
  if (!begun_) {
    if (auto read = ReadHead(); !read) return read.error();
  }
  if (given_ == head_.size()) return stream_.Read(into);
  const std::size_t n = std::min(into.size(), head_.size() - given_);
  std::memcpy(into.data(), head_.data() + given_, n);
  given_ += n;
  return n;
}

}  // namespace pgsteward
