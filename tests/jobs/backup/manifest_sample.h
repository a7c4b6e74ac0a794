// A manifest with something in every field.
#pragma once

#include <string>

#include "jobs/backup/manifest.h"

namespace pgsteward {

// "2026-11-25T03:00:00.000000Z".
WallTime TimeOf(std::string_view text);
// Of one database "hub" with the tables users and messages.
Manifest SampleManifest(std::string id = "20261125T030000Z-7f3a", std::string server = "hub");

}  // namespace pgsteward
