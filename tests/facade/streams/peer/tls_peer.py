#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS against CPython's ssl and asyncio, and against the command openssl: each side as the server and as the client.

Usage: tls_peer.py PROGRAM COUNT. The program is tls_peer.cc, which says what the conversations are; COUNT is that of the short
connections each way. Exits with 0 if all bytes are right, each fault is the error that it should be, and neither side hangs.
"""
import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading

PIECE = 100_000
ECHO = 4 << 20
END = 300_000
TIME_LIMIT = 300


def pattern(first, count):
    period = bytes((i * 31 >> 3) & 255 for i in range(2048))
    start = first % 2048
    return (period * ((start + count) // 2048 + 1))[start:start + count]


# ---- CPython's asyncio

async def serve(context, seen, reader, writer):
    command = await reader.readline()
    if command == b"upgrade\n":
        writer.write(b"go on\n")
        await writer.start_tls(context)
        command = await reader.readline()
    seen.append(writer.get_extra_info("ssl_object").session_reused)
    if command.startswith(b"echo "):
        left = int(command[5:])
        while left > 0:
            data = await reader.read(PIECE)
            assert data, "the echo ended early"
            left -= len(data)
            writer.write(data)
            await writer.drain()
    elif command == b"short\n":
        writer.write(b"answer\n")
    elif command in (b"end\n", b"cut\n"):
        writer.write(pattern(0, END))
        assert await reader.readline() == b"got it\n"
        if command == b"cut\n":
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            writer.transport.abort()
    elif command == b"take\n":
        taken = await reader.read()
        assert taken == pattern(0, END), "take"
        seen.append("taken")
    writer.close()


async def python_is_the_server(program, folder, count):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{folder}/server.pem")
    seen = []
    def client(reader, writer):
        return serve(context, seen, reader, writer)
    server = await asyncio.start_server(client, "127.0.0.1", 0, ssl=context)
    plain = await asyncio.start_server(client, "127.0.0.1", 0)
    ports = [str(s.sockets[0].getsockname()[1]) for s in (server, plain)]
    process = await asyncio.create_subprocess_exec(program, "client", *ports, f"{folder}/authority.pem", str(count),
                                                   stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"ok\n" and process.returncode == 0, f"the client ended with {process.returncode}: {out}"
    assert "taken" in seen, "what the client sent did not come to its end"
    assert seen.count(False) == 2 and seen.count(True) == count + 3, (seen.count(False), seen.count(True))
    server.close()
    plain.close()


async def echo_through(reader, writer):
    writer.write(b"echo %d\n" % ECHO)
    async def send():
        for at in range(0, ECHO, PIECE):
            writer.write(pattern(at, min(PIECE, ECHO - at)))
            await writer.drain()
    sending = asyncio.create_task(send())
    assert await reader.readexactly(ECHO) == pattern(0, ECHO), "echo"
    await sending
    assert await reader.read() == b"", "what follows the echo"


async def end(writer):
    writer.close()
    await writer.wait_closed()


async def python_is_the_client(program, folder, count):
    process = await asyncio.create_subprocess_exec(program, "serve", f"{folder}/server.pem",
                                                   stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    port, plain_port = map(int, (await process.stdout.readline()).split())
    context = ssl.create_default_context(cafile=f"{folder}/authority.pem")
    def connect():
        return asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")

    reader, writer = await connect()
    await echo_through(reader, writer)
    await end(writer)

    reader, writer = await asyncio.open_connection("127.0.0.1", plain_port)
    writer.write(b"upgrade\n")
    assert await reader.readline() == b"go on\n"
    await writer.start_tls(context, server_hostname="localhost")
    await echo_through(reader, writer)
    await end(writer)

    async def short():
        reader, writer = await connect()
        writer.write(b"short\n")
        assert await reader.readline() == b"answer\n", "a short connection"
        await end(writer)
    for at in range(0, count, 50):
        await asyncio.gather(*(short() for _ in range(min(50, count - at))))

    # asyncio does not tell a cut stream from its end; blocking sockets do.
    await asyncio.to_thread(blocking_client, context, port)
    for rest in f"{END} bytes, end", f"{END} bytes, end", f"{END} bytes, UNEXPECTED_EOF_WHILE_READING":
        line = (await process.stdout.readline()).decode().strip()
        assert line == rest, line
    process.stdin.close()
    out = await process.stdout.read()
    assert await process.wait() == 0 and out == b"3 resumed\n", (process.returncode, out)


# ---- CPython's blocking sockets

def end_without_tls(connection):
    plain = socket.socket(fileno=connection.detach())
    plain.settimeout(TIME_LIMIT)
    plain.shutdown(socket.SHUT_WR)
    # To leave with bytes unread would reset the connection.
    while plain.recv(PIECE):
        pass
    plain.close()


def blocking_client(context, port):
    # Some releases of Python take a cut stream for its end.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    def connect(name="localhost", session=None):
        plain = socket.create_connection(("127.0.0.1", port), timeout=TIME_LIMIT)
        return context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False, session=session)
    def read_all(connection):
        got = b""
        try:
            while data := connection.recv(PIECE):
                got += data
                if len(got) == END:
                    connection.sendall(b"got it\n")
        except ssl.SSLError as error:  # an SSLEOFError in later releases
            assert error.reason == "UNEXPECTED_EOF_WHILE_READING", error
            return got, "cut"
        return got, "end"
    for command in "end", "cut":
        with connect() as connection:
            connection.sendall(command.encode() + b"\n")
            assert read_all(connection) == (pattern(0, END), command), command
            session = connection.session
    # The closing message ends the client's direction, and is answered.
    with connect() as connection:
        connection.sendall(b"take\n" + pattern(0, END))
        connection.unwrap().close()
    # The message, and no look at the answer.
    connection = connect()
    connection.sendall(b"take\n" + pattern(0, END))
    connection.setblocking(False)
    with contextlib.suppress(ssl.SSLWantReadError):
        connection.unwrap()
    end_without_tls(connection)
    # No message.
    connection = connect()
    connection.sendall(b"take\n" + pattern(0, END))
    end_without_tls(connection)
    # Sessions: the same name resumes, again and at once with others, and another name does not.
    def resumes(name):
        with connect(name, session) as connection:
            connection.sendall(b"short\n")
            assert connection.recv(100) == b"answer\n"
            return connection.session_reused
    assert [resumes(name) for name in ("localhost", "localhost", "other.test", "localhost")] == [True, True, False, True]


# ---- the command openssl

class Running:
    """A process that is ended with the block. Its standard output is read line by line."""

    def __init__(self, *words, **options):
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)

    def __enter__(self):
        return self

    def line(self):
        return self.process.stdout.readline().strip()

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.process.stdout.close()


def check(what, text, *expected):
    assert all(part in text for part in expected), f"{what}: {text!r} instead of {expected}"
    print(f"{what}: {text}", flush=True)


def against_s_server(program, folder):
    """A client of the program's, and what it says of each server."""
    verify = "error: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
    protocol = "error: [SSL: TLSV1_ALERT_PROTOCOL_VERSION] "
    old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]
    for what, certificate, server_options, name, settings, expected in (
            ("a good server", "server", [], "localhost", [], "TLS: TLSv1.3 -"),
            ("one with TLS 1.2", "server", ["-tls1_2"], "localhost", [], "TLS: TLSv1.2 -"),
            ("a protocol", "server", ["-alpn", "h2"], "localhost", ["alpn=h2"], "TLS: TLSv1.3 h2"),
            ("another name", "server", [], "example.org", [],
             verify + "Hostname mismatch, certificate is not valid for 'example.org'"),
            ("another address", "server", [], "127.0.0.2", [],
             verify + "IP address mismatch, certificate is not valid for '127.0.0.2'"),
            ("an expired certificate", "expired", [], "localhost", [], verify + "certificate has expired"),
            ("one that is not valid yet", "early", [], "localhost", [], verify + "certificate is not yet valid"),
            ("a self-signed one", "self_signed", [], "localhost", [], verify + "self-signed certificate"),
            ("only TLS 1.1", "server", old, "localhost", [], protocol),
            ("TLS 1.2 where 1.3 is wanted", "server", ["-tls1_2"], "localhost", ["min=1.3"], protocol),
            ("no common cipher", "server", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], "localhost",
             ["max=1.2", "ciphers=ECDHE-ECDSA-AES256-GCM-SHA384"], "alert handshake failure"),
            ("no common protocol", "server", ["-alpn", "h2"], "localhost", ["alpn=http/1.1"],
             "error: [SSL: TLSV1_ALERT_NO_APPLICATION_PROTOCOL] ")):
        with Running("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", f"{folder}/{certificate}.pem", "-quiet",
                     *server_options, stderr=subprocess.DEVNULL) as server:
            # -quiet hides the port: the kernel knows it.
            port = listening_port(server.process.pid)
            with Running(program, "open", str(port), f"{folder}/authority.pem", name, *settings) as client:
                server.process.stdin.write("Q\n")
                server.process.stdin.flush()
                check(f"s_server with {what}", client.line(), expected)


