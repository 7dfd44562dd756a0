# SPDX-License-Identifier: Apache-2.0
"""Context: tasks copy it, callbacks capture it, explicit context, done-callbacks."""
from conf import *
import contextvars
v = contextvars.ContextVar("v", default="default")
async def child(n):
    log(n, "sees", v.get()); v.set(n); await asyncio.sleep(0); log(n, "kept", v.get())
async def main():
    loop = asyncio.get_running_loop(); v.set("main")
    a, b = asyncio.create_task(child("a")), asyncio.create_task(child("b")); v.set("changed after create")
    await asyncio.wait([a, b]); log("main", v.get()); await child("direct"); log("a plain await shares", v.get())
    v.set("at call_soon"); loop.call_soon(lambda: log("callback", v.get())); v.set("later"); await asyncio.sleep(0)
    f = loop.create_future(); v.set("at add_done_callback"); f.add_done_callback(lambda f: (log("done-callback", v.get()), v.set("lost"))); v.set("at set_result"); f.set_result(0); await asyncio.sleep(0); log("main", v.get())
    ctx = contextvars.copy_context(); t = asyncio.create_task(child("in ctx"), context=ctx); await t; log("explicit context keeps changes", ctx[v], "main", v.get())
    loop.call_soon(lambda: log("explicit in call_soon", v.get()), context=ctx); await asyncio.sleep(0)
run(main)
