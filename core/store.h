// The page of metrics: snapshots come in, one finished text goes out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/metrics.h"

namespace pgsteward {

// A finished page. Immutable, so that a slow reader keeps the one it began with.
struct Page {
  std::string text;           // text format 0.0.4
  std::uint64_t version = 0;  // grows with every rendering
  std::size_t samples = 0;
};

// Whose snapshot it is.
struct SnapshotKey {
  std::string server;
  std::string database;
  std::string collector;
  auto operator<=>(const SnapshotKey&) const = default;
};

class Store {
 public:
  // Replaces the whole snapshot of `key`: series that are gone are gone from the page.
  // After `expires` it is left out, so that series go stale instead of lying.
  // Returns how many samples were left out as duplicates.
  std::size_t Publish(const SnapshotKey& key, const Families& families, const Labels& common,
                      SteadyTime expires);
  void Drop(const SnapshotKey& key);
  // Keeps the snapshots for which `keep` is true (after a reload).
  void Retain(const std::function<bool(const SnapshotKey&)>& keep);

  // A source of self-metrics that is asked at every rendering (state, counters): cheap, no waiting.
  using Source = std::function<Families()>;
  void AddSource(Source source);

  // Renders the page from what is published and not expired at `now`. Families of the same name
  // from different snapshots are merged under one header, in name order.
  void Render(SteadyTime now);
  // The newest rendered page; never null, empty before the first Render().
  std::shared_ptr<const Page> page() const { return page_; }
  // Something was published or dropped since the last Render().
  bool dirty() const { return dirty_; }
  // What a source says has changed.
  void MarkDirty();
  // Called when the page becomes dirty, once until the next Render().
  void OnDirty(std::function<void()> listener) { on_dirty_ = std::move(listener); }

 private:
  struct Chunk {  // of one family in one snapshot
    std::string name;
    std::string header;
    std::string text;
    std::size_t samples = 0;
  };
  struct Snapshot {
    std::vector<Chunk> chunks;
    SteadyTime expires;
  };
  static Snapshot MakeSnapshot(const Families& families, const Labels& common, SteadyTime expires,
                               std::size_t& duplicates);

  std::map<SnapshotKey, Snapshot> snapshots_;
  std::vector<Source> sources_;
  std::shared_ptr<const Page> page_ = std::make_shared<Page>();
  std::uint64_t duplicates_ = 0;
  std::size_t duplicates_across_ = 0;
  std::uint64_t version_ = 0;
  std::function<void()> on_dirty_;
  bool dirty_ = false;
};

}  // namespace pgsteward
