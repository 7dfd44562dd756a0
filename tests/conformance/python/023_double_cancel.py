# SPDX-License-Identifier: Apache-2.0
"""Two cancels in one pass are one CancelledError; which message; cancels in separate passes."""
from conf import *
async def body():
    try: await asyncio.sleep(10)
    except asyncio.CancelledError as e:
        log("first", exc(e))
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError as e:
        log("second", exc(e)); raise
async def main():
    t = asyncio.create_task(body()); await asyncio.sleep(0)
    log(t.cancel("a"), t.cancel("b"), "cancelling", t.cancelling())
    await asyncio.sleep(0.1)
    log("state", st(t), "- the second request was merged into the first")
    t.cancel("c"); await asyncio.wait([t]); log(st(t)); attempt("result", t.result)
    t = asyncio.create_task(body()); await asyncio.sleep(0)
    t.cancel("x"); await asyncio.sleep(0)
    t.cancel("y"); await asyncio.wait([t]); attempt("result", t.result)
run(main)
