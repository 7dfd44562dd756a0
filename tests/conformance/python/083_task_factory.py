# SPDX-License-Identifier: Apache-2.0
"""set_task_factory: used by create_task, ensure_future, gather, TaskGroup, run_until_complete; names."""
from conf import *
class MyTask(asyncio.Task): pass
async def noop(): return 1
async def main():
    loop = asyncio.get_running_loop(); seen = []
    def factory(lp, coro, **kw): seen.append(sorted(kw)); return MyTask(coro, loop=lp, **kw)
    log(loop.get_task_factory()); loop.set_task_factory(factory); log(loop.get_task_factory() is factory)
    t = asyncio.create_task(noop(), name="named"); log(type(t).__name__, t.get_name()); await t
    t = asyncio.ensure_future(noop()); log(type(t).__name__); await t
    await asyncio.gather(noop(), noop())
    async with asyncio.TaskGroup() as tg: log(type(tg.create_task(noop(), name="g")).__name__)
    log("calls", len(seen)); loop.set_task_factory(None); log(type(asyncio.create_task(noop())).__name__); await asyncio.sleep(0)
run(main)
