#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the traces of aiofiber with those of CPython, byte for byte.

    compare.py scenario PROGRAM NAME        one scenario
    compare.py fuzz PROGRAM [FOLDER]        every stored random program; open.tsv names those that still differ
    compare.py seeds PROGRAM FROM TO        fresh random programs, against a CPython 3.13 (--python)
    compare.py bodies PROGRAM FROM TO       fresh random programs, with bodies of every kind: no CPython, but the same traces
    compare.py store PROGRAM FROM TO        stores such programs with that CPython's traces, a hundred a file
    compare.py generators PROGRAM           the two generators must make the same programs, the stored ones too
    compare.py tables PROGRAM               each entry of the tables must still be of use

--passes compares the numbers of the loop's passes as well (tier B). --bodies says what the bodies are: fibers, coroutines,
or mixed (random programs only). --numbers takes those of these numbers from the stored programs.

What a C++ program cannot print is left out of the expected trace by cpp_omit.tsv; where aiofiber decides otherwise
than CPython, deviations.tsv says so line by line. Nothing else is tolerated. An entry that matches no line of the
expected trace is a failure, so neither table outlives its reasons. Needs Python's standard library only.
"""
import argparse
import collections
import difflib
import os
import pathlib
import subprocess
import sys

import stored_programs
from stored_programs import Stored

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT = 60        # seconds; a scenario takes milliseconds
OLDEST_SEED = 1001  # the programs with smaller numbers are older than the generator
BODIES = ("fibers", "coroutines", "mixed")

Omission = collections.namedtuple("Omission", "scenario text reason")
# line: the event as CPython prints it, without its stamp ("#12 event" also fixes the pass); instead: ours, or DROP;
# where we print several lines for one, "\n" stands between them
Deviation = collections.namedtuple("Deviation", "scenario tier rule decision reason line instead")
DROP = "-"
# A scenario that cannot be written in C++ yet, because it is about a part that does not exist.
Missing = collections.namedtuple("Missing", "scenario reason")
# A scenario that does not run with coroutines as bodies.
WithoutCoroutines = collections.namedtuple("WithoutCoroutines", "scenario reason")
# A random program whose trace is known to differ: an error of the library that is not repaired yet.
Open = collections.namedtuple("Open", "program rule what")


def read_table(name, kind):
    rows = []
    for line in (HERE / name).read_text().splitlines():
        if line and not line.startswith("#"):
            fields = line.split("\t")
            if len(fields) != len(kind._fields):
                sys.exit(f"{name}: {len(fields)} fields instead of {len(kind._fields)}: {line}")
            rows.append(kind(*fields))
    return rows


def omissions_of(scenario):
    return [o for o in read_table("cpp_omit.tsv", Omission) if scenario.startswith(o.scenario + "_")]


def deviations_of(scenario, passes, bodies):
    tiers = {"B" if passes else "A"} | ({"C"} if bodies == "coroutines" else set())
    return [d for d in read_table("deviations.tsv", Deviation)
            if scenario.startswith(d.scenario + "_") and tiers & set(d.tier)]


def expected_trace(scenario, passes, bodies="fibers"):
    """The lines that aiofiber has to print, and the table entries that changed none of CPython's."""
    path = HERE / "expected" / (scenario + (".iter.txt" if passes else ".txt"))
    omissions, deviations = omissions_of(scenario), deviations_of(scenario, passes, bodies)
    unused = set(omissions) | set(deviations)
    lines = []
    for line in path.read_text().splitlines():
        hits = [o for o in omissions if o.text in line]
        if hits:
            unused -= set(hits)
            continue
        stamp, _, event = line.partition(" ")
        if passes and not any(event == d.line for d in deviations):
            pass_number, _, event = event.partition(" ")
            stamp += " " + pass_number
        entry = next((d for d in deviations if event == d.line), None)
        unused.discard(entry)
        if entry is None:
            lines.append(line)
        elif entry.instead != DROP:
            lines += [f"{stamp} {ours}" for ours in entry.instead.split("\\n")]
    return lines, unused


