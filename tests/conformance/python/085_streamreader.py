# SPDX-License-Identifier: Apache-2.0
"""StreamReader fed by hand: read, readline, readexactly, readuntil, limit, eof, exception."""
from conf import *
def mk(limit=2**16): return asyncio.StreamReader(limit=limit, loop=asyncio.get_running_loop())
async def t(label, aw):
    try: log(label, await aw)
    except Exception as e: log(label, type(e).__name__, str(e), getattr(e, "partial", ""), getattr(e, "consumed", ""))
async def main():
    r = mk(); r.feed_data(b"line1\nline2\nrest"); await t("readline", r.readline()); await t("read(3)", r.read(3)); await t("read(0)", r.read(0))
    k = asyncio.create_task(t("readexactly waits", r.readexactly(12))); await asyncio.sleep(0); log("still"); r.feed_data(b"123456789"); await k
    r.feed_data(b"tail"); k = asyncio.create_task(t("read(-1)", r.read())); await asyncio.sleep(0); r.feed_eof(); await k; log("at_eof", r.at_eof()); await t("read", r.read(5)); await t("readline", r.readline())
    r = mk(); r.feed_data(b"abc"); r.feed_eof(); await t("readline without newline", r.readline())
    r = mk(); r.feed_data(b"abc"); r.feed_eof(); await t("readexactly", r.readexactly(5))
    r = mk(); r.feed_data(b"a--b--"); await t("readuntil", r.readuntil(b"--")); r.feed_eof(); await t("readuntil", r.readuntil(b"--")); await t("readuntil", r.readuntil(b"--"))
    r = mk(4); r.feed_data(b"0123456789\n"); await t("limit", r.readuntil()); await t("readline over limit", r.readline()); log("line was dropped", r._buffer); r.feed_data(b"new"); await t("after", r.read(3))
    r = mk(); r.set_exception(OSError("boom")); await t("exception", r.read(1))
    r = mk(); k = asyncio.create_task(r.read(1)); await asyncio.sleep(0); await t("two readers", r.readline()); k.cancel()
    await t("negative", r.readexactly(-1)); await t("empty separator", r.readuntil(b""))
    r = mk(); r.feed_data(b"x\ny\n"); r.feed_eof(); log([l async for l in r])
run(main)
