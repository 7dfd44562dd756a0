# SPDX-License-Identifier: Apache-2.0
"""What the Python peers of the race share: the command line, clocks, and the lines that they print. See peer.h, which is
the same for C++, and README.md. Python does a tenth of the operations, or less; the cost is printed for one operation."""
import sys
import time

YIELDS, TASKS, ROUND_TRIPS, ITEMS, TIMED_WAITS, POSTS, CALLS_TO_IDLE_LOOP = 40_000, 8_000, 8_000, 12_000, 3_000, 20_000, 300
repetitions = 3
cpu_time = time.process_time_ns


def share(total, n):
    """The part of `total` operations that each of n tasks does."""
    return max(1, total // n)


def yields_of(n):
    """How often each of n tasks yields."""
    return max(4, share(YIELDS, n))


def show(measure, n, value):
    print(f"{measure}={n}\t{value:.3f}", flush=True)


def memory_bytes():
    """Resident memory and page tables of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        return 1024 * sum(int(line.split()[1]) for line in status if line.startswith(("VmRSS:", "VmPTE:")))


class CpuWatch:
    """Prints the CPU time that the block takes for each of its operations."""

    def __init__(self, measure, n, operations):
        self.measure, self.n, self.operations = measure, n, operations

    def __enter__(self):
        self.start = cpu_time()

    def __exit__(self, kind, *_):
        if kind is None:
            show(self.measure, self.n, (cpu_time() - self.start) / self.operations)


class FirstToEnd:
    """The CPU time until the first of several tasks that take turns has done all its yields."""

    def __init__(self):
        self.begin, self.end = 0, None

    def start(self):
        self.begin = cpu_time()

    def ended(self):
        if self.end is None:
            self.end = cpu_time()


class Sleepers:
    """n tasks that sleep until the same time."""

    def __init__(self, n, wake):
        self.n, self.bytes, self.cpu = n, memory_bytes(), cpu_time()
        self.deadline = time.monotonic() + (2 + 50e-6 * n if wake else 1000)

    def until_deadline(self):
        return max(0, self.deadline - time.monotonic())

    def all_sleep(self):
        if not self.until_deadline():
            sys.exit("not all were asleep before the first woke")
        self.asleep_cpu = cpu_time()
        show("sleeper_create", self.n, (self.asleep_cpu - self.cpu) / self.n)
        show("sleeper_bytes", self.n, (memory_bytes() - self.bytes) / self.n)

    def all_ended(self):
        show("sleeper_wake", self.n, (cpu_time() - self.asleep_cpu) / self.n)


def measures(words):
    """(name, n) of each word `name=n`; takes `repeat=n` for itself."""
    global repetitions
    for word in words:
        name, _, n = word.partition("=")
        if name == "repeat":
            repetitions = int(n)
        else:
            yield name, int(n)


def of(measure_functions, name):
    if name not in measure_functions:
        print(f"{name}: no such measure here", file=sys.stderr)
        sys.exit(2)
    return measure_functions[name]
