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
import signal
import ssl
import subprocess
import sys
import tempfile
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


def tcp_echo_streams():
    async def handle_echo(reader, writer):
        message = (await reader.readline()).decode()
        print("server: received", message, end="")
        writer.write(message.encode())
        await writer.drain()
        print("server: close the connection")
        writer.close()
        await writer.wait_closed()
    async def client(port, message):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        print("client: send", message, end="")
        writer.write(message.encode())
        await writer.drain()
        print("client: received", (await reader.read()).decode(), end="")
        writer.close()
        await writer.wait_closed()
    async def main(loop):
        server = await asyncio.start_server(handle_echo, "127.0.0.1", 0)
        async with server:
            await client(server.sockets[0].getsockname()[1], "Hello World!\n")
        print("done")
    run(main)


def http_head():
    async def print_http_headers(host, port, path):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"HEAD {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        async for line in reader:
            if header := line.decode().rstrip():
                print("HTTP header>", header)
        writer.close()
        await writer.wait_closed()
    async def serve_page(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        print("request>", head.split("\r\n")[0])
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\n")
        await writer.drain()
        writer.close()
    async def main(loop):
        server = await asyncio.start_server(serve_page, "127.0.0.1", 0)
        async with server:
            await print_http_headers("127.0.0.1", server.sockets[0].getsockname()[1], "/page")
    run(main)


def tls_client():
    def make_certificate(file):
        command = ("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
                   " -addext subjectAltName=DNS:localhost -addext keyUsage=critical,digitalSignature,keyCertSign")
        subprocess.run(f"{command} -keyout {file} -out {file}.crt", shell=True, stderr=subprocess.DEVNULL, check=True)
    async def handle_echo(reader, writer):
        message = await reader.readline()
        print("server: received", message.decode(), end="")
        writer.write(message)
        await writer.drain()
        writer.close()
    async def client(port, context):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            certificate = writer.get_extra_info("peercert")
            print("client:", writer.get_extra_info("ssl_object").version(), "with", certificate["subject"][0][0][1])
            writer.write(b"Hello World!\n")
            print("client: received", (await reader.read()).decode(), end="")
            writer.close()
            await writer.wait_closed()
        except ssl.SSLCertVerificationError as error:
            print(f"client: {error.reason}, {error.verify_message}")
    async def main(loop):
        with tempfile.TemporaryDirectory() as folder:
            file = folder + "/key"
            make_certificate(file)
            serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            serving.load_cert_chain(file + ".crt", file)
            server = await asyncio.start_server(handle_echo, "127.0.0.1", 0, ssl=serving)
            async with server:
                port = server.sockets[0].getsockname()[1]
                await client(port, ssl.create_default_context(cafile=file + ".crt"))
                await client(port, ssl.create_default_context())
    run(main)


def graceful_service():
    async def serve(reader, writer):
        request = await reader.readline()
        await asyncio.sleep(int(request))
        writer.write(b"done: " + request)
        await writer.drain()
        writer.close()
    async def client(port, request):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        print((await reader.readline()).decode(), end="")
        writer.close()
        await writer.wait_closed()
    async def main(loop):
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        def no_new_clients():
            print("SIGTERM: no new clients")
            server.close()
        loop.add_signal_handler(signal.SIGTERM, no_new_clients)
        clients = [asyncio.create_task(client(port, request)) for request in (b"2\n", b"3\n")]
        await asyncio.sleep(1)
        signal.raise_signal(signal.SIGTERM)
        while sys.version_info < (3, 12) and server._active_count > 0:  # there wait_closed() does not wait
            await asyncio.sleep(0.25)
        await server.wait_closed()
        await asyncio.gather(*clients)
        print("all are served")
        try:
            await client(port, b"1\n")
        except OSError:
            print("refused")
    run(main)


def chat_server():
    guests = []
    def tell_others(speaker, text):
        for guest in guests:
            if guest is not speaker:
                guest.write(text.encode())
    async def serve(reader, writer):
        name = (await reader.readline()).decode().rstrip("\n")
        guests.append(writer)
        tell_others(writer, f"{name} comes\n")
        async for line in reader:
            tell_others(writer, f"{name}: {line.decode()}")
        guests.remove(writer)
        tell_others(writer, f"{name} goes\n")
        writer.close()
    async def visit(port, name, lines, expected):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{name}\n".encode())
        for line in lines:
            await asyncio.sleep(1)
            writer.write(f"{line}\n".encode())
            await writer.drain()
        for _ in range(expected):
            print(name, "reads:", (await reader.readline()).decode(), end="")
        writer.close()
        await writer.wait_closed()
    async def main(loop):
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            anna = asyncio.create_task(visit(port, "anna", [], 4))
            await asyncio.sleep(1)
            await visit(port, "bert", ["hello", "and good-bye"], 0)
            await anna
    run(main)


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


def subprocess_lines():
    pipe = asyncio.subprocess.PIPE
    async def report(command):
        process = await asyncio.create_subprocess_shell(command, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        print(f"[{command!r} exited with {process.returncode}]")
        if out:
            print("[stdout]\n" + out.decode(), end="")
        if err:
            print("[stderr]\n" + err.decode(), end="")
    async def main():
        await report("echo some text")
        await report("echo no such thing >&2; exit 1")
        sort = await asyncio.create_subprocess_exec("sort", stdin=pipe, stdout=pipe)
        sort.stdin.writelines([b"pear\n", b"apple\n", b"fig\n"])
        sort.stdin.close()
        async for line in sort.stdout:
            print("sorted:", line.decode().rstrip())
        print(await sort.wait())
        try:
            await asyncio.create_subprocess_exec("no-such-program")
        except FileNotFoundError:
            print("not found")
    asyncio.run(main())


PROGRAMS = [tcp_echo_streams, http_head, tls_client, graceful_service, chat_server, hello_coroutine, hello_call_soon, date_coroutine, date_call_later, chained_coroutines,
            future_run_until_complete, future_run_forever, parallel_factorial, as_completed, wait, wait_for_timeout,
            shield, run_coroutine_threadsafe, subprocess_lines]

if __name__ == "__main__":
    if sys.argv[1] == "--write":
        for program in PROGRAMS:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                program()
            pathlib.Path(sys.argv[2], program.__name__ + ".txt").write_text(out.getvalue())
    else:
        {p.__name__: p for p in PROGRAMS}[sys.argv[1]]()
