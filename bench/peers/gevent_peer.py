#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gevent in the race: fibers (greenlets) for Python on libev. Also its echo server, in blocking style, on the listening
socket that is descriptor 3: `gevent_peer.py echo`. See README.md for the measures."""
import os
import socket
import sys
import threading
import time

import gevent
import gevent.event
import gevent.lock
import gevent.queue
import gevent.socket

import peer


def nothing(i=0):
    return i


def once():
    gevent.sleep(0)


def yields(n):
    times = peer.yields_of(n)
    for _ in range(peer.repetitions):
        first = peer.FirstToEnd()

        def take_turns():
            gevent.sleep(0)
            for _ in range(times):
                gevent.sleep(0)
            first.ended()

        tasks = [gevent.spawn(take_turns) for _ in range(n)]
        gevent.sleep(0)
        first.start()
        gevent.joinall(tasks)
        peer.show("yield", n, (first.end - first.begin) / (n * times))


def spawn_and_join(name, n, batches, fn):
    for _ in range(peer.repetitions):
        with peer.CpuWatch(name, n, n * batches):
            for _ in range(batches):
                gevent.joinall([gevent.spawn(fn) for _ in range(n)])


def gather(n):
    batches = peer.share(peer.TASKS, n)
    for _ in range(peer.repetitions):
        with peer.CpuWatch("gather", n, n * batches):
            for _ in range(batches):
                tasks = gevent.joinall([gevent.spawn(nothing, i) for i in range(n)])
                [task.value for task in tasks]


def run_all(name, n, operations, calls):
    with peer.CpuWatch(name, n, operations):
        gevent.joinall([gevent.spawn(*call) for call in calls], raise_error=True)


def future(pairs):
    times = peer.share(peer.ROUND_TRIPS, pairs)

    class Line:
        def __init__(self):
            self.request, self.reply = gevent.event.AsyncResult(), gevent.event.AsyncResult()

    def server(line):
        for _ in range(times):
            value = line.request.get()
            line.request = gevent.event.AsyncResult()
            line.reply.set(value)

    def client(line):
        for i in range(times):
            line.request.set(i)
            line.reply.get()
            line.reply = gevent.event.AsyncResult()

    for _ in range(peer.repetitions):
        lines = [Line() for _ in range(pairs)]
        run_all("future", pairs, pairs * times, [(end, line) for line in lines for end in (server, client)])


def hand_over(name, pairs, total, limit):
    times = peer.share(total, pairs)

    def first(there, back):
        for _ in range(times):
            there.release()
            back.acquire(timeout=limit)

    def second(there, back):
        for _ in range(times):
            there.acquire()
            back.release()

    for _ in range(peer.repetitions):
        gates = [(gevent.lock.Semaphore(0), gevent.lock.Semaphore(0)) for _ in range(pairs)]
        run_all(name, pairs, 2 * pairs * times, [(end, *gate) for gate in gates for end in (first, second)])


def lock(n):
    times = peer.share(peer.ROUND_TRIPS, n)
    for _ in range(peer.repetitions):
        held = gevent.lock.BoundedSemaphore(1)

        def take_turns():
            for _ in range(times):
                with held:
                    gevent.sleep(0)

        run_all("lock", n, n * times, [(take_turns,)] * n)


def queue(capacity):
    for _ in range(peer.repetitions):
        items = gevent.queue.Queue(capacity)

        def producer():
            for i in range(peer.ITEMS):
                items.put(i)

        def consumer():
            for _ in range(peer.ITEMS):
                items.get()

        run_all("queue", capacity, peer.ITEMS, [(producer,), (consumer,)])


def wait_for(n):
    times = peer.share(peer.TIMED_WAITS, n)

    def waits():
        for _ in range(times):
            with gevent.Timeout(1000):
                gevent.sleep(0)

    for _ in range(peer.repetitions):
        run_all("wait_for", n, n * times, [(waits,)] * n)


def timers(n):
    loop = gevent.get_hub().loop
    for _ in range(peer.repetitions):
        with peer.CpuWatch("timer_start", n, n):
            all_timers = [loop.timer(1000) for _ in range(n)]
            for timer in all_timers:
                timer.start(nothing)
        with peer.CpuWatch("timer_cancel", n, n):
            for timer in all_timers:
                timer.close()
            gevent.sleep(0)
        all_timers = None


def cancel(name, n, frames):
    def nested(left):
        try:
            if left <= 1:
                gevent.sleep(1000)
            else:
                nested(left - 1)
        finally:
            pass

    for _ in range(peer.repetitions):
        tasks = [gevent.spawn(nested, frames) for _ in range(n)]
        gevent.sleep(0)
        gevent.sleep(0)
        with peer.CpuWatch(name, n, n):
            gevent.killall(tasks)


def fall_asleep(all_sleepers, n):
    asleep = 0

    def sleeper():
        nonlocal asleep
        asleep += 1
        gevent.sleep(all_sleepers.until_deadline())

    tasks = [gevent.spawn(sleeper) for _ in range(n)]
    while asleep < n:
        gevent.sleep(0)
    all_sleepers.all_sleep()
    return tasks


def sleepers(n):
    all_sleepers = peer.Sleepers(n, wake=True)
    gevent.joinall(fall_asleep(all_sleepers, n))
    all_sleepers.all_ended()


def memory(n):
    fall_asleep(peer.Sleepers(n, wake=False), n)
    os._exit(0)


def stay_awake_until(done):
    """gevent's loop ends when nothing can happen in it any more; a timer keeps it."""
    with gevent.Timeout(600):
        done.wait()


