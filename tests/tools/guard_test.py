#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests how bench/guard.py decides; and the whole of it with stand-ins for core_bench that cost what they are told."""
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "bench"))
sys.dont_write_bytecode = True
import guard  # noqa: E402  in the folder above

HERE = {"machine": "processor A, g++ 12", "conditions": {"BM_Poll": 30, "BM_ClockLook": 4}, "ratios": {"BM_Yield": 4.0, "BM_Gather": 20.0}}
OTHER = {"machine": "processor B, g++ 12", "conditions": {"BM_Poll": 200, "BM_ClockLook": 4}, "ratios": {"BM_Yield": 6.0}}


def tries(*ratios):
    return [guard.Try(ratio) for ratio in ratios]


def noisy(*ratios):
    return [guard.Try(ratio, "the yardstick varied", math.inf) for ratio in ratios]


def busy(*ratios):
    return [guard.Try(ratio, "others", 1.3) for ratio in ratios]


class Others(unittest.TestCase):
    def test_are_what_the_machine_used_and_we_did_not(self):
        with mock.patch.object(guard.machine, "busy_seconds", side_effect=[100, 118]), \
                mock.patch.object(guard.machine, "own_seconds", side_effect=[3, 11]), mock.patch("time.monotonic", side_effect=[50, 60]):
            self.assertEqual(guard.machine.Others().cores(), 1.0)


class Verdict(unittest.TestCase):
    def test_the_best_try_counts(self):
        self.assertEqual(guard.verdict(tries(9, 8, 4.5), 4.6), "met")

    def test_a_disturbed_try_may_prove_that_it_is_met(self):
        self.assertEqual(guard.verdict(noisy(4.5), 4.6), "met")

    def test_two_quiet_tries_prove_that_it_is_slower(self):
        self.assertEqual(guard.verdict(tries(5, 5.1, 5.2), 4.6), "slower")
        self.assertEqual(guard.verdict(tries(5, 5.1) + noisy(9), 4.6), "slower")
        self.assertEqual(guard.verdict(tries(5) + noisy(6, 7), 4.6), "noisy")

    def test_a_noisy_machine_proves_nothing(self):
        self.assertEqual(guard.verdict(noisy(50, 60, 70), 4.6), "noisy")

    def test_a_busy_machine_proves_only_much(self):
        self.assertEqual(guard.verdict(busy(5, 5.1, 5.2), 4.6), "noisy")
        self.assertEqual(guard.verdict(busy(6.1, 6.2, 5.1), 4.6), "slower")


class Limits(unittest.TestCase):
    def test_are_fifteen_percent_on_a_stored_kind_of_machine(self):
        most, words = guard.limits([OTHER, HERE], HERE["machine"], {"BM_Poll": 35, "BM_ClockLook": 4})
        self.assertAlmostEqual(most["BM_Yield"], 4.6)
        self.assertIn("15 %", words)

    def test_are_wide_on_another_processor(self):
        most, words = guard.limits([HERE, OTHER], "processor C, g++ 12", {"BM_Poll": 35, "BM_ClockLook": 4})
        self.assertEqual(most, {"BM_Yield": 12.0, "BM_Gather": 40.0})
        self.assertIn("another kind", words)

    def test_are_wide_under_another_hypervisor(self):
        most, _ = guard.limits([HERE, OTHER], HERE["machine"], {"BM_Poll": 190, "BM_ClockLook": 4})
        self.assertEqual(most["BM_Yield"], 12.0)

    def test_are_none_where_the_clock_costs_far_more_than_anywhere(self):
        most, words = guard.limits([HERE, OTHER], HERE["machine"], {"BM_Poll": 30, "BM_ClockLook": 400})
        self.assertEqual(most, {})
        self.assertIn("ClockLook costs 400", words)


