#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which names tools/site/header_filter.py shows to Doxygen, and with which comments.

Usage: filter_test.py SOURCE_TREE. A name without a comment must stay visible unless it is not for programs: site_test.py
fails on those names.
"""
import pathlib
import sys
import unittest

TREE = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(TREE / "tools/site"))
from header_filter import convert, declares  # noqa: E402


def shown(text):
    """The lines that Doxygen reads: all outside @cond and @endcond."""
    lines, hidden = [], False
    for line in convert("// About the file.\n#pragma once\n" + text).split("#pragma once\n")[1].split("\n"):
        if "@cond" in line or "@endcond" in line:
            hidden = "@cond" in line
        elif not hidden and line.strip():
            lines.append(line.strip())
    return lines


class Filter(unittest.TestCase):
    def test_an_overload_right_below_shares_the_comment(self):
        text = "// What f does.\nvoid f(int);\ntemplate <class T>\nvoid f(T);\n"
        self.assertEqual(shown(text), ["/// What f does.", "void f(int);", "/// What f does.", "template <class T>",
                                       "void f(T);"])

    def test_another_function_or_one_further_down_does_not(self):
        text = "// What f does.\nvoid f(int);\nvoid g();\nvoid f();\n\n// Of h.\nvoid h();\n\nvoid h(int);\n"
        self.assertEqual([line for line in shown(text) if line.startswith("///")], ["/// What f does.", "/// Of h."])

    def test_a_field_does_not_share_the_comment_of_the_one_above(self):
        text = "struct X {\n  // In bytes.\n  int a;\n  int b;\n};\n"
        self.assertEqual(shown(text).count("/// In bytes."), 1)

    def test_an_overload_below_a_body_shares_the_comment(self):
        text = "// Stops it.\nvoid stop(int x) {\n  if (x > 0) stop(x - 1);\n}\nvoid stop(long x) { stop(int(x)); }\n"
        self.assertEqual(shown(text).count("/// Stops it."), 2)

    def test_what_a_handle_is_made_from_is_hidden(self):
        text = ("// A handle.\nclass X {\n public:\n  explicit X(runtime::Ref<detail::State> state);\n"
                "  const runtime::Ref<detail::State>& ref() const;\n  X(const X& other);\n  ~X();\n  int value() const;\n};\n")
        self.assertEqual(shown(text), ["/// A handle.", "class X {", "public:", "int value() const;", "};"])

    def test_a_commented_name_is_shown_always(self):
        text = "class X {\n public:\n  // Copies the handle only.\n  X(const X& other);\n};\n"
        self.assertIn("X(const X& other);", shown(text))

    def test_protected_names_are_hidden_up_to_the_end_of_the_class(self):
        text = "class X {\n protected:\n  void inner();\n};\nint after();\n"
        self.assertEqual(shown(text), ["class X {", "protected:", "};", "int after();"])

    def test_a_comment_behind_a_field_may_stand_in_a_column(self):
        text = "struct X {\n  int a = 0;    // bytes\n  int of() { return a; }  // as a\n};\n"
        self.assertEqual([line for line in shown(text) if "///<" in line],
                         ["int a = 0;  ///< bytes", "int of() { return a; }  ///< as a"])

    def test_detail_ends_at_its_own_brace(self):
        text = "namespace detail {\ntemplate <class T>\nclass Y;\n}\nint f();\nnamespace detail {\nint g() {\n}\n}  // namespace detail\n"
        self.assertEqual(shown(text), ["int f();"])
        self.assertTrue(declares(text))
        self.assertFalse(declares(text.replace("int f();\n", "")))

    def test_the_title_of_a_group_is_words(self):
        self.assertEqual(shown("// ---- callbacks. RuntimeError: closed.\nvoid f();\n")[0],
                         "/// Callbacks. RuntimeError: closed.")


if __name__ == "__main__":
    unittest.main()
