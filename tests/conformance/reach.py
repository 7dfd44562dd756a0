#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what the stored random programs do, and fails when a count is too small: reach.py PROGRAM.

An instruction that never ends, or a barrier that never breaks, checks nothing. So over all programs each instruction must
end at least LEAST times in each of its listed ways. Each line that shows an effect must occur in at least as many traces.
Needs Python's standard library only.
"""
import collections
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import stored_programs

LEAST = 10

# How an instruction ends: "ok" or what it raises.
OUTCOMES = """
    log ok                                  spawn ok
    fut ok                                  set ok
    fail ok                                 cancel ok
    uncancel ok                             await ok CancelledError ValueError TimeoutError
    sleep ok CancelledError                 gather ok CancelledError ValueError TimeoutError
    wait ok CancelledError                  ascomp ok CancelledError
    waitfor ok CancelledError TimeoutError ValueError
    wfco ok CancelledError TimeoutError ValueError
    shield ok CancelledError TimeoutError ValueError
    raise ValueError                        return Return
    try ok Return                           tryraise ok CancelledError TimeoutError
    finally ok CancelledError TimeoutError ValueError Return
    timeout ok CancelledError TimeoutError RuntimeError BrokenBarrierError ValueError Return
    resched ok RuntimeError                 gspawn ok
    group ok CancelledError ExceptionGroup
    lock ok CancelledError TimeoutError     sem ok CancelledError TimeoutError
    eset ok                                 eclear ok
    ewait ok CancelledError                 cond ok CancelledError TimeoutError
    cwait ok CancelledError RuntimeError    cwaitfor ok CancelledError
    notify ok RuntimeError                  bwait ok CancelledError BrokenBarrierError
    breset ok                               babort ok
    put ok CancelledError QueueShutDown     get ok CancelledError QueueShutDown
    putnow ok QueueFull QueueShutDown       getnow ok QueueEmpty QueueShutDown
    qdone ok ValueError                     qjoin ok CancelledError
    qshut ok                                qnew ok
    rnew ok                                 feed ok
    eof ok                                  rfail ok
    read ok CancelledError ValueError RuntimeError
    readexactly ok CancelledError ValueError RuntimeError IncompleteReadError
    readline ok CancelledError ValueError RuntimeError
    readuntil ok CancelledError ValueError RuntimeError IncompleteReadError LimitOverrunError
    lines ok CancelledError ValueError RuntimeError
    rstate ok
    soon ok                                 later ok
    at ok                                   hcancel ok
    ondone ok                               undone ok
"""

# (what has to be seen, in how many traces it is: the line's pattern)
EFFECTS = {
    "a callback of the loop runs": r"~\d+ called$",
    "a callback of a future that has a result": r"~\d+ called result=",
    "a callback of a future that has an exception": r"~\d+ called exception=",
    "a callback of a future that was cancelled": r"~\d+ called cancelled",
    "a callback inside a callback": r"~\d+~\d+ called",
    "a callback raises": r"HANDLER 'Exception in callback'",
    "a handle is cancelled a second time": r"hcancel h\d True",
    "a callback is removed": r"undone c\d [1-9]",
    "a callback is not there to be removed": r"undone c\d 0",
    "a request of cancellation is left after uncancel()": r"uncancel \w+ [1-9]",
    "as_completed: a result": r"next (\d|None)",
    "as_completed: an error": r"next raises ValueError",
    "as_completed: its time limit": r"next raises TimeoutError",
    "as_completed: walked to its end": r"no next",
    "a time limit passes": r"timeout expired True",
    "a barrier's last index": r"barrier 2",
    "a barrier was reset while somebody waited": r"BrokenBarrierError\('Abort or reset of barrier'\)",
    "a barrier was aborted before": r"BrokenBarrierError\('Barrier aborted'\)",
    "a condition notifies without its lock": r"cannot notify on un-acquired lock",
    "a ring of tasks": r" cycle$",
    "a coroutine of wait_for starts": r"\.c\d+ start",
    "a stream is at its end": r"r\d at_eof True",
    "bytes are left behind its end": r"read\w* r\d b'.+' left [1-9]",
    "bytes after the end are refused": r"feed refused",
    "two tasks read a stream at once": r"busy r\d",
    "several separators end together, or one in another": r"readuntil r\d b'.*(ab|ba)'",
    "a separator within a limit": r"readuntil r\d b'",
    "a separator comes behind the limit": r"LimitOverrunError\('Separator is found",
    "no separator within the limit": r"LimitOverrunError\('Separator is not found",
    "a line is longer than the limit": r"ValueError\('Separator is found",
    "a part of a line is longer than the limit": r"ValueError\('Separator is not found",
    "the last line has no newline": r"readline r\d b'[^\\]+' left 0",
    "readline() at the end": r"readline r\d b'' left 0",
    "a line of a walk": r"line r\d b'.*\\n'",
    "a walk meets the end": r"no line r\d",
    "all of a stream": r"read r\d b'.{9,}' left 0",
    "the end comes before the last of several bytes": r"partial b'.+' \d",
    "the end comes before a separator": r"partial b'.+' None",
    "a coroutine of wait_for returns": r" wf \d",
}


def required_outcomes():
    """The pairs of OUTCOMES: an instruction begins with a small letter, an error does not."""
    name = None
    for word in OUTCOMES.split():
        if word == "ok" or word[0].isupper():
            yield name, word
        else:
            name = word


def outcomes_of(program, stored):
    done = subprocess.run([program, "--outcomes", "-"], input=stored.program, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stderr.splitlines()]


def main():
    program = sys.argv[1]
    programs = list(stored_programs.read())
    outcomes = collections.Counter()
    with ThreadPoolExecutor() as pool:
        for lines in pool.map(lambda stored: outcomes_of(program, stored), programs):
            for name, outcome, count in lines:
                outcomes[name, outcome] += int(count)
    effects = {what: sum(re.search(pattern, p.trace, re.MULTILINE) is not None for p in programs)
               for what, pattern in EFFECTS.items()}

    for name in sorted({name for name, _ in outcomes}):
        ends = sorted(((count, outcome) for (n, outcome), count in outcomes.items() if n == name), reverse=True)
        print(f"{name:10}" + ", ".join(f"{outcome} {count}" for count, outcome in ends))
    for what, count in effects.items():
        print(f"in {count} of {len(programs)} programs: {what}")
    missing = [f"{name} {outcome}: {outcomes[name, outcome]} times"
               for name, outcome in required_outcomes() if outcomes[name, outcome] < LEAST]
    missing += [f"{what}: in {count} programs" for what, count in effects.items() if count < LEAST]
    missing += [f"{name} is no instruction of the table" for name, _ in outcomes.keys()
                if name not in {n for n, _ in required_outcomes()}]
    print("\n".join(["too little:", *missing]) if missing else f"everything at least {LEAST} times")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
