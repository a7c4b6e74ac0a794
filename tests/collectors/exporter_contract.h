// postgres_exporter's metrics, as testdata/postgres_exporter_metrics.tsv lists them.
#pragma once

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

namespace pgsteward {

struct ExporterMetric {
  std::string type;
  std::set<std::string> labels;  // without `server`, which our runner adds to every series
  std::string collector;
};

inline std::map<std::string, ExporterMetric, std::less<>> LoadExporterMetrics() {
  std::ifstream file(PGSTEWARD_COLLECTORS_TESTDATA "/postgres_exporter_metrics.tsv");
  if (!file) throw std::runtime_error("cannot read postgres_exporter_metrics.tsv");
  std::map<std::string, ExporterMetric, std::less<>> metrics;
  std::string line;
  std::getline(file, line);  // the header
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string name;
    std::string labels;
    ExporterMetric metric;
    std::getline(fields, name, '\t');
    std::getline(fields, metric.type, '\t');
    std::getline(fields, labels, '\t');
    std::getline(fields, metric.collector, '\t');
    std::istringstream names(labels);
    for (std::string label; std::getline(names, label, ',');) {
      if (label != "server") metric.labels.insert(label);
    }
    metrics.emplace(name, std::move(metric));
  }
  return metrics;
}

}  // namespace pgsteward
