# SPDX-License-Identifier: Apache-2.0
"""A custom exception handler that itself fails; default handler text; get/set."""
from conf import *
async def main():
    loop = asyncio.get_running_loop()
    def bad(): raise ValueError("bad")
    def handler(lp, ctx):
        log("handler got", ctx["message"].split(" at ")[0], exc(ctx["exception"]), lp is loop)
        raise RuntimeError("in handler")
    loop.set_exception_handler(handler)
    log(loop.get_exception_handler() is handler)
    loop.call_soon(bad)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    log(loop.get_exception_handler())
    loop.call_exception_handler({})
    loop.call_exception_handler({"message": "hello", "zeta": 1, "alpha": "two",
                                 "exception": OSError(2, "nope")})
    loop.set_exception_handler(lambda lp, ctx: log("custom", sorted(ctx.items())))
    loop.call_exception_handler({"message": "m"})
run(main, handler=False)
