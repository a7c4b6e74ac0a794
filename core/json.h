// The one home of JSON: quoting for those who print, flat objects for those who keep, trees for
// what is nested.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"

namespace pgsteward {

// `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
std::string JsonQuoted(std::string_view text);

// An object whose values are text: {"a":"b","c":"1"}.
using FlatObject = std::map<std::string, std::string>;
std::string FlatJson(const FlatObject& object);
// Numbers and booleans come back as their text, null and "" as ""; anything nested, or no object at
// all, is an error.
Result<FlatObject> ParseFlatJson(std::string_view text);

struct JsonMember;

// A value with all that is in it. Members keep their order.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<JsonMember>;

  Json() = default;  // null
  explicit Json(bool on) : value_(on) {}
  explicit Json(long long number) : value_(number) {}
  explicit Json(double number) : value_(number) {}
  explicit Json(std::string text) : value_(std::move(text)) {}
  explicit Json(Array items) : value_(std::move(items)) {}
  explicit Json(Object members) : value_(std::move(members)) {}
  Json(const char*) = delete;  // would be a bool

  // Null unless it is of that type.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const long long* integer() const { return std::get_if<long long>(&value_); }
  const double* number() const { return std::get_if<double>(&value_); }
  const std::string* text() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }
  bool null() const { return std::holds_alternative<std::monostate>(value_); }

  bool operator==(const Json& other) const;

 private:
  std::variant<std::monostate, bool, long long, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string name;
  Json value;
  bool operator==(const JsonMember& other) const = default;
};

inline bool Json::operator==(const Json& other) const { return value_ == other.value_; }

// For people and for `diff`: what holds other lists or objects is indented by two spaces, what
// holds only plain values stands on one line. No newline at the end. A number that is not finite
// becomes null.
std::string JsonText(const Json& value);
// The whole text is one value, not nested deeper than 32. Of members with the same name the last
// one counts. A number beyond long long is a double.
Result<Json> ParseJson(std::string_view text);

}  // namespace pgsteward
