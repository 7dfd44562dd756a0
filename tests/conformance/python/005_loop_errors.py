# SPDX-License-Identifier: Apache-2.0
"""Errors of the loop's own methods: closed, running, nested, bad arguments."""
from conf import *
tap_logger()
loop = new_loop()
other = TestLoop()
async def noop(): return 1
async def main():
    attempt("close while running", loop.close)
    attempt("run_forever nested", loop.run_forever)
    c = noop(); attempt("run_until_complete nested", loop.run_until_complete, c); c.close()
    attempt("run other loop inside", other.run_forever)
    c = noop(); attempt("asyncio.run inside", asyncio.run, c); c.close()
    attempt("call_later None", loop.call_later, None, log)
    attempt("call_at None", loop.call_at, None, log)
loop.run_until_complete(main())
attempt("run_until_complete str", loop.run_until_complete, "x")
f = other.create_future()
attempt("run_until_complete future of other loop", loop.run_until_complete, f)
attempt("set_exception_handler", loop.set_exception_handler, "x")
attempt("set_task_factory", loop.set_task_factory, 1)
attempt("set_default_executor", loop.set_default_executor, 1)
loop.close()
attempt("close again", loop.close)
for name, args in (("call_soon", (log,)), ("call_soon_threadsafe", (log,)), ("call_later", (1, log)),
                   ("call_at", (1, log)), ("run_in_executor", (None, log)), ("run_forever", ())):
    attempt("closed: " + name, getattr(loop, name), *args)
c = noop(); attempt("closed: create_task", loop.create_task, c); c.close()
c = noop(); attempt("closed: run_until_complete", loop.run_until_complete, c); c.close()
attempt("closed: create_future", lambda: st(loop.create_future()))
f = loop.create_future()
attempt("closed: set_result without callbacks", f.set_result, 1)
f = loop.create_future(); f.add_done_callback(log)
attempt("closed: set_result with callbacks", f.set_result, 1)
log("state afterwards", st(f))
attempt("closed: add_done_callback on done future", f.add_done_callback, log)
other.close()