class Ratios(unittest.TestCase):
    def report(self, **costs):
        return {"benchmarks": [{"run_name": name, "run_type": "iteration", "items_per_second": 1e9 / ns} for name, all_ns in costs.items()
                               for ns in all_ns] + [{"run_name": "BM_Yield", "run_type": "aggregate", "items_per_second": 1e12}]}

    def test_take_the_fastest_of_both(self):
        ratio, varies = guard.fastest_ratio(self.report(BM_BoostFiberResume=[5, 6, 9], BM_Yield=[40, 20, 30]), "BM_Yield")
        self.assertAlmostEqual(ratio, 4)
        self.assertAlmostEqual(varies, 1.2)

    def test_are_no_proof_if_something_disturbed(self):
        self.assertEqual(guard.disturbance(1.1, 0.1), ("", 1))
        self.assertEqual(guard.disturbance(1.5, 0.1), ("the yardstick varied by 50 %", math.inf))
        self.assertEqual(guard.disturbance(1.1, 0.9), ("others used 0.9 cores", guard.BUSY_SLACK))


# It prints what Google Benchmark prints. The yardstick costs 5 ns.
STAND_IN = """#!{python}
import json, re, sys
costs = {costs}
if "--benchmark_list_tests" in sys.argv:
    print("\\n".join(costs))
else:
    wanted = re.compile(sys.argv[1].partition("=")[2])
    print(json.dumps({{"benchmarks": [{{"run_name": n, "run_type": "iteration", "items_per_second": 1e9 / c}}
                                     for n, c in costs.items() if wanted.match(n)]}}))
"""


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.program = Path(self.folder.name, "core_bench")
        for patch in (mock.patch.object(guard, "STORED", Path(self.folder.name, "guard.json")),
                      mock.patch.object(guard.machine.Others, "cores", lambda _: 0.0)):
            patch.start()
            self.addCleanup(patch.stop)

    def run_guard(self, *words, **costs):
        self.program.write_text(STAND_IN.format(python=sys.executable, costs={"BM_BoostFiberResume": 5, "BM_Poll": 150, "BM_ClockLook": 20, **costs}))
        self.program.chmod(0o755)
        said = []
        with mock.patch.object(sys, "argv", ["guard.py", str(self.program), *words]), \
                mock.patch("builtins.print", lambda *texts, **_: said.append(" ".join(texts))):
            return guard.main(), "\n".join(said)

    def test_compares_with_what_it_stored(self):
        self.run_guard("--store", BM_Yield=20)
        self.assertEqual(json.loads(guard.STORED.read_text())[0]["ratios"], {"BM_Yield": 4.0})
        status, said = self.run_guard(BM_Yield=22)
        self.assertEqual(status, 0)
        self.assertIn("guard: 1 of 1 operations within their limit", said)

    def test_fails_beyond_fifteen_percent(self):
        self.run_guard("--store", BM_Yield=20)
        status, said = self.run_guard(BM_Yield=24)
        self.assertEqual(status, 1)
        self.assertIn("slower than allowed: BM_Yield (4.80 x, at most 4.60)", said)

    def test_does_not_fail_on_a_busy_machine(self):
        self.run_guard("--store", BM_Yield=20)
        with mock.patch.object(guard, "disturbance", lambda *_: ("others used 2.0 cores", guard.BUSY_SLACK)):
            status, said = self.run_guard(BM_Yield=24)
        self.assertEqual(status, 0)
        self.assertIn("too noisy to judge BM_Yield", said)

    def test_storing_again_replaces_the_entry(self):
        self.run_guard("--store", BM_Yield=20)
        self.run_guard("--store", BM_Yield=30)
        self.assertEqual([entry["ratios"]["BM_Yield"] for entry in json.loads(guard.STORED.read_text())], [6.0])

    def test_says_that_nothing_is_built(self):
        ran = subprocess.run([sys.executable, TREE / "bench/guard.py", "no/such/core_bench"], capture_output=True, text=True, check=False,
                             env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        self.assertEqual((ran.returncode, ran.stdout[:27]), (0, "guard: core_bench is not bu"))


if __name__ == "__main__":
    unittest.main()
