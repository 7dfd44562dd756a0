#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests what bench/peers/figures.py computes for tools/race, and that its tables agree with the programs."""
import re
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "bench/peers"))
sys.dont_write_bytecode = True
import build  # noqa: E402  in the folder above
import figures  # noqa: E402
import race  # noqa: E402
import rows  # noqa: E402


class Parse(unittest.TestCase):
    def test_leaves_out_the_first_of_several_repetitions(self):
        self.assertEqual(figures.parse("yield=2\t50\nyield=2\t20.5\nyield=2\t21\nspawn=1\t7\n"),
                         {"yield=2": [20.5, 21.0], "spawn=1": [7.0]})

    def test_ignores_lines_that_are_no_values(self):
        self.assertEqual(figures.parse("hello\nlatency\t1.5\t3\n\n"), {})

    def test_finds_the_steps_of_a_histogram(self):
        self.assertEqual(figures.latencies("echo=64\t5000\nlatency\t1.5\t3\nlatency\t2\t4\n"), [(1.5, 3), (2.0, 4)])


class Ratio(unittest.TestCase):
    def test_compares_values_of_the_same_round(self):
        # The second round was slow for both. Medians of the values would say 10 / 20.
        values = {"yield=2": {"ours": [10, 100, 12], "peer": [20, 50, 24]}}
        self.assertEqual(figures.ratio(values, "yield=2", "ours", "peer"), (0.5, 0.5, 2.0))

    def test_leaves_out_rounds_in_which_one_failed(self):
        values = {"yield=2": {"ours": [10, None, 12], "peer": [None, 50, 24]}}
        self.assertEqual(figures.ratio(values, "yield=2", "ours", "peer"), (0.5, 0.5, 0.5))

    def test_is_none_if_no_round_has_both(self):
        self.assertIsNone(figures.ratio({"yield=2": {"ours": [10]}}, "yield=2", "ours", "peer"))
        self.assertIsNone(figures.ratio({}, "yield=2", "ours", "peer"))


class Growth(unittest.TestCase):
    def test_divides_the_medians(self):
        scale = {"yield=1000": [10, 30, 20], "yield=10000": [40, 41, 90]}
        self.assertEqual(figures.growth(scale, ("yield=1000", "yield=10000")), 41 / 20)

    def test_is_none_without_both_numbers(self):
        self.assertIsNone(figures.growth({"yield=1000": [10]}, ("yield=1000", "yield=10000")))
        self.assertIsNone(figures.growth({}, None))

    def test_a_sentence_names_the_rows_that_grow(self):
        table = [rows.Row("yield=1000", "yield", ("yield=1000", "yield=10000")), rows.Row("lock=2", "lock", ("lock=2", "lock=20"))]
        scale = {"yield=1000": [10], "yield=10000": [20], "lock=2": [10], "lock=20": [13]}
        self.assertIn("yield (2.00).", figures.growing_line(table, scale, 1.3))
        self.assertIn("no row", figures.growing_line(table[1:], scale, 1.3))


class Percentile(unittest.TestCase):
    def test_is_the_step_at_which_the_share_is_reached(self):
        histogram = [(30, 1), (10, 50), (20, 49)]
        self.assertEqual([figures.percentile(histogram, share) for share in (0.5, 0.51, 0.99, 1)], [10, 20, 20, 30])

    def test_is_none_without_counts(self):
        self.assertIsNone(figures.percentile([], 0.5))


class Digits(unittest.TestCase):
    def test_shows_three_that_count(self):
        self.assertEqual([figures.digits(value) for value in (0.0123, 0.5, 9.876, 12.34, 123.4, 12345.6, None)],
                         ["0.012", "0.50", "9.88", "12.3", "123", "12,346", ""])


class Cost(unittest.TestCase):
    def test_has_a_unit(self):
        self.assertEqual([figures.cost(12.34, "yield"), figures.cost(12345, "idle_call"), figures.cost(3456789, "hello_start"),
                          figures.cost(4902, "sleeper_bytes")], ["12.3 ns", "12.3 us", "3.46 ms", "4,902 B"])


