"""Shows that coroutines.py finds each form that g++ 12 miscompiles, and none of the good ones."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent

TASK = """\
#pragma once
#include <coroutine>
#include <functional>
#include <string>
#include <string_view>
#include <vector>
template <class T>
struct Task {
  struct promise_type {
    Task get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_value(T) {}
    void unhandled_exception() {}
  };
  ~Task() {}
  bool await_ready() { return true; }
  void await_suspend(std::coroutine_handle<>) {}
  T await_resume() { return T{}; }
};
struct Options {
  std::string host;
  int port = 0;
};
struct Plain {
  int port = 0;
};
struct Made {
  Made(std::string host, int port);
  std::string host;
};
Task<int> Use(Options options);
Task<int> See(const Options& options);
Task<int> UsePlain(Plain plain);
Task<int> UseMade(Made made);
Task<int> Call(std::function<int()> function);
Task<int> List(std::vector<std::string> list);
Task<int> Text(std::string text);
Task<int> View(std::string_view text);
Task<int> TextRef(const std::string& text);
Task<std::string> One();
Task<std::string> Two();
"""

BAD = """\
#include "core/task.h"
Task<int> Bad(bool choice, std::string p) {
  co_await Use(Options{.host = p});
  co_await Use({.host = p});
  const int n = co_await See(Options{});
  co_await Call([p] { return static_cast<int>(p.size()); });
  co_await List({"a", "b"});
  co_await (choice ? One() : Two());
  if (co_await Text(choice ? std::string("a") : std::string("b"))) co_return 1;
  const std::string text = choice ? co_await One() : co_await Two();
  co_return co_await TextRef(choice ? p : std::string("b")) + n;
}
"""

EXPECTED = """\
core/bad.cc:3: aggregate in a statement with co_await
core/bad.cc:4: aggregate in a statement with co_await
core/bad.cc:5: aggregate in a statement with co_await
core/bad.cc:6: lambda with captures that have destructors in a statement with co_await
core/bad.cc:7: aggregate in a statement with co_await
core/bad.cc:7: initializer list in a statement with co_await
core/bad.cc:8: ?: of class type in a statement with co_await
core/bad.cc:9: ?: of class type in a statement with co_await
core/bad.cc:10: ?: of class type in a statement with co_await
core/bad.cc:11: ?: of class type in a statement with co_await
Build the value in the line before (g++ 12 destroys such a temporary twice).
"""

GOOD = """\
#include "core/task.h"
Task<int> Good(bool choice, std::string p, std::string_view v) {
  Options options{.host = p};
  co_await Use(std::move(options));
  co_await UseMade(Made(p, 1));
  co_await UseMade({p, 1});
  co_await UsePlain(Plain{.port = 1});
  int n = 0;
  co_await Call([&n] { return n; });
  std::vector<std::string> list{"a", "b"};
  co_await List(list);
  n += choice ? co_await Use(options) : co_await See(options);
  const std::string text = co_await One();
  co_await Text(co_await One());
  co_await TextRef(choice ? p : text);
  co_await View(choice ? v : std::string_view("literal"));
  for (char c : co_await One()) n += c;
  const Options late{.host = choice ? "a" : p};
  co_return co_await See(late);
}
"""

HEADER = """\
#pragma once
#include "core/task.h"
inline Task<int> InHeader(std::string p) {
  co_return co_await Use(Options{.host = p});
}
"""


class Coroutines(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        # Regex characters in the path must not matter.
        self.root = Path(folder.name).resolve() / "c++ [tree]"
        self.build = self.root / "build"
        self.build.mkdir(parents=True)
        self.commands = []
        self.write("core/task.h", TASK)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def add(self, name, text):
        self.write(name, text)
        self.commands.append(
            {
                "directory": str(self.build),
                "file": str(self.root / name),
                "arguments": ["g++", "-I", str(self.root), "-std=c++20", "-Wno-mismatched-new-delete",
                              "-Werror", "-fsanitize=address", "-o", "x.o", "-c", name],
            }
        )

    def run_lint(self):
        (self.build / "compile_commands.json").write_text(json.dumps(self.commands))
        done = subprocess.run(
            [sys.executable, HERE / "coroutines.py", self.build, self.root],
            capture_output=True, text=True, check=False,
        )
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def test_every_bad_form_is_found_and_no_good_one(self):
        self.add("core/bad.cc", BAD)
        self.add("core/good.cc", GOOD)
        self.assertEqual(self.run_lint(), (1, EXPECTED))

    def test_good_forms_pass_and_a_changed_header_is_seen_in_spite_of_the_cache(self):
        self.add("core/good.cc", GOOD)
        good = (0, "coroutines: 1 files, no finding\n")
        self.assertEqual(self.run_lint(), good)
        kept = list((self.build / "coroutine-lint").iterdir())
        self.assertEqual(self.run_lint(), good)
        self.assertEqual(list((self.build / "coroutine-lint").iterdir()), kept)
        # A string gives Plain a destructor that does something.
        self.write("core/task.h", TASK.replace("struct Plain {", "struct Plain {\n  std::string host = {};"))
        code, text = self.run_lint()
        self.assertEqual(code, 1)
        self.assertIn("core/good.cc:7: aggregate in a statement with co_await\n", text)

    def test_a_header_is_checked_through_a_file_that_includes_it(self):
        self.write("core/inline.h", HEADER)
        self.add("core/user.cc", '#include "core/inline.h"\n')
        code, text = self.run_lint()
        self.assertEqual((code, text.splitlines()[0]),
                         (1, "core/inline.h:4: aggregate in a statement with co_await"))

    def test_what_was_not_checked_is_no_success(self):
        self.write("core/forgotten.cc", GOOD)
        self.add("core/broken.cc", '#include "core/task.h"\nTask<int> F() { co_await Nothing(); }\n')
        code, text = self.run_lint()
        self.assertEqual(code, 1)
        first, second, *_ = text.splitlines()
        self.assertTrue(first.startswith("core/broken.cc:1: clang-query-14 cannot read it: "), first)
        self.assertEqual(
            second, "core/forgotten.cc:1: has co_await, but no target compiles it: not checked")


if __name__ == "__main__":
    unittest.main()
