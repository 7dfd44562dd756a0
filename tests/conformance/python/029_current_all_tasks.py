# SPDX-License-Identifier: Apache-2.0
"""current_task / all_tasks inside tasks, inside callbacks, outside the loop."""
from conf import *
tap_logger()
loop = new_loop()
attempt("current_task()", asyncio.current_task)
attempt("current_task(loop)", asyncio.current_task, loop)
attempt("all_tasks()", asyncio.all_tasks)
attempt("all_tasks(loop)", asyncio.all_tasks, loop)
names = lambda s: sorted(t.get_name() for t in s)
async def child(f):
    log("child sees", asyncio.current_task().get_name(), names(asyncio.all_tasks()))
    await f
    log("child again", asyncio.current_task().get_name())
async def main():
    f = loop.create_future()
    t = loop.create_task(child(f), name="child")
    log("main sees", asyncio.current_task().get_name(), names(asyncio.all_tasks()))
    loop.call_soon(lambda: log("callback sees", asyncio.current_task()))
    await asyncio.sleep(0)
    log("main still", asyncio.current_task().get_name())
    f.add_done_callback(lambda _: log("done-callback sees", asyncio.current_task()))
    f.set_result(1)
    await t
    log("finished tasks are gone", names(asyncio.all_tasks()))
    async def nested():
        return asyncio.current_task().get_name()
    log("plain await keeps the task", await nested())
m = loop.create_task(main(), name="main")
loop.run_until_complete(m)
log("after", asyncio.current_task(loop), names(asyncio.all_tasks(loop)))
loop.close()
