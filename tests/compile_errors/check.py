#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles each snippet of misuses.txt and checks that the compiler rejects it with the words given there.

Usage: check.py WORK_DIR COMPILER_COMMAND...  Each snippet becomes the body of a task. The first snippet is correct and must
compile, so that a broken header does not count as a rejection. The first error must contain the words. g++'s whole output
must have at most 15 lines, so that users see the first error without scrolling. The headers are precompiled, because
parsing them takes most of the time.
"""
import pathlib
import subprocess
import sys

HEADER = """#include <aiofiber/asyncio.h>
#include <aiofiber/hooks.h>
#include <memory>
using namespace std::chrono_literals;
struct Throwing { ~Throwing() noexcept(false) {} };
int with_argument(int);
"""
FRAME = "void task_body() {{\n  {code}\n}}\n"
MOST_LINES = 15


def first_error(text):
    return next((line for line in text.splitlines() if "error:" in line), "")


def length(text):
    """Lines, but for those that only tell by which headers one got there."""
    return sum(not line.startswith(("In file included from", "                 from")) for line in text.splitlines())


def main():
    work, compiler = pathlib.Path(sys.argv[1]), sys.argv[2:]
    work.mkdir(parents=True, exist_ok=True)
    source, header = work / "misuse.cc", work / "misuse.h"
    header.write_text(HEADER)
    subprocess.run([*compiler, "-x", "c++-header", str(header), "-o", f"{header}.gch"], check=True)
    entries = (pathlib.Path(__file__).parent / "misuses.txt").read_text().split("\n\n")
    failures = 0
    for entry in entries:
        expected, code = entry.strip().split("\n", 1)
        source.write_text(FRAME.format(code=code))
        result = subprocess.run([*compiler, "-fsyntax-only", "-include", str(header), str(source)], capture_output=True, text=True,
                                check=False)
        if expected == "compiles":
            right = result.returncode == 0
        else:
            right = result.returncode != 0 and expected in first_error(result.stderr)
            if "clang" not in compiler[0] and length(result.stderr) > MOST_LINES:
                right = False
        if not right:
            failures += 1
            print(f"{code}\nshould give, in its first error and at most {MOST_LINES} lines: {expected}\n"
                  f"gave (exit code {result.returncode}, {length(result.stderr)} lines):\n{result.stderr[:3000]}\n")
    if failures:
        sys.exit(f"{failures} of {len(entries)} snippets were not treated as they should be")
    print(f"{len(entries)} snippets: one compiles, the others are refused with their words")


if __name__ == "__main__":
    main()
