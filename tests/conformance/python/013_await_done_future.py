# SPDX-License-Identifier: Apache-2.0
"""Awaiting a future that is already done does not give up control."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    f = loop.create_future(); f.set_result("r")
    loop.call_soon(log, "other callback")
    log("await 1", await f)
    log("await 2", await f)
    g = loop.create_future(); g.set_exception(ValueError("v"))
    for _ in range(2):
        try: await g
        except ValueError as e: log("caught", exc(e), e is g.exception())
    h = loop.create_future(); h.cancel("c")
    try: await h
    except asyncio.CancelledError as e: log("caught", exc(e))
    log("main not cancelled; cancelling() =", asyncio.current_task().cancelling())
    await asyncio.sleep(0)
    log("after one real yield")
run(main)
