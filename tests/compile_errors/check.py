#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles each snippet of misuses.txt and demands that the compiler refuses it with the words that are written there.

Usage: check.py WORK_DIR COMPILER_COMMAND...  Each snippet stands in the body of a task; the first one is right and must
compile, so that a broken header is not taken for a refusal.
"""
import pathlib
import subprocess
import sys

FRAME = """#include <aiofiber/asyncio.h>
#include <memory>
using namespace std::chrono_literals;
struct Throwing {{ ~Throwing() noexcept(false) {{}} }};
void task_body() {{
  {code}
}}
"""


def main():
    work, compiler = pathlib.Path(sys.argv[1]), sys.argv[2:]
    work.mkdir(parents=True, exist_ok=True)
    source = work / "misuse.cc"
    entries = (pathlib.Path(__file__).parent / "misuses.txt").read_text().split("\n\n")
    failures = 0
    for entry in entries:
        expected, code = entry.strip().split("\n", 1)
        source.write_text(FRAME.format(code=code))
        result = subprocess.run([*compiler, "-fsyntax-only", str(source)], capture_output=True, text=True, check=False)
        if expected == "compiles":
            right = result.returncode == 0
        else:
            right = result.returncode != 0 and expected in " ".join(result.stderr.split())
        if not right:
            failures += 1
            print(f"{code}\nshould give: {expected}\ngave (exit code {result.returncode}):\n{result.stderr[-3000:]}\n")
    if failures:
        sys.exit(f"{failures} of {len(entries)} snippets were not treated as they should be")
    print(f"{len(entries)} snippets: one compiles, the others are refused with their words")


if __name__ == "__main__":
    main()
