# SPDX-License-Identifier: Apache-2.0
"""Cancelling a gather: children get cancelled; when the gather itself ends, and with what."""
from conf import *
async def child(n, d, how):
    try: await asyncio.sleep(10)
    except asyncio.CancelledError as e:
        log(n, "got", exc(e)); await asyncio.sleep(d)
        if how == "value": log(n, "returns a value"); return n
        if how == "error": log(n, "raises"); raise ValueError(n)
        raise
async def scenario(title, hows, re):
    log("--", title)
    ts = [asyncio.create_task(child(f"c{i}", .1 * (i + 1), h)) for i, h in enumerate(hows)]
    g = asyncio.gather(*ts, return_exceptions=re)
    g.add_done_callback(lambda f: log("gather done-callback; cancelled()", f.cancelled()))
    await asyncio.sleep(.1)
    log("cancel ->", g.cancel("G"), "again ->", g.cancel("G2"), "done", g.done())
    try: log("value", await g)
    except BaseException as e: log("raised", exc(e))
    log([st(t) for t in ts], "g.cancelled()", g.cancelled())
    await asyncio.sleep(.3)
async def main():
    await scenario("all propagate", ["raise", "raise"], False)
    await scenario("first one swallows", ["value", "raise"], False)
    await scenario("all swallow", ["value", "value"], False)
    await scenario("all swallow, return_exceptions", ["value", "value"], True)
    await scenario("error, return_exceptions", ["error", "raise"], True)
    await scenario("error first", ["error", "raise"], False)
run(main)