class Table(unittest.TestCase):
    VALUES = {"yield=2": {"ours": [10, 10], "fast": [5, 5], "slow": [20, 20]}, "spawn=1": {"ours": [7]}}
    ROWS = [rows.Row("yield=2", "yield"), rows.Row("spawn=1", "spawn"), rows.Row("queue=1", "queue")]

    def test_shows_losses_bold_and_what_is_unequal(self):
        lines = figures.ratio_table(self.ROWS, ["fast", "slow", "absent"], "ours", self.VALUES, {}, [(["yield"], ["slow"], "text")], 1.3)
        self.assertEqual(lines[0], "| measure | ours | 10 n / n | fast | slow |")
        self.assertEqual(lines[2:], ["| yield | 10.0 ns |  | **2.00** | 0.50 (a) |", "| spawn | 7.00 ns |  |  |  |"])

    def test_explains_only_letters_that_it_has(self):
        unequal = [(["queue"], ["slow"], "not measured"), (["yield"], ["slow", "absent"], "measured")]
        self.assertEqual(figures.notes(unequal, self.VALUES, ["fast", "slow"]), ["* (b) slow, absent: measured."])

    def test_of_the_echo_has_ratios_to_the_base(self):
        values = {"echo=64": {"base": [5000], "ours": [6000]}}
        lines = figures.echo_table(["base", "ours", "absent"], "base", [64], values, {"echo=64": {"ours": [(100, 98), (200, 2)]}})
        self.assertEqual(lines[2:], ["| base | 1.00 (5.00 us) |  us |  us |", "| ours | 1.20 | 100 us | 200 us |"])

    def test_replaces_what_is_between_the_marks(self):
        self.assertEqual(figures.between("a\n<b>\nold\n<e>\nz", "<b>", "<e>", "new\n"), "a\n<b>\nnew\n<e>\nz")
        with self.assertRaises(ValueError):
            figures.between("a\n<e>\n<b>", "<b>", "<e>", "new")


class Rows(unittest.TestCase):
    def test_each_is_measured_by_a_run(self):
        printed = {"timers": ["timer_start", "timer_cancel"], "sleepers": ["sleeper_bytes", "sleeper_wake"]}
        keys = {f"{measure}={n}" for run in rows.RUNS + rows.SCALE_RUNS for name, n in (word.split("=") for word in run.words)
                for measure in printed.get(name, [name])}
        wanted = {key for row in rows.ROWS for key in [row.key, *(row.scale or [])]}
        self.assertEqual({key for key in wanted - keys if not key.startswith("hello")}, set())

    def test_each_measure_is_one_of_aiofiber(self):
        program = (TREE / "bench/peers/aiofiber_peer.cc").read_text()
        known = set(re.findall(r'\{"(\w+)", \w+\}', program))
        words = {word.split("=")[0] for run in rows.RUNS + rows.SCALE_RUNS for word in run.words}
        self.assertEqual(words - known, set())

    def test_notes_have_a_letter_each(self):
        self.assertLessEqual(len(rows.UNEQUAL), 26)

    def test_notes_name_peers_and_measures_that_there_are(self):
        measures = {row.key.partition("=")[0] for row in rows.ROWS}
        for of_measures, peers, _ in rows.UNEQUAL:
            self.assertEqual((set(of_measures) - measures, set(peers) - {peer.name for peer in rows.PEERS}), (set(), set()))


class Build(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name in ("BUILD", "TREE"):
            patch = mock.patch.object(build, name, Path(folder.name))
            patch.start()
            self.addCleanup(patch.stop)

    def test_of_what_is_not_installed_says_so(self):
        for target, why in [("python no_such_module", "No module named 'no_such_module'"), ("cmake peer_nothing", "its library is not installed")]:
            with self.assertRaisesRegex(build.Failure, why):
                build.build(rows.Peer("a peer", target, ""))

    def test_finds_no_compiler_of_go_or_rust(self):
        with mock.patch.object(build, "first_of", lambda *_: None):
            for target in ("go", "cargo"):
                with self.assertRaisesRegex(build.Failure, f"{target} is not installed"):
                    build.build(rows.Peer("a peer", target, ""))


class Race(unittest.TestCase):
    def race(self):
        started = race.Race(quick=True, rounds=2)
        started.say = lambda text: said.append(text)
        said = []
        return started, said

    def peer(self, script):
        return rows.Peer("peer", "", f"{sys.executable} -c {script}")

    def test_reports_a_peer_that_fails_once_and_goes_on(self):
        started, said = self.race()
        for _ in range(2):
            self.assertEqual(started.run_peer(self.peer("print(1/0)"), rows.Run(["yield=2"], 3)), {})
        self.assertEqual(said, ["left out: peer, yield=2: ZeroDivisionError: division by zero"])

    def test_says_nothing_of_a_measure_that_a_peer_does_not_have(self):
        started, said = self.race()
        self.assertEqual(started.run_peer(self.peer("exit('x:_no_such_measure_here'.replace('_',chr(32)))"), rows.Run(["yield=2"], 3)), {})
        self.assertEqual((said, list(started.data_left_out())), ([], []))

    def test_keeps_values_at_their_round(self):
        started, _ = self.race()
        started.keep("yield=2", "peer", 5, 1)
        self.assertEqual(started.values, {"yield=2": {"peer": [None, 5]}})


if __name__ == "__main__":
    unittest.main()
