// How times, numbers and counters travel between the job's tables, the journal and us.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "core/pg_result.h"

namespace pgsteward {

// Seconds since 1970 with six digits behind the point, PostgreSQL's resolution, for to_timestamp();
// WallTime::max() is "infinity". Empty stays empty (NULL).
std::optional<std::string> EpochText(std::optional<WallTime> time);
// The same back; empty for "" and for what is no such text.
std::optional<WallTime> TimeOfEpoch(std::string_view text);

// A column extract(epoch FROM ...), empty for NULL.
std::optional<WallTime> TimeAt(const PgResult& rows, int row, int column);
std::string TextAt(const PgResult& rows, int row, int column);

// {"a":1.500000}
std::string JsonNumbers(const std::map<std::string, double>& numbers);
// Empty for anything else.
std::map<std::string, double> NumbersOf(std::string_view json);

// SQL: the counters of pgsteward.job_state AS s with amounts added; `names` and `amounts` are the
// parameters that hold CounterAmounts.
#define ADD_COUNTERS_SQL(names, amounts)                                              \
  "s.counters || (SELECT coalesce(jsonb_object_agg(c.name, coalesce((s.counters ->> " \
  "c.name)::numeric, 0) + c.amount), '{}') FROM unnest(" names "::text[], " amounts   \
  "::numeric[]) AS c (name, amount))"

// Arrays in PostgreSQL's text form.
struct CounterAmounts {
  CounterAmounts() : CounterAmounts(std::map<std::string, double>()) {}
  explicit CounterAmounts(const std::map<std::string, double>& amounts);

  std::string names;
  std::string numbers;
};

}  // namespace pgsteward
