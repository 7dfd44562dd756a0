#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the C example before and after its diff, against a server of this script, and compares all that they wrote.

Usage: c_fetch.py BEFORE AFTER AIOFIBER DIFF README FOLDER  The server answers each request after a moment, and counts how
many it has at once: one before, 25 after. While AFTER runs, the command aiofiber must show its tasks. A second run of AFTER is
interrupted. The README shows DIFF.
"""
import pathlib
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time

PAGES = 60
AT_ONCE = 25  # as in the diff
MOMENT = 0.05  # seconds that an answer takes


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.now = self.most = 0
        self.open = threading.Event()  # answers wait for it
        self.open.set()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        with self.server.lock:
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        time.sleep(MOMENT)
        self.server.open.wait()
        with self.server.lock:
            self.server.now -= 1
        if path.endswith("missing"):
            self.wfile.write(b"HTTP/1.0 404 Not Found\r\n\r\nno such page\n")
        else:
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + f"page {path}\n".encode() * (1 + int(path.rsplit("-", 1)[1]) * 40))


def fail(text):
    sys.exit(f"c_fetch.py: {text}")


def start(program, server, folder, paths):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    process = subprocess.Popen([program, "127.0.0.1", str(server.server_address[1]), str(folder)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write("".join(path + "\n" for path in paths))
    process.stdin.close()
    process.stdin = None  # communicate() would flush it
    return process


def finish(process, folder):
    """All that the program has written: its lines, its exit code, its errors, and the files."""
    output, errors = process.communicate(timeout=60)
    return output, process.returncode, errors, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def wait_for_requests(server):
    """Until all tasks wait: for the server, or for those that do."""
    deadline = time.monotonic() + 30
    while server.now < AT_ONCE:
        if time.monotonic() > deadline:
            fail(f"the server has only {server.now} requests at once, not {AT_ONCE}")
        time.sleep(0.01)


def inspect(command, process):
    listed = subprocess.run([command, "ps", str(process.pid)], check=True, capture_output=True, text=True).stdout
    stacks = subprocess.run([command, "stack", str(process.pid)], check=True, capture_output=True, text=True).stdout
    return listed, stacks


def main():
    before, after, command = sys.argv[1:4]
    diff, readme, folder = (pathlib.Path(word) for word in sys.argv[4:7])
    if f"```diff\n{diff.read_text()}```\n" not in readme.read_text():
        fail(f"{readme} does not show {diff.name} as it is")
    paths = [f"/pages/page-{number}" for number in range(PAGES - 1)] + ["/pages/missing"]
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        first = finish(start(before, server, folder / "before", paths), folder / "before")
        if server.most != 1:
            fail(f"the sequential program had {server.most} requests at once")
        if len(first[0].splitlines()) != PAGES or len(first[3]) != PAGES - 1 or first[1] != 1:
            fail(f"the sequential program wrote {first[0]!r}, exit code {first[1]}")

        server.open.clear()
        process = start(after, server, folder / "after", paths)
        wait_for_requests(server)
        listed, stacks = inspect(command, process)
        server.open.set()
        second = finish(process, folder / "after")
        if server.most != AT_ONCE:
            fail(f"the concurrent program had {server.most} requests at once, not {AT_ONCE}")
        if first != second:
            fail(f"the programs wrote different things: {first!r} and {second!r}")

        server.open.clear()
        process = start(after, server, folder / "interrupted", paths)
        wait_for_requests(server)
        process.send_signal(signal.SIGINT)
        output, code, errors, files = finish(process, folder / "interrupted")
        server.open.set()
        cut_off = output.count("(recv: Operation canceled)")
        if code != 1 or files or cut_off != AT_ONCE or errors.splitlines() != [f"{after}: interrupted by Ctrl-C"]:
            fail(f"after Ctrl-C it wrote {output!r}, {errors!r}, {files!r}, exit code {code}")
        server.shutdown()
    # Each task has the name of the page that it fetches, and the main task waits for them.
    for number, path in enumerate(paths):
        line = next((line for line in listed.splitlines() if f" {path} " in line), "")
        if ("receive_answer (" in line) != (number < AT_ONCE):
            fail(f"aiofiber ps does not show the tasks of the first {AT_ONCE} pages and their function, or others:\n{listed}")
    if not any(" gather " in line and "fetch_all (" in line for line in listed.splitlines()):
        fail(f"aiofiber ps does not show the main task, which gathers the others:\n{listed}")
    for frame in ("fetch_some", "fetch_page", "receive_answer", "fetch_all"):
        if f" in {frame}" not in stacks:
            fail(f"aiofiber stack shows no frame of {frame}:\n{stacks}")
    print(f"{PAGES} pages, equal outputs and files; requests at once: 1 before, {server.most} after")


if __name__ == "__main__":
    main()
