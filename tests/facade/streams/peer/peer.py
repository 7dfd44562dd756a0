#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams and datagrams against CPython's, over the loopback and over Unix sockets: each side as the server and as the client.

Usage: peer.py PROGRAM COUNT. The program is peer.cc, which says what the conversations are; COUNT is that of the short
connections each way. Exits with 0 if all bytes are right, and neither side hangs.
"""
import asyncio
import os
import sys
import tempfile

MANY = 64 << 20
PIECE = 100_000
TIME_LIMIT = 300


def pattern(first, count):
    # The values repeat after 2,048 bytes.
    period = bytes((i * 31 >> 3) & 255 for i in range(2048))
    start = first % 2048
    return (period * ((start + count) // 2048 + 1))[start:start + count]


def answer_to(data):
    total = 0
    for byte in data:
        total = (total * 31 + byte) % 1_000_000_007
    return f"{len(data)} {total}\n".encode()


async def give(writer, count):
    for at in range(0, count, PIECE):
        writer.write(pattern(at, min(PIECE, count - at)))
        await writer.drain()


async def serve(reader, writer):
    command = await reader.readline()
    if command == b"echo\n":
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
    elif command == b"lines\n":
        async for line in reader:
            writer.write(f"{len(line)}\n".encode())
    elif command == b"take\n":
        writer.write(answer_to(await reader.read()))
    elif command.startswith(b"give "):
        await give(writer, int(command[5:]))
    writer.close()


async def connect(address):
    if address.startswith("/"):
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection("127.0.0.1", int(address))


async def end(writer):
    writer.close()
    await writer.wait_closed()


async def talk(address, count):
    reader, writer = await connect(address)
    async def send():
        writer.write(b"echo\n")
        await give(writer, MANY // 8)
        writer.write_eof()
    sending = asyncio.create_task(send())
    assert await reader.read() == pattern(0, MANY // 8), "echo"
    await sending
    await end(writer)

    reader, writer = await connect(address)
    writer.write(b"lines\n")
    for length in range(1000):
        writer.write(b"x" * length + b"\n")
        assert await reader.readline() == f"{length + 1}\n".encode(), "lines"
    await end(writer)

    reader, writer = await connect(address)
    writer.write(b"take\n")
    await give(writer, MANY // 8)
    writer.write_eof()
    assert await reader.readline() == answer_to(pattern(0, MANY // 8)), "take"
    await end(writer)

    reader, writer = await connect(address)
    writer.write(f"give {MANY}\n".encode())
    got = 0
    while data := await reader.read(PIECE):
        assert data == pattern(got, len(data)), "give"
        got += len(data)
        if got % 7 == 0:
            await asyncio.sleep(0.001)  # a slow reader
    assert got == MANY, "the number of bytes given"
    await end(writer)

    async def short():
        reader, writer = await connect(address)
        writer.write(b"lines\nabc\n")
        assert await reader.readline() == b"4\n", "a short connection"
        await end(writer)
    for at in range(0, count, 50):
        await asyncio.gather(*(short() for _ in range(min(50, count - at))))


async def python_is_the_server(program, path, count):
    server = await (asyncio.start_unix_server(serve, path) if path else asyncio.start_server(serve, "127.0.0.1", 0))
    address = path or str(server.sockets[0].getsockname()[1])
    client = await asyncio.create_subprocess_exec(program, "client", address, str(count), stdout=asyncio.subprocess.PIPE)
    out, _ = await client.communicate()
    assert out == b"ok\n" and client.returncode == 0, f"the client ended with {client.returncode}"
    server.close()


async def python_is_the_client(program, path, count):
    words = [program, "serve"] + ([path] if path else [])
    server = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    try:
        address = (await server.stdout.readline()).decode().strip()
        await talk(address, count)
    finally:
        server.stdin.close()
        code = await server.wait()
    assert code == 0, f"the server ended with {code}"


# ---- datagrams

class SendBack(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


class Keep(asyncio.DatagramProtocol):
    def __init__(self):
        self.came = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.came.put_nowait(data)


async def python_serves_datagrams(program):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(SendBack, local_addr=("127.0.0.1", 0))
    port = str(transport.get_extra_info("sockname")[1])
    client = await asyncio.create_subprocess_exec(program, "udp_client", port, stdout=asyncio.subprocess.PIPE)
    out, _ = await client.communicate()
    assert out == b"ok\n" and client.returncode == 0, f"the client ended with {client.returncode}"
    transport.close()


async def python_sends_datagrams(program):
    server = await asyncio.create_subprocess_exec(program, "udp_serve", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    port = int(await server.stdout.readline())
    loop = asyncio.get_running_loop()
    transport, keep = await loop.create_datagram_endpoint(Keep, remote_addr=("127.0.0.1", port))
    # No more at once than a socket's buffer has room for.
    for at in range(0, 4000, 8):
        sent = [pattern(i, 1 + i * 37 % 1500) for i in range(at, at + 8)]
        for data in sent:
            transport.sendto(data)
        for data in sent:
            assert await keep.came.get() == data, "a datagram"
    for size in 1, 9216, 65507:
        transport.sendto(pattern(size, size))
        assert await keep.came.get() == pattern(size, size), "a datagram of an odd size"
    transport.close()
    server.stdin.close()
    assert await server.wait() == 0, "the server of datagrams"


async def main(program, count):
    for part in python_serves_datagrams, python_sends_datagrams:
        await asyncio.wait_for(part(program), TIME_LIMIT)
    print("datagrams, both ways: right", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in "", os.path.join(folder, "socket"):
            where = path and "a Unix socket" or "the loopback"
            await asyncio.wait_for(python_is_the_server(program, path, count), TIME_LIMIT)
            print(f"a client of CPython's server over {where}: right", flush=True)
            if path:
                os.unlink(path)
            await asyncio.wait_for(python_is_the_client(program, path, count), TIME_LIMIT)
            print(f"a server of CPython's client over {where}: right", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
