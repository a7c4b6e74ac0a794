"""Shows that each rule of includes.py fires, and that nothing else does."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent

BAD = {
    "core/a.h": '#include "collectors/collector.h"',
    "core/b.cc": '#include "schema/apply.h"',
    "schema/a.cc": '#include "daemon/config.h"',
    "collectors/a.cc": '#include "jobs/job.h"',
    "jobs/a.cc": '#include "collectors/collector.h"',
    "daemon/a.cc": '#include "tests/support/gate.h"',
    "bench/a.cc": '#include "tests/support/gate.h"',
    "core/c.cc": '#include "error.h"',
    "core/version.cc": '#include "version.h"',
    "core/d.cc": '#include "../core/error.h"',
    "daemon/b.cc": "#include <libpq-fe.h>",
    "core/e.cc": "#include <yaml-cpp/yaml.h>",
    "daemon/app.cc": "  #  include  <CLI/CLI.hpp>  // for a flag",
    "core/log.h": "#include <spdlog/spdlog.h>",
    "collectors/b.cc": "#include <prometheus/metric_family.h>",
    "daemon/c.cc": "#include <boost/beast/http.hpp>",
    "core/f.cc": "#include <boost/beast.hpp>",
    "core/schedule.cc": "#include <date/tz.h>",
    "tests/core/a.cc": "#include <boost/asio.hpp>",
    "core/g.cc": "#include <boost/asio.hpp>",
    "core/wait.h": "#include <boost/asio/experimental/awaitable_operators.hpp>",
    "core/h.cc": "int a;\n\nco_spawn(x, f(), asio::detached);",
    "core/i.cc": "int a = 1'000; std::system(b); // '",
    "core/j.cc": "auto f = popen(a, b);\nauto g = ::popen(a, b);",
    "core/k.cc": "using  namespace std;",
}

EXPECTED = """\
bench/a.cc:1: bench must not include tests ("tests/support/gate.h")
collectors/a.cc:1: collectors must not include jobs ("jobs/job.h")
collectors/b.cc:1: prometheus/metric_family.h belongs in core/metrics* and core/store*
core/a.h:1: core must not include collectors ("collectors/collector.h")
core/b.cc:1: core must not include schema ("schema/apply.h")
core/c.cc:1: "error.h": quoted includes start at the root of the tree
core/d.cc:1: "../core/error.h": quoted includes start at the root of the tree
core/e.cc:1: yaml-cpp/yaml.h belongs in daemon/config*
core/f.cc:1: boost/beast.hpp belongs in daemon/http*
core/g.cc:1: boost/asio.hpp belongs in no file: include the single headers
core/h.cc:3: asio::detached loses errors; spawn through a TaskGroup
core/i.cc:1: std::system runs a shell; use core/process.h
core/j.cc:1: popen runs a shell; use core/process.h
core/j.cc:2: popen runs a shell; use core/process.h
core/k.cc:1: using namespace std
core/log.h:1: spdlog/spdlog.h belongs in core/log.cc
core/schedule.cc:1: date/tz.h belongs in core/time_zone*
core/version.cc:1: "version.h": quoted includes start at the root of the tree
core/wait.h:1: boost/asio/experimental/awaitable_operators.hpp belongs in core/wait.cc
daemon/a.cc:1: daemon must not include tests ("tests/support/gate.h")
daemon/app.cc:1: CLI/CLI.hpp belongs in daemon/main.cc and daemon/commands*
daemon/b.cc:1: libpq-fe.h belongs in core/pg_*
daemon/c.cc:1: boost/beast/http.hpp belongs in daemon/http*
jobs/a.cc:1: jobs must not include collectors ("collectors/collector.h")
schema/a.cc:1: schema must not include daemon ("daemon/config.h")
tests/core/a.cc:1: boost/asio.hpp belongs in no file: include the single headers
"""

GOOD = {
    "core/pg_connection.cc": '#include <libpq-fe.h>\n#include "core/error.h"',
    "core/wait.cc": "#include <boost/asio/experimental/awaitable_operators.hpp>",
    "core/log.cc": "#include <spdlog/spdlog.h>",
    "core/store.cc": "#include <prometheus/metric_family.h>",
    "core/metrics.h": "#include <prometheus/metric_family.h>",
    "core/time_zone.cc": "#include <date/tz.h>",
    "schema/apply.cc": '#include "core/error.h"\n#include "schema/apply.h"',
    "collectors/drift.cc": '#include "schema/check.h"\n#include "core/error.h"',
    "jobs/vacuum.cc": '#include "schema/check.h"\n#include "jobs/job.h"',
    "daemon/app.cc": '#include "jobs/job.h"\n#include "collectors/collector.h"',
    "daemon/config_reader.cc": "#include <yaml-cpp/yaml.h>",
    "daemon/main.cc": '#include <CLI/CLI.hpp>\n#include "version.h"',
    "daemon/commands/locks.cc": "#include <CLI/CLI.hpp>",
    "daemon/http_server.cc": "#include <boost/beast/http.hpp>",
    "tests/core/pg_result_test.cc": '#include <libpq-fe.h>\n#include "tests/support/gate.h"',
    "core/words.cc": "// asio::detached, popen(x), std::system(y), using namespace std;\n"
    '/* #include <boost/asio.hpp> */ const char* a = "popen(x) // \\" popen(y)";\n'
    'const char* b = R"(popen(x) " )"; gate.popen(z); my_popen(z);\n',
    "docs/example.cc": "#include <boost/asio.hpp>",
}


def run(files):
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, HERE / "includes.py", root], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout


class Includes(unittest.TestCase):
    maxDiff = None

    def test_each_rule_fires(self):
        self.assertEqual(run(BAD), (1, EXPECTED))

    def test_what_is_allowed_passes(self):
        self.assertEqual(run(GOOD), (0, "includes: no breach\n"))

    def test_an_empty_tree_is_no_success(self):
        self.assertEqual(run({"README.md": ""})[0], 1)


if __name__ == "__main__":
    unittest.main()
