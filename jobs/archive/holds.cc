#include "jobs/archive/holds.h"

namespace pgsteward {

std::string HeldSql(std::string_view alias, std::string_view until) {
  const std::string row(alias);
  // Three times EXISTS: each is one look into an index, or one hash table for all rows.
  std::string in_force = "h.until > now()";
  if (!until.empty()) in_force += " AND h.until >= " + std::string(until);
  return "(EXISTS (SELECT FROM pgsteward.retention_hold AS h WHERE h.session_id = " + row +
         ".session_id AND " + in_force +
         ")\n OR EXISTS (SELECT FROM pgsteward.retention_hold AS h WHERE h.user_id = " + row +
         ".user_id AND " + in_force +
         ")\n OR EXISTS (SELECT FROM pgsteward.retention_hold AS h "
         "JOIN public.chat_sessions AS s ON s.user_id = h.user_id WHERE s.id = " +
         row + ".session_id AND " + in_force + "))";
}

}  // namespace pgsteward
