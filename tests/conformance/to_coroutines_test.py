#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of to_coroutines.py: what it makes of a scenario, and that it refuses what it does not understand."""
import unittest

from to_coroutines import Problem, Translator


def translated(text):
    return " ".join(Translator(text).translate().split())


def scenario(body, before=""):
    return before + "SCENARIO(001_x) {\n  run([] {\n" + body + "\n  });\n}\n"


class Translation(unittest.TestCase):
    def test_a_body_is_a_coroutine_and_its_callers_await_it(self):
        text = translated(scenario("log(twice(2));", "static int twice(int n) {\n  asyncio::await(f);\n  return 2 * n;\n}\n"))
        self.assertIn("static asyncio::Coro<int> twice(int n) { (co_await (f)); co_return 2 * n; }", text)
        self.assertIn("run([]() -> asyncio::Coro<void> { log((co_await twice(2))); });", text)

    def test_a_function_without_await_becomes_one_as_the_body_of_a_task(self):
        text = translated(scenario("create_task(one);\nlog(two());", "static void one() {}\nstatic int two() { return 2; }\n"))
        self.assertIn("asyncio::Coro<void> one() { co_await conf::nothing();}", text)
        self.assertIn("static int two() { return 2; }", text)

    def test_a_callback_stays_a_function(self):
        text = translated(scenario("loop.call_soon([] { asyncio::await(f); });"))
        self.assertIn("loop.call_soon([] { asyncio::await(f); });", text)

    def test_options_are_computed_beside_the_co_await(self):
        self.assertIn("(co_await [&]() -> decltype(auto) { return (wait(ts, {.timeout = 1s})); }());",
                      translated(scenario("asyncio::await(wait(ts, {.timeout = 1s}));")))

    def test_a_handler_that_awaits_runs_after_the_try(self):
        text = translated(scenario("try {\n  work();\n} catch (const E&) {\n  asyncio::await(f);\n  log(exc());\n  throw;\n}"))
        self.assertIn("std::exception_ptr kept_1; try { work(); } catch (const E&) { kept_1 = std::current_exception(); } "
                      "if (kept_1) { (co_await (f)); log(exc(kept_1)); std::rethrow_exception(kept_1); }", text)

    def test_comments_and_literals_are_left_alone(self):
        text = translated(scenario('log("asyncio::await(x)");  // return asyncio::await(x)\nasyncio::await(f);'))
        self.assertIn('log("asyncio::await(x)"); // return asyncio::await(x) (co_await (f));', text)


class Refusal(unittest.TestCase):
    def refuses(self, text, why):
        with self.assertRaisesRegex(Problem, why):
            Translator(text).translate()

    def test_a_scenario_without_bodies(self):
        self.refuses("SCENARIO(001_x) {\n  log(1);\n}\n", "nothing that could be a coroutine")

    def test_a_scenario_that_awaits_itself(self):
        self.refuses("SCENARIO(001_x) {\n  asyncio::await(f);\n}\n", "the scenario itself")

    def test_an_await_in_a_function_that_it_does_not_see(self):
        self.refuses(scenario("one();", "struct S {\n  void f() { asyncio::await(f); }\n};\n"), "line 2: an await")

    def test_a_lambda_whose_result_it_cannot_know(self):
        self.refuses(scenario("auto t = create_task([] { return std::vector{1}; });"), "wants a result type")

    def test_handlers_that_await_before_another_or_by_name(self):
        self.refuses(scenario("try {\n} catch (const E&) {\n  ticks();\n} catch (...) {\n}"), "not the last one")
        self.refuses(scenario("try {\n} catch (const E& e) {\n  ticks();\n}"), "names its exception")


if __name__ == "__main__":
    unittest.main()
