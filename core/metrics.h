// Samples: prometheus-cpp's families, how query rows become them, and their text form.
#pragma once

#include <prometheus/metric_family.h>

#include <climits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace pgsteward {

class PgResult;

using Families = std::vector<prometheus::MetricFamily>;
using Labels = std::vector<prometheus::ClientMetric::Label>;

// What a result column becomes.
enum class Kind {
  kLabel,    // a label of every sample of the row; NULL is ""
  kGauge,    // one sample per row
  kCounter,  // one sample per row, absolute value as the server counts it
  kUntyped,
};

struct Column {
  std::string_view name;  // of the result column, and of the label
  Kind kind = Kind::kLabel;
  std::string_view metric = {};  // full metric name; empty for labels
  std::string_view help = {};
  // Servers that have the column (server_version_num, inclusive): others leave the metric out.
  int min_version = 0;
  int max_version = INT_MAX;
};

// Rows to families, one family per metric column, in column order. NULL gives no sample, never 0.
// Booleans are 1 and 0. A declared column that the result lacks, a result column that nobody
// declared, and text that is not a number are errors: they are bugs in the collector.
Result<Families> RowsToFamilies(std::span<const Column> columns, const PgResult& rows,
                                int server_version);

// A family with no samples yet.
prometheus::MetricFamily MakeFamily(std::string_view name, prometheus::MetricType type,
                                    std::string_view help);
prometheus::MetricFamily GaugeFamily(std::string_view name, std::string_view help);
prometheus::MetricFamily CounterFamily(std::string_view name, std::string_view help);
// Appends a sample, whatever the simple type of the family.
void AddSample(prometheus::MetricFamily& family, Labels labels, double value);

// Text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats/.
// The "# HELP" and "# TYPE" lines of a family.
std::string RenderHeader(const prometheus::MetricFamily& family);

struct RenderedSamples {
  std::string text;            // complete lines
  std::size_t samples = 0;     // kept
  std::size_t duplicates = 0;  // left out: a duplicate label set makes Prometheus refuse the page
};
// The sample lines of a family; `common` labels go in front of each sample's own.
RenderedSamples RenderSamples(const prometheus::MetricFamily& family, const Labels& common);

}  // namespace pgsteward
