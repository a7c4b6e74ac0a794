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
  explicit Json(bool on);
  explicit Json(long long number);
  explicit Json(double number);
  explicit Json(std::string text);
  explicit Json(Array items);
  explicit Json(Object members);
  Json(const char*) = delete;  // would be a bool

  // Null unless it is of that type.
  const bool* boolean() const;
  const long long* integer() const;
  const double* number() const;
  const std::string* text() const;
  const Array* array() const;
  const Object* object() const;
  bool null() const;

  bool operator==(const Json& other) const;

 private:
  std::variant<std::monostate, bool, long long, double, std::string, Array, Object> value_;
};

struct JsonMember {
  std::string name;
  Json value;
  bool operator==(const JsonMember& other) const = default;
};

// Here, where a member is a complete type.
inline Json::Json(bool on) : value_(on) {}
inline Json::Json(long long number) : value_(number) {}
inline Json::Json(double number) : value_(number) {}
inline Json::Json(std::string text) : value_(std::move(text)) {}
inline Json::Json(Array items) : value_(std::move(items)) {}
inline Json::Json(Object members) : value_(std::move(members)) {}
inline const bool* Json::boolean() const { return std::get_if<bool>(&value_); }
inline const long long* Json::integer() const { return std::get_if<long long>(&value_); }
inline const double* Json::number() const { return std::get_if<double>(&value_); }
inline const std::string* Json::text() const { return std::get_if<std::string>(&value_); }
inline const Json::Array* Json::array() const { return std::get_if<Array>(&value_); }
inline const Json::Object* Json::object() const { return std::get_if<Object>(&value_); }
inline bool Json::null() const { return std::holds_alternative<std::monostate>(value_); }
inline bool Json::operator==(const Json& other) const { return value_ == other.value_; }

// For people and for `diff`: what holds other lists or objects is indented by two spaces, what
// holds only plain values stands on one line. No newline at the end. A number that is not finite
// becomes null.
std::string JsonText(const Json& value);
// The whole text is one value, not nested deeper than 32. Of members with the same name the last
// one counts. A number beyond long long is a double.
Result<Json> ParseJson(std::string_view text);

}  // namespace pgsteward
