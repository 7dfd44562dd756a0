#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server of the courier: HTTP/1.1 on 127.0.0.1. It notes every request whole, and can make clients overlap.

Usage: server.py [PORT [AT_ONCE PATH]]   Prints its port and a line for each request. The first AT_ONCE requests wait for each
other. What a PUT sends is read when PATH has been asked for.
  GET  /pages/X            a page, always the same
  GET  /slow/X             the same, but its second half comes when PATH has been asked for
  PUT  /files/X            how many bytes came, and their checksum
  POST /forms/X            the same
  any  /busy/...           503 the first time, then as above
  any  /closed/...         503
  any  /never/...          no answer
"""
import hashlib
import socket
import socketserver
import sys
import threading


class Gate:
    """The first `count` that come wait for each other, at most `patience` seconds."""

    def __init__(self, count, patience):
        self.count, self.patience = count, patience
        self.came = 0
        self.in_time = True  # nobody lost patience
        self.changed = threading.Condition()

    def enter(self):
        with self.changed:
            self.came += 1
            self.changed.notify_all()
        self.wait()

    def wait(self):
        with self.changed:
            if not self.changed.wait_for(lambda: self.came >= self.count, self.patience):
                self.in_time = False
                self.came = self.count  # the others need not wait
                self.changed.notify_all()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port=0, at_once=1, path=None, patience=60, idle_limit=None, note=None):
        """`idle_limit`: seconds after which a silent connection is closed. `note`: called with each request."""
        self.lock = threading.Lock()
        self.requests = []  # method, path, checksum of the body
        self.asked = set()
        self.connections = self.open = self.most_open = 0
        self.asks = Gate(at_once, patience)  # when a request's head is there: nothing of its body has been read
        self.path, self.path_is_asked = path, Gate(0 if path is None else 1, patience)
        self.idle_limit = idle_limit
        self.note = note
        super().__init__(("127.0.0.1", port), Connection, bind_and_activate=False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)  # a large file does not fit
        self.server_bind()
        self.server_activate()

    @property
    def port(self):
        return self.server_address[1]

    def handle_error(self, request, client_address):
        pass  # the client has gone


class Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True  # an answer is sent in two halves

    def setup(self):
        self.timeout = self.server.idle_limit
        super().setup()
        with self.server.lock:
            self.server.connections += 1
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)

    def finish(self):
        with self.server.lock:
            self.server.open -= 1
        super().finish()

    def handle(self):
        while self.answer_one():
            pass

    def answer_one(self):
        words = self.rfile.readline().split()
        if not words:
            return False
        length = 0
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(words) != 3 or words[2] != b"HTTP/1.1":
            self.note("bad", repr(words), b"")
            return False
        method, path = words[0].decode(), words[1].decode()
        if path.startswith("/never/"):
            self.rfile.read(length)
            self.note(method, path, b"")
            return bool(self.rfile.read(1))  # until the client hangs up
        self.server.asks.enter()
        if path == self.server.path:
            self.server.path_is_asked.enter()
        if method == "PUT":
            self.server.path_is_asked.wait()
        body = self.rfile.read(length)
        if len(body) != length:
            self.note("cut off " + method, path, body)
            return False
        first_time = self.note(method, path, body)
        if path.startswith("/closed/") or (path.startswith("/busy/") and first_time):
            status, answer = "503 Service Unavailable", b"not now\n"
        elif method == "GET":
            name = path.rsplit("/", 1)[1]
            status, answer = "200 OK", f"{name} ".encode() * (1 + 997 * sum(name.encode()) % 5000)
        else:
            status, answer = "200 OK", f"{path}: {length} bytes, {hashlib.sha256(body).hexdigest()}\n".encode()
        half = len(answer) // 2
        self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer[:half])
        if path.startswith("/slow/"):
            self.server.path_is_asked.wait()
        self.wfile.write(answer[half:])
        return True

    def note(self, method, path, body):
        """Returns whether it is the first request for this path."""
        request = (method, path, hashlib.sha256(body).hexdigest())
        with self.server.lock:
            self.server.requests.append(request)
            first_time = path not in self.server.asked
            self.server.asked.add(path)
        if self.server.note:
            self.server.note(f"{method} {path} {len(body)} bytes")
        return first_time


def main():
    port, at_once = (int(word) for word in (sys.argv[1:3] + ["0", "1"][len(sys.argv[1:3]):]))
    # A client with faults sends less than AT_ONCE requests, or none for PATH, or waits for an answer that another task has got.
    with Server(port, at_once, *sys.argv[3:4], patience=2, idle_limit=10, note=lambda line: print(line, flush=True)) as server:
        print(server.port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
