#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails if an operation has become more than 15 % slower: its ratio to a resume of boost::context::fiber, measured in the same
process, against the ratio that guard.json has. A stage of tools/check.

  guard.py BUILD_DIR/bench/core_bench          compare; exit 1 if an operation is slower
  guard.py BUILD_DIR/bench/core_bench --store  keep the ratios of this machine as the ones to compare with

For each operation, core_bench runs it and the resume in turn, in random order, 15 times each for 20 ms. The ratio is the
fastest of the one by the fastest of the other: what disturbs makes slower, never faster. An operation above its limit is
measured again, three times in all, and the best counts. A failure needs two tries that prove it. A try proves nothing if the
resume itself varied. If other processes used the cores, it must be 50 % above the stored ratio, not 15 %. (Measured with 12
processes for 2 cores, and with 4 more that only copy memory: the ratios were at most 3 % above those of a quiet machine, but
where two cores share one, it may be more.) Where nothing is proved, the line says so.

Ratios differ between processors, so 15 % holds only on a machine of a stored kind: the same processor and compiler, and a
poll and a look at the clock that cost about the same (they depend on the hypervisor, and are part of several operations).
On another machine the limit is twice the largest stored ratio: that finds a lost optimization, and no difference of
processors. If polls or the clock cost far more there than anywhere, nothing is judged."""
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import machine

STORED = Path(__file__).resolve().parent / "guard.json"
YARDSTICK = "BM_BoostFiberResume"
CONDITIONS = ["BM_Poll", "BM_ClockLook"]  # costs of the machine, not ours
LIMIT = 1.15             # on a machine of a stored kind
LIMIT_ELSEWHERE = 2.0    # of the largest stored ratio
SAME_CONDITIONS = 1.5    # the same kind of machine up to this factor
TRIES = 3
PROOFS = 2               # so many tries are needed for a failure
YARDSTICK_VARIES = 1.2   # median / fastest, from which a try proves nothing
OTHERS_BUSY = 0.4        # cores that others used, from which ...
BUSY_SLACK = 1.3         # ... a try must be so far above the limit
TIME_LIMIT = 45          # seconds; no new try after it
REPETITIONS, SECONDS_EACH = 15, 0.02

# One measurement of an operation: its ratio, what disturbed it ("" if nothing did), and how far above the limit it must
# be to prove that the operation is slower.
Try = namedtuple("Try", "ratio disturbed slack", defaults=["", 1])


def fastest_ratio(report, name):
    """(ratio, median / fastest of the yardstick) of the benchmarks in Google Benchmark's JSON."""
    costs = {}
    for benchmark in report["benchmarks"]:
        if benchmark.get("run_type", "iteration") == "iteration":
            costs.setdefault(benchmark["run_name"], []).append(1e9 / benchmark["items_per_second"])
    yardstick = costs[YARDSTICK]
    return min(costs[name]) / min(yardstick), statistics.median(yardstick) / min(yardstick)


def disturbance(yardstick_varies, others):
    """What disturbed a try, and its slack."""
    if yardstick_varies > YARDSTICK_VARIES:
        return f"the yardstick varied by {100 * (yardstick_varies - 1):.0f} %", math.inf
    if others > OTHERS_BUSY:
        return f"others used {others:.1f} cores", BUSY_SLACK
    return "", 1


def verdict(tries, most):
    """"met", "slower", or "noisy" for the tries of an operation that may have the ratio `most`."""
    if min(one.ratio for one in tries) <= most:
        return "met"
    return "slower" if sum(one.ratio > most * one.slack for one in tries) >= PROOFS else "noisy"


def limits(stored, here, conditions):
    """({operation: the largest ratio allowed}, what it is compared with, in words). No limits: nothing can be judged.

    `stored` is the list in guard.json, `conditions` are the machine's own costs by their names."""
    for entry in stored:
        same = all(1 / SAME_CONDITIONS <= value / entry["conditions"][name] <= SAME_CONDITIONS for name, value in conditions.items()
                   if name in entry["conditions"])
        if entry["machine"] == here and same:
            return {name: ratio * LIMIT for name, ratio in entry["ratios"].items()}, "stored for this kind of machine, + 15 %"
    largest, largest_conditions = {}, {}
    for entry in stored:
        for found, of_entry in ((largest, entry["ratios"]), (largest_conditions, entry["conditions"])):
            for name, value in of_entry.items():
                found[name] = max(value, found.get(name, 0))
    for name, value in conditions.items():
        if value > LIMIT_ELSEWHERE * largest_conditions.get(name, 0):
            return {}, f"{name[3:]} costs {value:.0f} resumes here, more than on any machine with stored ratios: nothing is judged"
    return ({name: ratio * LIMIT_ELSEWHERE for name, ratio in largest.items()},
            "another kind of machine: twice the largest stored ratio (--store keeps its own)")


