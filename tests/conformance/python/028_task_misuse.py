# SPDX-License-Identifier: Apache-2.0
"""Awaiting oneself, a future of another loop, set_result on a task, wrong constructor argument."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    other = TestLoop()
    async def self_await():
        await asyncio.current_task()
    t = asyncio.create_task(self_await()); await asyncio.wait([t])
    log("self:", type(t.exception()).__name__, str(t.exception()).split(":")[0])
    f = other.create_future()
    async def foreign():
        try: await f
        except RuntimeError as e:
            log("foreign:", scrub(str(e)).split(" got ")[0].split(" ")[0], "...", str(e).split("> ")[-1]); raise
    t = asyncio.create_task(foreign()); await asyncio.wait([t]); log(type(t.exception()).__name__)
    async def ok(): return 1
    t = asyncio.create_task(ok())
    attempt("set_result", t.set_result, 5); attempt("set_exception", t.set_exception, ValueError())
    log(await t)
    attempt("create_task(123)", asyncio.create_task, 123)
    attempt("create_task(future)", lambda: type(asyncio.create_task(loop.create_future())))
    c = ok(); await c
    try: await c
    except RuntimeError as e: log("reuse:", exc(e))
    async def slow(): await asyncio.sleep(0)
    c = slow(); t = asyncio.create_task(c); await asyncio.sleep(0)
    try: await c
    except RuntimeError as e: log("two owners:", exc(e))
    await t
    other.close()
run(main)
