# SPDX-License-Identifier: Apache-2.0
"""Message of a cancelled task: first reader gets the original error, later ones a bare one."""
from conf import *
async def body(): await asyncio.sleep(10)
async def main():
    t = asyncio.create_task(body()); await asyncio.sleep(0)
    t.cancel("msg"); await asyncio.wait([t])
    attempt("1st result()", t.result); attempt("2nd result()", t.result); attempt("exception()", t.exception)
    t = asyncio.create_task(body()); t.cancel("before start"); await asyncio.wait([t])
    attempt("1st", t.exception); attempt("2nd", t.result)
    f = asyncio.get_running_loop().create_future(); f.cancel("plain future")
    attempt("1st", f.result); attempt("2nd", f.result)
    async def w(n):
        try: await t2
        except asyncio.CancelledError as e: log(n, exc(e))
    t2 = asyncio.create_task(body())
    ws = [asyncio.create_task(w(n)) for n in "ab"]
    await asyncio.sleep(0); t2.cancel("two awaiters"); await asyncio.wait(ws)
    t3 = asyncio.create_task(body()); await asyncio.sleep(0)
    t3.cancel(5)
    try: await t3
    except asyncio.CancelledError as e: log("non-string message", e.args)
run(main)
