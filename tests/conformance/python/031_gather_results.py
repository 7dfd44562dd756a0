# SPDX-License-Identifier: Apache-2.0
"""gather: results in argument order, empty call, done inputs, duplicates, mixed inputs."""
from conf import *
async def val(n, d):
    await asyncio.sleep(d); log("finish", n); return n
async def main():
    loop = asyncio.get_running_loop()
    log(await asyncio.gather(val("a", .3), val("b", .1), val("c", .2)))
    e = asyncio.gather(); log("empty:", st(e), await e)
    f = loop.create_future(); f.set_result("F")
    g = asyncio.gather(f); log("done input: gather is", st(g)); log(await g)
    t = asyncio.create_task(val("t", 0))
    c = val("dup", 0)
    log("duplicates", await asyncio.gather(t, c, t, c, f))
    class Aw:
        def __await__(self): return val("aw", 0).__await__()
    log("awaitable", await asyncio.gather(Aw()))
    nested = asyncio.gather(asyncio.gather(val(1, 0), val(2, 0)), val(3, 0))
    log("nested", await nested)
    attempt("bad argument", asyncio.gather, 5)
    other = TestLoop(); x = other.create_future()
    attempt("two loops", asyncio.gather, f, x)
    other.close()
    g = asyncio.gather(val("s", .1)); log("starts by itself, no await needed"); await asyncio.sleep(.2); log(st(g))
run(main)
