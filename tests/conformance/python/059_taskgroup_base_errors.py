# SPDX-License-Identifier: Apache-2.0
"""TaskGroup and SystemExit/KeyboardInterrupt; BaseException children; cancelling() left behind (3.11)."""
from conf import *
class B(BaseException): pass
async def nice(n):
    try: await asyncio.sleep(10)
    except asyncio.CancelledError: log(n, "cancelled"); raise
async def raiser(e, d=.1): await asyncio.sleep(d); raise e
async def body_exit():
    async with asyncio.TaskGroup() as tg:
        tg.create_task(nice("sibling")); await asyncio.sleep(.1); raise SystemExit("from body")
async def main():
    try: await body_exit()
    except SystemExit as e: log("unwrapped:", exc(e))
    try:
        async with asyncio.TaskGroup() as tg: tg.create_task(raiser(B("base"))); await asyncio.sleep(5)
    except BaseExceptionGroup as eg: log(exc(eg), isinstance(eg, Exception))
    me = asyncio.current_task()
    try:
        async with asyncio.TaskGroup() as tg: tg.create_task(raiser(ValueError("in body"))); await asyncio.sleep(5)
    except BaseExceptionGroup as eg: log("failed while in the body: cancelling", me.cancelling())
    try:
        async with asyncio.TaskGroup() as tg: tg.create_task(raiser(ValueError("at exit")))
    except BaseExceptionGroup as eg: log("failed while waiting at the exit: cancelling", me.cancelling())
    await asyncio.sleep(0); log("but nothing is thrown later")
    try:
        async with asyncio.timeout(.1): await asyncio.sleep(1)
    except TimeoutError: log("timeout() still works on top of it")
run(main)
