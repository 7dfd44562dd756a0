#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs core_bench several times and prints each cost as a ratio to a Boost fiber's resume in the same run.

Usage: bench/ratios.py BUILD_DIR/bench/core_bench [RUNS]. The last column is the goal; medians over the runs.
"""
import json
import statistics
import subprocess
import sys

GOALS = {"BM_RawSwitch": 1.7, "BM_YieldTwoTasks": 3, "BM_CreateRunAwait": 15, "BM_FutureRoundTrip": 20,
         "BM_WaitForInTime": 20, "BM_Gather1000": 20}


def main():
    program, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    ratios = {}
    yardsticks = []
    for _ in range(runs):
        out = subprocess.run([program, "--benchmark_format=json"], check=True, capture_output=True, text=True).stdout
        cost = {b["name"]: 1e9 / b["items_per_second"] for b in json.loads(out)["benchmarks"]}
        yardstick = cost.pop("BM_BoostFiberResume")
        yardsticks.append(yardstick)
        for name, ns in cost.items():
            ratios.setdefault(name, []).append(ns / yardstick)
    print(f"boost::context::fiber resume: {statistics.median(yardsticks):.1f} ns (median of {runs} runs)")
    for name, values in ratios.items():
        print(f"{name:22} {statistics.median(values):6.2f} x   best {min(values):6.2f}   goal {GOALS.get(name, '-')}")


if __name__ == "__main__":
    main()
