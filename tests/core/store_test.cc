#include "core/store.h"

#include <gtest/gtest.h>

namespace pgsteward {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime kNow{1000s};
const SteadyTime kLater = kNow + 45s;
const SnapshotKey kLocks{"main", "hub", "locks"};
const SnapshotKey kSizes{"main", "hub", "sizes"};
const SnapshotKey kOther{"second", "hub", "locks"};

// The store's own series, at the end of every page but one.
std::string Dropped(int number) {
  return "# HELP pgsteward_samples_dropped_total Samples left out of the page, by reason.\n"
         "# TYPE pgsteward_samples_dropped_total counter\n"
         "pgsteward_samples_dropped_total{reason=\"duplicate\"} " +
         std::to_string(number) + "\n";
}

Families One(std::string_view name, double value, Labels labels = {}) {
  auto family = GaugeFamily(name, "Help.");
  AddSample(family, std::move(labels), value);
  return {family};
}

std::string Rendered(Store& store, SteadyTime now = kNow) {
  store.Render(now);
  return store.page()->text;
}

TEST(Store, PageIsEmptyBeforeTheFirstRendering) {
  const Store store;
  ASSERT_TRUE(store.page());
  EXPECT_EQ(store.page()->text, "");
  EXPECT_EQ(store.page()->version, 0U);
  EXPECT_FALSE(store.dirty());
}

TEST(Store, FamiliesOfOneNameShareOneHeaderInNameOrder) {
  Store store;
  store.Publish(kOther, One("pg_up", 0), {{"server", "second"}}, kLater);
  store.Publish(kLocks, One("pg_up", 1), {{"server", "main"}}, kLater);
  store.Publish(kSizes, One("pg_size", 42), {{"server", "main"}}, kLater);
  EXPECT_EQ(Rendered(store),
            "# HELP pg_size Help.\n# TYPE pg_size gauge\npg_size{server=\"main\"} 42\n"
            "# HELP pg_up Help.\n# TYPE pg_up gauge\n"
            "pg_up{server=\"main\"} 1\npg_up{server=\"second\"} 0\n" +
                Dropped(0));
  EXPECT_EQ(store.page()->samples, 4U);
}

TEST(Store, PublishReplacesTheWholeSnapshot) {
  Store store;
  Families both = One("pg_a", 1);
  both.push_back(One("pg_b", 2)[0]);
  store.Publish(kLocks, both, {}, kLater);
  store.Publish(kLocks, One("pg_b", 3), {}, kLater);
  EXPECT_EQ(Rendered(store), "# HELP pg_b Help.\n# TYPE pg_b gauge\npg_b 3\n" + Dropped(0));
}

TEST(Store, FamilyWithoutSamplesIsLeftOut) {
  Store store;
  store.Publish(kLocks, {GaugeFamily("pg_empty", "Help.")}, {}, kLater);
  EXPECT_EQ(Rendered(store), Dropped(0));
}

TEST(Store, DuplicatesAreLeftOutAndCounted) {
  Store store;
  auto family = GaugeFamily("pg_x", "Help.");
  AddSample(family, {{"a", "1"}}, 1);
  AddSample(family, {{"a", "1"}}, 2);
  AddSample(family, {{"a", "1"}}, 3);
  EXPECT_EQ(store.Publish(kLocks, {family}, {}, kLater), 2U);
  EXPECT_EQ(store.Publish(kSizes, One("pg_y", 1), {}, kLater), 0U);
  EXPECT_EQ(Rendered(store),
            "# HELP pg_x Help.\n# TYPE pg_x gauge\npg_x{a=\"1\"} 1\n"
            "# HELP pg_y Help.\n# TYPE pg_y gauge\npg_y 1\n" +
                Dropped(2));
  EXPECT_EQ(Rendered(store).substr(Rendered(store).rfind('}')), "} 2\n")
      << "rendering again does not count again";
  store.Publish(kLocks, {family}, {}, kLater);
  EXPECT_EQ(Rendered(store).substr(Rendered(store).rfind('}')), "} 4\n");
}

// One duplicate makes Prometheus refuse the whole page, wherever its two halves came from.
TEST(Store, DuplicatesOfTwoSnapshotsKeepTheFirst) {
  Store store;
  store.Publish(kLocks, One("pg_x", 1, {{"a", "1"}}), {}, kLater);
  store.Publish(kSizes, One("pg_x", 2, {{"a", "1"}}), {}, kLater);
  store.Render(kNow);
  EXPECT_EQ(store.page()->text.find("pg_x{a=\"1\"} 2\n"), std::string::npos) << store.page()->text;
  EXPECT_NE(store.page()->text.find("pg_x{a=\"1\"} 1\n"), std::string::npos);
}

TEST(Store, ExpiredSnapshotsAreLeftOut) {
  Store store;
  store.Publish(kLocks, One("pg_short", 1), {}, kNow + 10s);
  store.Publish(kSizes, One("pg_long", 2), {}, kNow + 20s);
  const std::string only_long = "# HELP pg_long Help.\n# TYPE pg_long gauge\npg_long 2\n";
  EXPECT_EQ(Rendered(store, kNow + 10s - 1ns),
            only_long + "# HELP pg_short Help.\n# TYPE pg_short gauge\npg_short 1\n" + Dropped(0));
  EXPECT_EQ(Rendered(store, kNow + 10s), only_long + Dropped(0));
  EXPECT_EQ(Rendered(store, kNow + 20s), Dropped(0));
}

TEST(Store, ExpiredSnapshotComesBackWithTheNextPublish) {
  Store store;
  store.Publish(kLocks, One("pg_x", 1), {}, kNow);
  EXPECT_EQ(Rendered(store), Dropped(0));
  store.Publish(kLocks, One("pg_x", 2), {}, kLater);
  EXPECT_EQ(Rendered(store), "# HELP pg_x Help.\n# TYPE pg_x gauge\npg_x 2\n" + Dropped(0));
}

TEST(Store, DropTakesOneSnapshotAway) {
  Store store;
  store.Publish(kLocks, One("pg_x", 1), {}, kLater);
  store.Publish(kSizes, One("pg_y", 2), {}, kLater);
  store.Drop(kLocks);
  EXPECT_EQ(Rendered(store), "# HELP pg_y Help.\n# TYPE pg_y gauge\npg_y 2\n" + Dropped(0));
}

TEST(Store, RetainKeepsWhatIsStillConfigured) {
  Store store;
  store.Publish(kLocks, One("pg_x", 1), {{"server", "main"}}, kLater);
  store.Publish(kSizes, One("pg_y", 2), {{"server", "main"}}, kLater);
  store.Publish(kOther, One("pg_x", 3), {{"server", "second"}}, kLater);
  store.Retain([](const SnapshotKey& key) { return key.server == "main"; });
  EXPECT_EQ(Rendered(store),
            "# HELP pg_x Help.\n# TYPE pg_x gauge\npg_x{server=\"main\"} 1\n"
            "# HELP pg_y Help.\n# TYPE pg_y gauge\npg_y{server=\"main\"} 2\n" +
                Dropped(0));
}

TEST(Store, SourcesAreAskedAtEveryRendering) {
  Store store;
  int calls = 0;
  store.AddSource([&calls] { return One("pgsteward_calls", ++calls); });
  store.AddSource([] { return One("zz_last", 1); });
  const std::string head = "# HELP pgsteward_calls Help.\n# TYPE pgsteward_calls gauge\n";
  const std::string tail = Dropped(0) + "# HELP zz_last Help.\n# TYPE zz_last gauge\nzz_last 1\n";
  EXPECT_EQ(Rendered(store), head + "pgsteward_calls 1\n" + tail);
  EXPECT_EQ(Rendered(store), head + "pgsteward_calls 2\n" + tail);
}

TEST(Store, SourceAndSnapshotOfOneNameAreMerged) {
  Store store;
  store.AddSource([] { return One("pg_up", 0, {{"server", "second"}}); });
  store.Publish(kLocks, One("pg_up", 1), {{"server", "main"}}, kLater);
  EXPECT_EQ(Rendered(store),
            "# HELP pg_up Help.\n# TYPE pg_up gauge\n"
            "pg_up{server=\"main\"} 1\npg_up{server=\"second\"} 0\n" +
                Dropped(0));
}

TEST(Store, DirtyUntilRendered) {
  Store store;
  store.Publish(kLocks, One("pg_x", 1), {}, kLater);
  EXPECT_TRUE(store.dirty());
  store.Render(kNow);
  EXPECT_FALSE(store.dirty());
  store.Drop(kSizes);
  EXPECT_FALSE(store.dirty()) << "nothing was there";
  store.Drop(kLocks);
  EXPECT_TRUE(store.dirty());
}

TEST(Store, ListenerIsCalledOnceUntilTheNextRendering) {
  Store store;
  int calls = 0;
  store.OnDirty([&calls] { ++calls; });
  store.Publish(kLocks, One("pg_x", 1), {}, kLater);
  store.Publish(kSizes, One("pg_y", 1), {}, kLater);
  store.Drop(kLocks);
  store.MarkDirty();
  EXPECT_EQ(calls, 1);
  store.Render(kNow);
  EXPECT_EQ(calls, 1);
  store.MarkDirty();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(store.dirty());
}

TEST(Store, AReaderKeepsThePageItBeganWith) {
  Store store;
  store.Publish(kLocks, One("pg_x", 1), {}, kLater);
  store.Render(kNow);
  const auto old_page = store.page();
  const std::string old_text = old_page->text;
  store.Publish(kLocks, One("pg_x", 2), {}, kLater);
  store.Render(kNow);
  EXPECT_EQ(old_page->text, old_text);
  EXPECT_NE(store.page()->text, old_text);
  EXPECT_GT(store.page()->version, old_page->version);
}

}  // namespace
}  // namespace pgsteward
