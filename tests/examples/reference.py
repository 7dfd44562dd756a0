#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The example programs as CPython programs: `reference.py NAME` prints what facade/examples/NAME must print.

`reference.py --write DIR` stores all outputs (made with CPython 3.13) as DIR/NAME.txt; the tests compare
the C++ programs with those files, so they need no Python. Time is virtual: a sleep only moves the clock.
"""
import asyncio
import contextlib
import datetime
import io
import pathlib
import selectors
import sys
import threading


class VirtualSelector(selectors.DefaultSelector):
    def select(self, timeout=None):
        events = super().select(0)
        if events or timeout is None or timeout <= 0:
            return events if timeout is not None else super().select(1)
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.now = 0.0
        selector = VirtualSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self):
        return self.now

    def date(self):
        return datetime.datetime(2026, 1, 1) + datetime.timedelta(seconds=int(self.now + 1e-6))


def run(main):
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


def hello_coroutine():
    async def main(loop):
        print("Hello World!")
    run(main)


def hello_call_soon():
    loop = VirtualLoop()
    def hello(loop):
        print("Hello World")
        loop.stop()
    loop.call_soon(hello, loop)
    loop.run_forever()
    loop.close()


def date_coroutine():
    async def main(loop):
        end = loop.time() + 5
        while True:
            print(loop.date())
            if loop.time() + 1 >= end:
                break
            await asyncio.sleep(1)
    run(main)


def date_call_later():
    loop = VirtualLoop()
    def display(end, loop):
        print(loop.date())
        if loop.time() + 1 < end:
            loop.call_later(1, display, end, loop)
        else:
            loop.stop()
    loop.call_soon(display, loop.time() + 5, loop)
    loop.run_forever()
    loop.close()


def chained_coroutines():
    async def compute(x, y):
        print(f"Compute {x} + {y} ...")
        await asyncio.sleep(1)
        return x + y
    async def main(loop):
        print(f"1 + 2 = {await compute(1, 2)}")
    run(main)


async def slow_operation(future):
    await asyncio.sleep(1)
    future.set_result("Future is done!")


def future_run_until_complete():
    loop = VirtualLoop()
    future = loop.create_future()
    task = loop.create_task(slow_operation(future))
    loop.run_until_complete(future)
    print(future.result())
    loop.run_until_complete(task)
    loop.close()


def future_run_forever():
    loop = VirtualLoop()
    future = loop.create_future()
    task = loop.create_task(slow_operation(future))
    def done(future):
        print(future.result())
        loop.stop()
    future.add_done_callback(done)
    loop.run_forever()
    loop.run_until_complete(task)
    loop.close()


def parallel_factorial():
    async def factorial(name, number):
        f = 1
        for i in range(2, number + 1):
            print(f"Task {name}: Compute factorial({i})...")
            await asyncio.sleep(1)
            f *= i
        print(f"Task {name}: factorial({number}) = {f}")
    async def main(loop):
        await asyncio.gather(factorial("A", 2), factorial("B", 3), factorial("C", 4))
    run(main)


def as_completed():
    async def fetch(name, seconds):
        await asyncio.sleep(seconds)
        return name
    async def main(loop):
        tasks = [asyncio.create_task(fetch(*x)) for x in (("slow", 3), ("fast", 1), ("middle", 2))]
        for nxt in asyncio.as_completed(tasks):
            print(await nxt)
    run(main)


def wait():
    async def main(loop):
        tasks = [asyncio.create_task(asyncio.sleep(s)) for s in (3, 1, 2)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        print(f"first: {len(done)} done, {len(pending)} pending")
        done, pending = await asyncio.wait(tasks)
        print(f"all: {len(done)} done, {len(pending)} pending")
    run(main)


def wait_for_timeout():
    async def eternity():
        try:
            await asyncio.sleep(3600)
            print("yay!")
        except asyncio.CancelledError:
            print("cancelled")
            raise
    async def main(loop):
        try:
            await asyncio.wait_for(eternity(), 1)
        except TimeoutError:
            print("timeout!")
    run(main)


def shield():
    async def something():
        await asyncio.sleep(2)
        print("something is done")
        return "result"
    async def main(loop):
        inner = asyncio.create_task(something())
        async def outer_body():
            try:
                await asyncio.shield(inner)
            except asyncio.CancelledError:
                print("the outer task was cancelled")
                raise
        outer = asyncio.create_task(outer_body())
        await asyncio.sleep(1)
        outer.cancel()
        await asyncio.wait([outer])
        print("inner cancelled:", inner.cancelled())
        print(await inner)
    run(main)


def run_coroutine_threadsafe():
    loop = asyncio.new_event_loop()
    async def add(a, b, delay):
        await asyncio.sleep(delay)
        return a + b
    def client():
        print("result:", asyncio.run_coroutine_threadsafe(add(1, 2, 0.001), loop).result(10))
        slow = asyncio.run_coroutine_threadsafe(add(3, 4, 3600), loop)
        try:
            print(slow.result(0.02))
        except TimeoutError:
            print("The coroutine took too long, cancelling the task...")
            slow.cancel()
        print("cancelled:", slow.cancelled())
        loop.call_soon_threadsafe(loop.stop)
    thread = threading.Thread(target=client)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


PROGRAMS = [hello_coroutine, hello_call_soon, date_coroutine, date_call_later, chained_coroutines,
            future_run_until_complete, future_run_forever, parallel_factorial, as_completed, wait, wait_for_timeout,
            shield, run_coroutine_threadsafe]

if __name__ == "__main__":
    if sys.argv[1] == "--write":
        for program in PROGRAMS:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                program()
            pathlib.Path(sys.argv[2], program.__name__ + ".txt").write_text(out.getvalue())
    else:
        {p.__name__: p for p in PROGRAMS}[sys.argv[1]]()
