#include "core/store.h"

#include <unordered_set>

namespace pgsteward {

namespace {

// Appends the lines whose series is new. Returns how many were not.
std::size_t AppendNewLines(std::string& page, std::string_view lines,
                           std::unordered_set<std::string_view>& seen) {
  std::size_t duplicates = 0;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n') + 1;
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end);
    if (seen.insert(line.substr(0, line.rfind(' '))).second) {
      page += line;
    } else {
      ++duplicates;
    }
  }
  return duplicates;
}

}  // namespace

Store::Snapshot Store::MakeSnapshot(const Families& families, const Labels& common,
                                    SteadyTime expires, std::size_t& duplicates) {
  Snapshot snapshot;
  snapshot.expires = expires;
  snapshot.chunks.reserve(families.size());
  for (const auto& family : families) {
    auto samples = RenderSamples(family, common);
    duplicates += samples.duplicates;
    if (samples.samples == 0) continue;  // a header without samples says nothing
    snapshot.chunks.push_back(
        {family.name, RenderHeader(family), std::move(samples.text), samples.samples});
  }
  return snapshot;
}

std::size_t Store::Publish(const SnapshotKey& key, const Families& families, const Labels& common,
                           SteadyTime expires) {
  std::size_t duplicates = 0;
  snapshots_[key] = MakeSnapshot(families, common, expires, duplicates);
  duplicates_ += duplicates;
  MarkDirty();
  return duplicates;
}

void Store::Drop(const SnapshotKey& key) {
  if (snapshots_.erase(key) > 0) MarkDirty();
}

void Store::Retain(const std::function<bool(const SnapshotKey&)>& keep) {
  std::erase_if(snapshots_, [&](const auto& item) { return !keep(item.first); });
  MarkDirty();
}

void Store::AddSource(Source source) {
  sources_.push_back(std::move(source));
  MarkDirty();
}

void Store::MarkDirty() {
  if (dirty_) return;
  dirty_ = true;
  if (on_dirty_) on_dirty_();
}

void Store::Render(SteadyTime now) {
  Snapshot self;
  for (const Source& source : sources_) {
    std::size_t duplicates = 0;
    Snapshot one = MakeSnapshot(source(), {}, now, duplicates);
    duplicates_ += duplicates;
    for (Chunk& chunk : one.chunks) self.chunks.push_back(std::move(chunk));
  }
  auto dropped =
      CounterFamily("pgsteward_samples_dropped_total", "Samples left out of the page, by reason.");
  AddSample(dropped, {{"reason", "duplicate"}}, static_cast<double>(duplicates_));
  std::size_t none = 0;
  for (Chunk& chunk : MakeSnapshot({dropped}, {}, now, none).chunks) {
    self.chunks.push_back(std::move(chunk));
  }

  std::map<std::string_view, std::vector<const Chunk*>> by_name;
  std::size_t bytes = 0;
  const auto collect = [&](const Snapshot& snapshot) {
    for (const Chunk& chunk : snapshot.chunks) {
      by_name[chunk.name].push_back(&chunk);
      bytes += chunk.header.size() + chunk.text.size();
    }
  };
  for (const auto& [key, snapshot] : snapshots_) {
    if (snapshot.expires > now) collect(snapshot);
  }
  collect(self);

  std::size_t across = 0;  // duplicates of different snapshots
  auto page = std::make_shared<Page>();
  page->version = ++version_;
  page->text.reserve(bytes);
  for (const auto& [name, chunks] : by_name) {
    page->text += chunks.front()->header;
    // Within a snapshot they are unique already.
    std::unordered_set<std::string_view> seen;
    for (const Chunk* chunk : chunks) {
      page->samples += chunk->samples;
      if (chunks.size() == 1) {
        page->text += chunk->text;
      } else {
        const std::size_t again = AppendNewLines(page->text, chunk->text, seen);
        page->samples -= again;
        across += again;
      }
    }
  }
  // Counted when they appear, not at every rendering.
  if (across > duplicates_across_) duplicates_ += across - duplicates_across_;
  duplicates_across_ = across;
  page_ = std::move(page);
  dirty_ = false;
}

}  // namespace pgsteward
