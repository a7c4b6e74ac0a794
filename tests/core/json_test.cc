#include "core/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace pgsteward {
namespace {

Json Text(const char* text) { return Json(std::string(text)); }

TEST(Json, WritesWhatIsNestedOnLinesAndTheRestOnOne) {
  Json::Array numbers;
  numbers.emplace_back(1LL);
  numbers.emplace_back(2.5);
  Json::Object inner;
  inner.push_back({"on", Json(true)});
  inner.push_back({"nothing", Json()});
  Json::Array objects;
  objects.emplace_back(inner);
  objects.emplace_back(Json::Object());
  Json::Object outer;
  outer.push_back({"text", Text("a\"b\\c\n\x01")});
  outer.push_back({"numbers", Json(numbers)});
  outer.push_back({"objects", Json(objects)});
  outer.push_back({"empty", Json(Json::Array())});
  EXPECT_EQ(JsonText(Json(outer)),
            "{\n"
            "  \"text\": \"a\\\"b\\\\c\\n\\u0001\",\n"
            "  \"numbers\": [1, 2.5],\n"
            "  \"objects\": [\n"
            "    {\"on\": true, \"nothing\": null},\n"
            "    {}\n"
            "  ],\n"
            "  \"empty\": []\n"
            "}");
}

TEST(Json, NumbersKeepTheirKind) {
  EXPECT_EQ(JsonText(Json(12.0)), "12.0");
  EXPECT_EQ(JsonText(Json(12LL)), "12");
  EXPECT_EQ(JsonText(Json(0.1)), "0.1");
  EXPECT_EQ(JsonText(Json(std::numeric_limits<double>::infinity())), "null");
  EXPECT_EQ(JsonText(Json(std::numeric_limits<long long>::min())), "-9223372036854775808");
  const auto large = ParseJson("18446744073709551615");
  ASSERT_TRUE(large);
  ASSERT_TRUE(large->number());
  EXPECT_EQ(*large->number(), 18446744073709551615.0);
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "{\"a\":1}x", "{'a':1}", "[1,]", "\"\xff\"", "nul"}) {
    const auto parsed = ParseJson(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kQueryFailed);
    EXPECT_EQ(parsed.error().message.substr(0, 9), "no JSON: ");
  }
  EXPECT_FALSE(ParseJson(std::string(10'000, '[')));
}

class Trees {
 public:
  explicit Trees(unsigned seed) : random_(seed) {}

  Json Next(int depth) {
    switch (random_() % (depth > 0 ? 7 : 5)) {
      case 0:
        return Json();
      case 1:
        return Json(random_() % 2 == 0);
      case 2:
        return Json(static_cast<long long>(random_()) - (1LL << 31));
      case 3:
        return Json(static_cast<double>(random_() % 4096) / 4);
      case 4:
        return Json(Word());
      case 5: {
        Json::Array items;
        for (unsigned i = random_() % 4; i > 0; --i) items.push_back(Next(depth - 1));
        return Json(std::move(items));
      }
      default: {
        Json::Object members;
        for (unsigned i = random_() % 4; i > 0; --i) {
          members.push_back({Word() + std::to_string(i), Next(depth - 1)});
        }
        return Json(std::move(members));
      }
    }
  }

 private:
  std::string Word() {
    std::string word;
    for (unsigned i = random_() % 6; i > 0; --i) word += static_cast<char>(random_() % 128);
    return word;
  }
  std::mt19937 random_;
};

TEST(Json, RandomTreesComeBackAsTheyWere) {
  Trees trees(7);
  for (int i = 0; i < 5'000; ++i) {
    const Json tree = trees.Next(5);
    const std::string text = JsonText(tree);
    const auto parsed = ParseJson(text);
    ASSERT_TRUE(parsed) << text;
    ASSERT_EQ(*parsed, tree) << text;
  }
}

}  // namespace
}  // namespace pgsteward
