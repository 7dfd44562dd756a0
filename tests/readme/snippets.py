#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles and runs every ```cpp and ```c block of README.md; a ```text block right after one is its whole output.

Usage: snippets.py README WORK_DIR C_COMPILER COMPILER_COMMAND...  The command gets `SOURCE -o PROGRAM` and then the words after
`--`. C has its own compiler, with the same folders of headers and libraries.
"""
import pathlib
import re
import subprocess
import sys


def main():
    readme, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    split = sys.argv.index("--")
    compiler, libraries = sys.argv[4:split], sys.argv[split + 1:]
    headers = [word for word in compiler if word.startswith("-I")]
    c_compiler = [sys.argv[3], "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", *headers]
    blocks = re.findall(r"^```(cpp|c)\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", readme.read_text(), re.S | re.M)
    if {language for language, _, _ in blocks} != {"c", "cpp"}:
        sys.exit(f"{readme} has no cpp block or no c block: nothing was tested")
    work.mkdir(parents=True, exist_ok=True)
    for number, (language, code, expected) in enumerate(blocks, 1):
        source, program = work / f"snippet{number}.{'c' if language == 'c' else 'cc'}", work / f"snippet{number}"
        source.write_text(code)
        command, runtime = (c_compiler, ["-lstdc++", "-lm"]) if language == "c" else (compiler, [])
        subprocess.run([*command, str(source), "-o", str(program), *libraries, *runtime], check=True)
        output = subprocess.run([str(program)], check=True, capture_output=True, text=True, timeout=30).stdout
        if expected and output != expected:
            sys.exit(f"snippet {number} printed\n{output}\ninstead of\n{expected}")
    print(f"{len(blocks)} snippet(s) of {readme.name} compiled and ran")


if __name__ == "__main__":
    main()
