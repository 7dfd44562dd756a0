# SPDX-License-Identifier: Apache-2.0
"""Cancelling handles: before, during the same pass, twice, after running."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    hs = {}
    def killer():
        log("killer")
        hs["victim"].cancel()
        hs["timer"].cancel()
    loop.call_soon(killer)
    hs["victim"] = loop.call_soon(log, "victim ran (wrong)")
    hs["timer"] = loop.call_later(0, log, "timer ran (wrong)")
    hs["ok"] = loop.call_soon(log, "ok ran")
    log("cancelled()", hs["victim"].cancelled(), hs["ok"].cancelled())
    await asyncio.sleep(0.01)
    log("cancelled()", hs["victim"].cancelled(), hs["timer"].cancelled(), hs["ok"].cancelled())
    attempt("cancel twice", hs["victim"].cancel)
    attempt("cancel after it ran", hs["ok"].cancel)
    log("now cancelled()", hs["ok"].cancelled())
    t = loop.call_later(5, log, "never")
    log("when", t.when())
    t.cancel()
    attempt("when after cancel", t.when)
run(main)