def this_machine():
    """Processor and compiler, in words. The hypervisor is known by the conditions."""
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        fields = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", info.read().split("\n\n")[0], re.M))
    version = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=False).stdout.strip()
    processor = " ".join(fields.get(name, "?") for name in ("vendor_id", "cpu family", "model", "model name"))
    return f"{processor}, g++ {version.split('.')[0]}"


def measure(program, name):
    command = [program, f"--benchmark_filter=^({YARDSTICK}|{name})$", f"--benchmark_repetitions={REPETITIONS}",
               f"--benchmark_min_time={SECONDS_EACH}", "--benchmark_enable_random_interleaving=true", "--benchmark_format=json"]
    others = machine.Others()
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    used = others.cores()
    ratio, varies = fastest_ratio(json.loads(output), name)
    return Try(ratio, *disturbance(varies, used))


def operations(program):
    names = subprocess.run([program, "--benchmark_list_tests"], check=True, capture_output=True, text=True).stdout.split()
    return [name for name in names if name not in [YARDSTICK] + CONDITIONS]


def best_of(tries):
    return min(one.ratio for one in tries)


def store(program, stored, here, conditions):
    """Three tries of each operation; the best is kept. An entry of the same kind is replaced."""
    ratios = {name: round(best_of([measure(program, name) for _ in range(TRIES)]), 3) for name in operations(program)}
    entry = {"machine": here, "conditions": {name: round(value, 2) for name, value in conditions.items()}, "ratios": ratios}
    others = [old for old in stored if old["machine"] != here or not limits([old], here, conditions)[1].startswith("stored")]
    STORED.write_text(json.dumps(others + [entry], indent=1) + "\n", encoding="utf-8")
    print(f"guard: stored {len(ratios)} ratios of {here}")
    return 0


def compare(program, stored, here, conditions, started):
    most, compared_with = limits(stored, here, conditions)
    print(f"{here}: {compared_with}")
    names = [name for name in operations(program) if name in most]
    tries = {name: [] for name in names}
    for _ in range(TRIES):
        for name in names:
            late = time.monotonic() - started > TIME_LIMIT
            if not late and (not tries[name] or verdict(tries[name], most[name]) != "met"):
                tries[name].append(measure(program, name))
    verdicts = {name: verdict(tried, most[name]) if tried else "noisy" for name, tried in tries.items()}
    for name, tried in tries.items():
        disturbed = "; ".join(sorted({one.disturbed for one in tried if one.disturbed}))
        shown = f"{best_of(tried):6.2f}" if tried else "no time"
        print(f"{name:24} {shown} x, at most {most[name]:6.2f}: {verdicts[name]}{f' ({disturbed})' if disturbed else ''}")
    slower = [name for name in names if verdicts[name] == "slower"]
    noisy = [name for name in names if verdicts[name] == "noisy"]
    if slower:
        print("guard: slower than allowed: " + ", ".join(f"{name} ({best_of(tries[name]):.2f} x, at most {most[name]:.2f})" for name in slower))
        print("If that is intended, `bench/guard.py PROGRAM --store` keeps the new ratios; say why in the commit.")
        return 1
    not_judged = f"; the machine was too noisy to judge {', '.join(noisy)}" if noisy else ""
    print(f"guard: {len(names) - len(noisy)} of {len(names)} operations within their limit, {compared_with}{not_judged}" if names
          else f"guard: {compared_with}")
    return 0


def main():
    parser = argparse.ArgumentParser(description="Fails if an operation of core_bench has become slower.")
    parser.add_argument("program", help="build/gcc/bench/core_bench")
    parser.add_argument("--store", action="store_true", help="keep the ratios of this machine as the ones to compare with")
    options = parser.parse_args()
    started = time.monotonic()
    if not os.access(options.program, os.X_OK):
        print("guard: core_bench is not built (Google Benchmark is missing?): nothing is compared")
        return 0
    stored = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else []
    conditions = {name: best_of([measure(options.program, name)]) for name in CONDITIONS}
    if options.store:
        return store(options.program, stored, this_machine(), conditions)
    return compare(options.program, stored, this_machine(), conditions, started)


if __name__ == "__main__":
    sys.exit(main())
