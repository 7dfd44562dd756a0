#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles and runs every ```cpp block of README.md; a ```text block right after one is its whole output.

Usage: snippets.py README WORK_DIR COMPILER_COMMAND...  The command gets `SOURCE -o PROGRAM` and then the words after `--`.
"""
import pathlib
import re
import subprocess
import sys


def main():
    readme, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    split = sys.argv.index("--")
    compiler, libraries = sys.argv[3:split], sys.argv[split + 1:]
    blocks = re.findall(r"^```cpp\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", readme.read_text(), re.S | re.M)
    if not blocks:
        sys.exit(f"{readme} has no cpp block: nothing was tested")
    work.mkdir(parents=True, exist_ok=True)
    for number, (code, expected) in enumerate(blocks, 1):
        source, program = work / f"snippet{number}.cc", work / f"snippet{number}"
        source.write_text(code)
        subprocess.run([*compiler, str(source), "-o", str(program), *libraries], check=True)
        output = subprocess.run([str(program)], check=True, capture_output=True, text=True, timeout=30).stdout
        if expected and output != expected:
            sys.exit(f"snippet {number} printed\n{output}\ninstead of\n{expected}")
    print(f"{len(blocks)} snippet(s) of {readme.name} compiled and ran")


if __name__ == "__main__":
    main()
