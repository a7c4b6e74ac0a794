#include "tests/jobs/purge_fixture.h"
