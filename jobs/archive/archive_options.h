// Options that the jobs on the archive share.
#pragma once

#include "jobs/job_options.h"

namespace pgsteward {

inline constexpr JobOption kTargetMsOption = {
    .name = "batch_target_ms",
    .kind = OptionKind::kInteger,
    .fallback = "50",
    .help = "Milliseconds that a batch should take; its size is adapted to it.",
    .least = 5,
    .most = 10'000};
inline constexpr JobOption kLockWaitOption = {
    .name = "lock_wait",
    .kind = OptionKind::kDuration,
    .fallback = "1s",
    .help = "How long one attempt at a partition waits for locks; other sessions wait behind it.",
    .least = 1,
    .most = 60};
inline constexpr JobOption kAttemptsOption = {
    .name = "attempts",
    .kind = OptionKind::kInteger,
    .fallback = "10",
    .help = "How often the locks for one partition are tried for.",
    .least = 1,
    .most = 1000};

}  // namespace pgsteward
