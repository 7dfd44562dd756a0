#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""asyncio in the race, and uvloop, which is asyncio with another loop: `asyncio_peer.py [uvloop] yield=2 ...`.

Also their echo server, by asyncio's protocols, on the listening socket that is descriptor 3: `asyncio_peer.py [uvloop] echo`; and
one that echoes lines, by streams: `asyncio_peer.py [uvloop] echo_lines`.
See README.md for the measures."""
import asyncio
import os
import socket
import sys
import threading
import time

import peer


async def nothing(i=0):
    return i


async def once():
    await asyncio.sleep(0)


async def await_all(tasks):
    for task in tasks:
        await task


async def yields(n):
    times = peer.yields_of(n)
    for _ in range(peer.repetitions):
        first = peer.FirstToEnd()

        async def take_turns():
            await asyncio.sleep(0)
            for _ in range(times):
                await asyncio.sleep(0)
            first.ended()

        tasks = [asyncio.create_task(take_turns()) for _ in range(n)]
        await asyncio.sleep(0)
        first.start()
        await await_all(tasks)
        peer.show("yield", n, (first.end - first.begin) / (n * times))


async def spawn(n):
    batches = peer.share(peer.TASKS, n)
    for _ in range(peer.repetitions):
        with peer.CpuWatch("spawn", n, n * batches):
            for _ in range(batches):
                await await_all([asyncio.create_task(nothing()) for _ in range(n)])


async def gather(n):
    batches = peer.share(peer.TASKS, n)
    for _ in range(peer.repetitions):
        with peer.CpuWatch("gather", n, n * batches):
            for _ in range(batches):
                await asyncio.gather(*[nothing(i) for i in range(n)])


async def wave(n):
    for _ in range(peer.repetitions):
        with peer.CpuWatch("wave", n, n):
            await asyncio.gather(*[once() for _ in range(n)])


async def future(pairs):
    loop, times = asyncio.get_running_loop(), peer.share(peer.ROUND_TRIPS, pairs)

    class Line:
        def __init__(self):
            self.request, self.reply = loop.create_future(), loop.create_future()

    async def server(line):
        for _ in range(times):
            value = await line.request
            line.request = loop.create_future()
            line.reply.set_result(value)

    async def client(line):
        for i in range(times):
            line.request.set_result(i)
            await line.reply
            line.reply = loop.create_future()

    for _ in range(peer.repetitions):
        lines = [Line() for _ in range(pairs)]
        with peer.CpuWatch("future", pairs, pairs * times):
            await asyncio.gather(*[end(line) for line in lines for end in (server, client)])


async def hand_over(name, pairs, total, acquire):
    times = peer.share(total, pairs)

    async def first(there, back):
        for _ in range(times):
            there.release()
            await acquire(back)

    async def second(there, back):
        for _ in range(times):
            await there.acquire()
            back.release()

    for _ in range(peer.repetitions):
        gates = [(asyncio.Semaphore(0), asyncio.Semaphore(0)) for _ in range(pairs)]
        with peer.CpuWatch(name, pairs, 2 * pairs * times):
            await asyncio.gather(*[end(*gate) for gate in gates for end in (first, second)])


async def semaphore(pairs):
    await hand_over("semaphore", pairs, peer.ROUND_TRIPS, lambda gate: gate.acquire())


async def timed_semaphore(pairs):
    await hand_over("timed_semaphore", pairs, peer.TIMED_WAITS, lambda gate: asyncio.wait_for(gate.acquire(), 1000))


async def lock(n):
    times = peer.share(peer.ROUND_TRIPS, n)
    for _ in range(peer.repetitions):
        held = asyncio.Lock()

        async def take_turns():
            for _ in range(times):
                async with held:
                    await asyncio.sleep(0)

        with peer.CpuWatch("lock", n, n * times):
            await asyncio.gather(*[take_turns() for _ in range(n)])


async def queue(capacity):
    for _ in range(peer.repetitions):
        items = asyncio.Queue(capacity)

        async def producer():
            for i in range(peer.ITEMS):
                await items.put(i)

        async def consumer():
            for _ in range(peer.ITEMS):
                await items.get()

        with peer.CpuWatch("queue", capacity, peer.ITEMS):
            await asyncio.gather(producer(), consumer())


async def wait_for(n):
    times = peer.share(peer.TIMED_WAITS, n)

    async def waits():
        for _ in range(times):
            await asyncio.wait_for(once(), 1000)

    for _ in range(peer.repetitions):
        with peer.CpuWatch("wait_for", n, n * times):
            await asyncio.gather(*[waits() for _ in range(n)])


async def timers(n):
    loop = asyncio.get_running_loop()
    for _ in range(peer.repetitions):
        with peer.CpuWatch("timer_start", n, n):
            handles = [loop.call_later(1000, nothing) for _ in range(n)]
        with peer.CpuWatch("timer_cancel", n, n):
            for handle in handles:
                handle.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        handles = None


async def cancel(name, n, frames):
    async def nested(left):
        try:
            if left <= 1:
                await asyncio.sleep(1000)
            else:
                await nested(left - 1)
        finally:
            pass

    for _ in range(peer.repetitions):
        tasks = [asyncio.create_task(nested(frames)) for _ in range(n)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with peer.CpuWatch(name, n, n):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def fall_asleep(sleepers, n):
    asleep = 0

    async def sleeper():
        nonlocal asleep
        asleep += 1
        await asyncio.sleep(sleepers.until_deadline())

    tasks = [asyncio.create_task(sleeper()) for _ in range(n)]
    while asleep < n:
        await asyncio.sleep(0)
    sleepers.all_sleep()
    return tasks


async def sleepers(n):
    all_sleepers = peer.Sleepers(n, wake=True)
    await await_all(await fall_asleep(all_sleepers, n))
    all_sleepers.all_ended()


async def memory(n):
    await fall_asleep(peer.Sleepers(n, wake=False), n)
    os._exit(0)


async def post(producers):
    loop, each = asyncio.get_running_loop(), peer.POSTS // producers
    for _ in range(peer.repetitions):
        seen, done = 0, asyncio.Event()

        def count():
            nonlocal seen
            seen += 1
            if seen == each * producers:
                done.set()

        def produce():
            for _ in range(each):
                loop.call_soon_threadsafe(count)

        threads = [threading.Thread(target=produce) for _ in range(producers)]
        start = time.monotonic_ns()
        for thread in threads:
            thread.start()
        await done.wait()
        peer.show("post", producers, (time.monotonic_ns() - start) / (each * producers))
        for thread in threads:
            thread.join()


async def idle_call(n):
    loop = asyncio.get_running_loop()
    for _ in range(peer.repetitions):
        done = asyncio.Event()

        def call():
            start = time.monotonic_ns()
            for i in range(peer.CALLS_TO_IDLE_LOOP):
                asyncio.run_coroutine_threadsafe(nothing(i), loop).result()
            peer.show("idle_call", n, (time.monotonic_ns() - start) / peer.CALLS_TO_IDLE_LOOP)
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=call)
        thread.start()
        await done.wait()
        thread.join()


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.transport.write(data)


async def serve_echo():
    await asyncio.get_running_loop().create_server(Echo, sock=socket.socket(fileno=3), backlog=4096)
    await asyncio.Event().wait()


async def echo_lines(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def serve_echo_of_lines():
    server = await asyncio.start_server(echo_lines, sock=socket.socket(fileno=3), backlog=4096)
    await server.serve_forever()


MEASURES = {"yield": yields, "spawn": spawn, "gather": gather, "wave": wave, "future": future, "semaphore": semaphore,
            "timed_semaphore": timed_semaphore, "lock": lock, "queue": queue, "wait_for": wait_for, "timers": timers,
            "cancel_1": lambda n: cancel("cancel_1", n, 1), "cancel_10": lambda n: cancel("cancel_10", n, 10),
            "sleepers": sleepers, "memory": memory, "post": post, "idle_call": idle_call}


async def main(words):
    if words == ["echo"]:
        await serve_echo()
    if words == ["echo_lines"]:
        await serve_echo_of_lines()
    for name, n in peer.measures(words):
        await peer.of(MEASURES, name)(n)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["uvloop"]:
        import uvloop
        uvloop.install()
        del arguments[0]
    asyncio.run(main(arguments))