def listening_port(pid):
    """The port on which a process listens, as soon as it does."""
    while True:
        inodes = set()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
            for row in list(table)[1:]:
                words = row.split()
                if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                    return int(words[1].split(":")[1], 16)


def against_s_client(program, folder):
    """A server of the program's, and what it says of each client."""
    trust = ["-CAfile", f"{folder}/authority.pem", "-verify_return_error", "-verify_hostname"]
    for what, certificate, settings, client_options, expected in (
            ("a good client", "server", [], [*trust, "localhost"], ["TLS: TLSv1.3 -"]),
            ("one with TLS 1.2", "server", [], [*trust, "localhost", "-tls1_2"], ["TLS: TLSv1.2 -"]),
            ("a protocol", "server", ["alpn=h2"], ["-alpn", "h2"], ["TLS: TLSv1.3 h2"]),
            ("no common protocol", "server", ["alpn=h2"], ["-alpn", "http/1.1"], ["TLS: TLSv1.3 -"]),
            ("another name", "server", [], [*trust, "example.org"], ["error: [SSL: ", "alert bad certificate"]),
            ("an expired certificate", "expired", [], [*trust, "localhost"], ["error: [SSL: ", "alert certificate expired"]),
            ("one that is not valid yet", "early", [], [*trust, "localhost"], ["error: [SSL: ", "alert bad certificate"]),
            ("a self-signed one", "self_signed", [], [*trust, "localhost"], ["error: [SSL: TLSV1_ALERT_UNKNOWN_CA] "]),
            ("only TLS 1.1", "server", [], ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
             ["error: [SSL: UNSUPPORTED_PROTOCOL] unsupported protocol"]),
            ("TLS 1.2 where 1.3 is wanted", "server", ["min=1.3"], ["-tls1_2"],
             ["error: [SSL: UNSUPPORTED_PROTOCOL] unsupported protocol"]),
            ("no common cipher", "server", ["max=1.2", "ciphers=ECDHE-ECDSA-AES128-GCM-SHA256"],
             ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
             ["error: [SSL: NO_SHARED_CIPHER] no shared cipher"])):
        with Running(program, "accept", f"{folder}/{certificate}.pem", *settings) as server:
            words = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.line()}", *client_options]
            # At the end of its input it sends the closing message.
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            check(f"s_client with {what}", server.line(), *expected)


