#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Mends the courier, but for one fault.

Usage: courier_unmended.py PATCH SOURCE DIFF FAULT RESULT   Each part of DIFF is for one of the faults below.
"""
import re
import subprocess
import sys

FAULTS = {  # what the lines of their parts contain
    "method": r"\(method\);",
    "kept": r"AIOFIBER_PER_TASK\(kept\)",
    "closed": r"hang_up",
    "chunk": r"\(chunk\);",
    "received": r"long long sum|received [+]?= sum",
    "words": r"strtok",
    "line": r"printf",
    "retries": r"pause_ms",
    "cancelled": r"ECANCELED",
}
LIMIT = ("static int retries_left", "AIOFIBER_PER_TASK(retries_left);\n")  # mended wrongly: each task has the whole limit


def fault_of(part):
    changed = "\n".join(line for line in part.splitlines() if line[0] in "+-")
    found = [fault for fault, words in FAULTS.items() if re.search(words, changed)]
    if "#include" in changed:
        found.append("")
    if len(found) != 1:
        sys.exit(f"this part is for {found}, not for one fault:\n{part}")
    return found[0]


def main():
    patch, source, diff, fault, result = sys.argv[1:]
    head, *parts = re.split(r"^(?=@@)", open(diff).read(), flags=re.MULTILINE)
    faults = [fault_of(part) for part in parts]
    if set(faults) != {"", *FAULTS}:
        sys.exit(f"{diff} mends {faults}")
    kept = [part for part, its_fault in zip(parts, faults) if its_fault != fault]
    # Lines may have moved by the parts that are left out; their contents must fit.
    subprocess.run([patch, "--silent", "--fuzz=0", "-o", result, source], input=head + "".join(kept), text=True, check=True)
    if fault == "limit":
        text = open(result).read()
        at = text.index("\n", text.index(LIMIT[0])) + 1
        open(result, "w").write(text[:at] + LIMIT[1] + text[at:])


if __name__ == "__main__":
    main()
