# SPDX-License-Identifier: Apache-2.0
"""Shared helpers for the asyncio conformance scenarios.

A scenario is a plain program that prints one event per line.  Two traces can
be produced from the same program:

  default        "<virtual time>  <event>"           -> NAME.txt
  CONF_ITER=1    "<virtual time> #<iteration> <event>" -> NAME.iter.txt

The iteration number counts passes of the event loop since the loop was made;
comparing it too is the strict mode (it pins which callback runs in which pass).

The loop is TestLoop: time() is virtual, and instead of sleeping in the
selector the clock jumps straight to the next timer, so every scenario runs in
milliseconds and prints the same thing on every machine.
"""
import asyncio
import gc
import logging
import os
import re
import selectors
import sys
import warnings

STRICT = os.environ.get("CONF_ITER") == "1"
CURRENT = None          # the TestLoop whose clock stamps the trace


class _VirtualSelector(selectors.DefaultSelector):
    loop = None

    def select(self, timeout=None):
        loop = self.loop
        if timeout is None:
            if not loop.may_block:
                emit("DEADLOCK: nothing ready, nothing scheduled")
                raise SystemExit(3)
            return super().select(5.0)          # a real wait, for thread tests
        if timeout > 0:
            ev = super().select(0)
            if ev:
                return ev
            if loop.may_block:                   # real threads: wait for real
                ev = super().select(min(timeout, 0.002))
                if ev:
                    return ev
            loop._vtime = max(loop._vtime, loop._scheduled[0]._when)
            return []
        return super().select(0)


class _FifoTimerHandle(asyncio.TimerHandle):
    """Equal deadlines fire first-made-first.

    CPython leaves the order of equal deadlines to its heap (five equal timers
    fire 0,2,1,3,4) and documents it as undefined.  A virtual clock makes ties
    common, so the scenarios fix the order that an implementation should want.
    """
    __slots__ = ("_seq",)
    _count = 0

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        _FifoTimerHandle._count += 1
        self._seq = _FifoTimerHandle._count
        tb = self._source_traceback
        if tb:
            del tb[-1]

    def __lt__(self, other):
        return (self._when, self._seq) < (other._when, other._seq)


_FifoTimerHandle.__name__ = _FifoTimerHandle.__qualname__ = "TimerHandle"
asyncio.events.TimerHandle = _FifoTimerHandle


class TestLoop(asyncio.SelectorEventLoop):
    __test__ = False

    def __init__(self):
        self._vtime = 0.0
        sel = _VirtualSelector()
        super().__init__(sel)
        sel.loop = self
        # Times are whole nanoseconds, so that a clock made of doubles and one
        # made of integers agree about which deadlines are equal or due.
        self._clock_resolution = 0.5e-9
        self.iteration = 0
        self.may_block = False

    def time(self):
        return self._vtime

    def call_at(self, when, callback, *args, context=None):
        if when is not None and when == when and abs(when) < 1e9:
            when = round(when, 9)
        return super().call_at(when, callback, *args, context=context)

    def burn(self, seconds):
        """Pretend the running callback took this long."""
        self._vtime = round(self._vtime + seconds, 9)

    def _run_once(self):
        self.iteration += 1
        super()._run_once()


def emit(text):
    print(text, flush=True)


def log(*parts):
    text = " ".join(str(p) for p in parts)
    loop = CURRENT
    if loop is None:
        emit("-.--- " + text)
    elif STRICT:
        emit(f"{loop._vtime:.3f} #{loop.iteration} {text}")
    else:
        emit(f"{loop._vtime:.3f} {text}")


def exc(e):
    """Type and message only: ValueError('x'), CancelledError()."""
    if e is None:
        return "None"
    if isinstance(e, BaseExceptionGroup):
        inner = ", ".join(sorted(exc(x) for x in e.exceptions))
        return f"{type(e).__name__}({e.message!r}: {inner})"
    return f"{type(e).__name__}({', '.join(repr(a) for a in e.args)})"


def st(f):
    """State of a future without consuming anything."""
    if not f.done():
        return "pending"
    if f.cancelled():
        return "cancelled"
    e = f.exception()
    return f"exception={exc(e)}" if e is not None else f"result={f.result()!r}"


def attempt(label, fn, *args):
    """Call fn and log its value or its exception."""
    try:
        r = fn(*args)
    except BaseException as e:
        log(f"{label} !! {exc(e)}")
        return None
    log(f"{label} -> {r!r}")
    return r


async def ticks(n=1):
    for _ in range(n):
        await asyncio.sleep(0)


def scrub(text):
    """Remove paths, line numbers and addresses from a message."""
    text = re.sub(r"0x[0-9a-f]+", "0xADDR", text)
    text = re.sub(r"/[^\s'\"]*?([\w.]+\.py):\d+", r"FILE:LINE", text)
    text = re.sub(r'File "[^"]*", line \d+', 'File "FILE", line LINE', text)
    text = re.sub(r"when=\d+\.\d+", "when=T", text)
    text = re.sub(r"\b\w+\.<locals>\.", "", text)
    return text


def trace_handler(loop, context):
    keys = ",".join(sorted(k for k in context))
    message = scrub(context.get("message", ""))
    message = re.sub(r"^(Exception in callback) .*", r"\1", message)
    log(f"HANDLER {message!r} keys={keys} exception={exc(context.get('exception'))}")


class _LogTap(logging.Handler):
    def emit(self, record):
        msg = scrub(record.getMessage())
        first, *rest = msg.split("\n")
        log(f"LOG {record.levelname} {first}")
        for line in rest:
            log(f"LOG      | {line}")
        if record.exc_info and record.exc_info[1] is not None:
            log(f"LOG      | exc {exc(record.exc_info[1])}")


def tap_logger():
    lg = logging.getLogger("asyncio")
    lg.handlers[:] = [_LogTap()]
    lg.propagate = False
    lg.setLevel(logging.INFO)


def tap_warnings():
    def show(message, category, filename, lineno, file=None, line=None):
        log(f"WARNING {category.__name__} {scrub(str(message)).splitlines()[0]}")
    warnings.simplefilter("always")
    warnings.showwarning = show


def new_loop():
    global CURRENT
    loop = TestLoop()
    CURRENT = loop
    return loop


def spin(loop, passes=1):
    """Run exactly this many passes of the loop from outside."""
    for _ in range(passes):
        loop.call_soon(loop.stop)
        loop.run_forever()


def run(main, *, handler=True, debug=False, drain=True):
    """Run main() in a fresh TestLoop, log how it ended, close the loop."""
    tap_logger()
    tap_warnings()
    loop = new_loop()
    loop.set_debug(debug)
    if handler:
        loop.set_exception_handler(trace_handler)
    try:
        try:
            r = loop.run_until_complete(main())
            log(f"main returned {r!r}")
        except BaseException as e:
            log(f"main raised {exc(e)}")
        if drain:
            left = [t for t in asyncio.all_tasks(loop)]
            if left:
                log("left over:", ",".join(sorted(t.get_name() for t in left)))
                for t in left:
                    t.cancel()
                try:
                    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                except BaseException as e:
                    log(f"drain raised {exc(e)}")
            left = None
            gc.collect()
    finally:
        loop.close()
