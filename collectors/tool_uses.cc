#include <algorithm>
#include <string>
#include <vector>

#include "collectors/collector.h"
#include "collectors/top_k.h"

namespace pgsteward {

namespace {

// Only the rows that can matter leave the server, however many names there are: the largest ones,
// the members of last time, and the total in a row without a name.
constexpr std::string_view kSql = R"sql(
WITH uses AS MATERIALIZED (
  SELECT tool_name, count(*) AS n
  FROM public.tools_usage
  GROUP BY tool_name
), largest AS (
  SELECT tool_name, n
  FROM uses
  WHERE tool_name <> 'other'
  ORDER BY n DESC, tool_name COLLATE "C"
  LIMIT $1::int
)
SELECT tool_name, n FROM largest
UNION
SELECT tool_name, n FROM uses WHERE tool_name = ANY ($2::text[])
UNION ALL
SELECT NULL, coalesce(sum(n), 0)::bigint FROM uses
)sql";

constexpr std::string_view kMetrics[] = {"hub_tool_uses"};

// The array as PostgreSQL reads it; names may hold anything.
std::string ArrayLiteral(const std::vector<std::string>& texts) {
  std::string literal = "{";
  for (const std::string& text : texts) {
    if (literal.size() > 1) literal += ',';
    literal += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + '}';
}

Families UsesFamilies(const TopK& top) {
  Families families;
  auto& uses = families.emplace_back(GaugeFamily(
      kMetrics[0], "Recorded uses per tool; the tools beyond the most used ones are \"other\"."));
  for (const NamedCount& member : top.members) {
    AddSample(uses, {{"tool_name", member.name}}, static_cast<double>(member.count));
  }
  AddSample(uses, {{"tool_name", std::string(kOtherName)}}, static_cast<double>(top.other));
  return families;
}

Task<Result<Families>> CollectToolUses(CollectorContext& context) {
  std::vector<std::string> members;
  if (const auto* kept = std::any_cast<std::vector<std::string>>(&context.memory)) members = *kept;
  const int size = std::clamp(context.options.tool_uses_top, 1, 10);

  std::string sql(kSql);
  PgValues values;
  values.emplace_back(std::to_string(size));
  values.emplace_back(ArrayLiteral(members));
  auto rows = co_await context.db.Query(std::move(sql), std::move(values), context.timeout);
  if (!rows) co_return rows.error();

  std::vector<NamedCount> counts;
  std::int64_t total = 0;
  for (int row = 0; row < rows->rows(); ++row) {
    const std::int64_t count = rows->Integer(row, 1).value_or(0);
    if (rows->IsNull(row, 0)) {
      total = count;
    } else {
      counts.push_back(NamedCount{std::string(rows->Text(row, 0)), count});
    }
  }
  const TopK top = ChooseTop(members, std::move(counts), total, static_cast<std::size_t>(size));
  members.clear();
  for (const NamedCount& member : top.members) members.push_back(member.name);
  context.memory = std::move(members);
  co_return UsesFamilies(top);
}

}  // namespace

extern const CollectorSpec kToolUses{
    .name = "tool_uses",
    .reads = "tools_usage: all rows",
    .scope = Scope::kHub,
    .interval = std::chrono::seconds(300),
    .timeout = std::chrono::seconds(30),
    .collect = &CollectToolUses,
    .metrics = kMetrics,
};

}  // namespace pgsteward
