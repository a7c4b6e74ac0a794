#include "core/metrics.h"

#include <charconv>
#include <cmath>
#include <string>
#include <unordered_set>

#include "core/pg_result.h"
#include "core/utf8.h"

namespace pgsteward {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricType TypeOf(Kind kind) {
  switch (kind) {
    case Kind::kCounter:
      return MetricType::Counter;
    case Kind::kUntyped:
      return MetricType::Untyped;
    case Kind::kGauge:
    case Kind::kLabel:
      return MetricType::Gauge;
  }
  return MetricType::Untyped;
}

std::string_view TypeName(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return "counter";
    case MetricType::Gauge:
      return "gauge";
    case MetricType::Histogram:
      return "histogram";
    case MetricType::Summary:
      return "summary";
    default:
      return "untyped";
  }
}

double ValueOf(const MetricFamily& family, const ClientMetric& metric) {
  switch (family.type) {
    case MetricType::Counter:
      return metric.counter.value;
    case MetricType::Gauge:
      return metric.gauge.value;
    default:
      return metric.untyped.value;
  }
}

void AppendValue(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "NaN";
    return;
  }
  if (std::isinf(value)) {
    out += value > 0 ? "+Inf" : "-Inf";
    return;
  }
  char buffer[32];
  // Whole numbers as such: 1763200000, not 1.7632e+09. 2^53 is the last exact one.
  if (value == std::trunc(value) && std::abs(value) <= 9007199254740992.0) {
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, static_cast<long long>(value));
    out.append(buffer, end.ptr);
    return;
  }
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end.ptr);
}

void AppendLabel(std::string& out, const ClientMetric::Label& label) {
  out += label.name;
  out += "=\"";
  for (const char c : label.value) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '"') {
      out += "\\\"";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  out += '"';
}

// A declared column that this server has, and where it stands in the result.
struct BoundColumn {
  const Column* column;
  int position;
  std::size_t family = 0;  // of a metric column
};

Result<std::vector<BoundColumn>> Bind(std::span<const Column> columns, const PgResult& rows,
                                      int server_version) {
  std::vector<BoundColumn> bound;
  for (const Column& column : columns) {
    if (server_version < column.min_version || server_version > column.max_version) continue;
    const int position = rows.FindColumn(column.name);
    if (position < 0) {
      return Error(Errc::kQueryFailed,
                   "the query has no column \"" + std::string(column.name) + "\"");
    }
    bound.push_back({&column, position, 0});
  }
  for (int position = 0; position < rows.columns(); ++position) {
    bool declared = false;
    for (const BoundColumn& b : bound) declared = declared || b.position == position;
    if (!declared) {
      return Error(Errc::kQueryFailed, "the query has an undeclared column \"" +
                                           std::string(rows.column_name(position)) + "\"");
    }
  }
  return bound;
}

}  // namespace

MetricFamily MakeFamily(std::string_view name, MetricType type, std::string_view help) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

MetricFamily GaugeFamily(std::string_view name, std::string_view help) {
  return MakeFamily(name, MetricType::Gauge, help);
}

MetricFamily CounterFamily(std::string_view name, std::string_view help) {
  return MakeFamily(name, MetricType::Counter, help);
}

void AddSample(MetricFamily& family, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (family.type == MetricType::Counter) {
    metric.counter.value = value;
  } else if (family.type == MetricType::Gauge) {
    metric.gauge.value = value;
  } else {
    metric.untyped.value = value;
  }
  family.metric.push_back(std::move(metric));
}

Result<Families> RowsToFamilies(std::span<const Column> columns, const PgResult& rows,
                                int server_version) {
  auto bound = Bind(columns, rows, server_version);
  if (!bound) return bound.error();
  Families families;
  for (BoundColumn& b : *bound) {
    if (b.column->kind == Kind::kLabel) continue;
    b.family = families.size();
    families.push_back(MakeFamily(b.column->metric, TypeOf(b.column->kind), b.column->help));
  }
  for (int row = 0; row < rows.rows(); ++row) {
    Labels labels;
    for (const BoundColumn& b : *bound) {
      if (b.column->kind != Kind::kLabel) continue;
      labels.push_back({std::string(b.column->name), std::string(rows.Text(row, b.position))});
    }
    for (const BoundColumn& b : *bound) {
      if (b.column->kind == Kind::kLabel || rows.IsNull(row, b.position)) continue;
      const auto value = rows.Number(row, b.position);
      if (!value) {
        return Error(Errc::kQueryFailed,
                     "column \"" + std::string(b.column->name) + "\" is not a number");
      }
      AddSample(families[b.family], labels, *value);
    }
  }
  return families;
}

std::string RenderHeader(const MetricFamily& family) {
  std::string out = "# HELP " + family.name + " ";
  for (const char c : family.help) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  out += "\n# TYPE " + family.name + " ";
  out += TypeName(family.type);
  out += '\n';
  return out;
}

RenderedSamples RenderSamples(const MetricFamily& family, const Labels& common) {
  std::string common_text;
  for (const auto& label : common) {
    if (!common_text.empty()) common_text += ',';
    AppendLabel(common_text, label);
  }
  RenderedSamples rendered;
  // Unordered: a family of 20,000 series is rendered twice a minute.
  std::unordered_set<std::string> seen;
  seen.reserve(family.metric.size());
  for (const ClientMetric& metric : family.metric) {
    std::string labels = common_text;
    for (const auto& label : metric.label) {
      if (!labels.empty()) labels += ',';
      AppendLabel(labels, label);
    }
    labels = ValidUtf8(labels);
    const auto [position, is_new] = seen.insert(std::move(labels));
    if (!is_new) {
      ++rendered.duplicates;
      continue;
    }
    ++rendered.samples;
    rendered.text += family.name;
    if (!position->empty()) {
      rendered.text += '{';
      rendered.text += *position;
      rendered.text += '}';
    }
    rendered.text += ' ';
    AppendValue(rendered.text, ValueOf(family, metric));
    rendered.text += '\n';
  }
  return rendered;
}

}  // namespace pgsteward
