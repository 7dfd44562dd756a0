# SPDX-License-Identifier: Apache-2.0
"""TaskGroup: child error aborts siblings and body; grouping; no new tasks while aborting."""
from conf import *
async def bad(n, d): await asyncio.sleep(d); raise ValueError(n)
async def nice(n, tg=None):
    try: await asyncio.sleep(10)
    except asyncio.CancelledError as e:
        log(n, "cancelled", exc(e)); await asyncio.sleep(.1)
        if tg:
            c = nice("late")
            try: tg.create_task(c)
            except RuntimeError as e2: log("create_task:", scrub(str(e2)))
            c.close()
        raise
async def main():
    me = asyncio.current_task()
    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(bad("b1", .1)); tg.create_task(nice("n", tg))
            try: await asyncio.sleep(5); log("body finished (wrong)")
            except asyncio.CancelledError as e: log("body cancelled", exc(e), "cancelling", me.cancelling(), repr(tg)); raise
    except* ValueError as eg: log("group", exc(eg), "cancelling", me.cancelling())
    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(bad("x1", .1)); tg.create_task(bad("x2", .1))
    except BaseExceptionGroup as eg: log("two in one pass", exc(eg))
    try:
        async with asyncio.TaskGroup() as tg:
            n = tg.create_task(nice("n2")); await asyncio.sleep(0); raise KeyError("body")
    except BaseExceptionGroup as eg: log("body error", exc(eg), st(n), "context", exc(eg.__context__), "cause", exc(eg.__cause__))
    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(bad("c", .1))
            try: await asyncio.sleep(5)
            finally: raise OSError("clean-up of the body failed")
    except BaseExceptionGroup as eg: log("both", exc(eg), "cancelling", me.cancelling())
    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(bad("swallow", .1))
            try: await asyncio.sleep(5)
            except asyncio.CancelledError: log("body swallows")
            await asyncio.sleep(.2); log("body goes on after swallowing")
    except BaseExceptionGroup as eg: log(exc(eg), "cancelling", me.cancelling())
run(main)
