# SPDX-License-Identifier: Apache-2.0
"""print_stack: header line per state, frame lines, exception line; limit 0; file argument."""
from conf import *
import io
def show(label, t, limit=None):
    b = io.StringIO(); t.print_stack(limit=limit, file=b); log(f"-- {label} limit={limit}")
    for line in b.getvalue().split("\n")[:-1]: log("|" + scrub(line))
async def inner(f): await f
async def outer(f):
    await inner(f)
def deep(): raise ValueError("deep")
async def fails():
    await asyncio.sleep(0)
    deep()
async def main():
    loop = asyncio.get_running_loop(); f = loop.create_future()
    t = loop.create_task(outer(f), name="T"); show("not started", t); await asyncio.sleep(0); show("suspended", t); show("suspended", t, 0)
    f.set_result(1); await t; show("finished", t)
    t = loop.create_task(fails(), name="F"); await asyncio.wait([t]); show("failed", t); show("failed", t, 1); show("failed", t, 0)
    t = loop.create_task(outer(loop.create_future()), name="C"); await asyncio.sleep(0); t.cancel(); show("cancelling", t); await asyncio.wait([t]); show("cancelled", t)
    sys.stderr = sys.stdout = io.StringIO(); t.print_stack(); got = sys.stderr.getvalue(); sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    log("default file is sys.stderr:", scrub(got.strip()))
run(main)
