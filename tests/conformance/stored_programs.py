#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The stored random programs, each with the trace that CPython prints.

    stored_programs.py NUMBER            prints a program
    stored_programs.py NUMBER --trace    prints its trace

fuzz/FIRST-LAST.gz holds those with these numbers. After unpacking it is text: for each program a line "=== NUMBER", the
program, a line "=== trace", the trace with the numbers of the loop's passes. Needs Python's standard library only.
"""
import argparse
import collections
import gzip
import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "fuzz"

Stored = collections.namedtuple("Stored", "number program trace")


def first_number(path):
    return int(path.name.partition("-")[0])


def read(folder=FOLDER):
    """All of a folder, in the order of their numbers."""
    for path in sorted(folder.glob("*-*.gz"), key=first_number):
        text = gzip.decompress(path.read_bytes()).decode()
        start, *parts = re.split(r"^=== (.+)\n", text, flags=re.MULTILINE)
        numbers, programs, marks, traces = (parts[i::4] for i in range(4))
        if start or not set(marks) <= {"trace"} or not len(numbers) == len(traces):
            raise ValueError(f"{path}: not programs with their traces")
        yield from map(Stored, map(int, numbers), programs, traces)


def write(programs, folder=FOLDER):
    """One file of them; gives its path."""
    path = folder / f"{programs[0].number}-{programs[-1].number}.gz"
    text = "".join(f"=== {p.number}\n{p.program}=== trace\n{p.trace}" for p in programs)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))     # no trace of when it was
    return path


def without_passes(trace):
    """The trace as it is printed without the numbers of the passes."""
    return re.sub(r"^(\S+) #\d+ ", r"\1 ", trace, flags=re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int)
    parser.add_argument("--trace", action="store_true")
    options = parser.parse_args()
    for stored in read():
        if stored.number == options.number:
            sys.stdout.write(stored.trace if options.trace else stored.program)
            return 0
    print(f"no program has the number {options.number}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