def run(command, passes, given="", **environment):
    """The lines that a program printed; what went wrong comes as further lines, so that it shows in the diff."""
    env = dict(os.environ, CONF_ITER="1" if passes else "0", PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
    env.update(environment)
    for name in ("AIOFIBERDEBUG", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE"):
        env.pop(name, None)
    try:
        done = subprocess.run(command, env=env, input=given.encode(), capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as e:
        return (e.stdout or b"").decode(errors="replace").splitlines() + [f"*** no end after {TIMEOUT} s"]
    lines = done.stdout.decode(errors="replace").splitlines()
    if done.returncode != 0:
        lines.append(f"*** exit status {done.returncode}")
        lines += ["*** " + line for line in done.stderr.decode(errors="replace").splitlines()[-15:]]
    return lines


def differences(name, expected, got):
    return list(difflib.unified_diff(expected, got, f"{name} (CPython)", f"{name} (aiofiber)", lineterm="", n=4))


def compare_scenario(program, scenario, passes, bodies="fibers"):
    expected, _ = expected_trace(scenario, passes, bodies)
    diff = differences(scenario, expected, run([program, scenario], passes))
    print("\n".join(diff) if diff else f"{scenario}: {len(expected)} lines agree")
    return bool(diff)


def command_of(program, bodies):
    return [program, "--bodies=" + bodies, "-"]


def compare_programs(program, cases, passes, known=(), bodies="fibers"):
    """cases: stored programs. Prints the first diffs and the names of all that differ.

    Those named in `known` have to differ: one that agrees is to be taken out of the table."""
    differing, repaired = [], []
    count = 0
    for case in cases:
        count += 1
        name = str(case.number)
        trace = case.trace if passes else stored_programs.without_passes(case.trace)
        diff = differences(name, trace.splitlines(), run(command_of(program, bodies), passes, case.program))
        if name in known:
            if not diff:
                repaired.append(name)
        elif diff:
            differing.append(name)
            if len(differing) <= 3:
                print("\n".join(diff[:60]))
    if count == 0:
        print("there is no program to compare")
        return True
    print(f"{count} programs; {len(differing)} differ: {' '.join(differing) or '-'}; "
          f"{len(known)} are known to differ" + (f", but agree: {' '.join(repaired)}" if repaired else ""))
    return bool(differing or repaired)


def program_of(program, seed):
    return subprocess.run([program, "--print-seed", str(seed)], capture_output=True, check=True, text=True).stdout


def fresh_programs(program, first, last, python):
    """Random programs with the traces of a CPython."""
    for seed in range(first, last + 1):
        text = program_of(program, seed)
        yield Stored(seed, text, trace_of(python, seed, text))


def trace_of(python, number, text, **environment):
    lines = run([python, str(HERE / "python" / "fuzz_interp.py")], True, text, **environment)
    if any(line.startswith("*** ") for line in lines):
        sys.exit("\n".join([f"{number}: CPython ends in an error", *lines]))
    return "".join(line + "\n" for line in lines)


def compare_bodies(program, first, last, passes):
    """Fresh random programs: what coroutines print has to be what fibers print."""
    def programs():
        for seed in range(first, last + 1):
            text = program_of(program, seed)
            lines = run(command_of(program, "fibers"), True, text)
            yield Stored(seed, text, "".join(line + "\n" for line in lines))

    stored = list(programs())
    failed = [compare_programs(program, stored, passes, bodies=bodies) for bodies in BODIES[1:]]
    return any(failed)


def store(program, first, last, python):
    """Writes fresh programs, a hundred a file. A trace that depends on hashes of texts or on addresses is refused."""
    for start in range(first, last + 1, 100):
        programs = list(fresh_programs(program, start, min(start + 99, last), python))
        for p in programs:
            if p.trace != trace_of(python, p.number, p.program, PYTHONHASHSEED="1", PYTHONMALLOC="malloc"):
                sys.exit(f"{p.number}: CPython's trace depends on the order of a set")
        print(f"{len(programs)} programs in {stored_programs.write(programs)}", flush=True)


def compare_generators(program):
    sys.path.insert(0, str(HERE / "python"))
    import fuzz_gen

    stored = {s.number: s.program for s in stored_programs.read() if s.number >= OLDEST_SEED}
    seeds = list(stored) + [2**31, 2**62]
    problems = []
    for seed in seeds:
        made = "".join(line + "\n" for line in fuzz_gen.Generator(seed).program())
        if made != program_of(program, seed):
            problems.append(f"{seed}: fuzz_gen.py and fuzz_gen.cc make different programs")
        if made != stored.get(seed, made):
            problems.append(f"{seed}: is stored as another program than the seed makes")
    print("\n".join(problems) if problems else f"the generators agree; {len(stored)} stored programs are those of their seeds")
    return bool(problems)


def check_tables(program):
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    stored = sorted(p.stem for p in (HERE / "expected").glob("*.txt") if not p.name.endswith(".iter.txt"))
    problems = [f"{name}: has a twin but no stored trace" for name in listed if name not in stored]
    missing = {m.scenario for m in read_table("no_twin.tsv", Missing)}
    without_twin = {name.partition("_")[0] for name in stored if name not in listed}
    problems += [f"{number}: has a stored trace but no twin" for number in sorted(without_twin - missing)]
    problems += [f"no_twin.tsv names {number}, which is no scenario without a twin"
                 for number in sorted(missing - without_twin)]
    for name in stored:
        # A table entry has to be of use in each tier that it is for; the traces with threads are of tier A only.
        stale = expected_trace(name, False)[1]
        if "(no strict trace" not in (HERE / "expected" / (name + ".iter.txt")).read_text():
            stale |= expected_trace(name, True)[1] | expected_trace(name, True, "coroutines")[1]
        problems += [f"{name}: stale entry: " + " | ".join(entry) for entry in stale]
    numbers = {name.partition("_")[0] for name in stored}
    problems += [f"deviations.tsv names the unknown scenario {d.scenario}"
                 for d in read_table("deviations.tsv", Deviation) if d.scenario not in numbers]
    problems += [f"no_coroutines.tsv names the unknown scenario {w.scenario}"
                 for w in read_table("no_coroutines.tsv", WithoutCoroutines) if w.scenario not in numbers]
    print("\n".join(problems) if problems else f"{len(stored)} scenarios, no stale entry")
    return bool(problems)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scenario", "fuzz", "seeds", "bodies", "store", "generators", "tables"))
    parser.add_argument("program")
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--passes", action="store_true")
    parser.add_argument("--bodies", choices=BODIES, default="fibers")
    parser.add_argument("--numbers", nargs=2, type=int, default=(0, sys.maxsize), metavar=("FIRST", "LAST"))
    parser.add_argument("--python", default="python3", help="a CPython 3.13, for seeds and store")
    options = parser.parse_args()
    program, passes = options.program, options.passes
    if options.what == "scenario":
        return compare_scenario(program, options.arguments[0], passes, options.bodies)
    if options.what == "fuzz":
        known = {entry.program for entry in read_table("open.tsv", Open)}
        folder = pathlib.Path(options.arguments[0]) if options.arguments else stored_programs.FOLDER
        first, last = options.numbers
        cases = [s for s in stored_programs.read(folder) if first <= s.number <= last]
        known &= {str(s.number) for s in cases}
        return compare_programs(program, cases, passes, known, options.bodies)
    if options.what in ("seeds", "bodies", "store"):
        first, last = map(int, options.arguments)
        if options.what == "bodies":
            return compare_bodies(program, first, last, passes)
        if options.what == "store":
            return store(program, first, last, options.python)
        return compare_programs(program, fresh_programs(program, first, last, options.python), passes, bodies=options.bodies)
    if options.what == "generators":
        return compare_generators(program)
    return check_tables(program)


if __name__ == "__main__":
    sys.exit(main())
