# SPDX-License-Identifier: Apache-2.0
"""wait_for with timeout 0 or negative."""
from conf import *
async def body(): log("body ran (wrong)")
async def val():
    try: log("val started"); await asyncio.sleep(1)
    except asyncio.CancelledError: log("val cancelled"); raise
async def main():
    loop = asyncio.get_running_loop()
    for z in (0, -1):
        f = loop.create_future(); f.set_result("done")
        log("done future", await asyncio.wait_for(f, z))
        f = loop.create_future(); f.set_exception(ValueError("v"))
        try: await asyncio.wait_for(f, z)
        except ValueError as e: log("failed future", exc(e))
        try: await asyncio.wait_for(body(), z)
        except TimeoutError: log("coroutine never started")
        t = asyncio.create_task(val()); await asyncio.sleep(0)
        try: await asyncio.wait_for(t, z)
        except TimeoutError: log("running task", st(t))
run(main)
