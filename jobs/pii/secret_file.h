// A key that lies in a file.
#pragma once

#include <string>

#include "core/error.h"

namespace pgsteward {

// Overwritten when it is gone. What libpq and its parameters copy is out of reach.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { Wipe(text_); }

  const std::string& text() const { return text_; }
  static void Wipe(std::string& text);

 private:
  std::string text_;
};

// The content without its last line end. An error for what is no regular file, is empty, longer
// than 4096 bytes, of several lines or not UTF-8. Messages tell the path and nothing of the
// content.
Result<Secret> ReadSecretFile(const std::string& path);

}  // namespace pgsteward
