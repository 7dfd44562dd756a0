#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests that compare.py fails when traces differ. Needs no program of aiofiber."""
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

import compare
import stored_programs
from stored_programs import Stored

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = "task main\n  log L1\nend\n"


class Folder(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = pathlib.Path(holder.name)

    def program_that(self, *commands):
        """Stands in for conformance_fuzz."""
        path = self.folder / "program"
        path.write_text("\n".join(["#!/bin/sh", "cat >/dev/null", *commands, ""]))
        path.chmod(0o755)
        return str(path)

    def compare(self, program, programs, **options):
        """Whether compare_programs finds fault, and what it prints."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            return compare.compare_programs(program, programs, options.pop("passes", True), **options), said.getvalue()


class StoredPrograms(Folder):
    def test_what_is_written_is_read_in_order_of_the_numbers(self):
        later = [Stored(1001, PROGRAM, "0.000 #2 x\n"), Stored(1002, PROGRAM, "")]
        earlier = [Stored(9, PROGRAM, "0.000 #2 y\n")]
        stored_programs.write(later, self.folder)
        stored_programs.write(earlier, self.folder)
        self.assertEqual(list(stored_programs.read(self.folder)), earlier + later)

    def test_a_file_of_something_else_is_an_error(self):
        path = stored_programs.write([Stored(1, PROGRAM, "")], self.folder)
        path.write_bytes(stored_programs.gzip.compress(PROGRAM.encode()))
        with self.assertRaises(ValueError):
            list(stored_programs.read(self.folder))

    def test_the_passes_can_be_left_out(self):
        self.assertEqual(stored_programs.without_passes("0.010 #12 a #1 b\n1.000 #3 c\n"), "0.010 a #1 b\n1.000 c\n")


class Fuzz(Folder):
    def test_a_folder_without_programs_is_an_error(self):
        done = subprocess.run([sys.executable, str(HERE / "compare.py"), "fuzz", "/bin/true", str(self.folder)],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (1, "there is no program to compare\n"))

    def test_equal_traces_are_no_difference(self):
        program = self.program_that('[ "$CONF_ITER" = 1 ] && echo "0.000 #2 x" || echo "0.000 x"')
        for passes in (True, False):
            failed, said = self.compare(program, [Stored(7, PROGRAM, "0.000 #2 x\n")], passes=passes)
            self.assertFalse(failed, said)

    def test_a_line_more_less_or_other_is_a_difference(self):
        program = self.program_that('echo "0.000 #2 x"')
        for trace in ("0.000 #2 x\n0.000 #3 y\n", "", "0.000 #3 x\n"):
            failed, said = self.compare(program, [Stored(7, PROGRAM, trace)])
            self.assertTrue(failed)
            self.assertIn("1 differ: 7", said)

    def test_a_program_that_ends_in_an_error_differs(self):
        program = self.program_that('echo "0.000 #2 x"', "exit 3")
        failed, said = self.compare(program, [Stored(7, PROGRAM, "0.000 #2 x\n")])
        self.assertTrue(failed)
        self.assertIn("*** exit status 3", said)

    def test_a_known_difference_that_is_gone_is_an_error(self):
        program = self.program_that('echo "0.000 #2 x"')
        failed, said = self.compare(program, [Stored(7, PROGRAM, "0.000 #2 x\n")], known={"7"})
        self.assertTrue(failed)
        self.assertIn("but agree: 7", said)


class Bodies(Folder):
    def test_a_program_whose_coroutines_print_something_else_differs(self):
        seed = '[ "$1" = --print-seed ] && { echo task main; echo end; exit; }'
        for line, differs in (("same", False), ('"$1"', True)):
            program = self.program_that(seed, f"echo 0.000 '#2' {line}")
            with contextlib.redirect_stdout(io.StringIO()):
                self.assertEqual(compare.compare_bodies(program, 1, 2, True), differs)


class Scenario(Folder):
    def test_a_scenario_that_prints_nothing_differs(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertTrue(compare.compare_scenario(self.program_that(), "001_call_soon_order", passes=False))


if __name__ == "__main__":
    unittest.main()
