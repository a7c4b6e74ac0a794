#include "core/json.h"

#include <boost/json.hpp>
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

}  // namespace pgsteward