def against_plain_text(program, folder):
    with Running(program, "accept", f"{folder}/server.pem") as server:
        port = int(server.line())
        for text, expected in ((b"GET / HTTP/1.0\r\n\r\n", "error: [SSL: HTTP_REQUEST] http request"),
                               (b"hello, is this a plain port?\n", "error: [SSL: WRONG_VERSION_NUMBER] wrong version number"),
                               (b"", "error: The peer closed the connection ")):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                check(f"a client without TLS, {text!r}", server.line(), expected)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def greet():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 welcome\r\n")
                while connection.recv(PIECE):
                    pass
        threading.Thread(target=greet, daemon=True).start()
        port = str(listener.getsockname()[1])
        with Running(program, "open", port, f"{folder}/authority.pem", "localhost") as client:
            check("a server without TLS", client.line(), "error: [SSL: WRONG_VERSION_NUMBER] wrong version number")


async def main(program, count):
    with Running(program, "certificates") as certificates:
        folder = certificates.line()
        try:
            await asyncio.wait_for(python_is_the_server(program, folder, count), TIME_LIMIT)
            print("a client of CPython's server: right", flush=True)
            await asyncio.wait_for(python_is_the_client(program, folder, count), TIME_LIMIT)
            print("a server of CPython's client: right", flush=True)
            for part in against_s_server, against_s_client, against_plain_text:
                await asyncio.wait_for(asyncio.to_thread(part, program, folder), TIME_LIMIT)
        finally:
            certificates.process.stdin.close()
            certificates.process.wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
