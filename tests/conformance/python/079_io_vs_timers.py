# SPDX-License-Identifier: Apache-2.0
"""add_reader/add_writer: order of I/O callbacks, ready callbacks and due timers in one pass."""
from conf import *
import socket
async def main():
    loop = asyncio.get_running_loop(); a, b = socket.socketpair(); a.setblocking(False); b.setblocking(False)
    def rd(tag): log("reader", tag, a.recv(100))
    loop.add_reader(a, rd, 1); b.send(b"x"); loop.call_soon(log, "ready"); loop.call_later(0, log, "timer due")
    await asyncio.sleep(0); log("main: it was ready before the reader")
    await asyncio.sleep(0); log("--")
    loop.add_reader(a, rd, 2); b.send(b"y"); await ticks(2); log("the second add_reader replaced the first; level triggered:")
    k = []
    def lazy(): k.append(1); log("not reading", len(k)); (len(k) == 3 and loop.remove_reader(a))
    loop.add_reader(a, lazy); b.send(b"z"); await ticks(5); log("left in the buffer", a.recv(10))
    loop.add_reader(a, rd, 3); b.send(b"w"); loop.call_soon(lambda: log("remove_reader", loop.remove_reader(a), loop.remove_reader(a)))
    await ticks(3); log("removal in the same pass stops a reader that was already ready:", a.recv(10))
    n = []
    def wr(): n.append(1); log("writable", len(n)); (len(n) == 2 and loop.remove_writer(b))
    loop.add_writer(b, wr); await ticks(4)
    def bad(): loop.remove_reader(a); raise ValueError("in reader")
    loop.add_reader(a, bad); b.send(b"q"); await ticks(2)
    a.close(); b.close()
run(main)