def post(producers):
    loop, each = gevent.get_hub().loop, peer.POSTS // producers
    for _ in range(peer.repetitions):
        seen, done = 0, gevent.event.Event()

        def count():
            nonlocal seen
            seen += 1
            if seen == each * producers:
                done.set()

        def produce():
            for _ in range(each):
                loop.run_callback_threadsafe(count)

        threads = [threading.Thread(target=produce) for _ in range(producers)]
        start = time.monotonic_ns()
        for thread in threads:
            thread.start()
        stay_awake_until(done)
        peer.show("post", producers, (time.monotonic_ns() - start) / (each * producers))
        for thread in threads:
            thread.join()


def idle_call(n):
    loop = gevent.get_hub().loop
    for _ in range(peer.repetitions):
        done = gevent.event.Event()

        def call():
            start = time.monotonic_ns()
            for _ in range(peer.CALLS_TO_IDLE_LOOP):
                answered = threading.Event()
                loop.run_callback_threadsafe(answered.set)
                answered.wait()
            peer.show("idle_call", n, (time.monotonic_ns() - start) / peer.CALLS_TO_IDLE_LOOP)
            loop.run_callback_threadsafe(done.set)

        thread = threading.Thread(target=call)
        thread.start()
        stay_awake_until(done)
        thread.join()


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(16 * 1024):
        connection.sendall(data)
    connection.close()


def serve_echo():
    listener = gevent.socket.socket(fileno=3)
    while True:
        gevent.spawn(serve, listener.accept()[0])


MEASURES = {"yield": yields, "spawn": lambda n: spawn_and_join("spawn", n, peer.share(peer.TASKS, n), nothing),
            "gather": gather, "wave": lambda n: spawn_and_join("wave", n, 1, once), "future": future,
            "semaphore": lambda n: hand_over("semaphore", n, peer.ROUND_TRIPS, None),
            "timed_semaphore": lambda n: hand_over("timed_semaphore", n, peer.TIMED_WAITS, 1000), "lock": lock, "queue": queue,
            "wait_for": wait_for, "timers": timers, "cancel_1": lambda n: cancel("cancel_1", n, 1),
            "cancel_10": lambda n: cancel("cancel_10", n, 10), "sleepers": sleepers, "memory": memory, "post": post,
            "idle_call": idle_call}


def main(words):
    if words == ["echo"]:
        serve_echo()
    for name, n in peer.measures(words):
        peer.of(MEASURES, name)(n)


if __name__ == "__main__":
    main(sys.argv[1:])
