#include "core/json.h"

#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
// The library's own code, here and nowhere else.
#include <boost/json/src.hpp>

#include "core/utf8.h"

namespace pgsteward {

namespace json = boost::json;

std::string JsonQuoted(std::string_view text) {
  return json::serialize(json::string(ValidUtf8(text)));
}

std::string FlatJson(const FlatObject& object) {
  std::string text = "{";
  for (const auto& [key, value] : object) {
    text += (text.size() > 1 ? "," : "") + JsonQuoted(key) + ":" + JsonQuoted(value);
  }
  return text + "}";
}

Result<FlatObject> ParseFlatJson(std::string_view text) {
  boost::system::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed || !value.is_object()) {
    return Error(Errc::kQueryFailed, "not a JSON object");
  }
  FlatObject object;
  for (const auto& member : value.get_object()) {
    const json::value& each = member.value();
    if (each.is_object() || each.is_array()) {
      return Error(Errc::kQueryFailed, "a JSON object with something nested");
    }
    std::string& kept = object[std::string(member.key())];
    if (each.is_string()) {
      kept = each.get_string().c_str();
    } else if (!each.is_null()) {
      kept = json::serialize(each);
    }
  }
  return object;
}

namespace {

// The shortest text that reads back as the same number, "12.0" and not the library's "1.2E1".
std::string NumberText(double number) {
  if (!std::isfinite(number)) return "null";
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number);
  std::string shown(text.data(), end.ptr);
  if (shown.find_first_of(".e") == std::string::npos) shown += ".0";
  return shown;
}

bool HoldsNested(const Json& value) {
  const auto nested = [](const Json& each) { return each.array() || each.object(); };
  if (const Json::Array* items = value.array()) {
    for (const Json& each : *items) {
      if (nested(each)) return true;
    }
  }
  if (const Json::Object* members = value.object()) {
    for (const JsonMember& each : *members) {
      if (nested(each.value)) return true;
    }
  }
  return false;
}

void Write(const Json& value, std::size_t depth, std::string& text);

// One item per line, or all on one.
class Items {
 public:
  Items(bool lines, std::size_t depth, std::string& text)
      : lines_(lines), depth_(depth), text_(text) {}

  void Next() {
    if (!first_) text_ += lines_ ? "," : ", ";
    if (lines_) text_ += "\n" + std::string(2 * (depth_ + 1), ' ');
    first_ = false;
  }
  void End() {
    if (lines_ && !first_) text_ += "\n" + std::string(2 * depth_, ' ');
  }

 private:
  bool lines_;
  std::size_t depth_;
  std::string& text_;
  bool first_ = true;
};

void Write(const Json& value, std::size_t depth, std::string& text) {
  Items items(HoldsNested(value), depth, text);
  if (const Json::Array* array = value.array()) {
    text += "[";
    for (const Json& each : *array) {
      items.Next();
      Write(each, depth + 1, text);
    }
    items.End();
    text += "]";
  } else if (const Json::Object* object = value.object()) {
    text += "{";
    for (const JsonMember& each : *object) {
      items.Next();
      text += JsonQuoted(each.name) + ": ";
      Write(each.value, depth + 1, text);
    }
    items.End();
    text += "}";
  } else if (const std::string* said = value.text()) {
    text += JsonQuoted(*said);
  } else if (const long long* integer = value.integer()) {
    text += std::to_string(*integer);
  } else if (const double* number = value.number()) {
    text += NumberText(*number);
  } else if (const bool* on = value.boolean()) {
    text += *on ? "true" : "false";
  } else {
    text += "null";
  }
}

Json Tree(const json::value& value) {
  switch (value.kind()) {
    case json::kind::bool_:
      return Json(value.get_bool());
    case json::kind::int64:
      return Json(static_cast<long long>(value.get_int64()));
    case json::kind::uint64:
      return Json(static_cast<double>(value.get_uint64()));
    case json::kind::double_:
      return Json(value.get_double());
    case json::kind::string:
      return Json(std::string(value.get_string()));
    case json::kind::array: {
      Json::Array items;
      for (const json::value& each : value.get_array()) items.push_back(Tree(each));
      return Json(std::move(items));
    }
    case json::kind::object: {
      Json::Object members;
      for (const auto& each : value.get_object()) {
        members.push_back({std::string(each.key()), Tree(each.value())});
      }
      return Json(std::move(members));
    }
    default:
      return Json();
  }
}

}  // namespace

std::string JsonText(const Json& value) {
  std::string text;
  Write(value, 0, text);
  return text;
}

Result<Json> ParseJson(std::string_view text) {
  boost::system::error_code failed;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), failed);
  if (failed) return Error(Errc::kQueryFailed, "no JSON: " + failed.message());
  return Tree(value);
}

}  // namespace pgsteward
