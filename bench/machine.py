# SPDX-License-Identifier: Apache-2.0
"""How busy the machine is with other things, for guard.py and the race."""
import os
import time


def busy_seconds():
    """CPU time of the whole machine that was not idle, time stolen by a hypervisor included."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _, _, interrupts, soft, steal = [int(word) for word in stat.readline().split()[1:9]]
    return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Others:
    """How many cores other processes used since its construction. Ask when all children have ended."""

    def __init__(self):
        self.start = time.monotonic(), busy_seconds(), own_seconds()

    def cores(self):
        wall, busy, own = (now - then for now, then in zip((time.monotonic(), busy_seconds(), own_seconds()), self.start))
        return max(0.0, (busy - own) / wall)
